"""The progress display of an evaluation."""

import time
from typing import Any, TextIO

from gradnet_tf.evaluation.tables import number
from gradnet_tf.utils.console import Pace, ProgressLine, format_seconds


class Watch:
    """A progress line per model: images done, running mean PSNR, rate and time left.

    Args:
        total: number of images.
        show_model: begin the line with the model's name.
        stream: standard error by default.
        clock: for tests.
    """

    def __init__(
        self,
        total: int,
        show_model: bool = False,
        stream: TextIO | None = None,
        clock=time.monotonic,
    ):
        self.total = total
        self._show_model = show_model
        self._clock = clock
        # For logs, a compromise between signs of life and length.
        self._line = ProgressLine(stream, seconds_between_lines=15.0)
        self._begin()

    def __call__(self, model: str, row: dict[str, Any]) -> None:
        """Shows the progress after the scores `row` of an image of `model`."""
        self._done += 1
        if row["psnr"] is not None:
            self._scores.append(row["psnr"])
        rate = self._pace.rate(self._done)
        pace = f"{rate:.1f} images/s" if rate >= 1 else f"{1 / rate:.1f} s/image"
        mean = sum(self._scores) / len(self._scores) if self._scores else None
        score = "" if row["psnr"] is None else f" {number(row['psnr'], 2)} dB"
        parts = [model] if self._show_model else []
        parts += [f"image {self._done}/{self.total}", f"{row['name']}{score}"]
        parts += [] if mean is None else [f"mean {number(mean, 2)} dB"]
        parts += [pace, f"{format_seconds((self.total - self._done) / rate)} left"]
        last = self._done == self.total
        self._line.show(" | ".join(parts), force=last)
        if last:
            self._line.end()
            self._begin()

    def _begin(self) -> None:
        """Resets the counters for the next model."""
        self._pace = Pace(self._clock)
        self._pace.mark(0)
        self._scores: list[float] = []
        self._done = 0
