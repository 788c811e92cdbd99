"""`gradnet noise`: text, JSON, and a page per photograph."""

import json
import shutil

import cv2
import numpy as np
import pytest

from gradnet_tf import weights
from gradnet_tf.cli import main as cli


def photo(path, sigma, side=160):
    y, x = np.mgrid[:side, :side]
    clean = np.stack([90 + 60 * np.sin(x / 60 + k) * np.cos(y / 50) for k in range(3)], -1)
    noise = np.random.default_rng(sigma).standard_normal(clean.shape) * sigma
    cv2.imwrite(str(path), np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8))
    return str(path)


@pytest.fixture
def photos(tmp_path):
    return [photo(tmp_path / "noisy.png", 20), photo(tmp_path / "clean.png", 0)]


def test_it_says_what_each_photograph_has(photos, capsys):
    assert cli.main(["noise", *photos]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{photos[0]}: white noise, σ ≈ ")
    assert lines[3] == f"  recommended: --model={weights.DEFAULT} --strength=1"
    assert lines[4:] == [
        f"{photos[1]}: clean: no noise to remove",
        "  recommended: leave it as it is",
    ]


def test_a_folder_means_its_photographs(photos, tmp_path, capsys):
    (tmp_path / "sub").mkdir()
    deep = photo(tmp_path / "sub" / "deep.png", 20)
    (tmp_path / "notes.txt").write_text("none")
    assert cli.main(["noise", "--json", str(tmp_path), photos[0]]) == 0
    found = [json.loads(line)["file"] for line in capsys.readouterr().out.splitlines()]
    assert found == [photos[1], photos[0], deep, photos[0]]
    (tmp_path / "none").mkdir()
    assert cli.main(["noise", str(tmp_path / "none")]) == 2
    assert "no images in this folder" in capsys.readouterr().err


def test_json_has_everything_one_line_per_photograph(photos, capsys):
    assert cli.main(["noise", "--json", *photos]) == 0
    noisy, clean = map(json.loads, capsys.readouterr().out.splitlines())
    assert noisy["file"] == photos[0] and noisy["kind"] == "white"
    assert noisy["sigma"] == pytest.approx(20, rel=0.1)
    assert clean["kind"] == "clean" and clean["model"] is None


def test_it_draws_a_page_per_photograph(photos, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    sheet = tmp_path / "sheet.png"
    assert cli.main(["noise", "--output", str(sheet), photos[0]]) == 0
    page = cv2.imread(str(sheet))
    assert page.shape[0] > 600 and page.shape[1] > 900 and page.std() > 20
    # Its own page is replaced; of several, each has its name.
    assert cli.main(["noise", "--output", str(sheet), *photos]) == 0
    names = {path.name for path in tmp_path.glob("sheet*")}
    assert names == {"sheet.png", "sheet_noisy.png", "sheet_clean.png"}
    capsys.readouterr()


def test_a_photograph_is_never_replaced_by_a_page(photos, capsys):
    assert cli.main(["noise", "--output", photos[1], photos[0]]) == 2
    assert "--output=" in capsys.readouterr().err
    assert cli.main(["noise", "--output", "sheet.jpg", photos[0]]) == 2
    assert "must be a file name that ends in .png" in capsys.readouterr().err


def test_pages_of_one_name_are_refused(photos, tmp_path, capsys):
    (tmp_path / "more").mkdir()
    other = photo(tmp_path / "more" / "noisy.png", 5)
    assert cli.main(["noise", "--output", str(tmp_path / "a.png"), photos[0], other]) == 2
    assert "two photographs would be drawn into" in capsys.readouterr().err


def test_the_others_go_on_where_one_cannot_be_read(photos, tmp_path, capsys):
    missing = str(tmp_path / "missing.jpg")
    assert cli.main(["noise", missing, photos[1]]) == 1
    captured = capsys.readouterr()
    assert "missing.jpg" in captured.err and "clean" in captured.out


def test_small_pictures_are_said_to_be_small(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    small = photo(tmp_path / "small.png", 20, 40)
    sheet = str(tmp_path / "sheet.png")
    assert cli.main(["noise", small, "--output", sheet]) == 0
    assert "too small to tell" in capsys.readouterr().out


def test_what_cannot_be_read_in_a_folder_is_a_failure(photos, tmp_path, capsys):
    (tmp_path / "x.png").symlink_to("nowhere.png")
    assert cli.main(["noise", "--json", str(tmp_path)]) == 1
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 2 and "failed: " in printed.err


def test_json_is_json_whatever_the_name(tmp_path, capsys):
    path = photo(tmp_path / "c\x7f\x85ä.png", 20)
    assert cli.main(["noise", "--json", path]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == path


@pytest.mark.parametrize("name", ["cost$^$x.png", "\udcff\udcfe.png"])
def test_a_page_has_any_name(tmp_path, name, capsys):
    pytest.importorskip("matplotlib")
    path = tmp_path / name
    try:
        shutil.copy(photo(tmp_path / "plain.png", 20), path)
    except (OSError, UnicodeError):
        pytest.skip("the file system does not take this name")
    assert cli.main(["noise", "--output", str(tmp_path / "sheet.png"), str(path)]) == 0
    assert cv2.imread(str(tmp_path / "sheet.png")) is not None


def test_a_name_that_is_too_long_does_not_stop_the_others(photos, capsys):
    assert cli.main(["noise", "x" * 300 + ".jpg", photos[1]]) == 1
    printed = capsys.readouterr()
    assert "xxx" in printed.err and "clean" in printed.out


def test_only_what_is_visible_is_measured(tmp_path, capsys):
    """The colors that an editor leaves behind transparent pixels are no part of a picture."""
    pixels = cv2.imread(photo(tmp_path / "noisy.png", 20, 320))
    alpha = np.zeros((*pixels.shape[:2], 1), np.uint8)
    alpha[100:260, 100:260] = 255
    cut = np.where(alpha > 0, pixels, 0).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "cut.png"), np.concatenate([cut, alpha], 2))
    cv2.imwrite(str(tmp_path / "visible.png"), pixels[100:260, 100:260])
    names = [str(tmp_path / name) for name in ("cut.png", "visible.png")]
    assert cli.main(["noise", "--json", *names]) == 0
    cut, visible = map(json.loads, capsys.readouterr().out.splitlines())
    assert cut["sigma"] == visible["sigma"] == pytest.approx(20, rel=0.15)


def test_its_own_sheets_are_no_photographs(photos, tmp_path, capsys):
    command = ["noise", str(tmp_path), "--output", str(tmp_path / "noise.png")]
    for _ in range(2):
        assert cli.main(command) == 0
        assert sorted(path.name for path in tmp_path.glob("*.png")) == [
            "clean.png",
            "noise_clean.png",
            "noise_noisy.png",
            "noisy.png",
        ]
