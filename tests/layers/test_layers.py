"""Each layer: the shared trials, and what it means, against NumPy."""

import keras
import numpy as np
import pytest
from keras import ops
from layer_case import run_layer_trials
from numpy_sobel import numpy_sobel

from gradnet_tf import layers, models

RNG = np.random.default_rng(7)


# Public classes and how to make a small one: (factory, channels, weights, trainable, float32 out).
TRIALS = {
    "SobelGradient": (layers.SobelGradient, 3, 0, 0, True),
    "GradientFilters": (
        lambda **k: layers.GradientFilters("scharr", learned=True, **k),
        3,
        1,
        1,
        True,
    ),
    "SqueezeExcitation": (lambda **k: layers.SqueezeExcitation(2, **k), 4, 4, 4, False),
    "ResUnit": (lambda **k: layers.ResUnit(4, **k), 4, 4, 4, False),
    "ResidualModule": (lambda **k: layers.ResidualModule(4, 2, 2, **k), 4, 14, 14, False),
    "MSKResnetBody": (lambda **k: layers.MSKResnetBody(4, 2, 1, 2, **k), 4, 20, 20, False),
    "SpaceToDepth": (lambda **k: layers.SpaceToDepth(2, **k), 3, 0, 0, False),
    "DepthToSpace": (lambda **k: layers.DepthToSpace(2, **k), 12, 0, 0, False),
    # Five convolutions for σ̂, 16 + 2 + 1 in the U-Net.
    "CBDNet": (lambda **k: models.CBDNet(4, 4, **k), 3, 48, 48, True),
    # Five for σ̂, 23 + 1 in the U-Net, two of them without bias.
    "ReleasedCBDNet": (lambda **k: models.ReleasedCBDNet(4, 4, **k), 3, 60, 60, True),
    "ConvNormReLU": (lambda **k: layers.ConvNormReLU(4, 2, **k), 3, 5, 3, False),
    "DnCNN": (lambda **k: models.DnCNN(3, 8, **k), 3, 6, 6, True),
    "FFDNet": (lambda **k: models.FFDNet(3, 8, **k), 3, 6, 6, True),
    "ADNet": (lambda **k: models.ADNet(8, **k), 3, 79, 49, True),
    "MSKResnet": (lambda **k: models.MSKResnet(8, 1, 1, scale=2, **k), 3, 14, 14, True),
    "FixedSigma": (
        lambda **k: models.FixedSigma(models.FFDNet(3, 8, **k), 25, **k),
        3,
        6,
        6,
        True,
    ),
    "GivenEstimate": (lambda **k: models.GivenEstimate("opencv_nlm", 25, **k), 6, 0, 0, True),
    "SKDnCNN": (
        lambda **k: models.SKDnCNN("II", "approximate", models.DnCNN(2, 4, **k), 4, 8, **k),
        3,
        18,
        14,
        True,
    ),
    "GradNet": (
        lambda **k: models.GradNet(models.DnCNN(2, 4, **k), 5, 1, 1, **k),
        3,
        18,
        18,
        True,
    ),
}


def test_every_public_layer_and_model_has_trials():
    public = {
        name
        for module in (layers, models)
        for name in module.__all__
        if isinstance(getattr(module, name), type)
    }
    # It wraps a foreign model, whose layers have their own names and policy: see
    # tests/loading/test_keras_models.py.
    assert public == {*TRIALS, "AnyKerasModel"}


@pytest.mark.parametrize("name", sorted(TRIALS))
def test_trials(name):
    make, channels, weights, trainable, float32_output = TRIALS[name]
    run_layer_trials(make, channels, weights, trainable, float32_output)


def test_sobel_matches_numpy():
    images = RNG.random((2, 9, 7, 3), dtype=np.float32)
    layer = layers.SobelGradient()
    gradient_x, gradient_y = (ops.convert_to_numpy(part) for part in layer.gradients(images))
    magnitude = ops.convert_to_numpy(layer(images))
    for image in range(2):
        for channel in range(3):
            x, y = numpy_sobel(images[image, ..., channel])
            np.testing.assert_allclose(gradient_x[image, ..., channel], x, atol=1e-5)
            np.testing.assert_allclose(gradient_y[image, ..., channel], y, atol=1e-5)
            expected = np.sqrt(x**2 + y**2 + 1e-6)
            np.testing.assert_allclose(magnitude[image, ..., channel], expected, atol=1e-5)


def test_sobel_of_a_ramp_is_eight_times_its_slope_and_signed():
    ramp = np.tile(np.arange(6, dtype="float32") / 10, (5, 1))[None, ..., None]
    gradient_x, gradient_y = (ops.convert_to_numpy(p) for p in layers.image_gradients(ramp))
    np.testing.assert_allclose(gradient_x[0, :, 1:-1, 0], 0.8, atol=1e-5)
    np.testing.assert_allclose(gradient_y, 0.0, atol=1e-6)
    # The repeated border halves the difference at the frame instead of inventing an edge.
    np.testing.assert_allclose(gradient_x[0, :, 0, 0], 0.4, atol=1e-5)


