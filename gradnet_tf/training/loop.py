"""The training loop: schedule, log, validation, checkpoints and signals.

It uses the engine interface (see `engine_tensorflow`) and imports no framework; weight files are
read and written by the engine's model.
"""

import contextlib
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from gradnet_tf.training.checkpoints import CheckpointStore
from gradnet_tf.training.schedules import ema_decay_at, learning_rate_at
from gradnet_tf.training.stage import Stage
from gradnet_tf.utils.errors import Interrupted, Stopped

# The result of a step is read so many steps later, so that a fast device is never idle.
_STEPS_AHEAD = 2
# Space that kept targets leave free, in copies of the weights: three checkpoints of up to four, of
# which the oldest is removed last, and the best weights.
_RESERVED_COPIES = 13


@contextlib.contextmanager
def _stop_requests():
    """Yields a list to which the name of a received stop signal is appended."""
    asked: list[str] = []
    previous = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(ValueError):  # raised outside the main thread
            previous[number] = signal.signal(
                number, lambda received, _: asked.append(signal.Signals(received).name)
            )
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def run_stage(
    config,
    engine,
    make_batches: Callable[[int], Iterable],
    validation: list[tuple[np.ndarray, np.ndarray]],
    workdir: str | Path,
    budget: float | None = None,
    label: str = "train",
    sets: Mapping[str, int] | None = None,
) -> dict:
    """Trains the engine's model for its steps or its time; resumes from the last checkpoint.

    Training pauses while the disk is full.

    Args:
        config: a `TrainConfig`.
        engine: see `engine_tensorflow`.
        make_batches: function from the first step to an endless dataset for `engine.batches`.
        validation: (noisy, clean) float32 images, not used for training.
        workdir: folder for checkpoints, best weights and records.
        budget: seconds for this stage over all invocations, or `None`.
        label: name of the stage in the progress line.
        sets: number of validation images of each set, in their order, if there are several sets;
            the records then have the PSNR of each.

    Returns:
        `step`, `psnr` (best on validation), `elapsed` seconds up to the last checkpoint, and
        `stopped`: the stop signal that came too late to stop this stage, or `None`.

    Raises:
        NotFiniteError: the loss or its gradient is not finite for more than `config.nan_limit`
            consecutive steps.
        UserError: a teacher cannot be used.
        Interrupted: after SIGTERM or Ctrl-C, once a checkpoint is written; another worker of the
            run was lost; or the folder cannot be written.
    """
    with _stop_requests() as asked:
        stage = None
        try:
            stage = Stage(config, engine, validation, workdir, budget, label, asked, sets)
            if stage.progress < 1:
                _steps(stage, _batches(config, engine, make_batches, stage))
            elif stage.best is None:  # killed between its last checkpoint and its validation
                stage.validate()
                stage.save()
            return {
                "step": stage.step,
                "psnr": stage.best,
                "elapsed": stage.recorded,
                "stopped": asked[0] if asked else None,
            }
        except OSError as error:
            raise Interrupted(
                f"--workdir={workdir}: cannot be written: {error.strerror or error}.\n"
                f"The last checkpoint is {CheckpointStore(workdir).last_path() or 'none yet'}; "
                "once it can be written, the same command resumes."
            ) from error
        finally:
            if stage is not None:
                stage.close()


class _Meter:
    """Measures examples per second, and the fraction of the time spent waiting for input."""

    def __init__(self, stage: Stage):
        self._stage = stage
        self.speed = self.input_wait = 0.0
        self.restart()

    def restart(self) -> None:
        """Starts a new measurement."""
        self._time, self._step, self._waited = time.monotonic(), self._stage.step, 0.0

    def next_of(self, batches):
        """Returns the next batch and measures the wait for it."""
        started = time.monotonic()
        batch = next(batches)
        self._waited += time.monotonic() - started
        return batch

    def read(self, force: bool) -> None:
        """Updates both values if at least a second has passed, or if `force` is set."""
        seconds = time.monotonic() - self._time
        if seconds > 1 or force:
            seconds = max(seconds, 1e-9)
            steps = self._stage.step - self._step
            self.speed = steps * self._stage.config.batch_size / seconds
            self.input_wait = min(self._waited / seconds, 1.0)


def _batches(config, engine, make_batches: Callable[[int], Iterable], stage: Stage) -> Iterator:
    def open_batches(step):
        return engine.batches(make_batches(step))

    if not config.teacher:
        return open_batches(stage.step)
    from gradnet_tf.training.teacher import taught_batches

    reserve = _RESERVED_COPIES * 4 * engine.model.count_params()
    return taught_batches(config, open_batches, stage.step, stage.workdir, reserve)


def _steps(stage: Stage, batches) -> None:
    config, engine, meter = stage.config, stage.engine, _Meter(stage)
    started: deque = deque()
    l1 = True
    while True:
        if l1 and config.l2_share and stage.progress >= 1 - config.l2_share:
            engine.use_l2()
            l1 = False
        rate = learning_rate_at(
            config.schedule,
            config.learning_rate,
            stage.progress,
            stage.step,
            config.warmup_steps,
            config.decay_at,
            stage.plateaus,
        )
        decay = ema_decay_at(config.ema, stage.step)
        result = engine.step(meter.next_of(batches), rate, decay)
        stage.step += 1
        started.append((stage.step, result))
        stop = stage.agree()
        last = stage.progress >= 1
        log_now = stage.step % config.log_every == 0
        validate_now = last or stage.step % config.validate_every == 0
        save_now = last or stop or stage.step % config.checkpoint_every == 0
        while len(started) > (0 if log_now or validate_now or save_now else _STEPS_AHEAD):
            stage.settle(*started.popleft())
        meter.read(log_now or validate_now)
        if validate_now:
            stage.validate()
        if log_now or validate_now:
            stage.record(rate, meter.speed, meter.input_wait, validate_now)
            meter.restart()
        if save_now:
            stage.save()
        stage.show(meter.speed, force=last)
        if last or stop:
            stage.agree()  # a barrier, so that no worker exits before the chief has written
        if stop and not last:
            reason = stage.asked[0] if stage.asked else "a signal to another worker"
            raise Stopped(
                f"stopped by {reason} at step {stage.step}; a checkpoint is written.\n"
                "The same command resumes from there."
            )
        if last:
            return
