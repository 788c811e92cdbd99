"""What a person reads on standard error while work runs: notes, warnings and a progress line."""

import shutil
import sys
import time
from collections.abc import Callable
from typing import TextIO


def note(text: str | None) -> None:
    """Prints something that does not stop the work; nothing for `None` or an empty text."""
    if text:
        print(f"note: {text}", file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Prints something that a person should act on, though the work continues."""
    print(f"warning: {text}", file=sys.stderr, flush=True)


def format_seconds(seconds: float) -> str:
    """Returns "0:42", "12:07" or "3:04:05"."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class ProgressLine:
    """Rewrites one line on a terminal; elsewhere prints a line now and then."""

    def __init__(self, stream: TextIO | None = None, seconds_between_lines: float = 30.0):
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


class Pace:
    """Speed of work, in any unit, from the first `mark` on: what comes before pays for compiling.

    Args:
        clock: seconds that never go back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._mark: tuple[float, float] | None = None

    @property
    def marked(self) -> bool:
        """Whether the speed is being measured."""
        return self._mark is not None

    def mark(self, done: float) -> None:
        """Measures from here on, with `done` of the work behind it; later calls change nothing."""
        self._mark = self._mark or (done, self._clock())

    def rate(self, done: float) -> float | None:
        """Returns the work per second, or `None` while it is not known."""
        before, since = self._mark or (done, 0.0)
        return (done - before) / max(self._clock() - since, 1e-9) if done > before else None

    def left(self, done: float, total: float) -> str:
        """Returns the time left as text; a dash while it is not known."""
        rate = self.rate(done)
        if done >= total:
            return format_seconds(0)
        return "–" if rate is None else format_seconds((total - done) / rate)


class TimeLeft:
    """The time left of a training: its first steps, which pay for compiling, are not measured.

    Args:
        step: where the work begins or is resumed.
        untimed: steps after it that are left out.
    """

    def __init__(self, step: int, untimed: int = 5):
        self._from = step + untimed
        self._seconds = 0.0
        self._pace = Pace(lambda: self._seconds)

    def text(self, step: int, done: float, seconds: float) -> str:
        """Returns the time left as text; a dash while it is not known.

        Args:
            step: number of the newest step.
            done: part of the work that is done; from 1 on nothing is left.
            seconds: clock of the work.
        """
        self._seconds = seconds
        if step >= self._from:
            self._pace.mark(done)
        return self._pace.left(done, 1.0)
