"""DIV2K, Flickr2K and WED: their folders, and the images held out where none are published so."""

import pytest

from datasets.sets.catalog import find_dataset, find_training_sets
from gradnet_tf.utils.errors import UserError


def test_div2k_has_its_own_validation_folder(make_images, capsys):
    make_images("D/DIV2K/DIV2K_train_HR", ["0001.png", "0002.png"])
    root = make_images("D/DIV2K/DIV2K_valid_HR", ["0801.png"]).parents[1]
    for place in (root, root / "DIV2K", root / "DIV2K/DIV2K_train_HR"):
        training, validation = find_training_sets("div2k", place)
        assert (training.names, validation.names) == (["0001.png", "0002.png"], ["0801.png"])
    assert "note: DIV2K train has 800 images, but 2 were found" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "folder", "file", "below"),
    [
        ("flickr2k", "Flickr2K/Flickr2K_HR", "{:06d}.png", True),
        ("flickr2k", "flickr2k", "{:06d}.png", True),
        ("wed", "WED/pristine_images", "{:05d}.bmp", True),
        ("wed", "anything", "{:05d}.bmp", False),
    ],
)
def test_sets_without_one_hold_out_evenly_spaced_images(
    make_images, tmp_path, name, folder, file, below
):
    names = [file.format(number) for number in range(1, 41)]
    place = make_images(folder, names, size=(4, 4))
    root = tmp_path if below else place
    training, validation = find_training_sets(name, root)
    assert validation.names == [names[10], names[30]]
    assert sorted(training.names + validation.names) == names
    assert find_dataset(name, root, "all").names == names


def test_an_empty_folder_is_named(make_images, tmp_path):
    (tmp_path / "D/DIV2K/DIV2K_train_HR").mkdir(parents=True)
    words = "DIV2K has no images in a subfolder DIV2K_train_HR.\nTo get it: unpack"
    with pytest.raises(UserError, match=words):
        find_dataset("div2k", tmp_path / "D", "train")
    with pytest.raises(UserError, match="dataset wed is not in"):
        find_dataset("wed", make_images("E", ["cat.png"]))
