"""`python -m datasets`: every defect of a folder is found, named and told by the exit code."""

import re

import cv2
import numpy as np
import pytest

from datasets.__main__ import main
from datasets.commands.check import check_set, find_shift, shows_same_scene
from datasets.sets.catalog import DATASETS
from gradnet_tf.images.image_files import read_image, write_image


def scene(seed, height=96, width=128):
    """A smooth random picture, uint8."""
    rough = np.random.default_rng(seed).uniform(0, 255, (12, 16, 3)).astype(np.float32)
    smooth = cv2.resize(rough, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth, 0, 255).astype(np.uint8)


def noisy_of(clean, sigma=20, seed=0):
    noise = np.random.default_rng(seed).normal(0, sigma, clean.shape)
    return np.clip(clean + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def mine(tmp_path):
    """Three good pairs."""
    for number, name in enumerate("abc"):
        write_image(tmp_path / f"mine/clean/{name}.png", scene(number))
        write_image(tmp_path / f"mine/noisy/{name}.png", noisy_of(scene(number)))
    return tmp_path / "mine"


def run(capsys, *arguments):
    """Returns the exit code, standard output and standard error of a command."""
    code = main([str(argument) for argument in arguments])
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
    return code, printed.out, printed.err


def check(capsys, root, name="pairs"):
    return run(capsys, "check", name, f"--data_dir={root}")


def test_good_pairs_pass(mine, capsys):
    assert check(capsys, mine)[:2] == (0, "pairs: all (3) checked, no problems\n")


@pytest.mark.parametrize(
    ("defect", "words"),
    [
        ("missing", "unpaired: clean/b.png has no partner, or several"),
        ("renamed", "unpaired: noisy/other.png has no partner"),
        ("extra", "extra: note.png is neither noisy nor clean by name"),
        ("truncated", "unreadable: b.png: image file .*noisy/b.png is truncated"),
        ("corrupt", "unreadable: b.png: .*noisy/b.png is not an image"),
        ("empty", "unreadable: b.png: image file .*noisy/b.png is empty"),
        ("size", "sizes differ: b.png: clean and noisy are 96×128 and 90×128 pixels"),
        ("shifted", r"misaligned: b.png: the noisy image looks \+3 pixels down and -2 right"),
        ("other scene", "different scenes: b.png: noisy and clean do not look alike"),
    ],
)
def test_each_defect_is_found_alone(mine, capsys, defect, words):
    path = mine / "noisy/b.png"
    data, image = path.read_bytes(), read_image(path)
    if defect == "missing":
        path.unlink()
    elif defect == "renamed":
        path.rename(mine / "noisy/other.png")
    elif defect == "extra":
        write_image(mine / "note.png", image)
    elif defect in ("truncated", "corrupt", "empty"):
        path.write_bytes({"truncated": data[:900], "corrupt": b"<html>", "empty": b""}[defect])
    else:
        changed = {
            "size": image[:90],
            "shifted": np.roll(image, (3, -2), (0, 1)),
            "other scene": noisy_of(scene(7)),
        }
        write_image(path, changed[defect])
    code, printed, _ = check(capsys, mine)
    assert code == 1
    lines = printed.splitlines()
    wrong = 2 if defect == "renamed" else 1
    assert len(lines) == wrong + 1, printed
    assert any(re.match(words, line) for line in lines), printed
    assert lines[-1].endswith(f"checked, {wrong} problem{'s' if wrong > 1 else ''}")


@pytest.mark.parametrize("content", [b"<html>", b"", b"P6 18000 18000 255\n"])
def test_clean_images_that_cannot_be_read_are_findings(mine, capsys, content):
    for folder, name in ((mine / "clean", "pairs"), (mine / "clean", "folder")):
        (folder / "b.png").write_bytes(content)
        root = mine if name == "pairs" else folder
        code, printed, error = check(capsys, root, name)
        assert code == 1 and "Traceback" not in error
        assert re.match(r"unreadable: b\.png: .*clean/b\.png ", printed), printed
        assert printed.splitlines()[-1].endswith(" 1 problem")


def test_what_cannot_be_looked_at_is_an_error(tmp_path, capsys, make_images):
    code, printed, error = check(capsys, tmp_path / "nowhere")
    assert (code, printed) == (2, "") and "nowhere does not exist" in error
    assert check(capsys, tmp_path, "imagenet")[0] == 2
    assert check(capsys, make_images("E", ["a.txt.png"]) / "..", "set12")[0] == 2
    with pytest.raises(SystemExit, match="2"):
        main(["chck"])
    capsys.readouterr()


def test_all_splits_of_ones_own_folder_are_checked(make_images, capsys):
    for split in ("train", "validation", "test"):
        folder = make_images(f"own/{split}", [f"{split}.png"])
        (folder / f"broken_{split}.png").write_bytes(b"no image")
    assert main(["check", "folder", f"--data_dir={folder.parent}"]) == 1
    printed = capsys.readouterr().out
    for split in ("train", "validation", "test"):
        assert f"broken_{split}.png" in printed, printed
    make_images("plain", ["a.png"])
    assert main(["check", "folder", f"--data_dir={folder.parent.parent / 'plain'}"]) == 0
    assert "all (1) checked" in capsys.readouterr().out


def test_a_test_set_with_a_missing_and_a_foreign_file(make_images, capsys):
    names = [f"{number:02d}.png" for number in range(1, 12)] + ["holiday.png"]
    root = make_images("D/set12", names, channels=1).parent
    code, printed, _ = check(capsys, root, "set12")
    assert code == 1 and "holiday.png is not named like the files of Set12" in printed
    (root / "set12/holiday.png").unlink()
    code, printed, _ = check(capsys, root, "set12")
    assert code == 1 and "number of images: test has 12 images, but 11 were found" in printed


def test_a_test_image_in_a_training_set_is_found(tmp_path, capsys, data_dir):
    image = read_image(data_dir / "cbsd68/101085.png")
    write_image(tmp_path / "mine/renamed.png", image)
    write_image(tmp_path / "mine/other.png", scene(1))
    code, printed, _ = check(capsys, tmp_path / "mine", "folder")
    assert code == 1 and "renamed.png is 101085 of BSD68/CBSD68" in printed


def test_what_is_published_misaligned_is_a_note(tmp_path, data_dir):
    for kind in ("noisy", "reference", "clean"):
        name = f"batch17_{kind}.png"
        write_image(tmp_path / "renoir" / name, read_image(data_dir / "renoir_512" / name))
    found = check_set("renoir", tmp_path, "with_misaligned").findings
    assert [(finding.kind, finding.is_problem) for finding in found] == [
        ("number of images", True),
        ("misaligned", False),
    ]


def test_shifts_are_measured_through_noise():
    clean = scene(3, 200, 240)
    for down, right in ((0, 0), (1, 0), (-4, 6), (20, -17)):
        shift = find_shift(noisy_of(np.roll(clean, (down, right), (0, 1))), clean)
        assert (shift.down, shift.right) == (down, right)
        assert shift.is_misaligned == ((down, right) != (0, 0))
    assert shows_same_scene(noisy_of(clean, 60), clean)
    assert not shows_same_scene(noisy_of(scene(4, 200, 240)), clean)


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (8, 8)])
def test_small_and_plain_images_are_not_judged(size):
    plain = np.full((*size, 3), 100, np.uint8)
    assert not find_shift(noisy_of(plain), plain).is_misaligned
    assert shows_same_scene(noisy_of(plain, 5), plain)


