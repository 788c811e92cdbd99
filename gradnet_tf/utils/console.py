"""Notes, warnings and progress lines on standard error."""

import contextlib
import logging
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import TextIO

#: For `str.translate`: escapes control characters, which could reprogram a terminal, and marks that
#: reverse the direction of text; line ends and tabs are kept.
ESCAPES = {
    code: f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    for code in (*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A))
    if chr(code) not in "\n\r\t"
}
#: The same for a name within a line, where line ends and tabs are escaped as well.
NAME_ESCAPES = ESCAPES | {10: "\\n", 13: "\\r", 9: "\\t"}


#: A program that wants the notes elsewhere adds a handler here, or silences them by a level:
#: `logging.getLogger("gradnet_tf").setLevel(logging.ERROR)`. Otherwise they are printed.
LOGGER = logging.getLogger("gradnet_tf")


def note(text: str | None) -> None:
    """Prints a note; nothing for `None` or an empty text."""
    if text:
        _say(logging.INFO, "note", text)


def warn(text: str) -> None:
    """Prints a warning that the user should act on, although the work continues."""
    _say(logging.WARNING, "warning", text)


def inform(text: str) -> None:
    """Prints what is an ordinary part of the work."""
    _say(logging.INFO, "", text)


def _say(level: int, word: str, text: str) -> None:
    if LOGGER.handlers:
        LOGGER.log(level, text)
    elif level >= LOGGER.level:  # 0 unless the program has set it
        print(f"{word}: {text}" if word else text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def quiet(wanted: bool = True) -> Iterator[None]:
    """Leaves out notes and progress inside the block, but no warnings, if `wanted`."""
    level = LOGGER.level
    LOGGER.setLevel(max(level, logging.WARNING) if wanted else level)
    try:
        yield
    finally:
        LOGGER.setLevel(level)


def duration_text(seconds: float) -> str:
    """Returns "9.3 s", and from a minute on "12 min 7 s" or "3 h 4 min"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left} min" if hours else f"{minutes} min {rest} s"


def format_seconds(seconds: float) -> str:
    """Returns "0:42", "12:07" or "3:04:05"."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


class ProgressLine:
    """A progress line: rewritten in place on a terminal, elsewhere printed periodically.

    Nothing is shown if the notes are silenced; see `LOGGER`.
    """

    def __init__(self, stream: TextIO | None = None, seconds_between_lines: float = 30.0):
        self.stream = stream or sys.stderr
        self._between = 0.2 if self.stream.isatty() else seconds_between_lines
        self._last = float("-inf")
        self._width = 0

    def show(self, text: str, force: bool = False) -> None:
        """Shows `text`, unless the last text was shown only a moment ago."""
        if LOGGER.level > logging.INFO:
            return
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

    def keep(self, text: str) -> None:
        """Prints a line that stays, even if the notes are silenced."""
        self.clear()
        self.stream.write(text + "\n")
        self.stream.flush()

    def clear(self) -> None:
        """Erases the line from a terminal, so that other text can take its place."""
        if self.stream.isatty() and self._width:
            self.stream.write("\r" + " " * self._width + "\r")
            self.stream.flush()
            self._width = 0
            self._last = float("-inf")

    def end(self) -> None:
        """Keeps the line and starts a new one."""
        if self.stream.isatty() and self._width:
            self.stream.write("\n")
            self.stream.flush()
            self._width = 0


class Pace:
    """Measures the speed of work in any unit, from the first `mark` on, to exclude compilation.

    Args:
        clock: a monotonic clock, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._mark: tuple[float, float] | None = None

    @property
    def marked(self) -> bool:
        """Whether the measurement has begun."""
        return self._mark is not None

    def mark(self, done: float) -> None:
        """Begins to measure, with `done` of the work finished; later calls have no effect."""
        self._mark = self._mark or (done, self._clock())

    def rate(self, done: float) -> float | None:
        """Returns the work per second, or `None` if it is not known yet."""
        before, since = self._mark or (done, 0.0)
        return (done - before) / max(self._clock() - since, 1e-9) if done > before else None

    def left(self, done: float, total: float) -> str:
        """Returns the remaining time as text, or a dash if it is not known yet."""
        rate = self.rate(done)
        if done >= total:
            return format_seconds(0)
        return "–" if rate is None else format_seconds((total - done) / rate)


class TimeLeft:
    """Estimates the remaining time of a training, excluding its first steps, which compile.

    Args:
        step: the step at which the work begins or is resumed.
        untimed: number of steps after it that are not measured.
    """

    def __init__(self, step: int, untimed: int = 5):
        self._from = step + untimed
        self._seconds = 0.0
        self._pace = Pace(lambda: self._seconds)

    def text(self, step: int, done: float, seconds: float) -> str:
        """Returns the remaining time as text, or a dash if it is not known yet.

        Args:
            step: number of the latest step.
            done: fraction of the work that is done; 1 or more means that it is finished.
            seconds: elapsed time of the work.
        """
        self._seconds = seconds
        if step >= self._from:
            self._pace.mark(done)
        return self._pace.left(done, 1.0)
