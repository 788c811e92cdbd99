"""DND and NYUv2: MATLAB 7.3 files with their axes in reverse order."""

import h5py
import numpy as np
import pytest
import scipy.io
from matlab_case import new_hdf5, random_uint8, stamp, write_dnd, write_hdf5, write_nyuv2

from datasets.sets.catalog import find_dataset, find_training_sets
from gradnet_tf.utils.errors import UserError

# (top, left, bottom, right), from 1, inclusive: a corner, a line at the far edge, off the square.
BOXES = [[(1, 1, 16, 16), (40, 1, 40, 56)], [(3, 11, 20, 30), (25, 41, 40, 56)]]


@pytest.fixture
def dnd(tmp_path):
    return tmp_path, write_dnd(tmp_path / "dnd", BOXES)


def test_boxes_are_cut_as_matlab_counts_them(dnd):
    root, images = dnd
    found = find_dataset("dnd", root)
    assert found.names == ["0001_01", "0001_02", "0002_01", "0002_02"]
    assert not found.has_clean
    for index, (image, box) in enumerate(
        (image, box) for image, of_image in zip(images, BOXES, strict=True) for box in of_image
    ):
        expected = image[box[0] - 1 : box[2], box[1] - 1 : box[3]]
        np.testing.assert_array_equal(found.noisy_float(index), expected)
        np.testing.assert_array_equal(found.noisy(index), np.rint(expected * np.float32(255)))
    assert found.noisy_float(2).shape == (18, 20, 3) and found.noisy_float(2).dtype == np.float32
    assert find_dataset("DnD", root / "dnd").names == found.names
    assert find_dataset("dnd", root, channels=1).noisy(0).shape == (16, 16, 1)


def test_published_size_gives_1000_boxes(tmp_path, capsys):
    write_dnd(tmp_path, [[(1, 1, 2, 2)] * 20] * 50, (2, 2))
    assert len(find_dataset("dnd", tmp_path)) == 1000
    assert capsys.readouterr().err == ""


def test_wrong_dnd_files_are_named(dnd, tmp_path):
    root, images = dnd
    image, info = root / "dnd/images_srgb/0002.mat", root / "dnd/info.mat"

    def message():
        with pytest.raises(UserError) as caught:
            find_dataset("dnd", root)
        return str(caught.value)

    whole = image.read_bytes()
    image.write_bytes(whole[:-700])
    assert f"{image}: damaged, truncated or not a MATLAB file" in message()
    image.unlink()
    assert f"{image} is missing, but info.mat has boxes for it" in message()
    scipy.io.savemat(image, {"InoisySRGB": images[1]})
    assert f"{image}: expected the published file, of version 7.3" in message()
    write_hdf5(image, "Inoisy", images[1])
    assert "no variable InoisySRGB" in message()
    write_hdf5(image, "InoisySRGB", random_uint8((40, 56, 3)))
    assert "InoisySRGB is uint8 of shape (40, 56, 3); expected floating point" in message()
    write_hdf5(image, "InoisySRGB", images[1][:30])
    assert "has 30×56 pixels, but info.mat has a box of rows 25-40 and columns 41-56" in message()
    image.write_bytes(whole)
    kept = info.read_bytes()
    info.write_bytes(kept[:400])
    assert f"{info}: damaged, truncated or not a MATLAB file" in message()
    with new_hdf5(info) as file:
        file["info/other"] = 1
    stamp(info)
    assert "no cell array info.boundingboxes" in message()
    info.unlink()
    assert "no info.mat in" in message() and "noise.visinf" in message()


def test_values_that_are_not_numbers_are_refused(dnd):
    root, _ = dnd
    path = root / "dnd/images_srgb/0001.mat"
    with h5py.File(path, "r+") as file:
        file["InoisySRGB"][0, 0, 0] = np.nan
    found = find_dataset("dnd", root)
    with pytest.raises(UserError, match="0001.mat: .* contains NaN or infinite values"):
        found.noisy(0)
    found.noisy(1)


def test_nyuv2_splits_come_from_their_file(tmp_path, capsys):
    images = write_nyuv2(tmp_path / "nyuv2")
    test = find_dataset("nyuv2", tmp_path)
    assert test.split == "test" and test.names == ["0002", "0004", "0006"]
    assert test.load(1).shape == (48, 64, 3) and test.noisy(1) is None
    np.testing.assert_array_equal(test.load(1), images[3])
    assert find_dataset("nyuv2", tmp_path, "train").names == ["0001", "0003", "0005"]
    assert len(find_dataset("nyuv2", tmp_path / "nyuv2", "all")) == 6
    fit, validation = find_training_sets("nyuv2", tmp_path)
    assert sorted(fit.names + validation.names) == ["0001", "0003", "0005"]
    assert len(validation) == 1
    assert "NYUv2 test has 654 images, but 3 were found" in capsys.readouterr().err


def test_nyuv2_without_its_splits_reports_it_and_takes_all(tmp_path, capsys):
    write_nyuv2(tmp_path / "nyuv2", splits=None)
    found = find_dataset("nyuv2", tmp_path)
    assert (found.split, len(found)) == ("all", 6)
    assert "has no splits.mat, so the split into 795 and 654" in capsys.readouterr().err
    with pytest.raises(UserError, match="has no splits.mat, which defines the split train"):
        find_dataset("nyuv2", tmp_path, "train")


def test_wrong_nyuv2_files_are_named(tmp_path):
    path = tmp_path / "nyu_depth_v2_labeled.mat"
    for splits in (((1, 2), (2, 3)), ((1, 2), (3, 7)), ((0, 1), (2, 3))):
        write_nyuv2(tmp_path, splits=splits)
        with pytest.raises(UserError, match="trainNdxs and testNdxs overlap"):
            find_dataset("nyuv2", tmp_path)
    (tmp_path / "splits.mat").write_bytes(b"no MATLAB file")
    with pytest.raises(UserError, match="splits.mat: damaged"):
        find_dataset("nyuv2", tmp_path)
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(UserError, match="labeled.mat: damaged, truncated"):
        find_dataset("nyuv2", tmp_path)
    write_hdf5(path, "images", np.zeros((48, 64, 3, 6)))
    with pytest.raises(UserError, match=r"images is float64 of shape \(6, 3, 64, 48\); expected"):
        find_dataset("nyuv2", tmp_path)
    write_hdf5(path, "depths", np.zeros((48, 64, 6)))
    with pytest.raises(UserError, match="images is None of shape None; expected uint8"):
        find_dataset("nyuv2", tmp_path)


def test_a_folder_of_nyuv2_images_has_no_split_to_train_on(make_images):
    root = make_images("D/nyuv2_sample", ["b.png", "a.png"]).parent
    assert len(find_dataset("nyuv2", root)) == 2
    with pytest.raises(UserError, match="the split fit needs nyu_depth_v2_labeled.mat"):
        find_training_sets("nyuv2", root)
