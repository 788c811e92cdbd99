"""`python -m export`: files and cards where they are promised, nothing after a failed check."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from tiny_run import make_run

from datasets.sets.catalog import find_dataset
from export.export_command import export
from export.export_config import ExportConfig
from export.litert import tflite as tflite_module
from export.savedmodel import saved_model_artifact
from export.verify import artifact, checks
from export.verify.artifact import sha256_of_folder
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.models import DnCNN, FFDNet, GradNet
from gradnet_tf.models.base import build_model as build_variables
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import sha256_of

ROOT = Path(__file__).resolve().parents[2]
CARD_FIELDS = set(
    "file sha256 format tile halo inputs outputs preset run quality latency_ms licence".split()
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return str(make_run(tmp_path_factory.mktemp("runs") / "run", sigma=(10.0, 30.0))[0])


@pytest.fixture(scope="module")
def images():
    """A set of two small pictures, as an `ImageSet`."""
    random = np.random.default_rng(8)
    pictures = [random.integers(0, 256, (24, 31, 3), dtype=np.uint8) for _ in range(2)]
    return SimpleNamespace(
        name="two",
        split="test",
        names=["a.png", "b.png"],
        channels=3,
        has_clean=True,
        load=pictures.__getitem__,
        noisy=lambda index: None,
    )


@pytest.fixture(scope="module")
def exported(run, images, tmp_path_factory):
    output = tmp_path_factory.mktemp("exported")
    assert export(ExportConfig(model=run, output=str(output)), images) == 0
    return output


def test_the_files_are_where_design_puts_them(exported):
    names = {path.name for path in exported.iterdir()}
    assert names == {
        "saved_model",
        "saved_model.json",
        "gradnet_tiny_float32.tflite",
        "gradnet_tiny_float32.json",
    }
    assert [path.name for path in (exported / "saved_model").iterdir()] == ["1"]
    assert (exported / "saved_model" / "1" / "saved_model.pb").is_file()


def test_the_cards_say_what_the_artifacts_are(exported, run):
    for stem, format in (
        ("saved_model", "saved_model"),
        ("gradnet_tiny_float32", "tflite_float32"),
    ):
        card = json.loads((exported / f"{stem}.json").read_text())
        assert CARD_FIELDS <= set(card)
        path = exported / card["file"]
        found = sha256_of_folder(path) if path.is_dir() else sha256_of(path)
        assert card["sha256"] == found
        assert (card["format"], card["tile"], card["halo"]) == (format, None, 25)
        assert (card["preset"], card["run"]) == ("gradnet_tiny", run)
        assert (card["sigma_min"], card["sigma_max"]) == (10.0, 30.0)
        given = exported if path.is_dir() else path
        assert load_denoiser(str(given)).source["trained_sigma"] == [10.0, 30.0]
        quality = card["quality"]
        assert (quality["dataset"], quality["sigma"]) == ("two", 25.0)
        assert quality["psnr_keras"] - quality["psnr"] == pytest.approx(quality["drop_db"])
        assert abs(quality["drop_db"]) < 0.001
        assert "1" in card["latency_ms"] and min(card["latency_ms"].values()) > 0
        assert max(card["max_difference"].values()) <= 1e-5
        images = card["inputs"]["serving_default"]["images"]
        assert images["dtype"] == "float32" and images["shape"][1:] == [None, None, 3]
        assert card["licence"]


def contents(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def earlier(output, file, card):
    """Puts down an artifact with its card, as an earlier version of this command left it."""
    path = output / file
    if "/" in file:
        path.mkdir(parents=True)
        (path / "saved_model.pb").write_text("before")
    else:
        path.write_text("before")
    sha256 = sha256_of_folder(path) if path.is_dir() else sha256_of(path)
    fields = {"file": file, "sha256": sha256, "format": "x", "halo": 25, "licence": "y"}
    (output / card).write_text(json.dumps(fields))


def test_a_failed_check_keeps_what_was_there_and_exits_1(
    run, images, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(checks, "TOLERANCE", -1.0)
    earlier(tmp_path, "gradnet_tiny_float32.tflite", "gradnet_tiny_float32.json")
    before = contents(tmp_path)
    config = ExportConfig(model=run, output=str(tmp_path), formats=("tflite_float32",))
    assert export(config, images) == 1
    message = capsys.readouterr().err
    assert "tflite_float32 was not written" in message and "481x321: " in message
    assert contents(tmp_path) == before


def test_a_failed_saved_model_check_leaves_no_folder(run, images, tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise checks.CheckFailed("serving_default: differs from Keras by 37x31: 0.5")

    monkeypatch.setattr(checks, "check_saved_model", refuse)
    config = ExportConfig(model=run, output=str(tmp_path), formats=("saved_model",))
    assert export(config, images) == 1
    assert "differs from Keras by 37x31: 0.5" in capsys.readouterr().err
    assert list((tmp_path / "saved_model").iterdir()) == []
    assert not (tmp_path / "saved_model.json").exists()


def test_a_folder_takes_its_place_whole_or_not_at_all(tmp_path):
    target = tmp_path / "saved_model" / "1"
    for text in ("first", "second"):
        with saved_model_artifact._folder_in_place(target) as new:
            new.mkdir()
            (new / "file").write_text(text)
        assert (target / "file").read_text() == text
    with pytest.raises(RuntimeError), saved_model_artifact._folder_in_place(target) as new:
        new.mkdir()
        raise RuntimeError
    assert (target / "file").read_text() == "second"
    assert [path.name for path in target.parent.iterdir()] == ["1"]


def test_an_exported_file_is_not_exported_again(exported, images):
    config = ExportConfig(model=str(exported / "gradnet_tiny_float32.tflite"), output="nowhere")
    with pytest.raises(UserError, match="already an exported file"):
        export(config, images)


@pytest.mark.parametrize("formats", [("tflite_int4",), ("tflite_float32", "onnx"), ()])
def test_formats_that_this_version_lacks_are_refused(formats):
    with pytest.raises(UserError, match="this version writes saved_model, saved_model_bf"):
        ExportConfig(output="o", formats=formats)


@pytest.mark.parametrize("sigma", [-1.0, 300.0, float("nan")])
def test_sigma_outside_its_range_is_refused(sigma):
    with pytest.raises(UserError, match=r"--sigma: expected a number in \[0, 255\]"):
        ExportConfig(output="o", sigma=sigma)


def test_the_command_as_a_process(tmp_path):
    command = [sys.executable, "-m", "export", f"--output={tmp_path}", "--formats=tflite_int4"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: --formats: this version writes")
    assert "Traceback" not in done.stderr


def test_every_field_of_the_configuration_is_a_flag():
    done = subprocess.run(
        [sys.executable, "-m", "export", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    for field in dataclasses.fields(ExportConfig):
        assert done.stdout.replace("--[no]", "--").count(f"\n  --{field.name}:") == 1


def test_a_calibration_set_that_is_missing_is_reported_before_anything_is_written(tmp_path):
    flags = [
        "--formats=tflite_float32,tflite_int8",
        "--calibration=bsds500",
        "--model=gradnet_tiny",
    ]
    command = [sys.executable, "-m", "export", f"--output={tmp_path / 'o'}", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("error: ")
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("format", "name"),
    [
        ("saved_model", "saved_model/1/saved_model.pb"),
        ("saved_model", "saved_model.json"),
        ("saved_model_bfloat16", "saved_model_bfloat16/1/variables/data"),
        ("tflite_float32", "gradnet_tiny_float32.tflite"),
        ("tflite_float32", "gradnet_tiny_float32.json"),
    ],
)
def test_somebodys_files_are_refused_before_the_work(run, images, tmp_path, format, name):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text('{"mine": 1}')
    before = contents(tmp_path)
    unread = SimpleNamespace(name="two", has_clean=True, channels=3)  # no figures are measured
    with pytest.raises(UserError, match="is not replaced"):
        export(ExportConfig(model=run, output=str(tmp_path), formats=(format,)), unread)
    assert contents(tmp_path) == before


def test_a_saved_model_that_somebody_changed_is_theirs(tmp_path):
    file, card = artifact.places("n", "saved_model", 1)
    earlier(tmp_path, file, card)
    artifact.require_own_artifact(tmp_path, file, card)
    (tmp_path / file / "assets.txt").write_text("mine")
    with pytest.raises(UserError, match="saved_model/1 exists.*changed"):
        artifact.require_own_artifact(tmp_path, file, card)


@pytest.mark.slow
def test_our_own_are_replaced_each_version_by_itself(run, images, tmp_path):
    for version in (1, 2, 1):
        config = ExportConfig(
            model=run, output=str(tmp_path), formats=("saved_model",), version=version
        )
        assert export(config, images) == 0
    card = json.loads((tmp_path / "saved_model.json").read_text())
    assert card["file"] == "saved_model/1" and set(card["written"]) == {
        "saved_model/1",
        "saved_model/2",
    }


@pytest.mark.slow
def test_a_folder_that_appears_meanwhile_is_looked_at_when_it_would_be_replaced(
    run, images, tmp_path, monkeypatch
):
    target = tmp_path / "saved_model/1"

    def meanwhile(*_):
        target.mkdir()
        (target / "saved_model.pb").write_text("mine")
        return {}

    monkeypatch.setattr(checks, "check_saved_model", meanwhile)
    with pytest.raises(UserError, match="is not replaced"):
        export(ExportConfig(model=run, output=str(tmp_path), formats=("saved_model",)), images)
    assert contents(tmp_path) == {"saved_model/1/saved_model.pb": b"mine"}


@pytest.mark.parametrize("channels", [1, 3])
def test_images_are_read_as_the_network_takes_them(channels, make_images, tmp_path):
    """Gray networks met the color photographs of the default set, and the reverse."""
    model = str(make_run(tmp_path / "run", preset="dncnn_tiny", channels=channels)[0])
    folder = make_images("photos", ["a.png"], (24, 31), channels=4 - channels)
    images = find_dataset("folder", folder, channels=4 - channels)
    config = ExportConfig(
        model=model, output=str(tmp_path / "out"), formats=("tflite_float32", "saved_model")
    )
    assert export(config, images) == 0


def test_networks_that_are_told_the_level_are_timed_too(images, tmp_path):
    build_variables(FFDNet(3, 4)).save(tmp_path / "told.keras")
    output = tmp_path / "out"
    config = ExportConfig(
        model=str(tmp_path / "told.keras"), output=str(output), formats=("tflite_float32",)
    )
    assert export(config, images) == 0
    card = json.loads((output / "told_float32.json").read_text())
    assert set(card["inputs"]["serving_default"]) == {"images", "sigma"} and card["latency_ms"]


def test_what_cannot_be_exported_is_said_in_a_line(run, images, tmp_path):
    inputs = keras.Input((None, None, 3))
    foreign = keras.Model(inputs, keras.layers.Conv2D(3, 3, padding="same")(inputs))
    foreign.save(tmp_path / "foreign.keras")
    config = ExportConfig(
        model=str(tmp_path / "foreign.keras"), output=str(tmp_path), formats=("tflite_float32",)
    )
    with pytest.raises(UserError, match="how far this network looks is unknown"):
        export(config, images)
    without = SimpleNamespace(**{**vars(images), "has_clean": False})
    config = ExportConfig(model=run, output=str(tmp_path), formats=("saved_model",))
    with pytest.raises(UserError, match="has no clean images"):
        export(config, without)


def test_pairs_are_measured_with_their_own_noise(run, images, tmp_path, capsys):
    noisy = [np.clip(images.load(i).astype(int) + 9, 0, 255).astype(np.uint8) for i in range(2)]
    pairs = SimpleNamespace(**{**vars(images), "noisy": noisy.__getitem__})
    formats = ("tflite_float32",)
    found = []
    for sigma in (25.0, 50.0):
        config = ExportConfig(model=run, output=str(tmp_path), formats=formats, sigma=sigma)
        assert export(config, pairs) == 0
        assert "on two, real noise" in capsys.readouterr().out
        found.append(json.loads((tmp_path / "gradnet_tiny_float32.json").read_text())["quality"])
    assert found[0] == found[1] and found[0]["sigma"] is None


def test_work_that_ended_before_the_card_can_be_repeated(run, images, tmp_path, monkeypatch):
    """Also where the file is the first of its name."""
    config = ExportConfig(model=run, output=str(tmp_path), formats=("tflite_float32",))

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tflite_module, "write_card", killed)
        with pytest.raises(KeyboardInterrupt):
            export(config, images)
    assert (tmp_path / "gradnet_tiny_float32.tflite").is_file()
    assert export(config, images) == 0
    card = json.loads((tmp_path / "gradnet_tiny_float32.json").read_text())
    assert card["sha256"] == sha256_of(tmp_path / card["file"]) and "announced" not in card


def test_an_artifact_of_other_weights_is_replaced_with_a_note(run, images, tmp_path, capsys):
    other = str(make_run(tmp_path / "other", sigma=(10.0, 30.0), gain=0.5)[0])
    output = tmp_path / "out"
    for model in (run, run, other):
        config = ExportConfig(model=model, output=str(output), formats=("tflite_float32",))
        capsys.readouterr()
        assert export(config, images) == 0
        noted = "replaces what was exported from other weights" in capsys.readouterr().err
        assert noted == (model == other)


def test_auto_is_no_network(images, tmp_path):
    with pytest.raises(UserError, match="a file holds one network.\nName it"):
        export(ExportConfig(model="auto", output=str(tmp_path)), images)


def test_the_licence_of_a_preset_folder_is_that_of_its_card(images, tmp_path):
    GradNet.from_preset("gradnet_small_color_s25").save_to_preset(tmp_path / "mine")
    denoiser = load_denoiser(str(tmp_path / "mine"), runtime="keras")
    assert artifact.licence_of(denoiser, "mine").startswith("non-commercial")


def test_all_files_are_of_the_weights_that_were_loaded_first(run, images, tmp_path, monkeypatch):
    """A training may replace them meanwhile; the card would not say so."""
    loaded = []

    def once(*arguments, **more):
        loaded.append(arguments[0])
        if len(loaded) > 1:
            raise AssertionError("loaded again")
        return load_denoiser(*arguments, **more)

    monkeypatch.setattr("gradnet_tf.denoiser.load_denoiser", once)
    config = ExportConfig(model=run, output=str(tmp_path), formats=("tflite_float32",))
    assert export(config, images) == 0
    assert loaded == [run]


def test_8_bits_of_a_network_that_normalizes_are_refused_before_the_work(images, tmp_path):
    network = build_variables(GradNet(DnCNN(3, 8), 8, 1, 1, batch_norm=True))
    network.save(tmp_path / "normalizes.keras")
    config = ExportConfig(
        model=str(tmp_path / "normalizes.keras"),
        output=str(tmp_path / "out"),
        formats=("tflite_float32", "tflite_int8"),
    )
    with pytest.raises(UserError, match=r"Received: GradNet with normalization(.|\n)*out int8"):
        export(config, images)
    assert not list((tmp_path / "out").glob("*.tflite"))


@pytest.mark.parametrize("version", [0, -1, 2**63])
def test_versions_that_tf_serving_cannot_name_are_refused(version):
    with pytest.raises(UserError, match="--version: expected a number from 1 to 9223372036"):
        ExportConfig("out", version=version)
    assert ExportConfig("out", version=2**63 - 1).version == 2**63 - 1


def test_a_version_whose_export_was_killed_before_its_card_stays_ours(tmp_path):
    source = {"kind": "run", "trained_sigma": None, "preset": "p", "run": "r", "sha256": "s"}
    network = SimpleNamespace(receptive_radius=3)
    denoiser = SimpleNamespace(source=source, model=network, parameters=1)
    job = SimpleNamespace(
        config=SimpleNamespace(model="m"), denoiser=denoiser, name="p", output=tmp_path
    )

    def make(version, is_killed=False):
        file, card = artifact.places("p", "saved_model", version)
        folder = tmp_path / file
        folder.mkdir(parents=True)
        (folder / "saved_model.pb").write_text(str(version))
        sha256 = sha256_of_folder(folder)
        folder.rename(tmp_path / "finished")
        artifact.claim_place(tmp_path, file, card, sha256)
        (tmp_path / "finished").rename(folder)
        if not is_killed:
            artifact.write_card(job, tmp_path / card, file, sha256, "saved_model", {}, {}, {})

    make(1)
    make(2, is_killed=True)
    make(3)
    for version in (1, 2, 3):
        artifact.require_own_artifact(tmp_path, *artifact.places("p", "saved_model", version))
    (tmp_path / "saved_model/2/saved_model.pb").write_text("mine")
    with pytest.raises(UserError, match="not a result of this command"):
        artifact.require_own_artifact(tmp_path, *artifact.places("p", "saved_model", 2))
