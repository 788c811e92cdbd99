"""SIDD: smartphone photographs with real noise; whole frames for training, blocks for scoring.

`train` and `held_out` are the frames of the medium (or small) sRGB set, one folder per scene
instance. The instances of a scene show the same objects, so whole scenes are held out: 009 and
010, which are the instances from 0192 on. `validation` and `benchmark` are blocks in MATLAB files;
the benchmark's clean blocks are not published.
"""

import dataclasses
import functools
import re
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from datasets.sets import folder_sets as folder
from datasets.sets.image_set import REAL_NOISE, DatasetInfo, ImageSet, Protocol, as_channels
from datasets.sets.paired import make_set
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.matlab_arrays import array_info, read_array

FIRST_HELD_OUT = 192
# Search depth below D/sidd: SIDD_Medium_Srgb/Data/<scene>/.
_DEPTH = 3
_PHOTOGRAPH = re.compile(r"(?:(\d{4})_(?:\w+_)?)?(NOISY|GT)_SRGB_(\d{3})\.png", re.IGNORECASE)
_SCENE = re.compile(r"(\d{4})_\d{3}_\w+", re.IGNORECASE)
_BLOCK_SHAPE = "(40, 32, 256, 256, 3)"
# By split: the variables of the noisy and the clean blocks, which are also the file names.
_BLOCKS = {
    "validation": ("ValidationNoisyBlocksSrgb", "ValidationGtBlocksSrgb"),
    "benchmark": ("BenchmarkNoisyBlocksSrgb", None),
}


def require_image_array(path: Path, name: str, axes: int, expected: str) -> tuple[int, ...]:
    """Returns the shape of variable `name`, a uint8 array of RGB images with `axes` axes.

    Raises:
        UserError: for another shape or dtype; names the `expected` shape.
    """
    shape, dtype = array_info(path, name)
    if len(shape) != axes or shape[-1] != 3 or 0 in shape or dtype != "uint8":
        raise UserError(
            f"{path}: {name} is {dtype} of shape {shape}; expected uint8 of shape {expected}.\n"
            "Use the sRGB file as published; raw and normalized files are not supported."
        )
    return shape


def find(info: DatasetInfo, data_dir: str | Path | None, split: str, channels: int) -> ImageSet:
    """Finds a split; see `Find`."""
    places = folder.candidates(info, data_dir)
    find_split = _find_blocks if split in _BLOCKS else _find_photographs
    return find_split(info, places, split, channels)


@dataclasses.dataclass(frozen=True)
class SiddBlocks(ImageSet):
    """Blocks of arrays [scene, block, H, W, 3], which are read once and kept as uint8.

    Attributes:
        files: the noisy file and the clean one (None if there is none).
        variables: the name of the array in each.
        shape: the shape of the arrays.
    """

    files: tuple[Path, Path | None] = (Path(), None)
    variables: tuple[str, str | None] = ("", None)
    shape: tuple[int, ...] = ()

    def load(self, index: int) -> np.ndarray:
        """Returns a clean block: uint8 [H, W, `channels`]."""
        if not self.has_clean:
            return super().load(index)
        return self._block(self._clean, index)

    def noisy(self, index: int) -> np.ndarray:
        """Returns a noisy block, shaped like the clean one."""
        return self._block(self._noisy, index)

    def _block(self, array: np.ndarray, index: int) -> np.ndarray:
        return as_channels(array[divmod(index, self.shape[1])], self.channels)

    @functools.cached_property
    def _noisy(self) -> np.ndarray:
        return read_array(self.files[0], self.variables[0]).reshape(self.shape)

    @functools.cached_property
    def _clean(self) -> np.ndarray:
        return read_array(self.files[1], self.variables[1]).reshape(self.shape)


