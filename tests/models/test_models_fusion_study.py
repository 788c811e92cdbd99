"""SKDnCNN and GradNet-I to IV: what reaches what, and how IV multiplies."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from gradnet_tf.layers import SobelGradient
from gradnet_tf.models import DnCNN, SKDnCNN
from gradnet_tf.models.base import build_model

RNG = np.random.default_rng(4)
FUSED = ("I", "II", "III", "IV")
L, F = 5, 6


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


def make(fusion, gradient="clean", naive=None, **more):
    """Builds a small network whose residual is of a natural size."""
    keras.utils.set_random_seed(3)
    model = build_model(SKDnCNN(fusion, gradient, naive, L, F, **more))
    kernel = model.reconstruction.kernel
    kernel.assign(kernel * 30.0)
    return model


def clean_input(noisy, guide):
    return np.concatenate([noisy, guide], axis=-1)


@pytest.fixture
def noisy():
    return RNG.random((2, 9, 8, 3), dtype=np.float32)


@pytest.fixture
def guide():
    return RNG.random((2, 9, 8, 3), dtype=np.float32)


@pytest.mark.parametrize("fusion", FUSED)
def test_only_the_gradient_of_the_guide_reaches_the_output(fusion, noisy, guide):
    model = make(fusion)
    output = numpy(model(clean_input(noisy, guide)))
    assert output.shape == noisy.shape
    # A constant shift has the same gradient …
    shifted = numpy(model(clean_input(noisy, guide + 0.25)))
    np.testing.assert_allclose(shifted, output, atol=1e-4)
    # … and another guide another one; y itself also reaches the output beyond the skip.
    other = numpy(model(clean_input(noisy, guide * 0.5)))
    assert np.abs(other - output).max() > 1e-3
    moved = numpy(model(clean_input(noisy + 0.1, guide))) - 0.1
    assert np.abs(moved - output).max() > 1e-4


def test_without_a_gradient_the_input_is_the_image_alone(noisy):
    model = make("none", "none")
    assert model.input_channels == 3
    assert model(noisy).shape == noisy.shape
    with pytest.raises(ValueError, match=r"must be \(N, H, W, 3\)"):
        SKDnCNN("none", "none", None, L, F).build((None, None, None, 6))
    with pytest.raises(ValueError, match=r"must be \(N, H, W, 6\)"):
        SKDnCNN("II", "clean", None, L, F).build((None, None, None, 3))


def test_the_gradient_widens_exactly_the_convolution_that_it_is_fused_before():
    # Input channels of the first, the second and the last convolution.
    expected = {
        "none": (3, F, 2 * F),
        "I": (3 + 3, F, 2 * F),
        "II": (3, F + 3, 2 * F),
        "III": (3, F, 2 * F + 3),
        "IV": (3, F, 2 * F),
    }
    for fusion, widths in expected.items():
        model = make(fusion, "none" if fusion == "none" else "clean")
        layers = (model.features, model.stack[0].conv, model.reconstruction)
        assert tuple(layer.kernel.shape[2] for layer in layers) == widths, fusion
        assert len(model.stack) == L - 2


def test_the_drawn_network_by_hand(noisy, guide):
    """Repeats figure 2 with the model's layers, for every place."""
    for fusion in FUSED:
        model = make(fusion)
        gradient = SobelGradient()(guide)

        def joined(place, *parts, fusion=fusion, gradient=gradient):
            return ops.concatenate([*parts, *([gradient] if fusion == place else [])], axis=-1)

        first = model.features(joined("I", noisy))
        features = joined("II", first)
        for layer in model.stack:
            features = ops.relu(layer.norm(layer.conv(features)))
        residual = model.reconstruction(joined("III", features, first))
        if fusion == "IV":
            residual = residual * gradient
        expected = noisy - numpy(residual)
        np.testing.assert_allclose(
            numpy(model(clean_input(noisy, guide))), expected, atol=1e-5, err_msg=fusion
        )


def test_iv_multiplies_exactly(noisy, guide):
    """The same weights with and without IV: the residual is the other's times G."""
    plain, fused = make("none", "none"), make("IV")
    fused.set_weights(plain.get_weights())
    output = fused(clean_input(noisy, guide), return_intermediates=True)
    residual = noisy - numpy(plain(noisy))
    gradient = numpy(output["gradient"])
    np.testing.assert_allclose(gradient, numpy(SobelGradient()(guide)), atol=1e-6)
    np.testing.assert_allclose(noisy - numpy(output["denoised"]), residual * gradient, atol=1e-5)


