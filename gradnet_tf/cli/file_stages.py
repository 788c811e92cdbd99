"""A pipeline of three stages for files: read, work, write. Several files may be in flight."""

import collections
import signal
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from gradnet_tf.utils.errors import UserError

#: Errors that fail one file and not the whole run.
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

    `work` runs in the calling thread, one item at a time and in order, so the model needs no
    lock and the results do not depend on `jobs`. With several jobs, other threads read the next
    items and write the previous ones in the meantime. If `work` is interrupted (Ctrl-C or an
    error), items that have been worked on are still written and passed to `done`, and no new
    item is started.

    Args:
        items: the items to process.
        read: maps an item to the input of `work`; its `FAILURES` are passed to `done`.
        work: maps an item and the result of `read` to the input of `write`. An exception that
            it returns is passed to `done`; one that it raises ends the run.
        write: maps an item and the result of `work` to the outcome; its `FAILURES` are passed
            to `done`.
        done: called in the calling thread with an item and its outcome or exception.
        jobs: the largest number of items in flight.
        cost: the memory that an item needs, in the unit of `room`; always the same for an item.
        room: memory budget for the items in flight; at least one item is always admitted.
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


# Signals that end a command; not all systems have all of them.
_ENDING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


def _undisturbed(call: Callable[[], None]) -> None:
    """Calls a function; Ctrl-C, SIGTERM and SIGHUP wait for its end, if they have a handler."""
    usual: dict[int, Callable] = {}
    seen: dict[int, object] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in _ENDING:
                handler = signal.getsignal(number)
                if callable(handler):  # neither ignored nor the system's own
                    usual[number] = handler
                    signal.signal(number, seen.__setitem__)
        call()
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
        for number, frame in seen.items():
            usual[number](number, frame)


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
        # Filled by the writing threads, not from the futures: Ctrl-C may interrupt the calling
        # thread while it submits a write, and a file written nevertheless has to be counted.
        self._written: collections.deque[tuple[Any, Any]] = collections.deque()
        self._pool = ThreadPoolExecutor(jobs, thread_name_prefix="photos")

    def run(self) -> None:
        try:
            self._admit()
            while self._reading or self._writing:
                self._report_written()
                if self._reading:
                    self._next()
                elif self._writing:
                    wait(self._writing, return_when=FIRST_COMPLETED)
        finally:
            with self._lock:
                self._waiting.clear()
            for _, future in self._reading:
                future.cancel()
            self._pool.shutdown(wait=True)  # Finishes the pending writes.
            self._report_written()

    def _next(self) -> None:
        item, future = self._reading.popleft()
        try:
            value = future.result()
        except FAILURES as error:
            value = error
        else:
            value = self._work(item, value)
        if isinstance(value, Exception):
            self._release(item)
            self._done(item, value)
            return
        self._writing.append(self._pool.submit(self._write_and_leave, item, value))

    def _write_and_leave(self, item, value) -> None:
        try:
            outcome = self._write(item, value)
        except FAILURES as error:
            outcome = error
        finally:
            # The next item must be admitted before this one counts as done; otherwise `run`
            # might see neither of them and stop.
            self._release(item)
        self._written.append((item, outcome))

    def _admit(self) -> None:
        """Starts reading as many items as the limits allow."""
        with self._lock:
            while self._waiting and self._held < self._jobs:
                cost = self._cost(self._waiting[0])
                if self._held and self._taken + cost > self._room:
                    return
                item = self._waiting.popleft()
                self._held += 1
                self._taken += cost
                self._reading.append((item, self._pool.submit(self._read, item)))

    def _release(self, item) -> None:
        with self._lock:
            self._held -= 1
            self._taken -= self._cost(item)
        self._admit()

    def _report_written(self) -> None:
        """Passes the written items to `done`."""
        for future in [future for future in self._writing if future.done()]:
            self._writing.remove(future)
            future.result()  # raises unexpected errors
        while self._written:
            # An item that is taken here and not passed on would be written and never counted.
            _undisturbed(lambda: self._done(*self._written.popleft()))
