"""A GradNet that is told the noise level: the network, its files, `--sigma` and `--strength`."""

import cv2
import keras
import numpy as np
import pytest

from gradnet_tf import Denoiser
from gradnet_tf.cli import main as cli
from gradnet_tf.models import DnCNN, GradNet
from gradnet_tf.models.base import build_model
from gradnet_tf.models.presets import build_model as build_preset
from gradnet_tf.tiling.tile_config import TileConfig
from gradnet_tf.training.config import TrainConfig
from gradnet_tf.training.run import initial_weights
from gradnet_tf.utils.errors import UserError

RNG = np.random.default_rng(8)
IMAGES = RNG.random((2, 30, 41, 3), np.float32)


def network(**kwargs):
    keras.utils.set_random_seed(3)
    naive = DnCNN(num_layers=3, filters=8, scale=2)
    sizes = {"filters": 8, "num_modules": 1, "num_units": 1, "scale": 2}
    model = build_model(GradNet(naive, **sizes, **kwargs))
    for weight in model.weights:  # A fresh network returns its input.
        if len(weight.shape) == 1:
            weight.assign(RNG.normal(0, 0.05, weight.shape))
    model.reconstruction.kernel.assign(RNG.normal(0, 0.02, model.reconstruction.kernel.shape))
    return model


@pytest.fixture(scope="module")
def told():
    return network(takes_level=True)


def numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_a_level_acts_as_a_bias_of_the_shallow_features(told):
    blind = network()
    others = [weight for weight in told.weights if weight is not told.level]
    for weight, other in zip(blind.weights, others, strict=True):
        weight.assign(other)
    bias, level = numpy(told.features.bias), numpy(told.level)
    assert np.abs(level).max() > 0.01
    found = numpy(told(IMAGES, sigma=np.float32([10, 70])))
    for index, sigma in enumerate((10, 70)):
        blind.features.bias.assign(bias + sigma / 255 * level)
        expected = numpy(blind(IMAGES[index : index + 1]))[0]
        np.testing.assert_allclose(found[index], expected, atol=1e-6)
    assert np.abs(found[0] - numpy(told(IMAGES[:1], sigma=np.float32([70])))[0]).max() > 1e-4
    with pytest.raises(ValueError, match="takes_level"):
        told(IMAGES)


def test_it_is_saved_and_starts_by_ignoring_the_level(told, tmp_path):
    told.save(tmp_path / "told.keras")
    again = Denoiser(tmp_path / "told.keras")
    assert again.needs_sigma
    expected = numpy(told(IMAGES, sigma=np.float32([30, 30])))
    np.testing.assert_allclose(again.denoise(IMAGES, 30), np.clip(expected, 0, 1), atol=1e-6)
    assert not numpy(build_preset("gradnet_small_level", 3).level).any()


def test_training_starts_from_a_network_that_is_not_told():
    config = TrainConfig(
        preset="gradnet_small_level", init_from="gradnet_small_color_blind", joint=True
    )
    model = build_preset("gradnet_small_level", 3)
    model.set_weights(initial_weights(config))
    blind = Denoiser("gradnet_small_color_blind", runtime="keras")
    found = numpy(model(IMAGES, sigma=np.float32([5, 50])))
    np.testing.assert_allclose(np.clip(found, 0, 1), blind.denoise(IMAGES), atol=1e-5)


def test_strength_above_1_tells_a_higher_level(told):
    denoiser = Denoiser(told)
    picture = np.rint(IMAGES[0] * 255).astype(np.uint8)
    more = denoiser(picture, strength=1.5, sigma=20)
    np.testing.assert_array_equal(more, denoiser(picture, sigma=30))
    assert (more != denoiser(picture, sigma=20)).any()
    with pytest.raises(UserError, match="more than 1 is for models that take a noise level"):
        Denoiser("gradnet_tiny")(picture, strength=1.5)


def test_the_command(told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    told.save("told.keras")
    cv2.imwrite("a.png", np.rint(IMAGES[0, ..., ::-1] * 255))
    base = ["denoise", "a.png", "--model=told.keras"]
    assert cli.main([*base, "-o", "one", "--sigma=20", "--strength=1.5"]) == 0
    assert cli.main([*base, "-o", "two", "--sigma=30"]) == 0
    one, two = (cv2.imread(f"{name}/a.png") for name in ("one", "two"))
    np.testing.assert_array_equal(one, two)
    assert (
        cli.main(["denoise", "a.png", "-o", "three", "--model=gradnet_tiny", "--strength=1.5"]) == 2
    )
    assert "--strength=1.5: more than 1 is for models that take" in capsys.readouterr().err


@pytest.mark.parametrize("side", [pytest.param(None, marks=pytest.mark.slow), 48])
def test_its_tflite_file_takes_the_level_for_tiles_too(told, tmp_path, side):
    pytest.importorskip("ai_edge_litert")
    tflite = pytest.importorskip("export.litert.tflite")
    from export.verify.formats import TFLiteFormat

    facts = tflite.tile_facts(told, TFLiteFormat("float32", side))
    tflite.write_tflite(told, tmp_path / "a.tflite", side=side and side + 2 * facts["halo"])
    file = Denoiser(tflite.TFLiteRunner(tmp_path / "a.tflite", card=facts), "a")
    assert file.needs_sigma and file.channels == 3
    keras_, large = Denoiser(told), RNG.random((1, 230, 190, 3), np.float32)
    tiles = TileConfig(64 if side is None else "auto", pooling="crops")
    found = [file.denoise(large, sigma, tiles) for sigma in (5, 60)]
    for sigma, result in zip((5, 60), found, strict=True):
        np.testing.assert_allclose(result, keras_.denoise(large, sigma, tiles), atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-4
    if side is None:
        np.testing.assert_allclose(
            file.denoise(IMAGES, [5, 60]), keras_.denoise(IMAGES, [5, 60]), atol=1e-5
        )
