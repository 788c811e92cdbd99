"""The networks: the fusion is live, any size works, files round-trip, fit and predict run."""

import keras
import numpy as np
import pytest
from keras import ops

from gradnet_tf import models
from gradnet_tf.evaluation.metrics import PSNR
from gradnet_tf.models.base import build_model as build_variables
from gradnet_tf.models.losses import GradNetLoss
from gradnet_tf.models.presets import build_model

RNG = np.random.default_rng(3)


def numpy(tensor):
    return ops.convert_to_numpy(tensor)


@pytest.fixture(scope="module")
def tiny():
    keras.utils.set_random_seed(1)
    return build_model("gradnet_tiny")


def stub_naive(function, channels=3):
    """A naive denoiser made of one function."""

    class Stub(keras.Model):
        def call(self, images):
            return function(images)

    stub = Stub()
    stub.channels = channels
    return stub


def test_output_depends_on_y_on_the_naive_estimate_and_on_its_gradient():
    images = RNG.random((1, 12, 10, 3), dtype=np.float32)
    outputs = {}
    for name, function in {
        "identity": lambda images: images,
        "shifted": lambda images: images + 0.25,  # another estimate of the same gradient
        "half": lambda images: images * 0.5,
    }.items():
        keras.utils.set_random_seed(5)
        model = models.GradNet(stub_naive(function), 8, 1, 1)
        outputs[name] = numpy(model(images, return_intermediates=True)["denoised"])
    # Only the gradient of the estimate is fused: a constant shift changes nothing …
    np.testing.assert_allclose(outputs["shifted"], outputs["identity"], atol=1e-5)
    # … and another gradient does.
    assert np.abs(outputs["half"] - outputs["identity"]).max() > 1e-4

    other = images.copy()
    other[0, 5, 5] += 0.1
    keras.utils.set_random_seed(5)
    constant = models.GradNet(stub_naive(ops.zeros_like), 8, 1, 1)
    residual = [numpy(constant(value)) - value for value in (images, other)]
    # With the estimate held constant, y still reaches the output beyond the global skip.
    assert np.abs(residual[1] - residual[0]).max() > 1e-4


def test_trained_naive_denoiser_reaches_the_output(tiny):
    images = RNG.random((1, 16, 16, 3), dtype=np.float32)
    before = numpy(tiny(images))
    weights = tiny.naive_denoiser.get_weights()
    tiny.naive_denoiser.set_weights([weight + 0.05 for weight in weights])
    after = numpy(tiny(images))
    tiny.naive_denoiser.set_weights(weights)
    assert np.abs(after - before).max() > 1e-4


def test_global_skip_is_float32_and_exact_without_a_residual():
    model = build_model("gradnet_tiny", precision="mixed_bfloat16")
    model.reconstruction.set_weights(
        [np.zeros_like(weight) for weight in model.reconstruction.get_weights()]
    )
    images = RNG.random((1, 8, 9, 3), dtype=np.float32)
    np.testing.assert_array_equal(numpy(model(images)), images)


def test_given_attention_makes_a_crop_agree_with_the_whole_image(tiny):
    images = RNG.random((1, 96, 96, 3), dtype=np.float32)
    whole = tiny(images, return_intermediates=True)
    crop = tiny(images[:, 16:80, 16:80], attention=whole["attention"])
    # Away from the crop's border by more than the receptive radius.
    inner = numpy(crop)[:, 24:40, 24:40]
    np.testing.assert_allclose(inner, numpy(whole["denoised"])[:, 40:56, 40:56], atol=1e-5)


def denoise(model, images):
    """Calls a model, with a noise level for each image where it needs one."""
    sigma = {"sigma": np.full(len(images), 25, np.float32)} if model.needs_sigma else {}
    return model(images, **sigma)