def _find_blocks(info, places, split, channels) -> SiddBlocks:
    variables = _BLOCKS[split]
    wanted = [f"{name}.mat" for name in variables if name]
    for place in places:
        found = {path.name.lower(): path for path in _files(place) if path.suffix.lower() == ".mat"}
        files = [found.get(name.lower()) for name in wanted]
        if any(files):
            missing = [name for name, path in zip(wanted, files, strict=True) if path is None]
            if missing:
                raise UserError(
                    f"dataset {info.name}: {missing[0]}, the partner of the blocks in {place}, is "
                    f"missing.\nTo get it: {info.how_to_get}."
                )
            return _blocks(info, split, channels, [*files, None][:2], variables)
        pair = found.get("noisy.mat"), found.get("gt.mat")
        if split == "validation" and all(pair):
            return _blocks(info, split, channels, pair, ("im_noisy", "im_gt"))
    raise UserError(
        f"dataset {info.name} {split}: no {' and '.join(wanted)} in --data_dir={places[-1]} or up "
        f"to {_DEPTH} folders below it.\nTo get it: {info.how_to_get}."
    )


def _blocks(info, split, channels, files, variables) -> SiddBlocks:
    """Checks the arrays of a split without reading them; a single pair counts as one block."""
    single = variables[0] == "im_noisy"
    shapes = [
        require_image_array(path, name, *((3, "(256, 256, 3)") if single else (5, _BLOCK_SHAPE)))
        for path, name in zip(files, variables, strict=True)
        if path
    ]
    if len(set(shapes)) > 1:
        raise UserError(
            f"dataset {info.name}: {files[0]} has shape {shapes[0]} and {files[1]} has shape "
            f"{shapes[1]}.\nExpected noisy and clean blocks of one shape, {_BLOCK_SHAPE}."
        )
    shape = (1, 1, *shapes[0]) if single else shapes[0]
    names = [f"{s + 1:04d}_{b + 1:02d}" for s in range(shape[0]) for b in range(shape[1])]
    if single:
        names = [files[0].parent.name]
    paths = [files[1] or files[0]] * len(names)
    fields = (info.name, split, names, paths, channels, info)
    return SiddBlocks(*fields, tuple(files), tuple(variables), shape)


def _find_photographs(info, places, split, channels) -> ImageSet:
    pairs: dict[tuple[int, str], dict[str, Path]] = {}
    for place in places:
        for path in _files(place):
            _add_photograph(info, pairs, path)
        if pairs:
            break
    else:
        raise UserError(
            f"dataset {info.name} {split}: no frames like Data/0001_001_S6_00100_00060_3200_L/"
            f"0001_NOISY_SRGB_010.PNG in --data_dir={places[-1]} or up to {_DEPTH} folders below "
            f"it.\nTo get it: {info.how_to_get}."
        )
    chosen = []
    for (instance, shot), files in sorted(pairs.items()):
        if (instance >= FIRST_HELD_OUT) != (split == "held_out"):
            continue
        _check_pair(info, files)
        chosen.append((f"{instance:04d}_{shot}.png", files["NOISY"], files["GT"]))
    if not chosen:
        which = f"from {FIRST_HELD_OUT:04d} on" if split == "held_out" else "for training"
        raise UserError(
            f"dataset {info.name} {split}: {place} has no scene instance {which}.\n"
            f"Instances 0001-0191 (scenes 001-008) train, 0192-0200 (009, 010) are held out; "
            f"{info.how_to_get}."
        )
    return make_set(info, split, chosen, channels)


def _add_photograph(info, pairs, path: Path) -> None:
    """Adds a file to `pairs` if it is the noisy or the clean frame of an (instance, shot)."""
    named, scene = _PHOTOGRAPH.fullmatch(path.name), _SCENE.fullmatch(path.parent.name)
    if not named or not (named[1] or scene):
        return
    instance = named[1] or scene[1]
    if scene and scene[1] != instance:
        raise UserError(
            f"dataset {info.name}: {path} is named after scene instance {instance} but is in "
            f"the folder of {scene[1]}.\nExpected equal numbers; it was renamed or moved."
        )
    files = pairs.setdefault((int(instance), named[3]), {})
    other = files.setdefault(named[2].upper(), path)
    if other != path:
        raise UserError(
            f"dataset {info.name}: {other} and {path} are the same frame.\n"
            "Set --data_dir to the folder of one of the two sets."
        )


