"""Finding sets: names, aliases, folders, splits and the words of the errors."""

import hashlib
import re

import numpy as np
import pytest
from script_case import exit_code, loaded_script

from datasets.sets import bsds500, sample
from datasets.sets.bsds500 import BSD68_IMAGES
from datasets.sets.catalog import DATASETS, find_dataset, find_training_sets, get_info
from gradnet_tf.images.image_files import read_image
from gradnet_tf.utils.errors import UserError


def _names(prefix, count, suffix=".png"):
    return [f"{prefix}{number:02d}{suffix}" for number in range(1, count + 1)]


@pytest.fixture
def fake_bsds500(make_images):
    """A BSDS500 of the right shape: two of the 68 in val, two validation images."""
    make_images("D/BSDS500/data/images/train", ["100075.jpg", "134052.jpg", "20069.jpg"])
    make_images("D/BSDS500/data/images/val", ["101085.jpg", "3096.jpg", "130014.jpg"])
    return make_images("D/BSDS500/data/images/test", ["8068.jpg"]).parents[3]


@pytest.mark.parametrize("folder", ["kodak24", "Kodak24", "kodak", "KODAK"])
def test_sets_are_found_under_their_aliases_in_any_case(make_images, folder):
    root = make_images(f"D/{folder}", _names("kodim", 24)).parent
    image_set = find_dataset("kodak24", root)
    assert (image_set.name, image_set.split, image_set.channels) == ("kodak24", "test", 3)
    assert image_set.names == _names("kodim", 24)
    assert image_set.load(3).shape == (24, 32, 3)
    assert image_set.noisy(3) is None


def test_the_set_is_known_by_an_alias_too(make_images):
    root = make_images("D/mcm", _names("", 18, ".tif")).parent
    assert find_dataset("McM", root).name == "mcmaster"


def test_the_folder_itself_is_taken_when_its_files_fit(make_images):
    folder = make_images("pictures", _names("kodim", 24))
    assert len(find_dataset("kodak24", folder)) == 24
    with pytest.raises(UserError, match="dataset set12 is not in --data_dir="):
        find_dataset("set12", folder)


def test_the_folder_itself_is_taken_when_it_is_called_like_the_set(make_images, capsys):
    folder = make_images("CBSD68", ["101085.png", "3096.png"])
    assert find_dataset("cbsd68", folder).names == ["101085.png", "3096.png"]
    assert "note: CBSD68 test has 68 images, but 2 were found" in capsys.readouterr().err


def test_the_right_count_gives_no_note(make_images, capsys):
    find_dataset("set12", make_images("D/Set12", _names("", 12), channels=1).parent)
    assert capsys.readouterr().err == ""


def test_gray_sets_are_gray_unless_asked_otherwise(make_images, capsys):
    root = make_images("D/bsd68", ["test001.png"], channels=1).parent
    assert find_dataset("bsd68", root).load(0).shape == (24, 32, 1)
    assert find_dataset("bsd68", root, channels=3).load(0).shape == (24, 32, 3)


def test_names_are_in_byte_order_and_max_images_takes_the_first(make_images):
    folder = make_images("mine", ["b.png", "a.png", "B.png", "a10.png"])
    assert find_dataset("folder", folder).names == ["B.png", "a.png", "a10.png", "b.png"]
    assert find_dataset("folder", folder, max_images=2).names == ["B.png", "a.png"]
    # Who is told of a cut set is told of how many, however often it was cut.
    assert find_dataset("folder", folder).available is None
    assert find_dataset("folder", folder, max_images=3).first(2).available == 4
    with pytest.raises(UserError, match="`max_images` must be at least 1. Received: max_images=0"):
        find_dataset("folder", folder, max_images=0)


def test_unknown_names_and_splits_list_the_known_ones(tmp_path):
    with pytest.raises(UserError, match="unknown dataset 'imagenet'") as error:
        find_dataset("imagenet", tmp_path)
    assert all(name in str(error.value) for name in DATASETS)
    with pytest.raises(UserError, match="dataset sample has no split 'val'") as error:
        find_dataset("sample", split="val")
    assert "`split` must be one of train, validation, test, all" in str(error.value)


