"""What is measured while a run goes on: PSNR over images and over noise levels."""

import types

import numpy as np
import pytest

from gradnet_tf.training.validation import (
    image_panel,
    image_psnrs,
    means_by_set,
    naive_gain,
    psnr_by_sigma,
)
from gradnet_tf.training.workers.team import Team


class Engine:
    """Returns its input; or the mean of its input where `flat`."""

    model = None

    def __init__(self, flat=False):
        self.flat = flat

    def predict(self, noisy, intermediates=False):
        return np.full_like(noisy, noisy.mean()) if self.flat else noisy


def pairs(sigma, count=3):
    random = np.random.default_rng(0)
    clean = np.full((64, 64, 3), 0.5, "float32")
    noise = random.standard_normal((count, *clean.shape), dtype=np.float32)
    return [(clean + np.float32(sigma / 255) * draw, clean) for draw in noise]


def test_an_identity_scores_the_noise_itself_at_every_level():
    edges, scores = psnr_by_sigma(Engine(), pairs(27.5), 5, 50)
    assert edges[0] == 5 and edges[-1] == 50 and len(edges) == len(scores) + 1 == 9
    middles = (np.array(edges[1:]) + edges[:-1]) / 2
    np.testing.assert_allclose(scores, 20 * np.log10(255 / middles), atol=0.1)


def test_a_camera_s_noise_is_not_taken_for_the_middle_of_the_range():
    expected = psnr_by_sigma(Engine(), pairs(27.5), 5, 50)
    assert psnr_by_sigma(Engine(), pairs(9.8, 2) + pairs(27.5), 5, 50) == expected
    assert psnr_by_sigma(Engine(), pairs(9.8, 2), 5, 50) == ([], [])


class OneOfTwo(Team):
    """A worker beside another one whose scores are 7, and 0 where it has none."""

    size = 2

    def __init__(self, index, count):
        self.index = index
        self.others = [7.0 * (place % 2 != index) for place in range(count)]

    def sums(self, values):
        return [own + other for own, other in zip(values, self.others, strict=True)]


def test_the_scores_of_all_images_are_shared_between_workers():
    images = pairs(25, 3) + pairs(10, 2)
    expected = [-10 * np.log10(np.mean((noisy - clean) ** 2)) for noisy, clean in images]
    assert image_psnrs(Engine(), images, Team()) == pytest.approx(expected, abs=1e-4)
    for index in range(2):
        found = image_psnrs(Engine(), images, OneOfTwo(index, 5))
        wanted = [value if i % 2 == index else 7.0 for i, value in enumerate(expected)]
        assert found == pytest.approx(wanted, abs=1e-4)


def test_each_set_has_a_mean_of_its_own():
    assert means_by_set([30.0, 32.0, 44.0], {"photos": 2, "drawings": 1}) == {
        "photos": 31.0,
        "drawings": 44.0,
    }
    assert means_by_set([30.0, 32.0], None) == {}


def test_the_panel_of_a_model_without_parts_has_three_images():
    noisy, clean = pairs(25, 1)[0]
    shown = image_panel(Engine(flat=True), noisy, clean)
    assert shown.shape == (64, 3 * 64, 3) and shown.dtype == np.uint8
    assert (shown[:, -64:] == 128).all() and np.abs(shown[:, 64:128] - 128.0).max() <= 1


class GuidedEngine(Engine):
    """Its naive estimate is the image with a share of the distance to gray removed."""

    model = types.SimpleNamespace(naive_denoiser=object())

    def __init__(self, share):
        super().__init__()
        self.share = np.float32(share)

    def predict(self, noisy, intermediates=False):
        return {"naive": noisy + self.share * (0.5 - noisy)} if intermediates else noisy


def test_the_naive_gain_is_that_of_the_estimate_over_the_noisy_image():
    assert naive_gain(GuidedEngine(0), pairs(25)) == pytest.approx(0, abs=1e-6)
    assert naive_gain(GuidedEngine(0.5), pairs(25)) == pytest.approx(20 * np.log10(2), abs=1e-4)
    # Clean images say nothing; the noisy ones after them do.
    mixed = pairs(0, 3) + pairs(1, 1) + pairs(20, 2)
    assert naive_gain(GuidedEngine(0.9), mixed) == pytest.approx(20, abs=1e-3)
    assert naive_gain(GuidedEngine(0.9), pairs(1)) is None
    assert naive_gain(Engine(), pairs(25)) is None
