"""The `gradnet` command: what it writes, what it says, and its exit codes."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
from denoise_case import gradnet, names, read

import gradnet_tf
from gradnet_tf import weights
from gradnet_tf.cli import denoise_files, denoise_plan
from gradnet_tf.denoiser import load_denoiser


@pytest.fixture
def photos(tmp_path):
    """A folder with a colour PNG, a JPEG and a grey PNG."""
    folder = tmp_path / "photos"
    folder.mkdir()
    random = np.random.default_rng(0)
    cv2.imwrite(str(folder / "a.png"), random.integers(0, 256, (31, 24, 3), dtype=np.uint8))
    cv2.imwrite(str(folder / "b.jpg"), random.integers(0, 256, (20, 33, 3), dtype=np.uint8))
    cv2.imwrite(str(folder / "grey.png"), random.integers(0, 256, (9, 17), dtype=np.uint8))
    return folder


def test_a_folder_is_denoised_file_by_file(photos, tmp_path, run, capsys):
    output = tmp_path / "new" / "out"
    assert gradnet("denoise", photos, "--output", output, "--model", run) == 0
    assert names(output) == ["a.png", "b.jpg", "grey.png"]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 and all("megapixels/s" in line for line in lines[:3])
    assert lines[3].startswith("3 written, 0 skipped, 0 failed")
    denoiser = load_denoiser(run)
    colour = denoiser(read(photos / "a.png")[..., ::-1])
    np.testing.assert_array_equal(read(output / "a.png"), colour[..., ::-1])
    assert np.abs(colour.astype(int) - read(photos / "a.png")[..., ::-1]).max() > 5
    # Grey in, grey out: replicated for the colour model and averaged.
    grey = denoiser(read(photos / "grey.png")[..., None])
    np.testing.assert_array_equal(read(output / "grey.png"), grey[..., 0])
    assert read(output / "b.jpg").shape == (20, 33, 3)


def test_no_noise_is_added(photos, tmp_path, run):
    """Strength 0 gives the pixels back, so nothing but the network changes them."""
    inputs = [photos / "a.png", photos / "grey.png"]
    arguments = ["--output", tmp_path / "out", "--model", run, "--strength", "0"]
    assert gradnet("denoise", *inputs, *arguments) == 0
    for path in inputs:
        np.testing.assert_array_equal(read(tmp_path / "out" / path.name), read(path))


def test_a_failed_file_does_not_stop_the_rest(photos, tmp_path, run, capsys):
    (photos / "aa.png").write_text("this is text")
    (photos / "zz.jpg").write_bytes((photos / "b.jpg").read_bytes()[:200])
    output = tmp_path / "out"
    assert gradnet("denoise", photos, "--output", output, "--model", run) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1].startswith("3 written, 0 skipped, 2 failed")
    failures = [line for line in printed.err.splitlines() if not line.startswith("note: ")]
    assert len(failures) == 2
    assert "aa.png is not an image" in failures[0] and "zz.jpg is truncated" in failures[1]
    assert not (output / "aa.png").exists() and not (output / "zz.jpg").exists()
    assert not list(output.glob(".partial*"))


def test_a_text_file_named_png_is_bad_input(tmp_path, capsys):
    """The files are read before the model loads: the model named here does not exist."""
    (tmp_path / "fake.png").write_text("this is text")
    arguments = ["--output", tmp_path / "out", "--model", "no_such_model"]
    assert gradnet("denoise", tmp_path / "fake.png", *arguments) == 2
    message = capsys.readouterr().err
    assert "fake.png is not an image: it begins with" in message
    assert not (tmp_path / "out").exists()


def test_a_missing_input_stops_before_anything_is_done(photos, tmp_path, run, capsys):
    arguments = ["--output", tmp_path / "out", "--model", run]
    assert gradnet("denoise", photos, tmp_path / "nothing.png", *arguments) == 2
    assert "nothing.png: no such file or folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_an_input_is_never_overwritten(photos, run, capsys):
    before = (photos / "a.png").read_bytes()
    for inputs in ([photos], [photos / "a.png"]):
        assert gradnet("denoise", *inputs, "--output", photos, "--model", run) == 2
        assert "inputs are never overwritten" in capsys.readouterr().err
    assert (photos / "a.png").read_bytes() == before


def test_a_link_to_the_input_folder_is_seen_through(photos, tmp_path, run):
    (tmp_path / "link").symlink_to(photos)
    assert gradnet("denoise", photos, "--output", tmp_path / "link", "--model", run) == 2


def test_two_inputs_of_one_name_are_refused(photos, tmp_path, run, capsys):
    other = tmp_path / "other"
    other.mkdir()
    (other / "a.png").write_bytes((photos / "a.png").read_bytes())
    assert gradnet("denoise", photos, other, "--output", tmp_path / "out", "--model", run) == 2
    assert "Denoise folders with equal file names one by one" in capsys.readouterr().err


def test_an_input_named_twice_is_denoised_once(photos, tmp_path, run, capsys):
    paths = [photos / "a.png", photos / "a.png"]
    assert gradnet("denoise", *paths, "--output", tmp_path / "out", "--model", run) == 0
    assert "1 written" in capsys.readouterr().out


def test_a_result_that_cannot_be_written_keeps_the_one_before(
    photos, tmp_path, run, capsys, monkeypatch
):
    output = tmp_path / "out"
    arguments = ["--output", output, "--model", run, "--overwrite"]
    assert gradnet("denoise", photos / "a.png", *arguments) == 0
    (output / "a.png").write_bytes(b"the result of yesterday")

    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full_disk)
    assert gradnet("denoise", photos / "a.png", *arguments) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert (output / "a.png").read_bytes() == b"the result of yesterday"
    assert {path.name for path in output.iterdir()} <= {"a.png", ".gradnet.json"}


def test_running_out_of_memory_fails_the_file_alone(photos, tmp_path, capsys):
    def denoiser(image):
        if image.shape[0] == 31:
            raise MemoryError("not enough memory for images of shape (31, 24, 3)")
        return image

    plan = denoise_plan.plan_jobs([str(photos)], str(tmp_path / "out"))
    assert denoise_files.denoise_files(plan, lambda _: denoiser) == 1
    printed = capsys.readouterr()
    assert "a.png: not enough memory" in printed.err
    assert "2 written, 0 skipped, 1 failed" in printed.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["denois"], "Did you mean denoise?"),
        (
            ["denoise", "a.png", "--outptu=o"],
            "Did you mean --output? (see: gradnet denoise --help)",
        ),
        (["denoise", "a.png"], "--output: expected a folder for the results. Received: nothing"),
        (["denoise", "a.png", "--output", "o", "--strength", "3"], r"expected a number in [0, 2]"),
        (["denoise", "a.png", "--output", "o", "--strength", "nan"], "Received: nan"),
        (["sharpen"], "invalid choice: 'sharpen'"),
    ],
)
def test_wrong_arguments_are_reported_in_one_line(arguments, words, capsys):
    assert gradnet(*arguments) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and words in message
    assert len(message.splitlines()) == 1


def test_the_command_alone_shows_its_help_and_names_its_version(capsys):
    assert gradnet() == 0
    assert "denoise photographs" in capsys.readouterr().out
    assert gradnet("--version") == 0
    assert capsys.readouterr().out == f"gradnet_tf {gradnet_tf.__version__}\n"


def test_o_is_short_for_output(photos, tmp_path):
    assert gradnet("denoise", photos / "a.png", "-o", tmp_path / "out", "--strength", "0") == 0
    assert (tmp_path / "out" / "a.png").is_file()


def test_quiet_prints_failures_and_nothing_else(photos, tmp_path, run, capsys):
    (photos / "broken.png").write_bytes(b"no picture")
    output = tmp_path / "out"
    assert gradnet("denoise", photos, "--output", output, "--model", run, "--quiet") == 1
    printed = capsys.readouterr()
    assert printed.out == "" and len(printed.err.splitlines()) == 1 and "broken.png" in printed.err
    assert names(output) == ["a.png", "b.jpg", "grey.png"]


def test_a_picture_is_not_written_to_a_terminal(photos, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert gradnet("denoise", "-") == 2
    assert "standard output is a terminal" in capsys.readouterr().err


def test_an_output_that_is_a_file_is_refused(photos, capsys):
    assert gradnet("denoise", photos / "a.png", "--output", photos / "b.jpg") == 2
    assert "expected a folder. Received: a file" in capsys.readouterr().err


def test_an_empty_folder_and_a_text_are_bad_input(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    assert gradnet("denoise", tmp_path / "in", "--output", tmp_path / "out") == 2
    assert "no images in this folder" in capsys.readouterr().err
    (tmp_path / "notes.txt").write_text("text")
    assert gradnet("denoise", tmp_path / "notes.txt", "--output", tmp_path / "out") == 2
    assert "notes.txt is not an image" in capsys.readouterr().err


def test_models_lists_the_weights_that_ship(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(weights, "FOLDER", tmp_path)
    assert gradnet("models") == 0
    assert "ships no weights" in capsys.readouterr().out
    card = {
        "name": weights.DEFAULT,
        "preset": "gradnet_small",
        "channels": 3,
        "sigma_min": 0,
        "sigma_max": 55,
        "parameters": 671164,
        "bytes": 2_700_000,
        "scores": {"cbsd68": {"25": 29.104}},
    }
    (tmp_path / f"{weights.DEFAULT}.json").write_text(json.dumps(card))
    (tmp_path / f"{weights.DEFAULT}.weights.h5").write_bytes(b"")
    assert gradnet("models") == 0
    table = capsys.readouterr().out
    for cell in (f"{weights.DEFAULT}*", "671,164", "2.7 MB", "0-55", "cbsd68 at 25: 29.10"):
        assert cell in table


def test_models_with_a_name_prints_its_card(capsys):
    """The card of every set of weights that ships, with all that a user has to know."""
    for card in weights.list_weights():
        assert gradnet("models", card["name"]) == 0
        text = capsys.readouterr().out
        assert max(map(len, text.splitlines())) <= 100 or "http" in text
        said = " ".join(text.split())
        for sentence in [*card["limits"], card["terms"], card["licence"], card["sha256"]]:
            assert " ".join(sentence.split()) in said
        for values in card["scores"].values():
            for sigma, psnr in values.items():
                level = "(real noise)" if sigma == "real" else f"at {sigma}"
                assert f"{psnr:.2f} {level}" in said
        for psnr in card["clean"].values():
            assert f"{psnr:.2f} dB to the originals" in said
        assert card["recipe"]["command"] in said and f"step {card['recipe']['steps']}" in said
    assert gradnet("models", "default") == 0
    assert capsys.readouterr().out.startswith(weights.DEFAULT + "\n")
    assert gradnet("models", "gradnet_tiny") == 0
    assert capsys.readouterr().out.startswith("gradnet_tiny_color_blind\n")


def test_models_with_an_unknown_name_lists_what_ships(capsys):
    for name in ("gradnet_huge", "gradnet", "../weights/gradnet_tiny_color_blind"):
        assert gradnet("models", name) == 2
        message = capsys.readouterr().err
        assert f"Received: {name}" in message and "gradnet_tiny_color_blind" in message


def test_models_default_prints_the_name_alone(capsys):
    assert gradnet("models", "--default") == 0
    assert capsys.readouterr().out == f"{weights.DEFAULT}\n"


def test_the_command_as_a_process(photos, tmp_path):
    """No traceback, exit code 2, and TensorFlow is not even imported for a wrong argument."""
    command = [sys.executable, "-X", "importtime", "-m", "gradnet_tf", "denoise"]
    done = subprocess.run(
        [*command, str(photos / "missing.png"), "--output", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    said = [line for line in done.stderr.splitlines() if not line.startswith("import time:")]
    assert done.returncode == 2
    assert said == [f"error: {photos / 'missing.png'}: no such file or folder."]
    assert " tensorflow\n" not in done.stderr and " keras\n" not in done.stderr


def test_an_output_that_cannot_be_made_is_reported_before_the_model_loads(photos, tmp_path, capsys):
    (tmp_path / "file").write_text("x")
    output = tmp_path / "file" / "out"
    assert gradnet("denoise", photos, "--output", output, "--model", "no_such_model") == 2
    assert "cannot be created" in capsys.readouterr().err