def test_missing_folders_are_named_with_what_to_do(tmp_path):
    with pytest.raises(UserError, match="cbsd68 needs --data_dir.*\n.*copy CBSD68 from https"):
        find_dataset("cbsd68")
    nowhere = re.escape(str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=f"--data_dir={nowhere} does not exist"):
        find_dataset("cbsd68", tmp_path / "nowhere")
    with pytest.raises(UserError, match="Looked for a subfolder named kodak24 or Kodak or") as e:
        find_dataset("kodak24", tmp_path)
    assert str(tmp_path) in str(e.value) and "To get it: copy Kodak24" in str(e.value)
    assert len(str(e.value).splitlines()) <= 3


def test_empty_folders_are_named(tmp_path, make_images):
    (tmp_path / "CBSD68").mkdir()
    with pytest.raises(UserError, match="folder .*CBSD68 has no images"):
        find_dataset("cbsd68", tmp_path)
    with pytest.raises(UserError, match="folder .* has no images.\nExpected clean images"):
        find_dataset("folder", tmp_path / "CBSD68")
    make_images("outer/inner", ["a.png"])
    with pytest.raises(UserError, match=r"has no images \(there are images in .*inner\)"):
        find_dataset("folder", tmp_path / "outer")


def test_own_folder_gives_every_twentieth_image_to_validation(make_images):
    folder = make_images("mine", _names("p", 40))
    training, validation = find_training_sets("folder", folder)
    assert validation.names == ["p11.png", "p31.png"]
    assert len(training) == 38 and not set(training.names) & set(validation.names)
    assert len(find_training_sets("folder", folder, max_images=5)[0]) == 5


def test_own_subfolders_are_the_splits(make_images):
    make_images("mine/train", ["a.png", "b.png"])
    make_images("mine/test", ["t.png"])
    folder = make_images("mine/val", ["c.png"]).parent
    training, validation = find_training_sets("folder", folder)
    assert (training.names, validation.names) == (["a.png", "b.png"], ["c.png"])
    assert find_dataset("folder", folder, "test").names == ["t.png"]


def test_one_image_cannot_be_split(make_images):
    with pytest.raises(UserError, match="has one image; expected at least two"):
        find_training_sets("folder", make_images("mine", ["a.png"]))


@pytest.mark.parametrize("name", ["cbsd68", "bsd68", "set12", "kodak24", "mcmaster"])
def test_test_sets_are_refused_for_training(tmp_path, name):
    with pytest.raises(UserError, match=f"dataset {name} is a test set"):
        find_training_sets(name, tmp_path)


def test_bsds500_leaves_the_test_images_out(fake_bsds500, capsys):
    training, validation = find_training_sets("bsds500", fake_bsds500)
    assert training.names == ["100075.jpg", "130014.jpg", "8068.jpg"]
    assert validation.names == ["134052.jpg", "20069.jpg"]
    assert "note: BSDS500 train has 416 images, but 3 were found" in capsys.readouterr().err
    inside = fake_bsds500 / "BSDS500" / "data" / "images"
    assert find_dataset("bsds500", inside, "trainable").names == sorted(
        training.names + validation.names
    )


def test_bsds500_says_why_its_official_splits_are_not_there(fake_bsds500):
    with pytest.raises(UserError, match="no split 'val' here: .* contains the 68 test images"):
        find_dataset("bsds500", fake_bsds500, "val")


def test_bsds500_names_an_empty_subfolder(fake_bsds500):
    for path in (fake_bsds500 / "BSDS500/data/images/test").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="test has no images.\nExpected the test images of BSDS500"):
        find_dataset("bsds500", fake_bsds500)


def test_a_strangers_train_val_test_is_not_taken_for_bsds500(make_images):
    for split in ("train", "val", "test"):
        folder = make_images(f"mine/{split}", ["cat.png"]).parent
    with pytest.raises(UserError, match="dataset bsds500 is not in"):
        find_dataset("bsds500", folder)


