"""Every network of the paper against tests/reference_network.py, with weights that silence nothing.

What is compared is float32 with float64; the agreement is 1e-5 of the output's own size.
"""

import keras
import numpy as np
import pytest
import reference_network as reference
from keras import ops

from gradnet_tf import layers, models
from gradnet_tf.models.base import build_model

POSITIONS = ("before_fusion", "after_fusion")
FUSIONS = ("none", "I", "II", "III", "IV")
# Odd sizes, one of them a single row; a batch of two.
SIZES = ((7, 5), (1, 9))


def _images(size, channels, seed=1, count=2):
    # Leaves [0, 1] on both sides, as noisy images do.
    return np.random.default_rng(seed).normal(0.5, 0.4, (count, *size, channels)).astype("float32")


def _run(layer, *inputs, **more):
    return np.asarray(ops.convert_to_numpy(layer(*inputs, **more)), np.float64)


def _assert_equal(found, expected):
    assert found.shape == expected.shape
    # Values of order one: not so small that anything would agree, nor so large that nothing could.
    assert 0.05 < np.abs(expected).max() < 30
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", SIZES)
def test_the_gradient_and_the_blocks(size):
    images = _images(size, 3)
    wide = images.astype(np.float64)
    _assert_equal(_run(layers.SobelGradient(), images), reference.sobel_magnitude(wide))
    _assert_equal(_run(layers.GradientFilters("sobel"), images), reference.sobel_magnitude(wide))
    deep = reference.to_depth(wide, 2)
    _assert_equal(_run(layers.SpaceToDepth(2), images), deep)
    np.testing.assert_array_equal(reference.to_pixels(deep, 2, wide), wide)


def test_res_unit_with_negative_features_is_equation_1():
    unit = layers.ResUnit(4)
    unit.build((None, None, None, 4))
    reference.draw_weights(unit)
    features = _images((5, 3), 4) - 0.5
    parts = {
        "conv1": reference.conv_weights(unit.conv1),
        "conv2": reference.conv_weights(unit.conv2),
    }
    _assert_equal(_run(unit, features), reference.res_unit(features.astype(np.float64), parts))


@pytest.mark.parametrize("position", POSITIONS)
def test_residual_module_is_equations_2_to_4(position):
    module = layers.ResidualModule(4, num_units=3, reduction=2, attention_position=position)
    module.build((None, None, None, 4))
    reference.draw_weights(module)
    weights = reference.module_weights(module)
    assert len(weights["units"]) == 3
    attended = 8 if position == "before_fusion" else 4
    assert weights["shrink"][0].shape == (1, 1, attended, attended // 2)
    features = _images((5, 7), 4) - 0.5
    expected = reference.residual_module(features.astype(np.float64), weights, position)
    _assert_equal(_run(module, features), expected)


@pytest.mark.parametrize(
    ("channels", "reduction", "squeezed"), [(8, 2, 4), (7, 2, 3), (67, 16, 4), (3, 4, 1), (1, 2, 1)]
)
def test_the_attention_is_squeezed_to_a_width_rounded_down(channels, reduction, squeezed):
    layer = layers.SqueezeExcitation(reduction)
    layer.build((None, None, None, channels))
    assert reference.conv_weights(layer.shrink)[0].shape == (1, 1, channels, squeezed)
    assert reference.conv_weights(layer.expand)[0].shape == (1, 1, squeezed, channels)


@pytest.mark.parametrize("position", POSITIONS)
def test_body_is_equation_5_and_the_long_skip(position):
    body = layers.MSKResnetBody(4, 3, 2, 2, position)
    body.build((None, None, None, 4))
    reference.draw_weights(body)
    modules = reference.body_weights(body)
    assert [len(module["units"]) for module in modules] == [2, 2, 2]
    features = _images((5, 3), 4) - 0.5
    expected = reference.mskresnet_body(features.astype(np.float64), modules, position)
    _assert_equal(_run(body, features), expected)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("position", POSITIONS)
def test_mskresnet(position, scale, size):
    model = models.MSKResnet(6, 2, 2, 2, scale=scale, attention_position=position)
    reference.draw_weights(build_model(model))
    noisy = _images(size, 3)
    weights = reference.main_weights(model)
    expected = reference.mskresnet(noisy.astype(np.float64), weights, scale, position)
    _assert_equal(_run(model, noisy), expected)


@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("scale", [1, 2])
def test_dncnn(scale, batch_norm):
    model = models.DnCNN(5, 6, scale=scale, batch_norm=batch_norm)
    reference.draw_weights(build_model(model))
    noisy = _images((7, 5), 3)
    weights = reference.dncnn_weights(model)
    normalised = [norm is not None for _, norm in weights["chain"]]
    assert normalised == [False, batch_norm, batch_norm, batch_norm]
    _assert_equal(_run(model, noisy), reference.dncnn(noisy.astype(np.float64), weights, scale))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("scale", "channels"), [(1, 3), (2, 3), (2, 1)])
