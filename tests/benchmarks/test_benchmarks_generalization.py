"""benchmarks/quality/generalization.py: which photographs are compared, and how they are scored."""

import dataclasses

import numpy as np
import pytest
import skimage.metrics
from evaluation_case import Fake

from benchmarks.quality.generalization import mean_psnr, middle, seen_and_unseen


@dataclasses.dataclass
class Named:
    """A set of which only the names matter."""

    names: list[str]


def test_only_collections_with_both_kinds_are_compared():
    every = Named(["a__1.jpg", "b__1.jpg", "b__2.jpg", "b__3.jpg", "c__1.jpg"])
    groups = seen_and_unseen(every, Named(["a__1.jpg", "b__2.jpg"]))
    assert groups == {"seen": [2], "unseen": [1, 3]}


def test_nothing_to_compare():
    groups = seen_and_unseen(Named(["a__1.jpg", "b__1.jpg"]), Named(["a__1.jpg"]))
    assert groups == {"seen": [], "unseen": []}


def test_the_middle_of_a_photograph():
    image = np.zeros((20, 30, 3), np.uint8)
    image[8:12, 13:17] = 200
    found = middle(image, 6)
    expected = np.zeros((6, 6, 3), np.uint8)
    expected[1:5, 1:5] = 200
    assert np.array_equal(found, expected)
    assert np.array_equal(middle(image, 100), image)


@pytest.mark.parametrize("told", [True, False])
def test_the_mean_is_that_of_another_library_and_sigma_goes_to_those_that_need_it(told):
    images = [np.full((16, 16, 3), value, np.uint8) for value in (100, 180)]
    denoiser = Fake(lambda image: np.full_like(image, 0.5))
    denoiser.needs_sigma = told
    expected = np.mean(
        [
            skimage.metrics.peak_signal_noise_ratio(
                image / 255.0, np.full(image.shape, 0.5), data_range=1.0
            )
            for image in images
        ]
    )
    assert mean_psnr(denoiser, images, 25.0) == pytest.approx(expected, abs=1e-4)
    assert denoiser.sigmas == [25.0 if told else None] * 2


def test_the_noise_has_the_level_and_is_not_clipped():
    denoiser = Fake()
    mean_psnr(denoiser, [np.full((64, 64, 3), 255, np.uint8)], 25.0)
    noise = denoiser.given[0] - 1.0
    assert noise.max() > 0.1
    assert np.std(noise) * 255 == pytest.approx(25.0, rel=0.03)
