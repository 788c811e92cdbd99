"""Weights that ship come from a run, with scores that are its own."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_run import make_run

from export.weights import ship
from gradnet_tf import weights
from gradnet_tf.errors import UserError
from gradnet_tf.files import sha256_of
from gradnet_tf.inference.load import load_denoiser
from gradnet_tf.run_folder import best_weights


@pytest.fixture
def run(tmp_path):
    folder, model = make_run(tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    train = {"sigma_min": 25.0, "sigma_max": 25.0, "dataset": "bsds500"}
    config |= {"train": train, "command": ["train.py", "--sigma=25"], "versions": {}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder, model


def metrics_file(folder, sha256, psnr=30.12346):
    path = folder / f"metrics-{sha256[:4]}.json"
    value = {"dataset": "cbsd68", "sigma": 25.0, "mean": {"psnr": psnr}}
    path.write_text(json.dumps({**value, "source": {"sha256": sha256}}))
    return str(path)


def test_a_run_becomes_weights_that_load_by_name(run, tmp_path, monkeypatch):
    folder, model = run
    metrics = metrics_file(tmp_path, sha256_of(best_weights(folder)))
    card = ship(folder, "gradnet_tiny_color_s25", [metrics], tmp_path / "weights")
    assert card["scores"] == {"cbsd68": {"25": 30.1235}}
    assert card["licence"].startswith("non-commercial") and card["recipe"]["steps"] == 7
    monkeypatch.setattr(weights, "FOLDER", tmp_path / "weights")
    images = np.random.default_rng(0).random((1, 9, 8, 3), dtype=np.float32)
    denoiser = load_denoiser("gradnet_tiny_color_s25")
    np.testing.assert_allclose(denoiser.denoise(images), np.clip(model(images), 0, 1), atol=1e-6)


def test_a_run_with_other_noise_than_one_sigma_has_no_name_to_ship_under(run, tmp_path):
    folder, _ = run
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["train"] |= {"degradation": "camera", "sigma_min": None, "sigma_max": None}
    path.write_text(json.dumps(config))
    with pytest.raises(UserError, match="named by their noise level, .* --degradation=camera"):
        ship(folder, "gradnet_tiny_color_real", [], tmp_path)


def test_scores_without_a_noise_level_are_refused(run, tmp_path):
    folder, _ = run
    path = metrics_file(tmp_path, sha256_of(best_weights(folder)))
    value = json.loads(Path(path).read_text()) | {"sigma": None}
    (tmp_path / "metrics.json").write_text(json.dumps(value))
    with pytest.raises(UserError, match="stand by their noise level, and these have none"):
        ship(folder, "gradnet_tiny_color_s25", [str(tmp_path / "metrics.json")], tmp_path / "w")


def test_another_name_or_other_weights_scores_are_refused(run, tmp_path):
    folder, _ = run
    with pytest.raises(UserError, match="this run's weights are called gradnet_tiny_color_s25"):
        ship(folder, "gradnet_tiny_color_blind", [], tmp_path)
    with pytest.raises(UserError, match="measured on other weights"):
        ship(folder, "gradnet_tiny_color_s25", [metrics_file(tmp_path, "0" * 64)], tmp_path)
    with pytest.raises(UserError, match="expected a metrics.json"):
        ship(folder, "gradnet_tiny_color_s25", [str(tmp_path / "none.json")], tmp_path)
    with pytest.raises(UserError, match="expected a finished run"):
        ship(tmp_path / "nothing", "gradnet_tiny_color_s25", [], tmp_path)
    assert not list(tmp_path.glob("gradnet*"))
