"""One progress line for long work, on standard error."""

import shutil
import sys
import time


def format_seconds(seconds: float) -> str:
    """Returns "0:42", "12:07" or "3:04:05"."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class ProgressLine:
    """Rewrites one line on a terminal; elsewhere prints a line now and then."""

    def __init__(self, stream=None, seconds_between_lines: float = 30.0):
        self.stream = stream or sys.stderr
        self._between = 0.2 if self.stream.isatty() else seconds_between_lines
        self._last = float("-inf")
        self._width = 0

    def show(self, text: str, force: bool = False) -> None:
        """Shows `text`, unless the last showing was a moment ago."""
        now = time.monotonic()
        if not force and now - self._last < self._between:
            return
        self._last = now
        if self.stream.isatty():
            # A line that wraps is not overwritten by the next one.
            text = text[: shutil.get_terminal_size().columns - 1]
            self.stream.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            self.stream.write(text + "\n")
        self.stream.flush()

    def clear(self) -> None:
        """Wipes the line off a terminal, so that what follows takes its place."""
        if self.stream.isatty() and self._width:
            self.stream.write("\r" + " " * self._width + "\r")
            self.stream.flush()
            self._width = 0
            self._last = float("-inf")

    def end(self) -> None:
        """Leaves the line, so that what follows starts on its own."""
        if self.stream.isatty() and self._width:
            self.stream.write("\n")
            self.stream.flush()
            self._width = 0


class TimeLeft:
    """Estimates the time left by the pace so far, less the first steps, which pay for compiling.

    Args:
        step: where the work begins, or goes on.
        untimed: steps that tell nothing about the pace.
    """

    def __init__(self, step: int, untimed: int = 5):
        self._from = step + untimed
        self._mark: tuple[float, float] | None = None

    def text(self, step: int, done: float, seconds: float) -> str:
        """Returns the time left as text; a dash while it cannot be known.

        Args:
            step: number of the newest step.
            done: part of the work that is done; from 1 on nothing is left.
            seconds: clock of the work.
        """
        if done >= 1:
            return format_seconds(0)
        if step < self._from:
            return "–"
        if self._mark is None:
            self._mark = (done, seconds)
        before, started = self._mark
        if done <= before:
            return "–"
        return format_seconds((1 - done) * (seconds - started) / (done - before))