def test_sources_of_the_gradient(noisy):
    naive = build_model(DnCNN(3, 4, batch_norm=True))
    naive.reconstruction.kernel.assign(naive.reconstruction.kernel * 30.0)
    models = {
        "clean": make("II"),
        "noisy": make("II", "noisy"),
        "approximate": make("II", "approximate", naive),
    }
    main = models["clean"].get_weights()
    models["noisy"].set_weights(main)
    estimate = numpy(naive(noisy))
    frozen = {id(weight) for weight in naive.weights}
    own = [weight for weight in models["approximate"].weights if id(weight) not in frozen]
    for weight, value in zip(own, main, strict=True):
        weight.assign(value)
    for gradient, guide in (("noisy", noisy), ("approximate", estimate)):
        assert models[gradient].input_channels == 3
        expected = numpy(models["clean"](clean_input(noisy, guide)))
        np.testing.assert_allclose(numpy(models[gradient](noisy)), expected, atol=1e-5)


def test_a_frozen_naive_denoiser_keeps_its_statistics_in_training(noisy):
    naive = build_model(DnCNN(3, 4, batch_norm=True))
    naive.trainable = False
    model = make("II", "approximate", naive)
    before = [numpy(weight) for weight in naive.weights]
    statistics = numpy(model.stack[0].norm.moving_mean)
    model(noisy, training=True)
    for weight, value in zip(naive.weights, before, strict=True):
        np.testing.assert_array_equal(numpy(weight), value)
    assert (numpy(model.stack[0].norm.moving_mean) != statistics).any()
    frozen = {id(weight) for weight in naive.weights}
    assert not frozen & {id(weight) for weight in model.trainable_weights}


@pytest.mark.parametrize("fusion", ("none", *FUSED))
@pytest.mark.parametrize("scale", [1, 2])
def test_any_size_from_one_pixel(fusion, scale):
    gradient = "none" if fusion == "none" else "clean"
    model = make(fusion, gradient, scale=scale)
    for size in ((1, 1), (1, 9), (13, 6)):
        output = numpy(model(RNG.random((1, *size, model.input_channels), dtype=np.float32)))
        assert output.shape == (1, *size, 3)
        assert output.dtype == np.float32 and np.isfinite(output).all()


def test_file_and_configuration_round_trip(tmp_path, noisy):
    model = make("III", "approximate", build_model(DnCNN(3, 4, batch_norm=True)))
    model(noisy, training=True)  # statistics that are not the initial ones
    model.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(numpy(again(noisy)), numpy(model(noisy)))
    assert json.dumps(again.get_config()) == json.dumps(model.get_config())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("V", "clean"), "`fusion` must be one of"),
        (("I", "blurred"), "`gradient` must be one of"),
        (("none", "clean"), 'must both be "none", or neither'),
        (("II", "none"), 'must both be "none", or neither'),
        (("II", "approximate"), 'must be given with gradient="approximate"'),
        (("II", "clean", None, 2), "`num_layers` must be at least 3. Received: num_layers=2"),
    ],
)
def test_bad_arguments_are_refused_in_words(arguments, words):
    with pytest.raises(ValueError) as error:
        SKDnCNN(*arguments)
    assert words in str(error.value)


REPLICAS = """
import numpy as np, tensorflow as tf
from gradnet_tf.training.config import TrainConfig
from gradnet_tf.models import SKDnCNN
from gradnet_tf.models.base import build_model
from gradnet_tf.training.engines.choose_engine import make_engine, start_devices
start_devices(2)
clean = np.random.default_rng(0).random((4, 12, 12, 3), dtype="float32")
batch = np.concatenate([clean[::-1], clean], -1), clean
weights = []
for strategy in ("none", "mirrored"):
    config = TrainConfig(preset="dncnn", batch_size=4, strategy=strategy, cpu_replicas=2)
    engine = make_engine(config, lambda: build_model(SKDnCNN("II", "clean", None, 4, 6)))
    batches = engine.batches(tf.data.Dataset.from_tensors(batch).repeat())
    for _ in range(3):
        engine.step(next(batches), 1e-3)["loss"]
    weights.append(engine.model.get_weights())
print(max(np.abs(one - two).max() for one, two in zip(*weights)))
"""


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="uses MirroredStrategy")
@pytest.mark.slow
def test_two_replicas_have_the_weights_and_statistics_of_one_device():
    done = subprocess.run(
        [sys.executable, "-c", REPLICAS],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout.splitlines()[-1]) < 1e-5