@pytest.mark.parametrize("position", POSITIONS)
def test_gradnet(position, scale, channels, size):
    naive = models.DnCNN(4, 6, channels=channels, scale=scale)
    model = models.GradNet(
        naive, 5, 2, 2, 2, channels=channels, scale=scale, attention_position=position
    )
    reference.draw_weights(build_model(model))
    noisy = _images(size, channels)
    wide = noisy.astype(np.float64)
    estimate = reference.dncnn(wide, reference.dncnn_weights(naive), scale)
    weights = reference.main_weights(model)
    assert [len(module["units"]) for module in weights["modules"]] == [2, 2]
    expected = reference.gradnet(wide, estimate, weights, scale, position)
    outputs = model(noisy, return_intermediates=True)
    found = {
        name: ops.convert_to_numpy(outputs[name]) for name in ("denoised", "naive", "gradient")
    }
    _assert_equal(found["denoised"], expected)
    _assert_equal(found["naive"], estimate)
    _assert_equal(found["gradient"], reference.sobel_magnitude(estimate))
    _assert_equal(_run(model, noisy), expected)


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("fusion", FUSIONS)
def test_skdncnn_and_the_four_places_of_the_gradient(fusion, scale):
    noisy, clean = _images((7, 5), 3), _images((7, 5), 3, seed=2)
    gradient = "none" if fusion == "none" else "clean"
    model = models.SKDnCNN(fusion, gradient, num_layers=5, filters=6, scale=scale)
    reference.draw_weights(build_model(model))
    weights = reference.skdncnn_weights(model)
    assert len(weights["chain"]) == 3
    wide = noisy.astype(np.float64), clean.astype(np.float64)
    expected = reference.skdncnn(*wide, weights, scale, fusion)
    images = noisy if fusion == "none" else np.concatenate([noisy, clean], axis=-1)
    _assert_equal(_run(model, images), expected)


@pytest.mark.parametrize("fusion", FUSIONS[1:])
def test_skdncnn_with_the_gradient_of_an_estimate_and_of_the_noisy_image(fusion):
    noisy = _images((5, 7), 3)
    wide = noisy.astype(np.float64)
    naive = models.DnCNN(4, 6, batch_norm=True)
    model = models.SKDnCNN(fusion, "approximate", naive, num_layers=4, filters=6)
    reference.draw_weights(build_model(model))
    estimate = reference.dncnn(wide, reference.dncnn_weights(naive), 1)
    weights = reference.skdncnn_weights(model)
    _assert_equal(_run(model, noisy), reference.skdncnn(wide, estimate, weights, 1, fusion))

    own = models.SKDnCNN(fusion, "noisy", num_layers=4, filters=6)
    reference.draw_weights(build_model(own))
    weights = reference.skdncnn_weights(own)
    _assert_equal(_run(own, noisy), reference.skdncnn(wide, wide, weights, 1, fusion))


def test_equations_without_the_convolutions_of_keras():
    # The reference's own convolution against the one of SciPy's kind: a loop over pixels.
    rng = np.random.default_rng(0)
    features, kernel = rng.normal(size=(1, 4, 3, 2)), rng.normal(size=(3, 3, 2, 5))
    padded = np.pad(features, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = np.zeros((1, 4, 3, 5))
    for row in range(4):
        for column in range(3):
            window = padded[0, row : row + 3, column : column + 3]
            expected[0, row, column] = np.einsum("ijc,ijcf->f", window, kernel)
    np.testing.assert_allclose(reference.conv(features, (kernel, None)), expected, atol=1e-12)


# Initial values: what an untrained network does decides whether a deep one trains at all.


@pytest.mark.parametrize(
    "make",
    [
        lambda: models.GradNet(models.DnCNN(4, 16), 16, 2, 2),
        lambda: models.MSKResnet(16, 2, 2),
        lambda: models.DnCNN(4, 16),
        lambda: models.SKDnCNN(num_layers=4, filters=16),
    ],
    ids=["gradnet", "mskresnet", "dncnn", "skdncnn"],
)
def test_an_untrained_network_nearly_returns_its_input(make):
    keras.utils.set_random_seed(0)
    noisy = _images((24, 24), 3)
    residual = _run(build_model(make()), noisy) - noisy
    assert 0 < np.sqrt(np.mean(residual**2)) < 0.15


def test_the_second_convolution_of_a_unit_starts_small():
    keras.utils.set_random_seed(0)
    unit = layers.ResUnit(32)
    unit.build((None, None, None, 32))
    first, second = (np.asarray(c.kernel.numpy()) for c in (unit.conv1, unit.conv2))
    fan_in = 9 * 32
    np.testing.assert_allclose(first.var() * fan_in, 2.0, rtol=0.1)
    np.testing.assert_allclose(second.var() * fan_in, 0.2, rtol=0.1)


def test_the_reconstruction_starts_small():
    keras.utils.set_random_seed(0)
    for model in (models.MSKResnet(32, 1, 1), models.DnCNN(3, 32), models.SKDnCNN(filters=16)):
        kernel = np.asarray(build_model(model).reconstruction.kernel.numpy())
        fan_in = np.prod(kernel.shape[:-1])
        np.testing.assert_allclose(kernel.var() * fan_in, 1e-3, rtol=0.25)


@pytest.mark.parametrize("dilation", [1, 2])
def test_batch_normalisation_moves_a_tenth_of_the_way(dilation):
    layer = layers.ConvNormReLU(3, dilation)
    layer.build((None, None, None, 2))
    reference.draw_weights(layer)
    before = reference.norm_weights(layer.norm)
    features = _images((6, 5), 2)
    outputs = _run(layer.conv, features)
    layer(features, training=True)
    after = reference.norm_weights(layer.norm)
    mean, variance = outputs.mean(axis=(0, 1, 2)), outputs.var(axis=(0, 1, 2))
    np.testing.assert_allclose(after[2], 0.9 * before[2] + 0.1 * mean, atol=1e-5)
    np.testing.assert_allclose(after[3], 0.9 * before[3] + 0.1 * variance, atol=1e-5)
