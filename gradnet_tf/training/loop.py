"""The training loop: schedule, log, validation, checkpoints and signals.

It works through the engine interface (see `engine_tensorflow`) and imports no
framework but Keras' weight files through the engine's model.
"""

import contextlib
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from gradnet_tf.errors import Interrupted, NotFiniteError
from gradnet_tf.files import require_free_space
from gradnet_tf.progress import ProgressLine, format_seconds
from gradnet_tf.training.checkpoints import CheckpointStore
from gradnet_tf.training.records import NoRecords, RunLog, TensorBoardLog, panel
from gradnet_tf.training.schedules import learning_rate_at
from gradnet_tf.training.team import Team


@contextlib.contextmanager
def _stop_requests():
    """Yields a list that holds the name of the signal that asked for a stop, once one did."""
    asked: list[str] = []
    previous = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(ValueError):  # not in the main thread: signals stay as they are
            previous[number] = signal.signal(
                number, lambda received, _: asked.append(signal.Signals(received).name)
            )
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def mean_psnr(engine, validation: list[tuple[np.ndarray, np.ndarray]], team: Team) -> float:
    """Returns the mean PSNR in dB of the clipped output over (noisy, clean) images.

    The workers of a team share the images.
    """
    scores = []
    for noisy, clean in validation[team.index :: team.size]:
        denoised = np.clip(engine.predict(noisy[None])[0], 0.0, 1.0)
        scores.append(-10.0 * np.log10(max(float(np.mean((denoised - clean) ** 2)), 1e-12)))
    total, count = team.sums([sum(scores), len(scores)])
    return total / count