def _check_pair(info, files: dict[str, Path]) -> None:
    for kind, other in (("NOISY", "GT"), ("GT", "NOISY")):
        if kind not in files:
            raise UserError(
                f"dataset {info.name}: {files[other]} has no partner {kind}_SRGB beside it.\n"
                f"Expected a noisy and a clean frame of each shot; {info.how_to_get}."
            )
    sizes = {kind: _png_size(path) for kind, path in files.items()}
    if sizes["NOISY"] != sizes["GT"]:
        raise UserError(
            f"dataset {info.name}: {files['NOISY']} has {sizes['NOISY']} pixels and "
            f"{files['GT'].name} {sizes['GT']} (width, height).\nExpected two frames of one size."
        )


def _png_size(path: Path) -> tuple[int, int]:
    """Reads width and height from a PNG file's header."""
    with open(path, "rb") as file:
        start = file.read(24)
    if len(start) < 24 or start[:4] != b"\x89PNG":
        raise UserError(f"{path} is empty, truncated or not a PNG file.\nCopy the original again.")
    return struct.unpack(">2I", start[16:24])


def _files(place: Path, depth: int = _DEPTH) -> Iterator[Path]:
    """Yields the files of a folder and its subfolders in order, without hidden ones."""
    for path in sorted(place.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            if depth:
                yield from _files(path, depth - 1)
        else:
            yield path


_ROUNDING = "none; psnr_uint8 after rounding half to even"

SIDD = DatasetInfo(
    name="sidd",
    title="SIDD",
    find=find,
    aliases=(
        "SIDD_Medium_Srgb",
        "SIDD_Small_sRGB_Only",
        "SIDD_Validation_sRGB",
        "SIDD_Benchmark_sRGB",
        "sidd_sample",
    ),
    splits=("train", "held_out", "validation", "benchmark"),
    evaluation_split="validation",
    training_split="train",
    validation_split="held_out",
    counts={"train": 302, "held_out": 18, "validation": 1280, "benchmark": 1280},
    without_clean=("benchmark",),
    protocol=Protocol(
        split="the 1280 validation blocks, not the benchmark's",
        **REAL_NOISE,
        crop="the published blocks of 256×256",
        rounding=_ROUNDING,
        compares_with="SIDD rows of MPRNet and later (validation blocks): MPRNet 39.71, "
        "NAFNet-32 39.97 dB; not the benchmark's table, with DnCNN 23.66 and BM3D 25.65 dB",
    ),
    split_protocols={
        "benchmark": Protocol(
            **REAL_NOISE,
            split="the 1280 benchmark blocks, scored only by the benchmark's server "
            "(python -m datasets submit sidd)",
            crop="the published blocks of 256×256",
            rounding="the submission is rounded half to even",
            compares_with="the benchmark's table: DnCNN 23.66, BM3D 25.65, RIDNet 38.71 dB",
        ),
        "held_out": Protocol(
            **REAL_NOISE,
            split="all frames of scenes 009 and 010, instances 0192-0200; our own choice",
            rounding=_ROUNDING,
        ),
    },
    origin="https://abdokamel.github.io/sidd/",
    terms="see the site",
    citation="A. Abdelhamed, S. Lin, M. S. Brown: A High-Quality Denoising Dataset for "
    "Smartphone Cameras, CVPR 2018",
    how_to_get="from https://abdokamel.github.io/sidd/ download SIDD-Medium sRGB (train), "
    "ValidationNoisyBlocksSrgb.mat and ValidationGtBlocksSrgb.mat (validation) or "
    "BenchmarkNoisyBlocksSrgb.mat (benchmark) into a folder sidd",
)
