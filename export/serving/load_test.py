"""Sends many requests at a time and says how fast they were answered."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from export.serving.retries import Refused, Unreachable


@dataclasses.dataclass(frozen=True)
class Load:
    """What a run of requests gave.

    Attributes:
        answered: the item and the seconds of each request that succeeded.
        errors: messages of those that failed.
        seconds: from the first request to the last answer.
    """

    answered: list[tuple[str, float]]
    errors: list[str]
    seconds: float


def run_load(
    send: Callable[[str], object], items: Sequence[str], count: int, concurrency: int
) -> Load:
    """Calls `send` for `count` of `items` in turn, `concurrency` at a time.

    The first request is sent beforehand and not counted.
    """

    def timed(item):
        start = time.perf_counter()
        try:
            send(item)
        except (Refused, Unreachable) as error:
            return None, str(error)
        return (item, time.perf_counter() - start), None

    _, error = timed(items[0])
    if error is not None:  # What fails once is not worth a thousand times.
        return Load([], [error], 0.0)
    start = time.perf_counter()
    with ThreadPoolExecutor(concurrency) as pool:
        results = list(pool.map(timed, (items[n % len(items)] for n in range(count))))
    seconds = time.perf_counter() - start
    answered = [answer for answer, _ in results if answer]
    return Load(answered, [error for _, error in results if error], seconds)


def summary(load: Load, pixels: Mapping[str, int]) -> str:
    """Returns requests and megapixels per second, and percentiles of the latency.

    Args:
        load: from `run_load`.
        pixels: of each item.
    """
    if not load.answered:
        return "no request was answered"
    megapixels = sum(pixels[item] for item, _ in load.answered) / 1e6
    times = np.array([seconds for _, seconds in load.answered]) * 1e3
    marks = ", ".join(f"p{mark} {np.percentile(times, mark):.1f}" for mark in (50, 90, 99))
    rates = f"{len(times) / load.seconds:.2f} requests/s, {megapixels / load.seconds:.3f} MP/s"
    return (
        f"{len(times)} requests in {load.seconds:.2f} s: {rates}\n"
        f"latency in ms: {marks}, max {times.max():.1f}"
    )
