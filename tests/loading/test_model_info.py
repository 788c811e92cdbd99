"""What is known of a model before it is loaded, and what is refused by it."""

import json
import pickle

import cv2
import pytest
from denoise_case import gradnet
from photo_samples import noise

from gradnet_tf import models, weights
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.loading.load import ModelInfo, resolve
from gradnet_tf.loading.load import model_info as info_of_resolved
from gradnet_tf.models.presets import PRESETS
from gradnet_tf.utils.files import sha256_of


def model_info(spec):
    return info_of_resolved(resolve(spec))


def test_presets_and_their_networks_agree_on_the_noise_level():
    """Presets say it without Keras; the classes are what counts."""
    for preset in PRESETS.values():
        chain = preset
        while chain.naive is not None:  # A GradNet wants what its naive denoiser wants.
            chain = PRESETS[chain.naive]
        told = preset.arguments.get("takes_level", False)
        assert preset.needs_sigma == (told or getattr(models, chain.architecture).needs_sigma)
    assert PRESETS["ffdnet"].needs_sigma and PRESETS["gradnet_small_level"].needs_sigma


def test_facts_agree_with_what_is_loaded(run):
    for spec in ("default", "gradnet_tiny", run):
        facts, loaded = model_info(spec), load_denoiser(spec)
        assert (facts.name, facts.sha256) == (loaded.name, loaded.source["sha256"])
        assert facts.needs_sigma == loaded.needs_sigma
    assert model_info("default").gray == weights.GRAY
    assert model_info(run).gray is None


def test_facts_of_other_kinds(tmp_path):
    assert model_info("opencv_nlm") == ModelInfo("opencv_nlm", None, True)
    for spec in ("no_such_model", "", "gradnet_huge"):
        assert model_info(spec) is None
    (tmp_path / "x.tflite").write_bytes(b"1234TFL3")
    digest = sha256_of(tmp_path / "x.tflite")
    assert model_info(str(tmp_path / "x.tflite")) == ModelInfo("x", digest)
    (tmp_path / "x.keras").write_bytes(b"PK")
    assert model_info(str(tmp_path / "x.keras")).needs_sigma is None
    folder = tmp_path / "ffdnet"
    folder.mkdir()
    assert model_info(str(folder)) == ModelInfo("ffdnet")
    (folder / "config.json").write_text(json.dumps({"preset": "ffdnet"}))
    assert model_info(str(folder)).needs_sigma is True
    (folder / "config.json").write_text(json.dumps({"preset": "gradnet", "naive_model": {}}))
    assert model_info(str(folder)).needs_sigma is None


@pytest.fixture
def done(tmp_path, run):
    """The arguments of a command whose results all exist."""
    cv2.imwrite(str(tmp_path / "a.png"), noise(9, 8, 3))
    arguments = ["denoise", tmp_path / "a.png", "--output", tmp_path / "out"]
    assert gradnet(*arguments, "--model", run) == 0
    return arguments


@pytest.mark.parametrize("more", [[], ["--dry-run"], ["--strength", "0"]])
def test_a_wrong_sigma_is_refused_though_there_is_nothing_to_do(done, more, capsys, monkeypatch):
    monkeypatch.setattr("gradnet_tf.denoiser.load_denoiser", None)  # Not even loaded.
    assert gradnet(*done, "--sigma", "15", *more) == 2
    assert "--sigma=15: auto takes no noise level" in capsys.readouterr().err


def test_a_wrong_model_is_refused_though_there_is_nothing_to_do(done, tmp_path, capsys):
    assert gradnet(*done, "--model", "no_such_model") == 2
    assert "no_such_model" in capsys.readouterr().err
    model = tmp_path / "m.keras"
    model.write_bytes(b"no model")
    # Whether this file takes a noise level, only loading it can tell.
    assert gradnet(*done, "--model", model, "--sigma", "15") == 2
    assert "m.keras" in capsys.readouterr().err
    assert gradnet(*done, "--model", "opencv_nlm", "--sigma", "15") == 0


@pytest.mark.parametrize("name", ["auto", "default"])
def test_a_folder_of_the_default_s_name_does_not_hide_it(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    assert resolve(name).kind == "weights"
    assert resolve(f"./{name}").kind == "folder"
    denoiser = pickle.loads(pickle.dumps(load_denoiser(name)))
    assert denoiser.source["kind"] == "weights"


def test_only_loading_shows_whether_a_tflite_file_takes_a_level(tmp_path):
    (tmp_path / "a.tflite").write_bytes(b"")
    assert info_of_resolved(resolve(str(tmp_path / "a.tflite"))).needs_sigma is None
