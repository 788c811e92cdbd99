"""The state of a running stage: clock, counters, results, and its output files."""

import dataclasses
import errno
import time
import zlib
from pathlib import Path

import numpy as np

from gradnet_tf.training.checkpoints import CheckpointStore
from gradnet_tf.training.engines.step_result import StepResult
from gradnet_tf.training.records import NoRecords, RunLog, TensorBoardLog
from gradnet_tf.training.validation import (
    image_panel,
    image_psnrs,
    means_by_set,
    naive_gain,
    psnr_by_sigma,
)
from gradnet_tf.training.workers.team import Team
from gradnet_tf.utils.console import ProgressLine, TimeLeft, warn
from gradnet_tf.utils.errors import Interrupted, NotFiniteError
from gradnet_tf.utils.files import require_free_space

#: Share of a time budget in which the pace is measured, to tell how many steps it will have.
_SHARE_TIMED = 0.02
_DISK_POLL_SECONDS = 2.0
# A naive denoiser that gains less, in dB, after so many steps does not work.
_LEAST_NAIVE_GAIN, _STEPS_TO_LEARN = 0.1, 500


def _checksum(validation) -> int:
    """Returns a checksum of the clean images, to tell whether a resumed run has the same ones."""
    checksum = 0
    for _, clean in validation:
        checksum = zlib.crc32(np.ascontiguousarray(clean), checksum)
    return checksum


def _ordinal(number: int) -> str:
    special = 10 <= number % 100 <= 20
    return f"{number}{'th' if special else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def warn_of_warmup(warmup_steps: int, steps: int, about: str = "") -> None:
    """Warns of a stage of `steps` steps most of which have less than the peak learning rate.

    Args:
        warmup_steps: steps over which the rate grows.
        steps: length of the stage.
        about: "about " if the length is an estimate.
    """
    if warmup_steps > steps // 2:
        warn(
            f"the learning rate grows over the first {warmup_steps} steps, and the run has {about}"
            f"{steps}: little or nothing of it is at the peak; give --warmup_steps={steps // 10}"
        )


