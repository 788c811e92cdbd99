"""Weights that ship come from a run, with scores of their own; float16 if it costs nothing."""

import json
import types

import h5py
import keras
import numpy as np
import pytest
from tiny_run import make_run

from export.weights import shipping
from export.weights.shipping import licence_of, ship
from gradnet_tf import weights
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.loading.run_folder import best_weights
from gradnet_tf.models.presets import build_model
from gradnet_tf.training.checkpoints import CheckpointStore
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import sha256_of
from gradnet_tf.weights.hub_card import hub_card
from gradnet_tf.weights.model_cards import card_text, cards_table

NAME = "gradnet_tiny_color_s25"


@pytest.fixture
def run(tmp_path):
    folder, model = make_run(tmp_path / "run", gain=1.0)
    config = json.loads((folder / "config.json").read_text())
    train = {"sigma_min": 25.0, "sigma_max": 25.0, "dataset": "bsds500"}
    config |= {"train": train, "command": ["train.py", "--sigma=25"], "versions": {}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder, model


def metrics_file(folder, sha256, psnr=30.12346, sigma=25.0, images=2, **changes):
    path = folder / f"metrics-{len(list(folder.glob('metrics-*')))}.json"
    value = {
        "dataset": "cbsd68",
        "sigma": sigma,
        "precision": "float32",
        "clip_noisy": False,
        "images": [{}] * images,
        "mean": {"psnr": psnr},
        "source": {"sha256": sha256},
    }
    path.write_text(json.dumps({**value, **changes}))
    return str(path)


def find_images(name):
    """A set of two small images, called as the set of the metrics."""
    random = np.random.default_rng(3)
    images = random.integers(0, 256, (2, 24, 20, 3), dtype=np.uint8)
    names = ["a.png", "b.png"]
    return types.SimpleNamespace(
        name=name,
        split="test",
        names=names,
        channels=3,
        load=images.__getitem__,
        noisy=lambda _: None,
    )


def terms_of(name):
    return f"the terms of {name}"


def arrays(path):
    """The arrays of a `.weights.h5` file by their paths."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update({name: item[()]} if hasattr(item, "dtype") else {})
        )
    return found


def test_a_run_becomes_weights_that_load_by_name(run, tmp_path, monkeypatch):
    folder, model = run
    sha256 = sha256_of(best_weights(folder))
    metrics = [metrics_file(tmp_path, sha256), metrics_file(tmp_path, sha256, 33.0, 0.0)]
    card = ship(folder, NAME, metrics, tmp_path / "weights", terms_of)
    assert card["scores"] == {"cbsd68": {"25": 30.1235}} and card["clean"] == {"cbsd68": 33.0}
    assert card["licence"].startswith("non-commercial") and card["recipe"]["steps"] == 7
    assert (card["dtype"], card["float16"], card["sha256"]) == ("float32", None, sha256)
    assert card["measured"]["images"] == {"cbsd68": 2} and card["terms"] == "the terms of bsds500"
    assert "only on white Gaussian noise of sigma 25 (0-255 scale)" in card["limits"][0]
    monkeypatch.setattr(weights, "FOLDER", tmp_path / "weights")
    images = np.random.default_rng(0).random((1, 9, 8, 3), dtype=np.float32)
    denoiser = load_denoiser(NAME)
    np.testing.assert_allclose(denoiser.denoise(images), np.clip(model(images), 0, 1), atol=1e-6)


def test_float16_ships_where_it_loses_nothing_and_loads_as_float32(run, tmp_path, monkeypatch):
    folder, model = run
    sha256 = sha256_of(best_weights(folder))
    metrics = [metrics_file(tmp_path, sha256), metrics_file(tmp_path, sha256, 33.0, 5.0)]
    said = []
    card = ship(folder, NAME, metrics, tmp_path / "weights", terms_of, find_images, said.append)
    path = tmp_path / "weights" / f"{NAME}.weights.h5"
    assert (card["dtype"], card["sha256"]) == ("float16", sha256_of(path))
    assert card["bytes"] == path.stat().st_size < 0.75 * best_weights(folder).stat().st_size
    assert card["measured"]["weights_sha256"] == sha256 != card["sha256"]
    losses = card["float16"]["loss_db"]["cbsd68"]
    assert card["float16"]["images"] == {"cbsd68": 2} and len(said) == 2
    assert set(losses) == {"25", "5"} and 0 < max(map(abs, losses.values())) < 0.005
    # What lies in the file, and what any way of loading makes of it.
    rounded = {
        name: value.astype(np.float16) for name, value in arrays(best_weights(folder)).items()
    }
    held = arrays(path)
    assert held.keys() == rounded.keys()
    for name, value in held.items():
        assert value.dtype == np.float16
        np.testing.assert_array_equal(value, rounded[name])
    monkeypatch.setattr(weights, "FOLDER", tmp_path / "weights")
    plain = build_model("gradnet_tiny")
    plain.load_weights(path)
    for loaded in (plain, load_denoiser(NAME).model):
        for ours, original in zip(loaded.weights, model.weights, strict=True):
            assert keras.backend.standardize_dtype(ours.dtype) == "float32"
            expected = np.asarray(original).astype(np.float16).astype(np.float32)
            np.testing.assert_array_equal(np.asarray(ours), expected)


def test_clean_images_may_lose_a_little_more():
    limits = [shipping._most_loss(sigma) for sigma in ("0", "15", shipping.REAL)]
    assert limits == [0.05, 0.005, 0.005]


def test_float32_stays_where_float16_loses(run, tmp_path, monkeypatch):
    folder, _ = run
    sha256 = sha256_of(best_weights(folder))
    monkeypatch.setattr(shipping, "MAX_LOSS_DB", -1.0)  # no loss is small enough
    card = ship(folder, NAME, [metrics_file(tmp_path, sha256)], tmp_path, terms_of, find_images)
    assert (card["dtype"], card["sha256"], card["float16"]["kept"]) == ("float32", sha256, False)


def test_values_beyond_float16_keep_float32(run, tmp_path):
    """Clipping could hide an infinite weight from the scores, so none is accepted."""
    folder, model = run
    model.reconstruction.bias.assign(model.reconstruction.bias + 1e5)
    CheckpointStore(folder).save_best(model, 8, 21.0)
    sha256 = sha256_of(best_weights(folder))
    card = ship(folder, NAME, [metrics_file(tmp_path, sha256)], tmp_path, terms_of, find_images)
    assert (card["dtype"], card["sha256"], card["float16"]) == ("float32", sha256, None)


def degraded(folder, text):
    """Makes the run one that was trained with a degradation."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["train"] |= {"degradation": text, "sigma_min": None, "sigma_max": None}
    path.write_text(json.dumps(config))


def test_a_run_with_other_noise_has_no_name_to_ship_under(run, tmp_path):
    folder, _ = run
    degraded(folder, "gaussian(0,50)+jpeg(60)")
    with pytest.raises(UserError, match=r"named by their noise.* --degradation=gaussian\(0,50\)"):
        ship(folder, "gradnet_tiny_color_real", [], tmp_path, terms_of)


@pytest.mark.parametrize("noise", ["camera", "3*photograph|gaussian(0,30)"])
def test_a_run_with_a_cameras_noise_ships_as_real_with_scores_on_real_noise(run, tmp_path, noise):
    folder, _ = run
    degraded(folder, noise)
    sha256 = sha256_of(best_weights(folder))
    real = {"dataset": "polyu", "protocol": {"noise": "real"}}
    metrics = [
        metrics_file(tmp_path, sha256, 37.5, None, **real),
        metrics_file(tmp_path, sha256, 47.0, 0.0),
    ]
    name = "gradnet_tiny_color_real"
    card = ship(folder, name, metrics, tmp_path / "weights", terms_of)
    assert card["scores"] == {"polyu": {"real": 37.5}} and card["clean"] == {"cbsd68": 47.0}
    assert (card["sigma_min"], card["sigma_max"], card["noise"]) == (None, None, noise)
    assert "noise of cameras" in card["limits"][0]
    text = card_text(card)
    assert f"--degradation='{noise}'" in text and "37.50 (real noise)" in text
    assert "polyu (real noise): 37.50" in cards_table([card])
    with pytest.raises(UserError, match="expected gradnet_tiny_color_real"):
        ship(folder, "gradnet_tiny_color_blind", metrics, tmp_path / "weights", terms_of)


def test_only_weights_of_free_photographs_are_free():
    for dataset in ("free_photos_cc_by", "free_photos_cc_by:16,drawings:1"):
        assert licence(dataset).startswith("Apache-2.0, like the code")
    for dataset in ("bsds500", "free_photos", "free_photos_cc_by,bsds500", "drawings", "renoir"):
        assert "Apache" not in licence(dataset)
    # Scenes without stated terms are named.
    mixed = licence("free_photos_cc_by:10,drawings:1,renoir:3")
    assert mixed.startswith("Apache-2.0 for what this project contributes") and "RENOIR" in mixed
    assert "Apache" not in licence("bsds500,renoir")
    assert licence("bsds500:16,drawings:1") == licence("bsds500")


def licence(dataset, **train):
    return licence_of({"dataset": dataset, **train})


def test_the_licence_knows_what_weights_started_from_and_who_taught_them(tmp_path):
    free, restricted = "free_photos_cc_by", "gradnet_small_color_blind_bsds500"
    assert licence(free, init_from="gradnet_small_color_blind") == licence(free)
    assert licence(free, teacher="gradnet_small_color_blind") == licence(free)
    for source in ({"init_from": restricted}, {"teacher": restricted}):
        assert licence(free, **source).startswith("non-commercial")
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.json").write_text(json.dumps({"train": {"dataset": "bsds500"}}))
    assert licence(free, init_from=str(run)) == licence(free, naive=str(run)) == licence("bsds500")
    assert "Apache" not in licence(free, init_from=str(tmp_path / "unknown.keras"))
    taught = licence(free, teacher="peers/dncnn.mat, peers/ffdnet.pth")
    assert taught.startswith("Apache-2.0 for what this project contributes")
    assert "(dncnn.mat, ffdnet.pth): whether their terms reach the weights" in taught
    own = {"dataset": free, "teacher": "peers/dncnn.mat"}
    (run / "config.json").write_text(json.dumps({"train": own}))
    assert licence(free, init_from=str(run)) == licence_of(own)


def test_weights_of_bsds500_may_say_so_in_their_name(run, tmp_path):
    folder, _ = run
    metrics = [metrics_file(tmp_path, sha256_of(best_weights(folder)))]
    card = ship(folder, f"{NAME}_bsds500", metrics, tmp_path / "weights", terms_of)
    assert card["name"] == f"{NAME}_bsds500"
    config = (folder / "config.json").read_text().replace('"bsds500"', '"free_photos_cc_by"')
    (folder / "config.json").write_text(config)
    with pytest.raises(UserError, match=f"expected {NAME} for this run"):
        ship(folder, f"{NAME}_bsds500", metrics, tmp_path / "weights", terms_of)


def test_another_name_or_other_weights_scores_are_refused(run, tmp_path):
    folder, _ = run
    with pytest.raises(
        UserError, match="expected gradnet_tiny_color_s25 or .*_bsds500 for this run"
    ):
        ship(folder, "gradnet_tiny_color_blind", [], tmp_path, terms_of)
    with pytest.raises(UserError, match="measured on other weights"):
        ship(folder, NAME, [metrics_file(tmp_path, "0" * 64)], tmp_path, terms_of)
    with pytest.raises(UserError, match="expected a metrics.json"):
        ship(folder, NAME, [str(tmp_path / "none.json")], tmp_path, terms_of)
    with pytest.raises(UserError, match="expected a finished run"):
        ship(tmp_path / "nothing", NAME, [], tmp_path, terms_of)
    assert not list(tmp_path.glob("gradnet*"))


def test_the_card_of_a_continued_run_has_the_whole_schedule(run, tmp_path):
    folder, _ = run
    config = json.loads((folder / "config.json").read_text())
    config["continued"] = [["train.py", "--steps=8"], ["train.py", "--steps=16"]]
    (folder / "config.json").write_text(json.dumps(config))
    metrics = [metrics_file(tmp_path, sha256_of(best_weights(folder)))]
    card = ship(folder, NAME, metrics, tmp_path, terms_of)
    assert card["recipe"]["command"] == "python train.py --steps=16"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"precision": "mixed_bfloat16"}, "Received: precision=mixed_bfloat16"),
        ({"clip_noisy": True}, "clip_noisy=True"),
        ({"self_ensemble": True}, "self_ensemble=True"),
        ({"pooling": "crops"}, "pooling=crops"),
        ({"sigma": None}, "sigma=None"),
        ({"mean": {"psnr": None}}, "psnr=None"),
        ({"images": 5}, "5 images of cbsd68, another file has 2"),
    ],
)
def test_scores_under_other_conditions_are_refused(run, tmp_path, changes, words):
    folder, _ = run
    sha256 = sha256_of(best_weights(folder))
    other = metrics_file(tmp_path, sha256, **changes)
    with pytest.raises(UserError, match=words):
        ship(folder, NAME, [metrics_file(tmp_path, sha256), other], tmp_path, terms_of)


