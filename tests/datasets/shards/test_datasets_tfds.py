"""The TFDS builder gives the decoder's pixels, is made once, and leaves nothing half done."""

import re
from pathlib import Path

import numpy as np
import pytest
from matlab_case import write_blocks, write_nyuv2, write_scenes

from datasets.sets.catalog import DATASETS, find_dataset
from gradnet_tf.images.image_files import write_image
from gradnet_tf.utils.errors import UserError

pytest.importorskip("tensorflow_datasets")

from datasets.shards.tfds_builder import DenoisingImages, open_tfds  # noqa: E402

PAGE = Path(__file__).parents[3] / "docs/datasets.md"


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


def test_the_documented_sequence_serves_nyuv2(tmp_path, capsys):
    images = write_nyuv2(tmp_path / "DATA/nyuv2", 8, ((1, 3, 5, 7), (2, 4, 6, 8)))
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    (code,) = (block for block in blocks if "tfds.load" in block)
    for name in ("DATA", "PREPARED"):
        code = code.replace(f'"{name}"', repr(str(tmp_path / name)))
    names: dict = {}
    exec(code, names)
    found = list(names["training"].as_numpy_iterator())
    assert len(found) == 3
    for example in found:
        np.testing.assert_array_equal(example["clean"], images[int(example["name"]) - 1])


def test_no_two_splits_of_nyuv2_share_a_picture(tmp_path, capsys):
    write_nyuv2(tmp_path / "nyuv2", 8, ((1, 3, 5, 7), (2, 4, 6, 8)))
    builder = open_tfds("nyuv2", tmp_path, tmp_path / "p")
    names = [set(examples(builder, split)) for split in builder.info.splits]
    assert set(builder.info.splits) == {"fit", "validation", "test"}
    assert len(set.union(*names)) == sum(map(len, names)) == 8


def test_the_frames_of_sidd_open_alone_and_so_do_the_blocks(tmp_path, capsys):
    write_scenes(tmp_path / "frames/sidd/SIDD_Medium_Srgb/Data", [(1, 1), (192, 9)])
    builder = open_tfds("sidd", tmp_path / "frames", tmp_path / "p1")
    assert set(builder.info.splits) == {"train", "held_out"}
    assert "sidd validation is left out" in capsys.readouterr().err
    found = examples(builder, "held_out")
    images = find_dataset("sidd", tmp_path / "frames", "held_out")
    assert sorted(found) == images.names
    np.testing.assert_array_equal(found[images.names[1]]["noisy"], images.noisy(1))
    write_blocks(tmp_path / "blocks/sidd", ("ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb"))
    builder = open_tfds("sidd", tmp_path / "blocks", tmp_path / "p2")
    assert set(builder.info.splits) == {"validation"}
    assert len(examples(builder, "validation")) == 6


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
