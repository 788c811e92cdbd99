"""How far `gradnet denoise` is: files, the part of the present one, speed, time left."""

import time
from collections.abc import Callable, Sequence

from gradnet_tf.utils.console import Pace, ProgressLine

#: Seconds of work that needs no progress in a file of logs.
_SHORT = 30.0


class FileProgress:
    """One line over files and tiles: on a terminal it is rewritten, elsewhere now and then.

    Where there is no terminal, short work shows none.

    The time left is that of the megapixels left at the speed so far. The
    speed is taken from the first finished tile on: what comes before pays for
    loading and compiling.

    Args:
        line: where it is shown.
        clock: seconds that never go back.
    """

    def __init__(
        self, line: ProgressLine | None = None, clock: Callable[[], float] = time.monotonic
    ):
        self._line = line or ProgressLine()
        self._clock = clock
        self._files = self._total = 0
        self._left = self._done = 0.0
        self._name = ""
        self._is_shown = False
        self._size = self._part = 0.0
        self._pace = Pace(clock)
        self._quiet_until = 0.0 if self._line.stream.isatty() else clock() + _SHORT

    def begin(self, done: int, sizes: Sequence[float]) -> None:
        """Says what is to be done.

        Args:
            done: files that need no work.
            sizes: megapixels of each of the others, estimated.
        """
        self._files, self._total = done, done + len(sizes)
        self._left = sum(sizes)

    def loading(self) -> None:
        """Shows that the model is being loaded."""
        self._show(f"{self._files} of {self._total} files  loading the model")

    def start(self, name: str, estimated: float, megapixels: float) -> None:
        """The network begins with a file.

        Args:
            name: of the file.
            estimated: what `begin` was told of it.
            megapixels: what it has.
        """
        # What the network itself prints begins on a line of its own.
        self.clear()
        self._left += megapixels - estimated
        self._name, self._size, self._part = name, megapixels, 0.0

    def on_tile(self, done: int, total: int) -> None:
        """Some pixels of the present file are done; see `Denoiser.__call__`."""
        self._part = done / max(total, 1)
        finished = self._done + self._part * self._size
        if not self._pace.marked:
            self._pace.mark(finished)
        elif done < total or self._total > 1:
            self._show(self._text(finished))

    def worked(self) -> None:
        """The network is done with the present file."""
        self._done += self._size
        self._left -= self._size
        self._size = self._part = 0.0
        self._pace.mark(self._done)

    def finish(self, estimated: float = 0.0) -> None:
        """A file is written, or has failed.

        Args:
            estimated: what `begin` was told of a file that never came to the network.
        """
        self._left -= estimated
        self._files += 1
        if 0 < self._files < self._total:
            self._show(self._text(self._done + self._part * self._size))

    def clear(self) -> None:
        """Makes room for a line of text."""
        if self._is_shown:
            self._line.clear()
            self._is_shown = False

    def _text(self, finished: float) -> str:
        words = [f"{self._files} of {self._total} files"]
        if self._size:
            words.append(f"{self._name} {self._part:.0%}")
        left = self._left - self._part * self._size
        rate = self._pace.rate(finished)
        if rate is not None:
            words.append(f"{rate:.3g} megapixels/s")
            words.append(f"{self._pace.left(finished, finished + max(left, 0.0))} left")
        return "  ".join(words)

    def _show(self, text: str) -> None:
        if self._clock() >= self._quiet_until:
            self._is_shown = True
            self._line.show(text)
