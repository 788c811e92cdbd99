"""MACs per pixel against sums by hand, and against figures that others worked out."""

import numpy as np
import pytest

from benchmarks.results.complexity import macs_per_pixel
from gradnet_tf.models import FixedSigma, GivenEstimate
from gradnet_tf.models.presets import build_model


def m(inputs, outputs, size=3):
    """MACs of a convolution for each position of its output."""
    return size * size * inputs * outputs


def body(width, modules, units):
    return modules * (2 * units * m(width, width) + m(2 * width, width))


DNCNN = m(3, 64) + 18 * m(64, 64) + m(64, 3)
CBDNET_ESTIMATOR = m(3, 32) + 3 * m(32, 32) + m(32, 3)
CBDNET_UNET = (
    (m(6, 64) + m(64, 64))
    + (m(64, 128) + 2 * m(128, 128)) / 4
    + (m(128, 256) + 5 * m(256, 256)) / 16
    + m(256, 128, 2) / 16  # transposed: a kernel for each position of the input
    + 3 * m(128, 128) / 4
    + m(128, 64, 2) / 4
    + (2 * m(64, 64) + m(64, 3))
)


@pytest.mark.parametrize(
    ("preset", "channels", "expected"),
    [
        ("dncnn", 3, DNCNN),
        ("dncnn_bn", 3, DNCNN),
        # Counted elsewhere from the authors' code: MSKResnet 1,478,016; the main branch of
        # GradNet 1,619,577, here after a DnCNN.
        ("mskresnet", 3, 1_478_016),
        ("gradnet", 3, 1_619_577 + DNCNN),
        # On blocks of 2×2 pixels: a quarter of the positions, four times the channels.
        (
            "gradnet_small",
            3,
            (m(12, 32) + 3 * m(32, 32) + m(32, 12)) / 4
            + (m(12, 52) + body(64, 2, 3) + m(64, 12)) / 4,
        ),
        (
            "gradnet_tiny",
            1,
            (m(4, 16) + 2 * m(16, 16) + m(16, 4)) / 4 + (m(4, 28) + body(32, 2, 1) + m(32, 4)) / 4,
        ),
        ("ffdnet", 3, (m(13, 96) + 10 * m(96, 96) + m(96, 12)) / 4),
        ("adnet", 1, m(1, 64) + 14 * m(64, 64) + m(64, 1) + m(2, 1, 1)),
        ("cbdnet", 3, CBDNET_ESTIMATOR + CBDNET_UNET),
    ],
)
def test_macs_are_those_by_hand(preset, channels, expected):
    assert macs_per_pixel(build_model(preset, channels)) == expected


def test_a_naive_denoiser_of_any_kind_counts_what_it_does():
    told = FixedSigma(build_model("ffdnet"), 25)
    alone = macs_per_pixel(told)
    assert alone == macs_per_pixel(told.denoiser)
    without = macs_per_pixel(build_model("gradnet_tiny", naive=GivenEstimate("opencv_nlm", 25)))
    assert macs_per_pixel(build_model("gradnet_tiny", naive=told)) == without + alone


def test_counting_leaves_the_model_as_it_was():
    model = build_model("gradnet_tiny")
    images = np.random.default_rng(0).random((1, 9, 7, 3), np.float32)
    before = np.asarray(model(images))
    assert macs_per_pixel(model) == macs_per_pixel(model)
    np.testing.assert_array_equal(np.asarray(model(images)), before)
    assert not any("call" in vars(layer) for layer in model._flatten_layers())
