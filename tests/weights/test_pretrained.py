"""`from_preset` gives trained networks by name, without a network connection."""

import json
import socket

import keras
import numpy as np
import pytest
from tiny_run import tiny_model

from gradnet_tf import weights
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.models import DnCNN, GradNet, MSKResnet
from gradnet_tf.models.base import DenoisingModel
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import sha256_of

NAME = "gradnet_tiny_color_blind"
IMAGES = np.random.default_rng(4).random((1, 21, 18, 3), dtype=np.float32)


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def ship(folder, name, preset, channels=3):
    """Ships a network of random weights as `name`; returns it."""
    model = tiny_model(preset, channels)
    path = folder / f"{name}.weights.h5"
    model.save_weights(path)
    card = {"name": name, "preset": preset, "channels": channels, "sha256": sha256_of(path)}
    (folder / f"{name}.json").write_text(json.dumps(card))
    return model


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    return tmp_path


@pytest.mark.parametrize("card", weights.list_weights(), ids=lambda card: card["name"])
def test_all_weights_that_ship_load_offline_in_float32(card, offline):
    model = GradNet.from_preset(card["name"])
    assert type(model) is GradNet and model.built
    assert (model.channels, model.count_params()) == (card["channels"], card["parameters"])
    assert {str(weight.dtype) for weight in model.weights} == {"float32"}
    clean = np.broadcast_to(np.linspace(0.3, 0.7, 32, dtype=np.float32), (1, 32, 32))
    clean = np.repeat(clean[..., None], card["channels"], -1)
    noise = np.random.default_rng(1).standard_normal(clean.shape, np.float32) * 25 / 255
    left = np.std(np.asarray(model(clean + noise)) - clean)
    assert left < 0.3 * 25 / 255  # of the noise, on a smooth ramp


def test_it_is_the_network_that_the_command_runs(offline):
    expected = load_denoiser("gradnet_tiny").denoise(IMAGES)
    for name in (NAME, "gradnet_tiny"):
        found = np.clip(GradNet.from_preset(name)(IMAGES), 0, 1)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not GradNet.from_preset(NAME).naive_denoiser.trainable


def test_default_and_another_precision(folder, monkeypatch):
    original = ship(folder, NAME, "gradnet_tiny")
    monkeypatch.setattr(weights, "DEFAULT", NAME)
    model = GradNet.from_preset("default", precision="mixed_bfloat16")
    assert model.dtype_policy.name == "mixed_bfloat16"
    for ours, theirs in zip(model.weights, original.weights, strict=True):
        assert str(ours.dtype) == "float32"
        np.testing.assert_array_equal(ours, theirs)


def test_without_weights_any_preset_is_built(folder):
    keras.utils.set_random_seed(0)
    model = DnCNN.from_preset("dncnn_tiny", load_weights=False)
    assert (type(model), model.channels) == (DnCNN, 3)
    assert GradNet.from_preset("gradnet_tiny_gray_s25", load_weights=False).channels == 1
    fresh = np.abs(np.asarray(model(IMAGES)) - IMAGES).max()
    assert fresh < 0.05  # an untrained network returns nearly its input


def test_the_class_is_checked(folder):
    ship(folder, "dncnn_tiny_gray_blind", "dncnn_tiny", 1)
    assert type(DnCNN.from_preset("dncnn_tiny_gray_blind")) is DnCNN
    assert type(DenoisingModel.from_preset("dncnn_tiny_gray_blind")) is DnCNN
    with pytest.raises(UserError, match=r"MSKResnet.from_preset\('dncnn_tiny_gray_blind'\): dn"):
        MSKResnet.from_preset("dncnn_tiny_gray_blind")
    with pytest.raises(UserError, match="is a DnCNN, not a GradNet.\nUse DnCNN.from_preset."):
        GradNet.from_preset("dncnn", load_weights=False)


def test_unknown_missing_and_damaged_weights_are_refused(folder):
    ship(folder, NAME, "gradnet_tiny")
    with pytest.raises(UserError, match=f"no such preset. Shipped weights: {NAME}.\nArch.*tiny"):
        GradNet.from_preset("gradnet_huge")
    # A name is never a path, and a name with a path in it finds nothing.
    with pytest.raises(UserError, match="no such preset"):
        GradNet.from_preset(f"{folder}/{NAME}")
    words = f"color_blind are not shipped; these are: {NAME}.*\n.*\n.*train.py --preset=gradnet "
    with pytest.raises(UserError, match=words):
        GradNet.from_preset("gradnet")
    tiny_model(gain=1.0).save_weights(folder / f"{NAME}.weights.h5")
    with pytest.raises(UserError, match="damaged or was replaced"):
        GradNet.from_preset("gradnet_tiny")
    with pytest.raises(UserError, match="`precision` must be one of float32"):
        GradNet.from_preset("gradnet_tiny", load_weights=False, precision="float8")


def test_weights_of_another_training_set_have_the_same_gray_partner():
    for preset in ("gradnet_small", "gradnet_medium"):
        for name in (f"{preset}_color_blind", f"{preset}_color_blind_bsds500"):
            assert weights.gray_partner(name, {"kind": "weights"}) == f"{preset}_gray_blind"


def test_the_default_has_gray_weights_of_its_own():
    assert weights.gray_partner(weights.DEFAULT, {"kind": "weights"}) == weights.GRAY
    assert weights.gray_partner(weights.AUTO, {"kind": "weights"}) == weights.GRAY
    assert weights.read_card(weights.GRAY)["channels"] == 1


def test_cards_say_what_happens_to_gray():
    from export.weights.shipping import limits

    said = "A gray image goes through the gray weights"
    assert said in limits(3, 0, 55, "bsds500")[-1] and said not in limits(1, 0, 55, "bsds500")[-1]
    for card in weights.list_weights():
        page = (weights.FOLDER / f"{card['name']}.md").read_text("utf-8")
        for text in (" ".join(card["limits"]), page):
            assert (said in text) == (card["channels"] == 3), card["name"]
