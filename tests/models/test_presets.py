"""Parameter counts, by hand from the figures of the paper, and the way presets are named."""

import pytest

from gradnet_tf.models.presets import PRESETS, build_model, get_preset
from gradnet_tf.utils.errors import UserError


def c(a, b):
    """3×3 convolution."""
    return 9 * a * b + b


def p(a, b):
    """1×1 convolution."""
    return a * b + b


def dncnn(depth, layers, width):
    return c(depth, width) + (layers - 2) * c(width, width) + c(width, depth)


def n(a, b):
    """3×3 convolution without bias, then γ, β and two moving averages."""
    return 9 * a * b + 4 * b


def dncnn_bn(depth, layers, width):
    return c(depth, width) + (layers - 2) * n(width, width) + c(width, depth)


def ffdnet(channels, layers, width):
    depth = 4 * channels
    return c(depth + 1, width) + (layers - 2) * c(width, width) + c(width, depth)


def adnet(channels):
    hidden = n(channels, 64) + 14 * n(64, 64)
    return hidden + c(64, channels) + p(2 * channels, channels)


def body(width, modules, units):
    attention = p(2 * width, width) + p(width, 2 * width)  # r = 2 of 2C channels
    return modules * (units * 2 * c(width, width) + attention + c(2 * width, width))


def t(a, b):
    """2×2 transposed convolution."""
    return 4 * a * b + b


def cbdnet(colours, f):
    level = c(colours, 32) + 3 * c(32, 32) + c(32, colours)
    down = c(2 * colours, f) + c(f, f) + c(f, 2 * f) + 2 * c(2 * f, 2 * f)
    lowest = c(2 * f, 4 * f) + 5 * c(4 * f, 4 * f)
    up = t(4 * f, 2 * f) + 3 * c(2 * f, 2 * f) + t(2 * f, f) + 2 * c(f, f)
    return level + down + lowest + up + c(f, colours)


def gradnet(depth, features, modules, units):
    width = features + depth
    return c(depth, features) + body(width, modules, units) + c(width, depth)


# Colour: depth 3, or 12 = 3 · 2² on blocks. Grey: 1, or 4.
BY_HAND = {
    # DnCNN-20: 1,792 + 18·36,928 + 1,731 = 668,227 (the colour DnCNN's known count).
    "dncnn": {3: dncnn(3, 20, 64), 1: dncnn(1, 20, 64)},
    "dncnn_small": {3: dncnn(12, 5, 32), 1: dncnn(4, 5, 32)},
    "dncnn_tiny": {3: dncnn(12, 4, 16), 1: dncnn(4, 4, 16)},
    # 64 → 64, four modules of four units.
    "mskresnet": {3: c(3, 64) + body(64, 4, 4) + c(64, 3), 1: c(1, 64) + body(64, 4, 4) + c(64, 1)},
    # 896 + 3·9,248 + 867 for the noise level; 64, 128 and 256 channels on three scales.
    "cbdnet": {3: cbdnet(3, 64), 1: cbdnet(1, 64)},
    # The paper: 64 + 3 = 67 channels (grey 65), DnCNN-20 as naive denoiser.
    "gradnet": {
        3: dncnn(3, 20, 64) + gradnet(3, 64, 4, 4),
        1: dncnn(1, 20, 64) + gradnet(1, 64, 4, 4),
    },
    # 61 + 3 = 63 + 1 = 64 channels.
    "gradnet_aligned": {
        3: dncnn(3, 20, 64) + gradnet(3, 61, 4, 4),
        1: dncnn(1, 20, 64) + gradnet(1, 63, 4, 4),
    },
    # 52 + 12 = 60 + 4 = 64 channels on 2×2 blocks.
    "gradnet_small": {
        3: dncnn(12, 5, 32) + gradnet(12, 52, 2, 3),
        1: dncnn(4, 5, 32) + gradnet(4, 60, 2, 3),
    },
    # 84 + 12 = 92 + 4 = 96 channels on 2×2 blocks.
    "gradnet_medium": {
        3: dncnn(12, 5, 32) + gradnet(12, 84, 2, 3),
        1: dncnn(4, 5, 32) + gradnet(4, 92, 2, 3),
    },
    # gradnet_small, and a number for each of the 52 or 60 shallow features.
    "gradnet_small_level": {
        3: dncnn(12, 5, 32) + gradnet(12, 52, 2, 3) + 52,
        1: dncnn(4, 5, 32) + gradnet(4, 60, 2, 3) + 60,
    },
    # 20 + 12 = 28 + 4 = 32 channels on 2×2 blocks.
    "gradnet_tiny": {
        3: dncnn(12, 4, 16) + gradnet(12, 20, 2, 1),
        1: dncnn(4, 4, 16) + gradnet(4, 28, 2, 1),
    },
    "dncnn_bn": {3: dncnn_bn(3, 20, 64), 1: dncnn_bn(1, 20, 64)},
    # The published networks' known counts: 852,108 and 485,316.
    "ffdnet": {3: ffdnet(3, 12, 96), 1: ffdnet(1, 15, 64)},
    "adnet": {3: adnet(3), 1: adnet(1)},
}


def test_every_preset_is_counted_by_hand():
    assert set(BY_HAND) == set(PRESETS)
    # Two sums with their digits, so that the helpers above are checked as well.
    assert BY_HAND["dncnn"][3] == 668_227
    # MSKResnet: 1,792 + 4·(8·36,928 + 8,256 + 8,320 + 73,792) + 1,731.
    assert BY_HAND["mskresnet"][3] == 1_792 + 4 * (295_424 + 16_576 + 73_792) + 1_731 == 1_546_691


@pytest.mark.parametrize("name", sorted(BY_HAND))
@pytest.mark.parametrize("channels", [3, 1])
def test_parameter_count(name, channels):
    model = build_model(name, channels)
    assert model.count_params() == BY_HAND[name][channels] == PRESETS[name].parameters[channels]


def test_a_new_naive_denoiser_is_trained_along_and_a_given_one_is_frozen():
    joint, frozen = build_model("gradnet_tiny"), build_model("gradnet_tiny", joint=False)
    assert joint.naive_denoiser.trainable and not frozen.naive_denoiser.trainable
    given = build_model("gradnet_tiny", naive=build_model("dncnn_tiny"))
    assert not given.naive_denoiser.trainable
    assert len(frozen.trainable_weights) == len(frozen.weights) - 8  # DnCNN-4: 4 kernels, 4 biases
    assert len(joint.trainable_weights) == len(joint.weights)


def test_unknown_names_are_refused_with_the_choices():
    with pytest.raises(UserError, match=r"`preset` must be one of gradnet, .*'gradnet_smal'"):
        get_preset("gradnet_smal")
    with pytest.raises(UserError, match="`precision` must be one of float32, .*'float8'"):
        build_model("gradnet_tiny", precision="float8")
    with pytest.raises(UserError, match="`naive` requires a GradNet preset"):
        build_model("dncnn_tiny", naive=build_model("dncnn_tiny"))
