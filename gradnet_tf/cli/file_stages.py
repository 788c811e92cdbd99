"""Files on their way through three steps: read, worked on, written; several at once."""

import collections
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from gradnet_tf.utils.errors import UserError

#: What costs one file, and not the rest.
FAILURES = (UserError, OSError, MemoryError)


def run_in_stages(
    items: Iterable[Any],
    read: Callable[[Any], Any],
    work: Callable[[Any, Any], Any],
    write: Callable[[Any, Any], Any],
    done: Callable[[Any, Any], None],
    jobs: int = 1,
    cost: Callable[[Any], float] = lambda item: 0.0,
    room: float = float("inf"),
) -> None:
    """Takes items through `read`, `work` and `write`.

    `work` runs in the calling thread, one item at a time and in order, so a
    model needs no lock, and its results do not depend on `jobs`. With several
    jobs, threads read the next items and write the ones before meanwhile.
    What interrupts `work` (Ctrl-C, an error) ends all: what was worked on is
    written and handed to `done`, and nothing new is begun.

    Args:
        items: what to do.
        read: maps an item to what `work` wants; what it raises of `FAILURES` is handed to `done`.
        work: maps an item and what was read to what `write` wants, or returns an
            exception, which is handed to `done`; what it raises ends all.
        write: maps an item and the work to its outcome; raises as `read`.
        done: called in the calling thread with an item and its outcome or exception.
        jobs: items that are on their way at once.
        cost: what an item takes of `room`; always the same for an item.
        room: items wait outside while those on their way take more; one is always let in.
    """
    if jobs > 1:
        _Threads(items, read, work, write, done, jobs, cost, room).run()
        return
    for item in items:
        try:
            value = read(item)
        except FAILURES as error:
            done(item, error)
            continue
        value = work(item, value)
        if not isinstance(value, Exception):
            try:
                value = write(item, value)
            except FAILURES as error:
                value = error
        done(item, value)


class _Threads:
    """`run_in_stages` with more than one job."""

    def __init__(self, items, read, work, write, done, jobs, cost, room):
        self._waiting = collections.deque(items)
        self._read, self._work, self._write, self._done = read, work, write, done
        self._jobs, self._cost, self._room = jobs, cost, room
        self._lock = threading.Lock()
        self._held = 0
        self._taken = 0.0
        self._reading: collections.deque[tuple[Any, Future]] = collections.deque()
        self._writing: list[Future] = []
        # Filled by the threads: Ctrl-C may come to the calling thread while it begins a write,
        # and what is written all the same has to be counted.
        self._written: collections.deque[tuple[Any, Any]] = collections.deque()
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="photos")

    def run(self) -> None:
        try:
            self._let_in()
            while self._reading or self._writing:
                self._hand_over()
                if self._reading:
                    self._next()
                elif self._writing:
                    wait(self._writing, return_when=FIRST_COMPLETED)
        finally:
            with self._lock:
                self._waiting.clear()
            for _, future in self._reading:
                future.cancel()
            self._pool.shutdown(wait=True)  # What was worked on is written.
            self._hand_over()

    def _next(self) -> None:
        item, future = self._reading.popleft()
        try:
            value = future.result()
        except FAILURES as error:
            value = error
        else:
            value = self._work(item, value)
        if isinstance(value, Exception):
            self._let_out(item)
            self._done(item, value)
            return
        self._writing.append(self._pool.submit(self._write_and_leave, item, value))

    def _write_and_leave(self, item, value) -> None:
        try:
            outcome = self._write(item, value)
        except FAILURES as error:
            outcome = error
        finally:
            # The next item is let in before this one counts as done, or `run` might see neither.
            self._let_out(item)
        self._written.append((item, outcome))

    def _let_in(self) -> None:
        """Begins to read as many items as may be on their way."""
        with self._lock:
            while self._waiting and self._held < self._jobs:
                cost = self._cost(self._waiting[0])
                if self._held and self._taken + cost > self._room:
                    return
                item = self._waiting.popleft()
                self._held += 1
                self._taken += cost
                self._reading.append((item, self._pool.submit(self._read, item)))

    def _let_out(self, item) -> None:
        with self._lock:
            self._held -= 1
            self._taken -= self._cost(item)
        self._let_in()

    def _hand_over(self) -> None:
        """Tells the calling thread of what has been written."""
        for future in [future for future in self._writing if future.done()]:
            self._writing.remove(future)
            future.result()  # raises what is no failure of one file
        while self._written:
            self._done(*self._written.popleft())