@pytest.mark.parametrize(
    "preset", ["gradnet_tiny", "dncnn_small", "gradnet_small", "dncnn_bn", "ffdnet", "adnet"]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_from_one_pixel(preset, channels):
    model = build_model(preset, channels)
    for size in ((1, 1), (1, 9), (37, 31)):
        images = RNG.random((1, *size, channels), dtype=np.float32)
        output = denoise(model, images)
        assert output.shape == images.shape
        assert keras.backend.standardize_dtype(output.dtype) == "float32"
        assert np.isfinite(numpy(output)).all()


def test_keras_file_round_trip(tiny, tmp_path):
    images = RNG.random((2, 7, 9, 3), dtype=np.float32)
    tiny.save(tmp_path / "tiny.keras")
    again = keras.saving.load_model(tmp_path / "tiny.keras")
    np.testing.assert_array_equal(numpy(again(images)), numpy(tiny(images)))
    assert again.naive_denoiser.num_layers == tiny.naive_denoiser.num_layers


@pytest.mark.parametrize(
    "make",
    [
        lambda: models.DnCNN(3, 4, batch_norm=True),
        lambda: models.FFDNet(3, 4, channels=1, batch_norm=True, predicts="noise"),
        lambda: models.ADNet(4),
    ],
)
def test_keras_file_round_trip_of_networks_that_normalize(make, tmp_path):
    model = build_variables(make())
    weights = [RNG.random(weight.shape) * 0.5 + 0.1 for weight in model.get_weights()]
    model.set_weights(weights)  # the moving averages as well
    images = RNG.random((2, 7, 9, model.channels), dtype=np.float32)
    model.save(tmp_path / "a.keras")
    again = keras.saving.load_model(tmp_path / "a.keras")
    np.testing.assert_array_equal(numpy(denoise(again, images)), numpy(denoise(model, images)))


def test_what_a_network_is_reported_must_be_said_and_changes_its_output():
    model = build_variables(models.FFDNet(3, 8))
    images = RNG.random((1, 8, 8, 3), dtype=np.float32)
    with pytest.raises(ValueError, match="FFDNet needs the noise level"):
        model(images)
    outputs = [numpy(model(images, np.float32([sigma]))) for sigma in (5, 50)]
    assert np.abs(outputs[0] - outputs[1]).max() > 1e-5


def test_dncnn_normalizes_between_its_first_and_its_last_layer():
    model = build_variables(models.DnCNN(5, 4, batch_norm=True))
    kinds = [type(layer).__name__ for layer in [*model.convs, model.reconstruction]]
    assert kinds == ["Conv2D", "ConvNormReLU", "ConvNormReLU", "ConvNormReLU", "Conv2D"]


def test_a_wrong_number_of_channels_is_refused_in_words():
    with pytest.raises(ValueError, match=r"`images` must be \(N, H, W, 3\)"):
        models.DnCNN(3, 4)(np.zeros((1, 4, 4, 1), "float32"))


def test_fit_evaluate_and_predict_on_one_device():
    keras.utils.set_random_seed(0)
    model = build_model("gradnet_tiny")
    model.compile(keras.optimizers.Adam(2e-3), loss=GradNetLoss(), metrics=[PSNR()])
    # Smooth images, so that there is something to learn within seconds.
    ramps = RNG.random((8, 1, 1, 3)) + np.linspace(0, 0.3, 24)[None, :, None, None]
    clean = np.broadcast_to(np.clip(ramps, 0, 1), (8, 24, 24, 3)).astype("float32")
    noisy = clean + RNG.standard_normal(clean.shape).astype("float32") * np.float32(50 / 255)
    start = model.evaluate(noisy, clean, verbose=0, return_dict=True)["psnr"]
    history = model.fit(noisy, clean, epochs=40, batch_size=4, verbose=0).history
    end = model.evaluate(noisy, clean, verbose=0, return_dict=True)["psnr"]
    assert history["loss"][-1] < history["loss"][0]
    assert end > start + 2
    assert model.predict(noisy, verbose=0).shape == noisy.shape


def test_a_frozen_naive_denoiser_comes_back_frozen(tmp_path):
    tiny = build_model("gradnet_tiny", joint=False)
    tiny.save(tmp_path / "tiny.keras")
    again = keras.saving.load_model(tmp_path / "tiny.keras")
    assert not again.naive_denoiser.trainable
    assert len(again.trainable_variables) == len(tiny.trainable_variables)