def test_sobel_sees_no_edge_at_the_frame_of_a_flat_image():
    flat = np.full((1, 4, 4, 3), 0.7, "float32")
    np.testing.assert_allclose(
        ops.convert_to_numpy(layers.SobelGradient(epsilon=1e-6)(flat)), 1e-3, rtol=1e-3
    )


def test_sobel_stays_float32_under_half_precision():
    images = np.full((1, 3, 8, 1), 0.5, "float32")
    images[:, :, 4:] += 1e-3  # an edge whose square, 1.6e-5 · …, float16 would lose
    expected = ops.convert_to_numpy(layers.SobelGradient()(images))
    half = layers.SobelGradient(dtype="mixed_float16")
    assert half.compute_dtype == "float32"
    np.testing.assert_array_equal(ops.convert_to_numpy(half(images)), expected)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="uses tf.GradientTape")
def test_sobel_has_a_finite_derivative_at_zero_and_no_weight():
    import tensorflow as tf

    layer = layers.SobelGradient()
    images = tf.fill((1, 5, 5, 3), 0.5)
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(layer(images))
    assert np.isfinite(tape.gradient(total, images).numpy()).all()
    assert not layer.weights


def test_squeeze_excitation_matches_numpy():
    layer = layers.SqueezeExcitation(reduction=2)
    features = RNG.standard_normal((2, 5, 4, 6)).astype("float32")
    output = ops.convert_to_numpy(layer(features))
    w1, b1, w2, b2 = (weight.astype("float64") for weight in layer.get_weights())
    pooled = features.mean((1, 2))  # eq. 3
    hidden = np.maximum(pooled @ w1[0, 0] + b1, 0)
    attention = 1 / (1 + np.exp(-(hidden @ w2[0, 0] + b2)))  # eq. 4
    assert w1.shape[-1] == 3
    np.testing.assert_allclose(output, features * attention[:, None, None], atol=1e-5)


def test_attention_can_be_given():
    module = layers.ResidualModule(4, 1, 2)
    features = RNG.random((1, 6, 6, 4), dtype=np.float32)
    whole, attention = module(features, return_attention=True)
    assert attention.shape == (1, 1, 1, module.attention_channels)
    again = module(features, attention=attention)
    np.testing.assert_array_equal(ops.convert_to_numpy(again), ops.convert_to_numpy(whole))
    other = module(features, attention=ops.zeros_like(attention))
    assert np.abs(ops.convert_to_numpy(other) - ops.convert_to_numpy(whole)).max() > 1e-4


def test_attention_position_changes_the_network():
    before, after = (
        layers.ResidualModule(4, 1, 2, position) for position in ("before_fusion", "after_fusion")
    )
    for module in (before, after):
        module.build((None, None, None, 4))
    assert before.attention_channels == 8 and after.attention_channels == 4
    assert before.count_params() > after.count_params()


def test_res_unit_is_equation_one():
    unit = layers.ResUnit(2)
    features = RNG.random((1, 4, 4, 2), dtype=np.float32)
    unit.build(features.shape)
    unit.set_weights([np.zeros_like(weight) for weight in unit.get_weights()])
    np.testing.assert_array_equal(
        ops.convert_to_numpy(unit(features - 0.5)), np.maximum(features - 0.5, 0)
    )


@pytest.mark.parametrize("size", [(1, 1), (4, 6), (5, 7)])
def test_space_to_depth_and_back(size):
    images = RNG.random((2, *size, 3), dtype=np.float32)
    deep = layers.SpaceToDepth(2)(images)
    rows, columns = -(-size[0] // 2), -(-size[1] // 2)
    assert tuple(deep.shape) == (2, rows, columns, 12)
    padded = np.pad(images, ((0, 0), (0, size[0] % 2), (0, size[1] % 2), (0, 0)), "symmetric")
    expected = padded.reshape(2, rows, 2, columns, 2, 3).transpose(0, 1, 3, 2, 4, 5)
    np.testing.assert_array_equal(
        ops.convert_to_numpy(deep), expected.reshape(2, rows, columns, 12)
    )
    np.testing.assert_array_equal(ops.convert_to_numpy(layers.DepthToSpace(2)(deep)), padded)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: layers.SobelGradient(epsilon=0),
            "`epsilon` must be positive. Received: epsilon=0",
        ),
        (lambda: layers.SqueezeExcitation(0), "`reduction` must be at least 1. Received: reductio"),
        (lambda: layers.ResidualModule(4, attention_position="x"), "`attention_position` must be"),
        (lambda: layers.SpaceToDepth(3), "`block_size` must be 1 or 2. Received: block_size=3"),
        (lambda: layers.ResUnit(4).build((None, 2, 2, 3)), "must have `filters`=4 channels"),
        (lambda: layers.DepthToSpace(2).build((1, 2, 2, 3)), "must be a multiple of block_size²"),
        (lambda: models.DnCNN(1), "`num_layers` must be at least 2. Received: num_layers=1"),
        (lambda: models.DnCNN(3, channels=2), "`channels` must be 1 or 3. Received: channels=2"),
        (
            lambda: models.GradNet(models.DnCNN(2, 4, channels=1)),
            "`naive_denoiser` must have `channels`=3",
        ),
    ],
)
def test_bad_arguments_are_refused_in_words(make, words):
    with pytest.raises(ValueError) as error:
        make()
    assert words in str(error.value)
