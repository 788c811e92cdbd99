"""One progress line for long work, on standard error."""

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
            self.stream.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            self.stream.write(text + "\n")
        self.stream.flush()

    def end(self) -> None:
        """Leaves the line, so that what follows starts on its own."""
        if self.stream.isatty() and self._width:
            self.stream.write("\n")
            self.stream.flush()
            self._width = 0