@pytest.mark.parametrize("card", weights.list_weights(), ids=lambda card: card["name"])
def test_every_card_that_ships_is_complete_and_true(card):
    path = weights.weights_path(card["name"])
    assert (card["sha256"], card["bytes"]) == (sha256_of(path), path.stat().st_size)
    assert {str(value.dtype) for value in arrays(path).values()} == {card["dtype"]}
    if card["dtype"] == "float16":
        rows = card["float16"]["loss_db"].values()
        losses = {key: loss for row in rows for key, loss in row.items() if key != "0"}
        assert losses and max(losses.values()) < shipping.MAX_LOSS_DB
        assert all(row.get("0", 0) < shipping.MAX_CLEAN_LOSS_DB for row in rows)
        assert set(card["scores"]) <= set(card["float16"]["loss_db"])
    assert card["scores"] and card["clean"] and len(card["limits"]) >= 3
    assert card["measured"]["precision"] == "float32"
    for field in ("data", "terms", "licence"):
        assert card[field]
    assert {"command", "steps", "versions"} <= set(card["recipe"])


@pytest.mark.parametrize("which", [f"{NAME}.weights.h5", f"{NAME}.json"])
def test_only_shipped_weights_are_replaced(tmp_path, run, which):
    output = tmp_path / "out"
    output.mkdir()
    metrics = [metrics_file(tmp_path, sha256_of(best_weights(run[0])))]
    (output / which).write_text("somebody's own")
    with pytest.raises(UserError, match="exists and is not a result of this command"):
        ship(run[0], NAME, metrics, output, terms_of)
    assert (output / which).read_text() == "somebody's own"
    (output / which).unlink()
    ship(run[0], NAME, metrics, output, terms_of)
    ship(run[0], NAME, metrics, output, terms_of)  # its own result may be replaced
    (output / f"{NAME}.weights.h5").write_bytes(b"changed since")
    with pytest.raises(UserError, match="changed since"):
        ship(run[0], NAME, metrics, output, terms_of)


