"""Gradient filters: the constants, what a ramp gives, learning, and GradNet with another layer."""

import keras
import numpy as np
import pytest
from keras import ops

from gradnet_tf import layers, models
from gradnet_tf.layers.gradient_filters import gradient_kernels
from gradnet_tf.models.presets import build_model

RNG = np.random.default_rng(2)


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.mark.parametrize("learned", [False, True])
def test_sobel_is_the_sobel_layer(learned):
    images = RNG.random((2, 9, 7, 3), dtype=np.float32)
    ours = layers.GradientFilters("sobel", learned)(images)
    np.testing.assert_allclose(numpy(ours), numpy(layers.SobelGradient()(images)), atol=1e-6)


@pytest.mark.parametrize(("filters", "smoothing"), [("scharr", (3, 10, 3)), ("prewitt", (1, 1, 1))])
def test_kernels_are_the_published_ones_up_to_their_scale(filters, smoothing):
    horizontal, vertical = np.moveaxis(gradient_kernels(filters), -1, 0)
    expected = np.outer(smoothing, [-1, 0, 1]) * 4 / np.sum(smoothing)
    np.testing.assert_allclose(horizontal, expected, rtol=1e-6)
    np.testing.assert_allclose(vertical, expected.T, rtol=1e-6)


@pytest.mark.parametrize("filters", ["sobel", "scharr", "prewitt"])
def test_every_filter_answers_a_ramp_alike(filters):
    ramp = np.tile(np.arange(6, dtype="float32") / 10, (5, 1))[None, ..., None]
    gradient = numpy(layers.GradientFilters(filters)(ramp))
    np.testing.assert_allclose(gradient[0, :, 1:-1, 0], 0.8, atol=1e-5)


def test_random_kernels_follow_the_seed_and_are_as_large_as_sobels():
    made = []
    for seed in (1, 1, 2):
        keras.utils.set_random_seed(seed)
        layer = layers.GradientFilters("random", learned=True)
        layer.build((None, None, None, 64))
        made.append(numpy(layer.kernel))
    np.testing.assert_array_equal(made[0], made[1])
    assert np.abs(made[0] - made[2]).max() > 0.1
    squares = np.square(made[0]).sum(axis=(0, 1)).mean()
    assert squares == pytest.approx(np.square(gradient_kernels("sobel")[..., 0]).sum(), rel=0.1)


def test_constant_filters_have_no_weight_and_learned_ones_a_kernel_for_each_channel():
    for learned, shapes in ((False, []), (True, [(3, 3, 3, 2)])):
        layer = layers.GradientFilters("prewitt", learned)
        layer.build((None, None, None, 3))
        assert [tuple(weight.shape) for weight in layer.weights] == shapes


def test_gradnet_takes_the_layer_and_keeps_it_in_a_file(tmp_path):
    model = models.GradNet(
        models.DnCNN(2, 4), 5, 1, 1, gradient_layer=layers.GradientFilters("scharr", True)
    )
    images = RNG.random((1, 8, 9, 3), dtype=np.float32)
    expected = numpy(model(images))
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(numpy(again(images)), expected)
    assert (again.sobel.filters, again.sobel.learned) == ("scharr", True)
    # The kernel is live: it reaches the output, and a frozen ψ does not stop it from learning.
    again.naive_denoiser.trainable = False
    assert any(weight is again.sobel.kernel for weight in again.trainable_weights)
    again.sobel.kernel.assign(ops.zeros_like(again.sobel.kernel))
    assert np.abs(numpy(again(images)) - expected).max() > 1e-5


def test_a_gradnet_without_a_layer_is_what_it_was():
    model = build_model("gradnet_tiny")
    assert type(model.sobel) is layers.SobelGradient
    config = model.get_config()
    del config["gradient_layer"]  # as in files from before there was a choice
    assert type(models.GradNet.from_config(config).sobel) is layers.SobelGradient


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"filters": "laplace"}, "`filters` must be one of"),
        ({"filters": "random"}, '`learned` must be True with filters="random"'),
        ({"epsilon": 0}, "`epsilon` must be positive. Received: epsilon=0"),
    ],
)
def test_bad_arguments_are_refused_in_words(arguments, words):
    with pytest.raises(ValueError) as error:
        layers.GradientFilters(**arguments)
    assert words in str(error.value)
