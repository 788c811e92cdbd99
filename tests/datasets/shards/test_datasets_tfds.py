"""The TFDS builder gives the decoder's pixels, is made once, and leaves nothing half done."""

import numpy as np
import pytest

from datasets.sets.catalog import DATASETS, find_dataset
from gradnet_tf.images.image_files import write_image
from gradnet_tf.utils.errors import UserError

pytest.importorskip("tensorflow_datasets")

from datasets.shards.tfds_builder import DenoisingImages, open_tfds  # noqa: E402


def examples(builder, split):
    return {e["name"].decode(): e for e in builder.as_dataset(split=split).as_numpy_iterator()}


def test_the_sample_needs_no_folder(tmp_path):
    found = examples(open_tfds("sample", None, tmp_path / "new/p"), "test")
    assert sorted(found) == find_dataset("sample").names


def test_every_set_has_a_config():
    assert {config.name for config in DenoisingImages.BUILDER_CONFIGS} == set(DATASETS)


def test_pairs_come_back_as_they_are_decoded_and_are_prepared_once(make_images, tmp_path, capsys):
    names = [f"cc_{n}_{kind}.png" for n in range(3) for kind in ("real", "mean")]
    root = make_images("D/cc15", names).parent
    builder = open_tfds("cc15", root, tmp_path / "p")
    images = find_dataset("cc15", root)
    found = examples(builder, "test")
    assert sorted(found) == images.names
    for index, name in enumerate(images.names):
        np.testing.assert_array_equal(found[name]["clean"], images.load(index))
        np.testing.assert_array_equal(found[name]["noisy"], images.noisy(index))
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "p").rglob("*")}
    # The originals are not needed any more.
    assert sorted(examples(open_tfds("cc15", None, tmp_path / "p"), "test")) == images.names
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path / "p").rglob("*")}


def test_jpeg_goes_through_the_one_decoder_and_splits_are_kept(make_images, tmp_path):
    root = make_images("mine", [f"{n}.jpg" for n in range(4)])
    builder = open_tfds("folder", root, tmp_path / "p")
    assert set(builder.info.splits) == {"train", "validation"}
    images = find_dataset("folder", root, "validation")
    (example,) = examples(builder, "validation").values()
    np.testing.assert_array_equal(example["clean"], images.load(0))
    assert "noisy" not in example


def test_gray_sets_have_one_channel_and_rni15_no_clean_image(make_images, tmp_path, capsys):
    make_images("D/set12", ["01.png"], channels=1)
    root = make_images("D/rni15", ["Bears.png"]).parent
    (example,) = examples(open_tfds("set12", root, tmp_path / "p"), "test").values()
    assert example["clean"].shape == (24, 32, 1)
    (example,) = examples(open_tfds("rni15", root, tmp_path / "p"), "test").values()
    assert set(example) == {"name", "noisy"}


def test_what_is_missing_or_broken_is_named_and_leaves_nothing(make_images, tmp_path, capsys):
    with pytest.raises(UserError, match="urban100 is not in"):
        open_tfds("urban100", tmp_path, tmp_path / "p")
    with pytest.raises(UserError, match="needs --data_dir"):
        open_tfds("cc15", None, tmp_path / "p")
    root = make_images("D/set12", ["01.png", "02.png"], channels=1)
    (root / "02.png").write_bytes((root / "02.png").read_bytes()[:200])
    with pytest.raises(UserError, match="02.png is truncated"):
        open_tfds("set12", root.parent, tmp_path / "p")
    assert not list((tmp_path / "p").rglob("*.tfrecord*"))
    # Mended, the same command goes on.
    write_image(root / "02.png", np.zeros((8, 8, 1), np.uint8))
    assert len(examples(open_tfds("set12", root.parent, tmp_path / "p"), "test")) == 2