def test_a_chain_of_trainings_forgets_no_set(run, tmp_path, monkeypatch):
    folder, _ = run
    config = json.loads((folder / "config.json").read_text())
    config["train"] |= {
        "dataset": "free_photos_cc_by",
        "init_from": "gradnet_small_color_blind_bsds500",
    }
    (folder / "config.json").write_text(json.dumps(config))
    metrics = [metrics_file(tmp_path, sha256_of(best_weights(folder)))]
    card = ship(folder, NAME, metrics, tmp_path, terms_of)
    assert card["licence"].startswith("non-commercial") and "bsds500" in card["origins"]
    monkeypatch.setattr(shipping, "find_card", {"that": card}.get)
    assert licence("free_photos_cc_by", init_from="that") == card["licence"]


def test_hubs_are_told_a_licence_without_conditions_only():
    for dataset, identifier in (
        ("free_photos_cc_by", "apache-2.0"),
        ("free_photos_cc_by,renoir", "other"),
        ("bsds500", "other"),
    ):
        page = hub_card({"name": "a", "preset": "b", "licence": licence(dataset), "data": dataset})
        assert f"license: {identifier}\n" in page


def test_a_call_that_was_killed_before_its_card_can_be_repeated(run, tmp_path, monkeypatch):
    output = tmp_path / "out"
    output.mkdir()
    metrics = [metrics_file(tmp_path, sha256_of(best_weights(run[0])))]
    ship(run[0], NAME, metrics, output, terms_of)
    (output / f"{NAME}.weights.h5").write_bytes(b"older weights")
    card = json.loads((output / f"{NAME}.json").read_text())
    card["sha256"] = sha256_of(output / f"{NAME}.weights.h5")
    (output / f"{NAME}.json").write_text(json.dumps(card))

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as stopped:
        stopped.setattr(shipping, "write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            ship(run[0], NAME, metrics, output, terms_of)
    ship(run[0], NAME, metrics, output, terms_of)
    assert sorted(path.name for path in output.iterdir()) == [
        f"{NAME}.json",
        f"{NAME}.md",
        f"{NAME}.weights.h5",
    ]
