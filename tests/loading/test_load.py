"""`--model=` is resolved in one place: paths by their content, then names; wrong ones are told."""

import json
import shutil

import numpy as np
import pytest
from tiny_run import make_run, tiny_model

from gradnet_tf import weights
from gradnet_tf.denoiser import load_denoiser
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import sha256_of

IMAGES = np.random.default_rng(2).normal(0.5, 0.3, (1, 23, 18, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("runs") / "my_run")


@pytest.fixture(scope="module")
def expected(run):
    return np.clip(np.asarray(run[1](IMAGES)), 0, 1)


@pytest.fixture
def shipped(tmp_path, monkeypatch, run):
    """A weights folder in which gradnet_tiny_color_blind ships and is the default."""
    folder = tmp_path / "weights"
    folder.mkdir()
    name = "gradnet_tiny_color_blind"
    run[1].save_weights(folder / f"{name}.weights.h5")
    card = {
        "name": name,
        "preset": "gradnet_tiny",
        "channels": 3,
        "sha256": sha256_of(folder / f"{name}.weights.h5"),
    }
    (folder / f"{name}.json").write_text(json.dumps(card))
    monkeypatch.setattr(weights, "FOLDER", folder)
    monkeypatch.setattr(weights, "DEFAULT", name)
    return folder


def fails(spec, words, precision="float32", flag="model"):
    with pytest.raises(UserError, match=words) as caught:
        load_denoiser(str(spec), precision, flag)
    assert str(caught.value).startswith(f"--{flag}={spec}: ")
    # What was given is named once.
    assert str(caught.value).count(f"{spec}: ") == 1
    message = str(caught.value)
    assert len(message.splitlines()) <= 3
    return message


def test_a_run_means_its_best_weights(run, expected):
    denoiser = load_denoiser(str(run[0]))
    np.testing.assert_allclose(denoiser.denoise(IMAGES), expected, atol=1e-5)
    assert denoiser.name == "my_run"
    best = run[0] / "best" / "step-00000007.weights.h5"
    assert denoiser.source == {
        "kind": "run",
        "path": str(best),
        "preset": "gradnet_tiny",
        "sha256": sha256_of(best),
        "run": str(run[0]),
        "trained_sigma": None,
        "runtime": None,
        "precision": None,
        "camera": None,
    }


def test_precision_rebuilds_the_network_and_keeps_float32_weights(run, expected):
    denoiser = load_denoiser(str(run[0]), "mixed_bfloat16")
    assert denoiser.model.dtype_policy.name == "mixed_bfloat16"
    assert {str(weight.dtype) for weight in denoiser.model.weights} == {"float32"}
    found = denoiser.denoise(IMAGES)
    assert found.dtype == np.float32
    difference = np.abs(found - expected).max()
    assert 1e-5 < difference < 0.1  # another precision, the same network


def test_an_unknown_precision_is_refused(run):
    fails(run[0], "`precision` must be one of float32", precision="float8")


def test_damaged_weights_of_a_run_are_refused(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run[0], folder)
    best = folder / "best" / "step-00000007.weights.h5"
    best.write_bytes(best.read_bytes()[:-1] + b"\0\0")
    fails(folder, "damaged")


def test_a_run_without_best_weights_reports_it(tmp_path):
    (tmp_path / "config.json").write_text('{"preset": "gradnet_tiny", "channels": 3}')
    fails(tmp_path, "no best weights yet")


@pytest.mark.parametrize("text", ['{"preset": "unheard_of"}', "[]"])
def test_a_config_of_something_else_is_refused(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    fails(tmp_path, "does not name a preset")


def test_a_config_that_is_not_json_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{")
    fails(tmp_path, "not readable as JSON")


def test_weights_of_another_preset_are_refused(run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(run[0], folder)
    (folder / "config.json").write_text('{"preset": "dncnn_tiny", "channels": 3}')
    fails(folder, "the weights do not fit preset dncnn_tiny")


def test_a_keras_file(run, expected, tmp_path):
    run[1].save(tmp_path / "model.keras")
    denoiser = load_denoiser(str(tmp_path / "model.keras"))
    np.testing.assert_allclose(denoiser.denoise(IMAGES), expected, atol=1e-5)
    assert (denoiser.name, denoiser.source["kind"]) == ("model", "keras")
    assert denoiser.naive(IMAGES).shape == IMAGES.shape


def test_a_keras_file_saved_in_half_precision_comes_back_in_float32(run, expected, tmp_path):
    half = load_denoiser(str(run[0]), "mixed_bfloat16").model
    half.save(tmp_path / "half.keras")
    found = load_denoiser(str(tmp_path / "half.keras")).denoise(IMAGES)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    same = load_denoiser(str(tmp_path / "half.keras"), "mixed_bfloat16")
    assert same.model.dtype_policy.name == "mixed_bfloat16"


def test_a_float32_keras_file_does_not_become_half_precision(run, tmp_path):
    run[1].save(tmp_path / "model.keras")
    fails(tmp_path / "model.keras", "was saved in float32", precision="mixed_bfloat16")


def test_a_keras_file_of_another_network_is_refused(tmp_path):
    import keras

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.save(tmp_path / "other.keras")
    fails(tmp_path / "other.keras", "expected a denoiser of gradnet_tf. Received: Sequential")


def test_a_weights_name_an_architecture_and_default(shipped, expected):
    for spec in ("gradnet_tiny_color_blind", "gradnet_tiny", "default"):
        denoiser = load_denoiser(spec)
        assert denoiser.name == "gradnet_tiny_color_blind"
        assert denoiser.source["kind"] == "weights"
        np.testing.assert_allclose(denoiser.denoise(IMAGES), expected, atol=1e-5)


def test_exchanged_weights_are_refused(shipped):
    tiny_model(gain=1.0).save_weights(shipped / "gradnet_tiny_color_blind.weights.h5")
    fails("gradnet_tiny", "damaged or was replaced: its sha256 is")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("gradnet", "--preset=gradnet .*--sigma_min=0 --sigma_max=55"),
        ("gradnet_small_gray_s25", "--preset=gradnet_small .*--sigma=25 --channels=1"),
    ],
)
def test_weights_that_do_not_ship_name_the_command_that_trains_them(shipped, spec, words):
    assert "Shipped weights: gradnet_tiny_color_blind." in fails(spec, words)


@pytest.mark.parametrize("spec", ["gradnet_huge", "opencv_nlm2"])
def test_unknown_names_list_the_choices(shipped, spec):
    message = fails(spec, f"--model={spec}: no such file, folder or name")
    assert "gradnet_tiny_color_blind" in message and "gradnet_small" in message
    assert "Classical: bm3d, opencv_nlm." in message


def test_a_path_that_is_wrong_has_its_neighbours_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("net_float32.tflite", "net_int8.tflite", "run_1/config.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    for spec, near in (
        ("net_float23.tflite", "net_float32.tflite"),
        (f"{tmp_path}/other.tflite", f"{tmp_path}/net_float32.tflite, {tmp_path}/net_int8.tflite"),
        (f"{tmp_path}/run_2", f"{tmp_path}/run_1."),
    ):
        message = fails(spec, f"--model={spec}: no such file or folder.\nSimilar names there: ")
        assert near in message and "Architectures" not in message
    message = fails("no/such/run", "no such file or folder")
    assert message.endswith("There is no folder no/such either: give an existing path.")
    assert "has a similar name" in fails(f"{tmp_path}/xyz.mat", "no such file or folder")


def test_an_empty_model_is_refused():
    with pytest.raises(UserError, match="^--model: expected a path or a name. Received: ''"):
        load_denoiser("")


@pytest.mark.parametrize("spec", ["unheard_of", "tests", "README.md"])
def test_a_message_names_the_flag_that_was_given(spec):
    fails(spec, f"--init_from={spec}: ", flag="init_from")


@pytest.mark.parametrize("name", ["a.keras", "a.tflite", "a.pth", "a.mat", "a"])
def test_an_empty_file_is_called_empty(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    fails(tmp_path / name, "the file is empty")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.keras", "not a valid .keras file: it begins with b'# Some "),
        ("a.pth", "not a PyTorch file: it begins with b'# Some t', not as an archive"),
    ],
)
def test_a_text_file_under_another_name_is_reported(tmp_path, name, words):
    (tmp_path / name).write_text("# Some text")
    fails(tmp_path / name, words)


@pytest.mark.parametrize("name", ["model.h5", "photo.png"])
def test_other_kinds_of_files_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"something else")
    message = fails(tmp_path / name, "this kind of file is not supported")
    assert ".keras" in message and ".tflite" in message


def test_weights_alone_are_refused_with_a_hint(run):
    best = run[0] / "best" / "step-00000007.weights.h5"
    fails(best, "give the run folder instead")


def test_a_folder_of_something_else_is_refused(tmp_path):
    fails(tmp_path, "neither config.json .* nor saved_model.pb")


def test_a_folder_with_a_broken_saved_model_is_refused(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"\xff\xff")
    fails(tmp_path, "the SavedModel does not load")


def test_a_broken_tflite_file_is_refused(tmp_path):
    (tmp_path / "a.tflite").write_bytes(b"\x10\0\0\0TFL3" + bytes(20))
    fails(tmp_path / "a.tflite", "the file does not load")
