"""Asks a server again where asking again can help: it is unavailable, or took too long."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


class Unreachable(ConnectionError):
    """The server is not there, too busy, or slower than the deadline: the next try may succeed."""


class Refused(RuntimeError):
    """The server answered that the request is wrong: the same again would be answered the same."""


def with_retries(
    call: Callable[[], Answer],
    retries: int = 4,
    first_delay: float = 0.5,
    sleep: Callable[[float], None] = time.sleep,
) -> Answer:
    """Returns what `call` returns; after `Unreachable` it waits and calls again.

    Args:
        call: raises `Unreachable` or `Refused`; denoising changes nothing on a server, so
            any call may be repeated.
        retries: calls after the first.
        first_delay: seconds before the second call; doubles from call to call. Each wait is
            between half of that and all of it, by chance, so that many clients that failed
            at once do not come back at once.
        sleep: waits.

    Raises:
        Unreachable: of the last call.
        Refused: at once.
    """
    for attempt in range(retries):
        try:
            return call()
        except Unreachable:
            sleep(first_delay * 2**attempt * random.uniform(0.5, 1.0))
    return call()
