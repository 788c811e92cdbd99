"""A network's result is a picture, or an error that names the network: never black or cut."""

import numpy as np
import pytest
from evaluation_case import Images, photographs
from tiny_run import tiny_model

from gradnet_tf.cli.main import main
from gradnet_tf.denoiser import Denoiser
from gradnet_tf.evaluation.evaluate_set import EvaluateConfig, evaluate
from gradnet_tf.images.image_files import write_image
from gradnet_tf.runtimes.keras_runtime import KerasRunner, _bounded
from gradnet_tf.tiling.tile_config import TileConfig
from gradnet_tf.utils.errors import NotFiniteOutputError, UserError

#: Noise: a flat picture would not reach the network.
PICTURE = np.random.default_rng(0).integers(90, 150, (40, 48, 3), np.uint8)
CHANGES = {
    "nan": lambda images: images * np.float32("nan"),
    "one nan": lambda images: np.where(
        np.arange(images.size).reshape(images.shape), images, np.nan
    ),
    "infinite": lambda images: images + np.float32("inf"),
    "twice": lambda images: images.repeat(2, axis=1).repeat(2, axis=2),
    "smaller": lambda images: images[:, 1:-1, 1:-1],
    "one channel": lambda images: images[..., :1],
    "no batch": lambda images: images[0],
    "turned": lambda images: images.swapaxes(1, 2),
    "a number": lambda images: np.float32(0.5),
}


class Whole:
    """A runner of whole pictures, as a SavedModel's is."""

    channels, needs_sigma, parameters, model = 3, False, None, None

    def __init__(self, change):
        self._change = change

    def run(self, images, sigma=None):
        return self._change(images)

    def naive(self, images, sigma=None):
        return None


class Tiled(KerasRunner):
    """A runner of tiles whose network computes something else."""

    def __init__(self, change):
        super().__init__(tiny_model())
        self._tiled._denoise = self._tiled._denoise_given = lambda images, *_: change(images)
        self.run = lambda images, sigma=None: change(images)


@pytest.mark.parametrize("runner", [Whole, Tiled])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_no_picture_is_refused_wherever_a_runner_returns(runner, change):
    denoiser = Denoiser(runner(change), "mine")
    floats = PICTURE[None] / np.float32(255)
    ways = [
        lambda: denoiser(PICTURE),
        lambda: denoiser(PICTURE, 0.5),
        lambda: denoiser(PICTURE, self_ensemble=True),
        lambda: denoiser.denoise(floats),
        lambda: denoiser.denoise(floats.repeat(2, axis=0)),
    ]
    if runner is Tiled:
        ways.append(lambda: denoiser(np.tile(PICTURE, (2, 2, 1))[:70], tiles=TileConfig(64)))
    for way in ways:
        with pytest.raises(UserError, match=r"^mine: the network"):
            way()


def test_infinities_inside_a_keras_network_are_found():
    values = np.float32([np.inf, -np.inf, np.nan, 2, -1, 0.25])
    np.testing.assert_array_equal(_bounded(values), [np.nan, np.nan, np.nan, 1, 0, 0.25])
    model = tiny_model()
    model.set_weights([np.full_like(value, 1e30) for value in model.get_weights()])
    with pytest.raises(NotFiniteOutputError, match="mine: the network's output is not finite"):
        Denoiser(KerasRunner(model), "mine")(PICTURE)


@pytest.fixture
def broken():
    """A network whose weights are NaN."""
    model = tiny_model()
    model.set_weights([value * np.float32("nan") for value in model.get_weights()])
    return Denoiser(KerasRunner(model), "broken", {"kind": "run"})


def test_the_command_writes_no_picture(broken, tmp_path, monkeypatch, capsys):
    write_image(tmp_path / "a.png", PICTURE)
    monkeypatch.setattr("gradnet_tf.denoiser.load_denoiser", lambda *_, **__: broken)
    code = main(["denoise", str(tmp_path / "a.png"), f"--output={tmp_path / 'out'}"])
    assert code == 1 and "broken: the network's output is not finite" in capsys.readouterr().err
    assert not list((tmp_path / "out").glob("*.png"))


def test_an_evaluation_counts_it_and_goes_on(broken):
    result = evaluate(broken, Images(photographs(2)), EvaluateConfig())
    assert result["nan_outputs"] == 2
