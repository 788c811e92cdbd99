"""What became of each file of `gradnet denoise`: counted, and said a line at a time."""

import dataclasses
import sys
import time

from gradnet_tf.cli.denoise_plan import Job
from gradnet_tf.cli.file_progress import FileProgress


@dataclasses.dataclass(frozen=True)
class Written:
    """A result that lies in its place.

    Attributes:
        megapixels: of the picture.
        seconds: for denoising, encoding and writing.
    """

    megapixels: float
    seconds: float


class Results:
    """Counts and prints; each call is for one file.

    Standard output gets a line per result and per skipped file, standard error
    a line per failure.
    """

    def __init__(self, progress: FileProgress):
        self.written = self.skipped = self.failed = self.readable = 0
        self._megapixels = 0.0
        self._progress = progress
        self._start: float | None = None

    def start(self) -> None:
        """The work begins; what was before (loading the model) is not counted."""
        if self._start is None:
            self._start = time.perf_counter()

    def fail(self, name: object, error: Exception | str) -> str:
        """Returns the reason, one line."""
        self.failed += 1
        reason = " ".join(str(error).split()) or type(error).__name__
        self._progress.clear()
        line = reason if str(name) in reason else f"{name}: {reason}"
        print(f"failed: {line}", file=sys.stderr, flush=True)
        return reason

    def write(self, job: Job, outcome: Written) -> None:
        self.written += 1
        self._megapixels += outcome.megapixels
        self._progress.clear()
        rate = f"{outcome.megapixels / max(outcome.seconds, 1e-9):.3g} megapixels/s"
        print(f"{job.source} -> {job.target}  {rate}", flush=True)

    def skip(self, job: Job) -> None:
        self.skipped += 1
        self._progress.clear()
        print(f"{job.source} skipped: {job.target} exists (--overwrite makes it anew)", flush=True)

    def summary(self) -> str:
        """Returns the counts, and with results their size and the time from `start` on."""
        counts = f"{self.written} written, {self.skipped} skipped, {self.failed} failed"
        if not self.written:
            return counts
        seconds = time.perf_counter() - (self._start or time.perf_counter())
        return f"{counts}, {self._megapixels:.3g} megapixels in {seconds:.1f} s"
