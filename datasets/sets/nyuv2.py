"""NYUv2: 1449 indoor photographs in one HDF5 file, or PNG files of some of them in a folder.

`nyu_depth_v2_labeled.mat` contains `images` as uint8, with HDF5's order of axes (image, color,
column, row). The usual split into 795 and 654 is in a separate file, `splits.mat`, whose numbers
count from 1. `fit` and `validation` split the 795, so that checkpoints are chosen on images that
are used for neither training nor testing.
"""

import dataclasses
from pathlib import Path

import h5py
import numpy as np

from datasets.sets import folder_sets as folder
from datasets.sets.image_set import DatasetInfo, ImageSet, Protocol, as_channels
from gradnet_tf.utils.console import note
from gradnet_tf.utils.containers import Budget, member, numbers, require_own_numbers
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.matlab_arrays import open_hdf5, read_array

_FILE = "nyu_depth_v2_labeled.mat"
_SPLITS_FILE = "splits.mat"
#: What one image may take in memory: 0.9 MB do.
_MOST_BYTES = 2**28
_VARIABLES = {"train": "trainNdxs", "test": "testNdxs"}


def find(info: DatasetInfo, data_dir: str | Path | None, split: str, channels: int) -> ImageSet:
    """Finds the file, else a folder of images; see `Find`."""
    places = folder.candidates(info, data_dir)
    place = next((p for p in places if (p / _FILE).is_file()), None)
    if place is not None:
        return _find_labeled(info, place, split, channels)
    if split not in ("test", "all"):
        raise UserError(
            f"dataset {info.name}: the split {split} needs {_FILE}, which is in none of "
            f"{', '.join(map(str, places))}.\nA folder of images is for testing only; "
            f"{info.how_to_get.partition(', or put')[0]}."
        )
    return folder.image_set(info, split, folder.find_flat(info, places[-1]), channels)


@dataclasses.dataclass(frozen=True)
class LabeledImages(ImageSet):
    """Images of the HDF5 file, read one by one; `numbers` are their indices in the file."""

    numbers: tuple[int, ...] = ()

    def load(self, index: int) -> np.ndarray:
        """Returns one image: uint8 [480, 640, `channels`]."""
        with open_hdf5(self.paths[index]) as file:
            images = member(file, "images", h5py.Dataset)
            image = numbers(images, Budget(_MOST_BYTES), part=self.numbers[index]).T
        return as_channels(image, self.channels)


def _find_labeled(info, place: Path, split: str, channels: int) -> LabeledImages:
    path = place / _FILE
    with open_hdf5(path) as file:
        shape = dtype = None
        if file.get("images", getlink=True) is not None:
            images = member(file, "images", h5py.Dataset)
            require_own_numbers(images)
            shape, dtype = images.shape, images.dtype
    if not shape or len(shape) != 4 or shape[1] != 3 or dtype != np.uint8:
        raise UserError(
            f"{path}: images is {dtype} of shape {shape}; expected uint8 of shape (1449, 3, 640, "
            f"480).\nTo get it: {info.how_to_get}."
        )
    count = shape[0]
    if split == "all":
        numbers = range(count)
    elif (place / _SPLITS_FILE).is_file():
        numbers = _of_split(place / _SPLITS_FILE, split, count)
    elif split == "test":
        # The results must name what was scored.
        split, numbers = "all", range(count)
        note(
            f"{place} has no {_SPLITS_FILE}, so the split into 795 and 654 is unknown: all "
            f"{count} images are used, and scores are not comparable with those of the 654."
        )
    else:
        raise UserError(
            f"dataset {info.name}: {place} has no {_SPLITS_FILE}, which defines the split "
            f"{split}.\nPut it beside {_FILE}, or use --split=all; {info.how_to_get}."
        )
    names = [f"{number + 1:04d}" for number in numbers]
    paths = [path] * len(names)
    return LabeledImages(info.name, split, names, paths, channels, info, tuple(numbers))


def _of_split(path: Path, split: str, count: int) -> list[int]:
    """Returns the indices of a split's images, in order."""
    parts = {
        name: sorted(int(number) - 1 for number in read_array(path, variable).ravel())
        for name, variable in _VARIABLES.items()
    }
    both = [*parts["train"], *parts["test"]]
    if len(set(both)) < len(both) or not all(0 <= number < count for number in both):
        raise UserError(
            f"{path}: trainNdxs and testNdxs overlap, repeat images, or go beyond 1 to "
            f"{count}.\nExpected 795 and 654 distinct numbers, downloaded together with {_FILE}."
        )
    if split in parts:
        return parts[split]
    return folder.held_out_split(parts["train"], split)


NYUV2 = DatasetInfo(
    name="nyuv2",
    title="NYUv2",
    find=find,
    aliases=("nyuv2_sample", "NYU_v2", "nyu_depth_v2"),
    splits=("train", "test", "all", "fit", "validation"),
    unions=("train", "all"),
    training_split="fit",
    validation_split="validation",
    counts={"train": 795, "test": 654, "all": 1449, "fit": 779, "validation": 16},
    recursive=True,
    protocol=Protocol(
        split="the 654 test images of splits.mat; of a folder of PNG files, all",
        crop="whole images of 480×640, with their white frame",
        compares_with="GradNet's fusion study at σ = 15 and 50, which gives differences only",
    ),
    origin="https://cs.nyu.edu/~silberman/datasets/nyu_depth_v2.html",
    terms="none stated with the images",
    citation="N. Silberman, D. Hoiem, P. Kohli, R. Fergus: Indoor Segmentation and Support "
    "Inference from RGBD Images, ECCV 2012",
    how_to_get="from https://cs.nyu.edu/~silberman/datasets/nyu_depth_v2.html download "
    "nyu_depth_v2_labeled.mat and splits.mat into a folder nyuv2, or put PNG files of the "
    "images there (folders below it count)",
)