def test_facts_are_complete_and_aliases_unique():
    seen = []
    for row in DATASETS.values():
        seen += {name.casefold() for name in (row.name, *row.aliases)}
    assert len(seen) == len(set(seen))
    for row in DATASETS.values():
        assert row.origin and row.how_to_get
        assert row.evaluation_split in row.splits
        assert row.role == ("test" if row.training_split is None else "train")
        assert row.name in ("folder", "pairs") or (row.terms and row.citation)
    assert get_info("KODAK").name == "kodak24"


def test_sample_splits_are_disjoint_and_complete():
    splits = {s: find_dataset("sample", split=s).names for s in ("train", "validation", "test")}
    names = [name for part in splits.values() for name in part]
    assert sorted(names) == find_dataset("sample", split="all").names
    assert splits["test"] == ["chelsea.png", "coffee.png"]
    assert find_dataset("sample").names == splits["test"]
    with_grey = find_dataset("sample", split="all", channels=1)
    assert "camera.png" in with_grey.names and "camera.png" not in names
    assert len({p.name for p in sample.PHOTOGRAPHS}) == len(sample.PHOTOGRAPHS)


def test_sample_photographs_all_ship_and_are_what_the_table_says():
    everything = find_dataset("sample", split="all", channels=1)
    color = {photograph.name: photograph.color for photograph in sample.PHOTOGRAPHS}
    for index, name in enumerate(everything.names):
        image = read_image(everything.paths[index], None)
        assert (image.shape[2] == 3) == color[name], name
        assert min(image.shape[:2]) >= 256 and image.std() > 10, name


def test_a_missing_sample_package_is_named(monkeypatch):
    monkeypatch.setattr(sample.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="ships inside scikit-image, which is not installed"):
        find_dataset("sample", split="test")


@pytest.mark.parametrize(
    ("name", "flags"),
    [("train", []), ("evaluate", []), ("export/__main__", ["--model=x", "--output=x"])],
)
def test_all_that_is_missing_is_told_at_once(name, flags, monkeypatch, capsys):
    absent, find = ("tensorflow", "jax", "skimage", "sklearn"), sample.importlib.util.find_spec
    script = loaded_script(name)
    monkeypatch.setattr(
        sample.importlib.util, "find_spec", lambda name: None if name in absent else find(name)
    )
    for dataset, missing in (
        ("sample", "tensorflow, scikit-image, scikit-learn"),
        ("bsds500", "tensorflow"),
    ):
        assert exit_code(script, f"--dataset={dataset}", *flags) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"error: not installed: {missing}.\nRun: pip install -r requirem")
        assert len(said.splitlines()) == 2


def test_validation_images_follow_their_rule(data_dir):
    listed = (data_dir / "bsds500" / "trainable_432.txt").read_text().split()
    numbers = [path.split("/")[1].removesuffix(".jpg") for path in listed]
    numbers.sort(key=lambda number: hashlib.sha256(number.encode()).hexdigest())
    assert bsds500.VALIDATION_IMAGES == set(numbers[:16])


def test_real_bsds500_has_432_trainable_images_and_none_of_the_68(data_dir, capsys):
    listed = (data_dir / "bsds500" / "trainable_432.txt").read_text().split()
    overlap = {
        line.split()[0].split("/")[1].removesuffix(".jpg")
        for line in (data_dir / "bsds500" / "overlap_with_bsd68.txt").read_text().splitlines()
        if not line.startswith("#")
    }
    assert overlap == set(BSD68_IMAGES)
    training, validation = find_training_sets("bsds500", data_dir)
    assert (len(training), len(validation)) == (416, 16)
    names = {*training.names, *validation.names}
    assert names == {path.split("/")[1] for path in listed}
    assert not {name.removesuffix(".jpg") for name in names} & overlap
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("name", "count"), [("cbsd68", 68), ("bsd68", 68), ("set12", 12)])
def test_real_test_sets_are_found(data_dir, capsys, name, count):
    image_set = find_dataset(name, data_dir)
    assert len(image_set) == count == len(find_dataset(name, data_dir / name))
    assert image_set.load(0).dtype == np.uint8
    assert capsys.readouterr().err == ""