def test_list_names_every_set_and_counts_what_is_there(make_images, capsys):
    root = make_images("D/set12", ["01.png"], channels=1).parent
    code, printed, _ = run(capsys, "list", f"--data_dir={root}")
    rows = {line.split()[0]: line for line in printed.splitlines()[1:]}
    assert code == 0 and set(rows) == set(DATASETS)
    assert rows["set12"].endswith("1 of 12") and rows["kodak24"].endswith("–")


@pytest.mark.parametrize("name", DATASETS)
def test_info_tells_all_that_is_known(name, capsys):
    code, printed, _ = run(capsys, "info", name.upper())
    info = DATASETS[name]
    assert code == 0
    for text in (info.origin, info.how_to_get, info.citation, info.protocol.compares_with):
        assert text in printed


def test_prepare_makes_shards_once_of_pairs_too_and_of_no_test_set(make_images, tmp_path, capsys):
    root = make_images("mine", [f"{number}.png" for number in range(4)])
    command = ("prepare", "folder", f"--data_dir={root}", f"--prepared_dir={tmp_path / 'p'}")
    code, printed, _ = run(capsys, *command)
    assert code == 0 and "3 images" in printed
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "p").rglob("*")}
    code, printed, _ = run(capsys, *command)
    assert code == 0 and "nothing to do" in printed
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "p").rglob("*")}
    names = [f"{kind}/{number}.png" for kind in ("noisy", "clean") for number in range(3)]
    root = make_images("pairs", names)
    command = ("prepare", "pairs", f"--data_dir={root}", f"--prepared_dir={tmp_path / 'p'}")
    code, printed, _ = run(capsys, *command)
    assert code == 0 and "2 images" in printed
    code, _, error = run(capsys, "prepare", "cbsd68", "--prepared_dir=p")
    assert code == 2 and "is a test set" in error
