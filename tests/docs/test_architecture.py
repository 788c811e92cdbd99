"""docs/architecture.md: its paths exist, and its four recipes work.

Each test below adds a fake of one kind by the steps of the page, with the tables that the page
names patched in place of edited files, and then uses it as a person would.
"""

import re
from pathlib import Path

import numpy as np
import pytest

from gradnet_tf.images.image_files import write_image

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
PICTURE = (ROOT / "docs/images/architecture.svg").read_text(encoding="utf-8")


def _paths_named():
    named = set(re.findall(r"`((?:[\w.]+/)*[\w.]+(?:/|\.py|\.toml))`", PAGE))
    return sorted(named | set(re.findall(r">((?:gradnet_tf|datasets)/[\w./]+)<", PICTURE)))


def test_the_page_names_paths():
    assert len(_paths_named()) > 30


@pytest.mark.parametrize("path", _paths_named())
def test_every_path_exists(path):
    assert (ROOT / path).exists(), f"docs/architecture.md or its picture names {path}"


def _noisy(shape=(1, 9, 7, 3)):
    return np.random.default_rng(5).random(shape, np.float32)


def test_add_a_model(monkeypatch):
    """A class, its name in `models`, a preset: `build_model` and the denoiser take it."""
    import keras

    from gradnet_tf import models
    from gradnet_tf.denoiser import Denoiser
    from gradnet_tf.models import presets
    from gradnet_tf.models.base import DenoisingModel
    from gradnet_tf.runtimes.keras_runtime import runner_for

    @keras.saving.register_keras_serializable(package="test_architecture")
    class FakeNetwork(DenoisingModel):
        """Removes a learned constant from every channel."""

        def build(self, input_shape):
            self.bias = self.add_weight(shape=(self.channels,), initializer="zeros", name="bias")
            self.built = True

        def call(self, images, training=None):
            return images - self.bias

    preset = presets.Preset("fake_network", "for this test", "FakeNetwork", {}, {3: 3, 1: 1})
    monkeypatch.setattr(models, "FakeNetwork", FakeNetwork, raising=False)
    monkeypatch.setattr(presets, "PRESETS", {**presets.PRESETS, preset.name: preset})

    model = presets.build_model("fake_network")
    assert model.count_params() == preset.parameters[3]
    model.bias.assign([0.1, 0.0, 0.0])
    noisy = _noisy()
    denoised = Denoiser(runner_for(model), "fake_network").denoise(noisy)
    expected = np.clip(noisy - np.float32([0.1, 0, 0]), 0, 1)
    np.testing.assert_allclose(denoised, expected, atol=1e-6)


@pytest.mark.parametrize("layout", ["flat", "fake_layout"])
def test_add_a_data_set(monkeypatch, tmp_path, layout):
    """A `DatasetInfo`, and a reader for files in a layout of their own."""
    from datasets.sets import catalog, folder_sets
    from datasets.sets.image_set import DatasetInfo

    def find(info, data_dir, split, channels):
        return folder_sets.find(info, Path(data_dir) / "deep", split, channels)

    reader = folder_sets.find if layout == "flat" else find
    row = DatasetInfo(name="fake_set", title="Fake", counts={"test": 2}, find=reader)
    monkeypatch.setattr(catalog, "_ROWS", (*catalog._ROWS, row))
    monkeypatch.setitem(catalog.DATASETS, row.name, row)
    folder = tmp_path / ("fake_set" if layout == "flat" else "deep/fake_set")
    for name in ("a.png", "b.png"):
        write_image(folder / name, np.full((8, 9, 3), 128, np.uint8))

    images = catalog.find_dataset("fake_set", tmp_path)
    assert len(images.paths) == 2
    assert images.load(0).shape == (8, 9, 3)


def test_add_an_export_format(monkeypatch, tmp_path, capsys):
    """A name, and a function from the job to a row that writes, verifies and describes a file."""
    from datasets.sets.catalog import find_dataset
    from export import export_command, export_config
    from export.export_command import export
    from export.verify import artifact as job

    def write(work):
        path = work.output / f"{work.name}.fake"
        path.write_bytes(b"FAKE" + np.float32(work.denoiser.model.weights[0]).tobytes())
        quality = job.quality_of(work, work.denoiser)
        measured = job.measurements(path.stat().st_size, {"1x1": 0.0}, quality, {"1": 1.0})
        return job.write_card(
            work, path.with_suffix(".json"), path.name, "0" * 64, "fake", {}, {}, measured
        )

    own = export_command._export_format

    def export_format(work, name):
        return write(work) if name == "fake" else own(work, name)

    monkeypatch.setattr(export_config, "FORMATS", (*export_config.FORMATS, "fake"))
    monkeypatch.setattr(export_command, "_export_format", export_format)
    write_image(tmp_path / "images/a.png", np.full((16, 24, 3), 90, np.uint8))
    config = export_config.ExportConfig(
        output=str(tmp_path / "out"), model="gradnet_tiny", formats=("fake",)
    )

    assert export(config, find_dataset("folder", tmp_path / "images")) == 0
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"gradnet_tiny_color_blind.fake", "gradnet_tiny_color_blind.json"}
    assert "gradnet_tiny_color_blind.fake" in capsys.readouterr().out


class FakeRunner:
    """What `Runner` of gradnet_tf/denoiser.py lists: halves every value."""

    channels, needs_sigma, parameters, model = 3, False, None, None

    def run(self, images, sigma=None):
        return images / 2

    def run_picture(self, image, sigma=None, tiles=None, pixels=None, on_tile=None):
        noisy = pixels.read(image[None])
        return pixels.store(self.run(noisy)[0], image)

    def naive(self, images, sigma=None):
        return None


def test_add_a_runtime(monkeypatch, tmp_path):
    """A class, and the place that recognizes its files by content."""
    from gradnet_tf.denoiser import load_denoiser
    from gradnet_tf.loading import load

    own = load._load_file

    def load_file(model, precision):
        path = model.path
        if path.read_bytes().startswith(b"FAKE"):
            return load.Loaded(FakeRunner(), path.stem, {"kind": "fake", "path": str(path)})
        return own(model, precision)

    monkeypatch.setitem(load._LOADERS, "file", load_file)
    (tmp_path / "half.fake").write_bytes(b"FAKE")

    denoiser = load_denoiser(str(tmp_path / "half.fake"))
    noisy = _noisy()
    np.testing.assert_allclose(denoiser.denoise(noisy), noisy / 2)
    photograph = np.full((4, 5, 3), 200, np.uint8)
    assert (denoiser(photograph) == 100).all() and denoiser.name == "half"
