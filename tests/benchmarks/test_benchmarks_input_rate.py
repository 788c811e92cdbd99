"""What input_rate.py says about memory: when it looks, and that it would see a leak."""

import itertools
import sys

import pytest

from benchmarks.speed.input_rate import memory_over

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


def test_memory_is_looked_at_from_the_hundredth_batch_to_the_last():
    taken = itertools.count(1)
    held = memory_over(taken, 300)
    assert [number for number, _ in held] == list(range(100, 301, 20))
    assert next(taken) == 301
    assert all(size > 1 for _, size in held)


def test_a_stream_that_keeps_its_batches_is_seen_and_a_good_one_is_not():
    kept = []

    def leaking():
        while True:
            kept.append(b"x" * 400_000)
            yield None

    def good():
        while True:
            yield b"x" * 200_000

    def growth(batches):
        held = memory_over(batches, 400)
        return held[-1][1] - held[0][1]

    assert growth(leaking()) > 50  # 300 batches of 0.4 MB, less what the heap had free
    assert abs(growth(good())) < 20
