"""No split of any set shares a picture with another, except those that say so."""

import itertools

import pytest
from matlab_case import random_uint8, write_blocks, write_nyuv2, write_scenes

from datasets.pipeline.leak_guard import content_hash
from datasets.sets.catalog import DATASETS, find_dataset
from gradnet_tf.images.image_files import write_image
from gradnet_tf.utils.errors import UserError

SEVERAL = sorted(name for name, info in DATASETS.items() if len(info.splits) > 1)
#: Their files are known by name and cannot be generated.
REAL = {"bsds500", "free_photos", "free_photos_cc_by"}


def write(name, root):
    """Writes small files of a set in its published layout, each with other pixels."""
    numbers, seeds = range(1, 41), itertools.count()

    def make(folder, names):
        for each in names:
            write_image(root / folder / each, random_uint8((24, 32, 3), next(seeds)))

    if name == "nyuv2":
        write_nyuv2(root / "nyuv2", 40, (tuple(numbers)[::2], tuple(numbers)[1::2]))
    elif name == "sidd":
        write_scenes(root / "sidd/Data", [(1, 1), (2, 1), (192, 9), (200, 10)])
        blocks = ("ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb")
        write_blocks(root / "sidd", blocks)
        write_blocks(root / "sidd", ("BenchmarkNoisyBlocksSrgb",), (3, 2, 16, 20, 3))
    elif name == "renoir":
        kinds = ("noisy", "reference", "clean")
        names = [f"batch{n:02d}_{kind}.png" for n in numbers for kind in kinds]
        make("renoir", names)
    elif name == "div2k":
        for folder, some in (("train", numbers), ("valid", range(801, 811))):
            names = [f"{n:04d}.png" for n in some]
            make(f"DIV2K/DIV2K_{folder}_HR", names)
    elif name in ("flickr2k", "wed"):
        names = [f"{n:0{6 if name == 'flickr2k' else 5}d}.png" for n in numbers]
        inner = "/Flickr2K_HR" if name == "flickr2k" else ""
        make(f"{name}{inner}", names)
    elif name == "folder":
        for folder, some in (("train", numbers), ("test", range(51, 55))):
            make(folder, [f"{n}.png" for n in some])
    elif name == "pairs":
        for kind in ("noisy", "clean"):
            make(kind, [f"{n}.png" for n in numbers])


@pytest.mark.parametrize("name", SEVERAL)
def test_no_two_splits_share_a_picture(name, tmp_path, request, capsys):
    info = DATASETS[name]
    root = request.getfixturevalue("data_dir") if name in REAL else tmp_path / "D"
    if name not in REAL:
        write(name, root)
    apart = [split for split in info.splits if split not in info.unions]
    contents = {}
    for split in apart:
        try:
            images = find_dataset(name, root, split, warn=False)
        except UserError:
            assert info.is_own and split == "test"  # a user's folder may have none
            continue
        # All of those that are generated; the paths say enough of the others.
        names = range(min(len(images), 60) if name in REAL else len(images))
        load = images.load if images.has_clean else images.noisy
        contents[split] = {content_hash(load(index)) for index in names}
        contents[split] |= set(map(str, images.paths)) if name in REAL else set()
    assert len(contents) > 1 or len(apart) == 1
    for one, other in itertools.combinations(contents, 2):
        assert not contents[one] & contents[other], (one, other)


def test_the_splits_of_training_and_scoring_are_apart():
    for name in SEVERAL:
        info = DATASETS[name]
        used = [info.training_split, info.validation_split, info.test_split]
        assert not set(used) & set(info.unions), name
        assert set(info.unions) <= set(info.splits), name
        assert info.training_split != info.test_split, name