def _image_panel(engine, noisy: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Noisy, naive, gradient, denoised and clean of one image, side by side."""
    if not hasattr(engine.model, "naive_denoiser"):
        return panel([noisy, engine.predict(noisy[None])[0], clean])
    outputs = engine.predict(noisy[None], intermediates=True)
    # A Sobel magnitude reaches 4√2; a quarter of it shows the edges of natural images.
    return panel(
        [noisy, outputs["naive"][0], outputs["gradient"][0] / 4, outputs["denoised"][0], clean]
    )


class _Stage:
    """The state of one stage while it runs."""

    def __init__(self, config, engine, validation, workdir, budget, label):
        self.config, self.engine, self.validation = config, engine, validation
        self.budget, self.label, self.workdir = budget, label, workdir
        self.team = getattr(engine, "team", None) or Team()
        self.store = CheckpointStore(workdir)
        chief, state = self.team.chief, None
        if chief:
            state = self.store.restore(engine.model, engine.set_optimizer_state)
        state = self.team.share_state(engine, state)
        self.step = state["step"] if state else 0
        self.best = state["best_psnr"] if state else None
        self.psnr = self.best
        self._before = state["elapsed"] if state else 0.0
        self._started = time.monotonic()
        self._saved = self.step if state else None
        self._agreed = self._before
        complete = self.progress >= 1
        self.line = ProgressLine() if chief else NoRecords()
        if state:
            what = "is complete" if complete else "goes on"
            self.line.show(f"{label}: {what} at step {self.step} of {workdir}", force=True)
            self.line.end()
        # A complete stage writes nothing, so that rerunning a command leaves its records alone.
        writes = chief and not complete
        self.log = RunLog(workdir, self.step if state else None) if writes else NoRecords()
        self.board = TensorBoardLog(workdir) if writes else NoRecords()

    @property
    def elapsed(self) -> float:
        """Seconds spent on this stage, those before a resume included."""
        return self._before + time.monotonic() - self._started

    @property
    def progress(self) -> float:
        """Part of the stage that is done, by steps or by time, whichever is further."""
        elapsed = self._agreed if self.team.size > 1 else self.elapsed
        by_time = elapsed / self.budget if self.budget else 0.0
        return max(self.step / self.config.steps, by_time)

    def agree(self, asked: list[str]) -> bool:
        """Sets all workers' clocks by the chief's; returns whether a stop was asked of any."""
        self._agreed, stop = self.team.agree(self.elapsed, bool(asked))
        return stop

    def save(self) -> None:
        """Writes a checkpoint unless this step has one."""
        if self.team.chief and self._saved != self.step:
            self._require_space(3)  # weights and Adam's two moments
            progress = {"step": self.step, "elapsed": self.elapsed, "best_psnr": self.best}
            self.store.save(self.engine.model, self.engine.optimizer_state(), progress)
            self._saved = self.step

    def _require_space(self, copies: int) -> None:
        if self.team.chief:
            size = 4 * self.engine.model.count_params()
            require_free_space(self.workdir, copies * size, f"step {self.step}")

    def validate(self) -> None:
        """Scores the validation images and keeps the weights if they are the best so far."""
        self.psnr = mean_psnr(self.engine, self.validation, self.team)
        self._require_space(1)
        self.board.scalars({"validation/psnr": self.psnr}, self.step)
        if self.team.chief:
            image = _image_panel(self.engine, *self.validation[0])
            self.board.image("validation", image, self.step)
        # Weights that are not finite give a PSNR that is not, and are never the best.
        if np.isfinite(self.psnr) and (self.best is None or self.psnr > self.best):
            self.best = self.psnr
            if self.team.chief:
                self.store.save_best(self.engine.model, self.step, self.psnr)

    def record(self, loss: float, rate: float, examples_per_second: float, validated: bool):
        """Writes a row of the log and the curves of TensorBoard."""
        row = {
            "step": self.step,
            "loss": loss,
            "learning_rate": rate,
            "examples_per_second": examples_per_second,
            "replicas": self.engine.replicas,
        }
        self.log.write({**row, "psnr": self.psnr} if validated else row)
        curves = {name: row[name] for name in ("loss", "learning_rate", "examples_per_second")}
        self.board.scalars({f"train/{name}": value for name, value in curves.items()}, self.step)

    def show(self, loss: float, examples_per_second: float, force: bool = False) -> None:
        """Shows step, rate, loss, PSNR and the time left."""
        done = max(self.progress, 1e-9)
        left = self.elapsed * (1 - min(done, 1.0)) / done
        psnr = "-" if self.psnr is None else f"{self.psnr:.2f} dB"
        self.line.show(
            f"{self.label} step {self.step} ({100 * min(done, 1.0):.0f}%)  "
            f"{examples_per_second:.1f} examples/s  loss {loss:.5f}  PSNR {psnr}  "
            f"left {format_seconds(left)}",
            force,
        )

    def fail(self, loss: float):
        """Raises the error for a loss or gradient that is not finite."""
        last = self.store.last_path()
        kept = f"The last good checkpoint is {last}; the same command resumes there."
        raise NotFiniteError(
            f"the loss or its gradient is not finite at step {self.step} (loss {loss}).\n"
            f"{kept if last else 'There is no checkpoint yet.'} To change something, such as a "
            "lower --learning_rate or --precision=float32, give another --workdir."
        )

    def close(self) -> None:
        """Closes the records."""
        self.line.end()
        self.log.close()
        self.board.close()


def run_stage(
    config,
    engine,
    make_batches: Callable[[int], Iterable],
    validation: list[tuple[np.ndarray, np.ndarray]],
    workdir: str | Path,
    budget: float | None = None,
    label: str = "train",
) -> dict:
    """Trains the engine's model until its steps or its time are used up; resumes by itself.

    Args:
        config: a `TrainConfig`.
        engine: see `engine_tensorflow`.
        make_batches: called with the first step; returns what
            `engine.batches` takes, endless.
        validation: (noisy, clean) float32 images that are never trained on.
        workdir: folder for checkpoints, best weights and records.
        budget: seconds for this stage over all invocations, or `None`.
        label: what the progress line calls the stage.

    Returns:
        `step`, `psnr` (best on validation), `elapsed` seconds.

    Raises:
        NotFiniteError: when the loss or its gradient is not finite.
        Interrupted: after SIGTERM or Ctrl-C, once a checkpoint is written; when
            another worker of the run was lost; when the disk is full.
    """
    with _stop_requests() as asked:
        stage = _Stage(config, engine, validation, workdir, budget, label)
        try:
            if stage.progress < 1:
                _steps(stage, engine.batches(make_batches(stage.step)), asked)
            return {"step": stage.step, "psnr": stage.best, "elapsed": stage.elapsed}
        except OSError as error:
            raise Interrupted(
                f"--workdir={workdir}: cannot be written: {error.strerror or error}.\n"
                f"The last checkpoint is {stage.store.last_path() or 'none yet'}; free some space, "
                "then the same command goes on."
            ) from error
        finally:
            stage.close()


def _steps(stage: _Stage, batches, asked: list[str]) -> None:
    config = stage.config
    mark_time, mark_step, speed, loss = time.monotonic(), stage.step, 0.0, float("nan")
    while True:
        rate = learning_rate_at(
            config.schedule, config.learning_rate, stage.progress, stage.step, config.warmup_steps
        )
        result = stage.engine.step(next(batches), rate)
        stage.step += 1
        stop = stage.agree(asked)
        loss = result["loss"]
        if not result["finite"]:
            stage.fail(loss)
        last = stage.progress >= 1
        log_now = stage.step % config.log_every == 0
        validate_now = last or stage.step % config.validate_every == 0
        now = time.monotonic()
        if now - mark_time > 1 or log_now or validate_now:
            speed = (stage.step - mark_step) * config.batch_size / max(now - mark_time, 1e-9)
        if validate_now:
            stage.validate()
        if log_now or validate_now:
            stage.record(loss, rate, speed, validate_now)
            mark_time, mark_step = time.monotonic(), stage.step
        if last or stop or stage.step % config.checkpoint_every == 0:
            stage.save()
        stage.show(loss, speed, force=last)
        if last or stop:
            stage.agree(asked)  # Nobody leaves before the chief has written.
        if stop and not last:
            reason = asked[0] if asked else "a signal to another worker"
            raise Interrupted(
                f"stopped by {reason} at step {stage.step}; a checkpoint is written.\n"
                "The same command goes on from there."
            )
        if last:
            return
