"""Regions by local variance: where they lie and what is scored in them."""

import numpy as np
import pytest
from scipy.ndimage import generic_filter

from experiments.study_runs import REGIONS, Regions, local_variance


def noise(shape, seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(0.5, 0.1 * scale, shape)


def test_local_variance_is_that_of_each_window():
    image = noise((12, 15, 3))
    expected = generic_filter(image.mean(axis=-1), np.var, size=7, mode="reflect")
    np.testing.assert_allclose(local_variance(image), expected, atol=1e-12)
    assert local_variance(np.full((9, 9, 3), 0.3)).max() < 1e-15


def test_each_region_is_scored_by_its_own_errors():
    # Three images, each all of one kind, so that the thirds are the images.
    clean = [noise((20, 20, 3), seed, scale) for seed, scale in enumerate((4.0, 0.01, 1.0))]
    errors = (0.1, 0.01, 0.001)
    outputs = [image + error for image, error in zip(clean, errors, strict=True)]
    scores = Regions(clean).psnr(clean, outputs)
    assert tuple(scores) == REGIONS
    assert scores == {
        "textured": pytest.approx(20.0),
        "flat": pytest.approx(40.0),
        "middle": pytest.approx(60.0),
    }


def test_errors_are_averaged_before_the_logarithm():
    clean = [noise((10, 10, 1))] * 2
    scores = Regions(clean).psnr(clean, [clean[0] + 0.1, clean[1]])
    assert scores == {name: pytest.approx(-10 * np.log10(0.01 / 2)) for name in REGIONS}


def test_a_set_without_texture_has_no_score_for_it():
    clean = [np.full((8, 8, 3), 0.5)]
    assert list(Regions(clean).psnr(clean, [clean[0] + 0.1])) == ["flat"]
