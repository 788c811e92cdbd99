"""SIDD's submission states seconds per megapixel of 1024×1024, over all runs that it took."""

import numpy as np
import pytest
import scipy.io
from evaluation_case import Fake
from matlab_case import write_blocks

from datasets.commands import submission
from datasets.sets.catalog import find_dataset

SECONDS = 0.25


class Clock:
    """Stands in for `time`: only what `work` is called for takes time."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    monotonic = perf_counter

    def work(self, image):
        self.now += SECONDS
        return image


class Stops(Fake):
    """Ends with Ctrl-C at its fourth call, the first being the one that compiles."""

    def denoise(self, images, sigma=None):
        if len(self.given) == 3:
            raise KeyboardInterrupt
        return super().denoise(images, sigma)


@pytest.mark.parametrize("stopped", [False, True])
def test_time_per_megapixel(tmp_path, monkeypatch, stopped):
    noisy = "BenchmarkNoisyBlocksSrgb"
    blocks = write_blocks(tmp_path / "D", (noisy,))[noisy]
    image_set = find_dataset("sidd", tmp_path / "D", "benchmark")
    clock = Clock()
    monkeypatch.setattr(submission, "time", clock)
    output = tmp_path / "out"
    output.mkdir()

    def submit(kind):
        made = submission.Submission(kind(clock.work), image_set, output)
        return submission.submit_sidd(made, {})[0]

    if stopped:
        with pytest.raises(submission.Interrupted):
            submit(Stops)
    contents = scipy.io.loadmat(submit(Fake))
    count = blocks.shape[0] * blocks.shape[1]
    pixels = np.prod(blocks.shape[:-1])
    expected = count * SECONDS / (pixels / 1024**2)
    assert contents["TimeMPSrgb"][0, 0] == pytest.approx(expected)
