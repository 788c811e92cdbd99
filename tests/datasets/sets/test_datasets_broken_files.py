"""Broken folders as a person meets them in evaluate.py: a message, exit code 2, no traceback.

Each is told before any model is loaded, and nothing is written.
"""

import numpy as np
import pytest
from script_case import exit_code, loaded_script

from gradnet_tf.images.image_files import read_image, write_image

SET12 = [f"{number:02d}.png" for number in range(1, 13)]


@pytest.fixture
def evaluate(capsys, tmp_path, monkeypatch):
    """Runs evaluate.py up to the loading of the model; returns exit code and messages."""

    def never(*_):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("gradnet_tf.denoiser.load_denoiser", never)

    def call(dataset, data_dir):
        output = tmp_path / "out"
        flags = [f"--dataset={dataset}", f"--data_dir={data_dir}", f"--output={output}"]
        code = exit_code(loaded_script("evaluate"), "--model=gradnet_tiny", *flags)
        assert not output.exists()
        error = capsys.readouterr().err
        assert "Traceback" not in error
        return code, error

    return call


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "05.png is empty (0 bytes)"),
        (b"<html>404</html>", "05.png is not an image: it begins with b'<html>404</h"),
        (b"\x89PNG\r\n\x1a\n" + bytes(40), "05.png is truncated"),
        (None, "05.png is truncated: its end is missing after 600 bytes"),
        (bytes(600), "05.png is not an image"),
    ],
)
def test_a_broken_file_is_named(evaluate, make_images, content, words):
    folder = make_images("D/set12", SET12, channels=1)
    path = folder / "05.png"
    path.write_bytes(path.read_bytes()[:600] if content is None else content)
    code, error = evaluate("set12", folder.parent)
    assert code == 2 and words in error


def test_a_16_bit_file_is_named(evaluate, make_images):
    import cv2

    folder = make_images("D/mcmaster", ["1.tif"])
    cv2.imwrite(str(folder / "2.tif"), np.zeros((8, 8, 3), np.uint16))
    code, error = evaluate("mcmaster", folder.parent)
    assert code == 2 and "2.tif is 16-bit; expected 8 bits" in error


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("missing", "no partner, or several: b_mean.png."),
        ("renamed", "no partner, or several: b_mean.png, x_real.png."),
        ("doubled", "no partner, or several: b_mean.png, b_real.jpg, b_real.png."),
        ("resized", "the clean and the noisy image of b.png have different sizes: 24×32 and 20×32"),
        ("damaged", "b_real.png is truncated"),
    ],
)
def test_pairs_that_do_not_fit_are_named(evaluate, make_images, change, words):
    names = [f"{name}_{kind}.png" for name in "abc" for kind in ("real", "mean")]
    folder = make_images("mine", names)
    path = folder / "b_real.png"
    if change == "missing":
        path.unlink()
    elif change == "renamed":
        path.rename(folder / "x_real.png")
    elif change == "doubled":
        write_image(folder / "b_real.jpg", read_image(path))
    elif change == "resized":
        write_image(path, read_image(path)[:20])
    else:
        path.write_bytes(path.read_bytes()[:600])
    code, error = evaluate("pairs", folder)
    assert code == 2 and words in error


def test_missing_scenes_and_sets_are_named(evaluate, make_images, tmp_path):
    kinds = ("noisy", "reference")
    root = make_images("D/renoir", [f"batch31_{kind}.png" for kind in kinds]).parent
    code, error = evaluate("renoir", root)
    assert code == 2 and "lacks batch31_clean.png" in error
    for name in ("polyu", "cc15", "nam", "rni15", "urban100", "div2k", "flickr2k", "wed"):
        code, error = evaluate(name, tmp_path)
        assert code == 2 and f"dataset {name} is not in" in error and "To get it: " in error


def test_extra_and_missing_files_of_a_known_set_are_a_note(make_images, capsys):
    from datasets.sets.catalog import find_dataset

    folder = make_images("D/set12", [*SET12, "holiday.png"], channels=1)
    assert len(find_dataset("set12", folder)) == 13
    assert "Set12 test has 12 images, but 13 were found" in capsys.readouterr().err
    for name in ("holiday.png", "03.png"):
        (folder / name).unlink()
    assert len(find_dataset("set12", folder)) == 11
    assert "Set12 test has 12 images, but 11 were found" in capsys.readouterr().err
