"""DND: 50 photographs with real noise, 20 boxes in each; the clean ones are not published.

`info.mat` contains the boxes, `images_srgb/0001.mat` … the photographs, all MATLAB 7.3 (HDF5). The
sRGB values are single precision in [0, 1] and not multiples of 1/255: submissions are computed
from the exact values (`noisy_float`), while pictures and reports show them rounded.
"""

import dataclasses
from pathlib import Path

import h5py
import numpy as np

from datasets.sets import folder_sets as folder
from datasets.sets.image_set import REAL_NOISE, DatasetInfo, ImageSet, Protocol, as_channels
from gradnet_tf.images.image_files import to_uint8
from gradnet_tf.utils.containers import Budget, member, numbers, referenced, require_own_numbers
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.matlab_arrays import damaged, open_hdf5

_IMAGES = "images_srgb"
_VARIABLE = "InoisySRGB"
#: What the boxes of all images, and the pixels of one box, may take: 16 kB and 6 MB do.
_MOST_BYTES, _MOST_IMAGES = 2**28, 10_000


def find(info: DatasetInfo, data_dir: str | Path | None, split: str, channels: int) -> ImageSet:
    """Finds the boxes; see `Find`."""
    places = folder.candidates(info, data_dir)
    place = next((p for p in places if (p / "info.mat").is_file()), None)
    if place is None:
        raise UserError(
            f"dataset {info.name}: no info.mat in {' or '.join(map(str, places))}.\n"
            f"Expected info.mat and {_IMAGES}/0001.mat …; to get it: {info.how_to_get}."
        )
    names, paths, boxes = [], [], []
    for number, of_image in enumerate(_read_boxes(place / "info.mat"), start=1):
        path = place / _IMAGES / f"{number:04d}.mat"
        if not path.is_file():
            raise UserError(
                f"dataset {info.name}: {path} is missing, but info.mat has boxes for it.\n"
                f"To get it: {info.how_to_get}."
            )
        _check(path, of_image)
        for count, box in enumerate(of_image, start=1):
            names.append(f"{number:04d}_{count:02d}")
            paths.append(path)
            boxes.append(box)
    return DndBoxes(info.name, split, names, paths, channels, info, tuple(boxes))


@dataclasses.dataclass(frozen=True)
class DndBoxes(ImageSet):
    """Boxes of the photographs: (top, left, bottom, right), ends exclusive. Each is read alone."""

    boxes: tuple[tuple[int, int, int, int], ...] = ()

    def noisy_float(self, index: int) -> np.ndarray:
        """Returns a box as published: float32 [H, W, 3], nominal range [0, 1]."""
        top, left, bottom, right = self.boxes[index]
        path = self.paths[index]
        with open_hdf5(path) as file:
            image = member(file, _VARIABLE, h5py.Dataset)
            part = (slice(None), slice(left, right), slice(top, bottom))
            box = np.asarray(numbers(image, Budget(_MOST_BYTES), part=part), np.float32).T
        if not np.isfinite(box).all():
            raise damaged(path, f"{_VARIABLE} contains NaN or infinite values")
        return np.ascontiguousarray(box)

    def noisy(self, index: int) -> np.ndarray:
        """Returns a box rounded to uint8 [H, W, `channels`]."""
        return as_channels(to_uint8(self.noisy_float(index)), self.channels)


def _read_boxes(path: Path) -> list[list[tuple[int, int, int, int]]]:
    """Reads the boxes of each image; MATLAB's count from 1 and include their ends."""
    with open_hdf5(path) as file:
        info = member(file, "info", h5py.Group)
        there = info.get("boundingboxes", getlink=True) is not None
        cells = member(info, "boundingboxes", h5py.Dataset) if there else None
        if cells is None or cells.dtype != h5py.ref_dtype:
            raise damaged(path, "no cell array info.boundingboxes")
        found, budget = [], Budget(_MOST_BYTES)
        for reference in numbers(cells, budget, _MOST_IMAGES).ravel():
            boxes = numbers(referenced(file, reference, h5py.Dataset), budget).T
            if boxes.ndim != 2 or boxes.shape[1] != 4 or not len(boxes):
                raise damaged(path, f"boxes of shape {boxes.shape}; expected (20, 4)")
            found.append([(int(t) - 1, int(el) - 1, int(b), int(r)) for t, el, b, r in boxes])
    return found


def _check(path: Path, boxes) -> None:
    """Compares an image's shape, dtype and size with its boxes; reads no pixels."""
    with open_hdf5(path) as file:
        if file.get(_VARIABLE, getlink=True) is None:
            raise damaged(path, f"no variable {_VARIABLE}")
        image = member(file, _VARIABLE, h5py.Dataset)
        require_own_numbers(image)
        shape, dtype = image.shape[::-1], image.dtype
        if len(shape) != 3 or shape[2] != 3 or dtype.kind != "f":
            raise UserError(
                f"{path}: {_VARIABLE} is {dtype} of shape {shape}; expected floating point of "
                "shape (height, width, 3).\nUse the sRGB images as published."
            )
        for top, left, bottom, right in boxes:
            if not (0 <= top < bottom <= shape[0] and 0 <= left < right <= shape[1]):
                raise UserError(
                    f"{path} has {shape[0]}×{shape[1]} pixels, but info.mat has a box of rows "
                    f"{top + 1}-{bottom} and columns {left + 1}-{right} in it.\n"
                    "Expected both files from the same download."
                )


DND = DatasetInfo(
    name="dnd",
    title="DND",
    find=find,
    aliases=("DnD", "dnd_2017"),
    splits=("test",),
    counts={"test": 1000},
    without_clean=("test",),
    protocol=Protocol(
        split="50 photographs, 20 boxes in each; the score comes from the benchmark's server "
        "(python -m datasets submit dnd)",
        crop="the published boxes of 512×512",
        **REAL_NOISE,
        rounding="none in a submission; pictures are rounded",
        compares_with="DND sRGB rows: CBDNet 38.06, RIDNet 39.23, MAXIM-3S 39.84 dB",
    ),
    origin="https://noise.visinf.tu-darmstadt.de/",
    terms="see the site",
    citation="T. Plötz, S. Roth: Benchmarking Denoising Algorithms with Real Photographs, "
    "CVPR 2017",
    how_to_get="from https://noise.visinf.tu-darmstadt.de/downloads/ unpack the benchmark data "
    "(info.mat, images_srgb) into a folder dnd",
)
