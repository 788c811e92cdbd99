"""Learning rate as a function of progress, so that steps and time budgets share one schedule."""

import math

# Part of the progress, at its end, over which the "constant" schedule falls to zero.
_DECAY = 0.1


def learning_rate_at(
    schedule: str, peak: float, progress: float, step: int, warmup_steps: int
) -> float:
    """Returns the learning rate of one step.

    Args:
        schedule: "cosine" falls from the peak to zero; "step" stays at the
            peak and falls to a fifth of it after 60% of the progress, as the
            supplement's 1e-3 → 2e-4 after epoch 30 of 50; "constant" stays at the
            peak and falls linearly to zero over the last tenth.
        peak: the highest learning rate.
        progress: in [0, 1], part of the stage that is done.
        step: steps done, for the warm-up.
        warmup_steps: the rate grows linearly over the first steps; 0 for none.
    """
    if schedule == "cosine":
        rate = peak * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
    elif schedule == "step":
        rate = peak if progress < 0.6 else peak / 5.0
    elif schedule == "constant":
        rate = peak * min(1.0, max(0.0, 1.0 - progress) / _DECAY)
    else:
        raise ValueError(
            f"`schedule` must be 'cosine', 'step' or 'constant'. Received: schedule={schedule!r}"
        )
    return rate * min(1.0, (step + 1) / warmup_steps) if warmup_steps else rate


def ema_decay_at(decay: float, step: int) -> float:
    """Returns the decay of the weights' moving average in one step.

    Args:
        decay: the one of a long run.
        step: steps done. In the first steps the average would hold on to the
            initial values, so the decay begins at 0.1 and rises towards `decay`.
    """
    return min(decay, (1 + step) / (10 + step))
