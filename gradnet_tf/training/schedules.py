"""Learning rate as a function of progress, for both step counts and time budgets."""

import math

# Final fraction of the progress over which the "constant" schedule falls to zero.
_DECAY = 0.1


def learning_rate_at(
    schedule: str,
    peak: float,
    progress: float,
    step: int,
    warmup_steps: int,
    decay_at: float = 0.6,
    plateaus: int = 0,
) -> float:
    """Returns the learning rate of one step.

    Args:
        schedule: "cosine" falls from the peak to zero; "step" falls to a fifth of the peak after
            `decay_at` of the progress, like the supplement's 1e-3 → 2e-4 after epoch 30 of 50;
            "constant" stays at the peak and falls linearly to zero over the last tenth; "plateau"
            is "step" that falls to a fifth again at each plateau, as in the authors' script.
        peak: the highest learning rate.
        progress: finished fraction of the stage, in [0, 1].
        step: number of finished steps, for the warm-up.
        warmup_steps: number of first steps with a linearly growing rate; 0 for none.
        decay_at: where the schedules "step" and "plateau" fall first.
        plateaus: how often the validation score has stopped rising since.
    """
    if schedule == "cosine":
        rate = peak * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
    elif schedule == "step":
        rate = peak if progress < decay_at else peak / 5.0
    elif schedule == "plateau":
        rate = peak / 5.0 ** (plateaus + (progress >= decay_at))
    elif schedule == "constant":
        rate = peak * min(1.0, max(0.0, 1.0 - progress) / _DECAY)
    else:
        raise ValueError(
            "`schedule` must be 'cosine', 'step', 'constant' or 'plateau'. "
            f"Received: schedule={schedule!r}"
        )
    return rate * min(1.0, (step + 1) / warmup_steps) if warmup_steps else rate


def ema_decay_at(decay: float, step: int) -> float:
    """Returns the decay of the weights' moving average in one step.

    Args:
        decay: the final decay.
        step: number of finished steps. The decay starts at 0.1 and rises to `decay`, because the
            average would keep the initial values for too long otherwise.
    """
    return min(decay, (1 + step) / (10 + step))