class Stage:
    """State and records of a stage; restores the newest checkpoint when constructed.

    Attributes:
        step: number of started steps.
        loss: loss of the last step whose result was read; `None` before the first.
        skipped: number of skipped steps, whose loss or gradient was not finite.
        psnr, best: PSNR of the last validation and the best one, dB; `None` before the first.
        plateaus: how often the schedule "plateau" has waited in vain for a better validation.
        recorded: the seconds spent up to the last checkpoint.
    """

    def __init__(self, config, engine, validation, workdir, budget, label, asked, sets=None):
        """Args: those of `run_stage`, and `asked`, the names of received stop signals."""
        self.config, self.engine, self.validation = config, engine, validation
        self.budget, self.label, self.workdir = budget, label, Path(workdir)
        self.asked, self.sets = asked, sets
        self.team = getattr(engine, "team", None) or Team()
        self.store = CheckpointStore(workdir)
        chief, state = self.team.chief, None
        if chief:
            state = self.store.restore(engine.model, engine.set_state)
        state = self.team.share_state(engine, state)
        self.step = state["step"] if state else 0
        self._images = _checksum(validation)
        self.best = state["best_psnr"] if state else None
        others = state is not None and state.get("validation", self._images) != self._images
        if others:
            self.best = None  # A PSNR of other images says nothing about these.
        self.skipped = state.get("skipped", 0) if state else 0
        self.plateaus = state.get("plateaus", 0) if state else 0
        self._better_at = state.get("better_at", 0) if state else 0
        self.psnr, self.loss = self.best, None
        self._by_set: dict[str, float] = {}
        self._skipped_in_a_row = 0
        self._warned = False
        self._left = TimeLeft(self.step)
        # Set when the length of the warm-up has been compared with that of the stage.
        self._compared = not self.budget or self.step >= config.warmup_steps
        self._first: tuple[int, float] | None = None
        self._before = self.recorded = state["elapsed"] if state else 0.0
        self._started = time.monotonic()
        self._saved = self.step if state else None
        self._agreed = self._before
        complete = self.progress >= 1
        self.line = ProgressLine() if chief else NoRecords()
        if state:
            what = "is complete" if complete else "resumes"
            self.say(f"{label}: {what} at step {self.step} of {workdir}{self._more(complete)}")
            if others:
                warn(
                    "the validation images are others than before, so that the best weights are "
                    "chosen anew; is this the right --data_dir?"
                )
        # A complete stage writes nothing, so that rerunning a command does not change its records.
        writes = chief and not complete
        self.log = self.board = NoRecords()
        if writes:
            self.workdir.mkdir(parents=True, exist_ok=True)
            self._write(0, lambda: self._open_records(self.step if state else None))
        if not state:
            self.board.settings(dataclasses.asdict(config))

    def _open_records(self, resume_step: int | None) -> None:
        self.log = RunLog(self.workdir, resume_step)
        self.board = TensorBoardLog(self.workdir)

    @property
    def elapsed(self) -> float:
        """Seconds spent on this stage over all invocations, except waiting for a full disk."""
        return self._before + time.monotonic() - self._started

    @property
    def clock(self) -> float:
        """The seconds spent that all workers go by, so that they take the same decisions."""
        return self._agreed if self.team.size > 1 else self.elapsed

    @property
    def progress(self) -> float:
        """Finished fraction of the stage, by steps or by time, whichever is larger."""
        by_time = self.clock / self.budget if self.budget else 0.0
        return max(self.step / self.config.steps, by_time)

    def _more(self, complete: bool) -> str:
        """Returns how a complete run is continued."""
        if not complete or self.label == "naive" or self.config.epochs:
            return ""
        by_time = self.step < self.config.steps
        return f"; {'a larger --time_budget' if by_time else 'a larger --steps'} continues it"

    def _compare_warmup(self, step: int) -> None:
        """Warns early in a stage of a time budget that will be too short for the warm-up."""
        if self._first is None:
            self._first = step, self.elapsed  # What was before may have compiled the step.
        steps, seconds = step - self._first[0], self.elapsed - self._first[1]
        ends = self.progress >= 1
        if ends or (steps and seconds >= _SHARE_TIMED * self.budget):
            self._compared = True
            total = step if ends else step + int((self.budget - self.elapsed) * steps / seconds)
            if self.team.chief:
                self.line.clear()
                warn_of_warmup(self.config.warmup_steps, total, "" if ends else "about ")

    def agree(self) -> bool:
        """Takes over the chief's clock; returns whether any worker got a stop signal."""
        self._agreed, stop = self.team.agree(self.elapsed, bool(self.asked))
        return stop

    def settle(self, step: int, result: StepResult) -> None:
        """Waits for the result of a step that was started earlier.

        Raises:
            NotFiniteError: when more than `nan_limit` steps in a row were skipped.
        """
        self.loss = result["loss"]
        if not self._compared:
            self._compare_warmup(step)
        if result["finite"]:
            self._skipped_in_a_row = 0
            return
        self.skipped += 1
        self._skipped_in_a_row += 1
        if self._skipped_in_a_row > self.config.nan_limit:
            raise NotFiniteError(self._not_finite(step))
        if self._skipped_in_a_row == 1:
            self.say(
                f"{self.label}: warning: the loss or its gradient is not finite at step {step}; "
                f"the step is skipped ({self.skipped} so far)"
            )

    def _not_finite(self, step: int) -> str:
        last = self.store.last_path()
        kept = "" if self.team.chief else "Worker 0 has the checkpoints. "
        if self.team.chief:
            kept = f"The last good checkpoint is {last}. " if last else "There is no checkpoint. "
        return (
            f"the loss or its gradient is not finite at step {step} (loss {self.loss}), for the "
            f"{_ordinal(self._skipped_in_a_row)} step in a row; none of them changed the weights.\n"
            f"{kept}To change something, such as a lower --learning_rate or --precision=float32, "
            "use another --workdir (and --init_from to start from the trained weights)."
        )

    def say(self, text: str) -> None:
        """Prints a permanent line above the progress line."""
        self.line.keep(text)

    def _write(self, copies: int, write) -> None:
        """Calls `write` on the chief; waits and tries again while the disk is full.

        Args:
            copies: required space in units of the size of the weights. It is checked first, because
                some writers crash on a full disk.
            write: leaves no partial output when it raises.
        """
        if not self.team.chief:
            return
        size = copies * 4 * self.engine.model.count_params() if copies else 0
        self._pause_reported = False
        while True:
            try:
                require_free_space(self.workdir, size, f"step {self.step}")
                write()
                return
            except OSError as error:
                if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                    raise
                self._wait_for_disk(error.strerror or str(error))

    def _wait_for_disk(self, reason: str) -> None:
        started = time.monotonic()
        if not self._pause_reported:
            self.say(
                f"{self.label}: paused at step {self.step}: {reason}.\n"
                f"Free some space for {self.workdir}, and training continues automatically; "
                "SIGTERM or Ctrl-C stops it."
            )
            self._pause_reported = True
        while time.monotonic() - started < _DISK_POLL_SECONDS:
            if self.asked:
                last = self.store.last_path()
                raise Interrupted(
                    f"stopped by {self.asked[0]} at step {self.step} while --workdir="
                    f"{self.workdir} has no space: {reason}.\nThe last checkpoint is "
                    f"{last or 'none yet'}; free some space, then the same command resumes there."
                )
            time.sleep(0.1)
        self._started += time.monotonic() - started

    def save(self) -> None:
        """Writes a checkpoint unless there is one of this step."""
        if self._saved == self.step:
            return
        self.recorded, self._saved = self.clock, self.step
        if self.team.chief:
            state = self.engine.state()
            progress = {
                "step": self.step,
                "elapsed": self.recorded,
                "validation": self._images,
                "best_psnr": self.best,
                "skipped": self.skipped,
                "plateaus": self.plateaus,
                "better_at": self._better_at,
            }
            copies = 4 if "ema" in state else 3  # weights, Adam's two moments, averages
            self._write(copies, lambda: self.store.save(self.engine.model, state, progress))

    def validate(self) -> None:
        """Scores the validation images and saves the weights if they are the best so far.

        With averaged weights, the averages are scored and saved.
        """
        with self.engine.averaged():
            scores = image_psnrs(self.engine, self.validation, self.team)
            self.psnr, self._by_set = float(np.mean(scores)), means_by_set(scores, self.sets)
            if self.team.chief:
                self._show_validation()
            # Weights that are not finite have no finite PSNR, so they are never the best.
            if np.isfinite(self.psnr) and (self.best is None or self.psnr > self.best):
                self.best = self.psnr
                self._better_at = self.step
                self._write(1, self._save_best)
        self._count_plateau()

    def _count_plateau(self) -> None:
        """Lowers the rate of the schedule "plateau" if it has waited long enough."""
        if self.config.schedule != "plateau":
            return
        patience = round(self.config.decay_at * self.config.steps)
        # The first fall does not depend on the validation.
        if self.step - max(self._better_at, patience) >= patience:
            self.plateaus += 1
            self._better_at = self.step

    def _save_best(self) -> None:
        self.store.save_best(self.engine.model, self.step, self.psnr)

    def _show_validation(self) -> None:
        low, high = self.config.sigma_min, self.config.sigma_max
        if self.config.degradation or low is None:
            # The validation images have fixed levels, which may not be a σ, or real noise.
            edges, heights = [], []
        elif low < high:
            edges, heights = psnr_by_sigma(self.engine, self.validation, low, high)
        else:
            edges, heights = [low - 0.5, low + 0.5], [self.psnr]
        image = image_panel(self.engine, *self.validation[0])
        scalars = {"validation/psnr": self.psnr}
        scalars |= {f"validation/psnr_of/{name}": psnr for name, psnr in self._by_set.items()}
        gain = naive_gain(self.engine, self.validation)
        if gain is not None:
            scalars["validation/naive_gain"] = gain
            if gain < _LEAST_NAIVE_GAIN and self.step >= _STEPS_TO_LEARN and not self._warned:
                self._warned = True
                self.say(
                    f"warning: the naive denoiser gains {gain:.2f} dB on the validation images, so "
                    "the guide is the noisy image's gradient.\nIts ReLUs may be dead: start again "
                    "with a lower --learning_rate or more --warmup_steps."
                )

        def write():
            self.board.scalars(scalars, self.step)
            if heights:
                self.board.bars("validation/psnr_by_sigma", edges, heights, self.step)
            self.board.image("validation", image, self.step)

        self._write(0, write)

    def record(self, rate: float, examples_per_second: float, input_wait: float, validated: bool):
        """Writes a row of the log and the curves of TensorBoard."""
        row = {
            "step": self.step,
            "loss": self.loss,
            "learning_rate": rate,
            "examples_per_second": examples_per_second,
            "input_wait": input_wait,
            "skipped": self.skipped,
            "replicas": self.engine.replicas,
        }
        curves = {f"train/{name}": row[name] for name in row if name not in ("step", "replicas")}
        if validated:
            row["psnr"] = self.psnr
            if self._by_set:
                row["psnr_by_set"] = self._by_set
        self._write(0, lambda: self.log.write(row))
        self.board.scalars(curves, self.step)

    def show(self, examples_per_second: float, force: bool = False) -> None:
        """Shows step, rate, loss, PSNR and the remaining time."""
        done = self.progress
        left = self._left.text(self.step, done, self.elapsed)
        psnr = "-" if self.psnr is None else f"{self.psnr:.2f} dB"
        loss = "-" if self.loss is None else f"{self.loss:.5f}"
        skipped = f"  skipped {self.skipped}" if self.skipped else ""
        self.line.show(
            f"{self.label} step {self.step} ({100 * min(done, 1.0):.0f}%)  "
            f"{examples_per_second:.1f} examples/s  loss {loss}{skipped}  PSNR {psnr}  "
            f"left {left}",
            force,
        )

    def close(self) -> None:
        """Closes the records."""
        self.line.end()
        self.log.close()
        self.board.close()
