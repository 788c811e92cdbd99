"""Pairs of noisy and clean images, matched by name.

One layout for anybody's pairs, PolyU, CC15 and Nam. Either two folders hold the two kinds
(`noisy/a.png` and `clean/a.png`; also input and target, NOISY and GT, and the others of `WORDS`),
or the file names do (`a_real.png` and `a_mean.png`, `NOISY_a.png` and `GT_a.png`).
The suffixes of the files and the case of the words do not matter.
"""

import dataclasses
import os
import re
from pathlib import Path

import numpy as np

from datasets.sets import folder_sets as folder
from datasets.sets.image_set import DatasetFacts, ImageSet, Protocol
from gradnet_tf.images.image_files import list_images, read_image
from gradnet_tf.utils.errors import UserError

# What noisy and clean images are called, by folder or as the first or last part of a file name.
WORDS = {
    "noisy": ("noisy", "input", "real", "noise", "lq", "input_crops"),
    "clean": (
        *("clean", "target", "gt", "mean", "reference", "groundtruth", "ground_truth", "hq"),
        "target_crops",
    ),
}
_ROLE = {word: role for role, words in WORDS.items() for word in words}
_ANY_WORD = "|".join(sorted(_ROLE, key=len, reverse=True))
_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Matches:
    """The pairs of a folder.

    Attributes:
        pairs: (name, noisy file, clean file), in byte order of the names.
        alone: files of one kind whose partner is missing, or which share a name with another.
        others: images that are of neither kind.
    """

    pairs: list[tuple[str, Path, Path]]
    alone: list[Path]
    others: list[Path]


@dataclasses.dataclass(frozen=True)
class PairedSet(ImageSet):
    """Clean images with really noisy partners.

    Attributes:
        noisy_paths: the noisy files in the order of `paths`, which has the clean ones.
    """

    noisy_paths: tuple[Path, ...] = ()

    def noisy(self, index: int) -> np.ndarray:
        """Returns the photograph with noise, uint8 [H, W, `channels`]."""
        return read_image(self.noisy_paths[index], self.channels)

    def sources(self, index: int) -> tuple[Path, ...]:
        """Returns the clean file and the noisy one."""
        return self.paths[index], self.noisy_paths[index]


def find(facts: DatasetFacts, data_dir: str | Path | None, split: str, channels: int) -> ImageSet:
    """Finds the pairs of a split; see `datasets.sets.catalog`.

    `pairs` takes D itself for `all`, D/train and so on for the others, and
    holds out validation pairs of the training pairs where D/validation is
    missing, as `folder` does. Any other set is one folder, D/<name> or D.

    Raises:
        UserError: also when a file has no partner; the message names some.
    """
    root = folder.check_data_dir(facts, data_dir)
    root = find_root(facts, root)
    whole = facts.training_split is None
    pairs = _whole_pairs(facts, root) if whole else _own_split(facts, root, split)
    return make_set(facts, split, pairs, channels)


def make_set(
    facts: DatasetFacts, split: str, pairs: list[tuple[str, Path, Path]], channels: int
) -> PairedSet:
    """Makes the set of (name, noisy file, clean file)."""
    names = [name for name, _, _ in pairs]
    noisy, clean = tuple(pair[1] for pair in pairs), [pair[2] for pair in pairs]
    return PairedSet(facts.name, split, names, clean, channels, facts, noisy)


def find_root(facts: DatasetFacts, data_dir: Path) -> Path:
    """Returns the folder of a set's pairs; D itself for `pairs`.

    Raises:
        UserError: when the set is not found.
    """
    if facts.training_split:
        return data_dir
    root = folder.find_named(facts, data_dir)
    deeper = folder.named_folders(facts, root)
    return deeper[0] if deeper else root


def match_pairs(facts: DatasetFacts, root: Path) -> Matches:
    """Matches the images below a folder by name, those whose names fit the set.

    A file is noisy or clean by the last folder of its path that is called so,
    else by its own name. Partners have the same path when these words are left
    out. In two folders equal file names belong together first, so that a
    picture of a "real_estate" keeps its name.
    """
    kinds: dict[str, dict[tuple, list[Path]]] = {"noisy": {}, "clean": {}}
    others = []
    in_folders: dict[str, dict[tuple, list[Path]]] = {"noisy": {}, "clean": {}}
    for path in list_images(root, recursive=True):
        parts = path.relative_to(root).parts
        if not re.fullmatch(facts.pattern, path.name.lower()):
            others.append(path)
            continue
        place = [i for i, part in enumerate(parts[:-1]) if part.casefold() in _ROLE]
        if place:
            role = _ROLE[parts[place[-1]].casefold()]
            rest = parts[: place[-1]] + parts[place[-1] + 1 : -1]
            in_folders[role].setdefault((*rest, path.stem.casefold()), []).append(path)
            continue
        role, stem = _told_by_name(path.stem)
        if role is None:
            others.append(path)
        else:
            kinds[role].setdefault((*parts[:-1], stem), []).append(path)
    for key in [*in_folders["noisy"], *in_folders["clean"]]:
        same = all(len(in_folders[role].get(key, ())) == 1 for role in WORDS)
        for role in WORDS:
            files = in_folders[role].pop(key, [])
            stem = key[-1] if same else _told_by_name(key[-1])[1]
            if files:
                # Separate from pairs matched by file names, which may be in the same folder.
                kinds[role].setdefault(("", same, *key[:-1], stem), []).extend(files)
    pairs, alone = [], []
    for key in kinds["noisy"] | kinds["clean"]:
        files = [kinds[role].get(key, []) for role in WORDS]
        if [len(some) for some in files] == [1, 1]:
            pairs.append((_name_of(root, files[1][0], key), files[0][0], files[1][0]))
        else:
            alone += files[0] + files[1]
    order = sorted(pairs, key=lambda pair: os.fsencode(pair[0]))
    return Matches(order, sorted(alone), others)


def _told_by_name(stem: str) -> tuple[str | None, str]:
    """Returns the kind in a file name, and the name without that word."""
    stem = stem.casefold()
    found = re.fullmatch(rf"(.+?)[_\-. ]({_ANY_WORD})", stem)
    if found:
        return _ROLE[found[2]], found[1]
    found = re.fullmatch(rf"({_ANY_WORD})[_\-. ](.+)", stem)
    return (_ROLE[found[1]], found[2]) if found else (None, stem)


def _name_of(root: Path, clean: Path, key: tuple) -> str:
    """Names a pair by its clean file without the words, in the case of the file."""
    relative = clean.relative_to(root)
    kept = [part for part in relative.parts[:-1] if part.casefold() not in _ROLE]
    stem, length = relative.stem, len(key[-1])
    start = stem.casefold().rfind(key[-1]) if not stem.casefold().startswith(key[-1]) else 0
    return "/".join([*kept, stem[start : start + length] + relative.suffix])


def _whole_pairs(facts: DatasetFacts, root: Path) -> list[tuple[str, Path, Path]]:
    found = match_pairs(facts, root)
    if found.alone:
        shown = ", ".join(path.relative_to(root).as_posix() for path in found.alone[:_SHOWN])
        more = f" and {len(found.alone) - _SHOWN} more" if len(found.alone) > _SHOWN else ""
        raise UserError(
            f"dataset {facts.name}: in {root} these have no partner, or several: {shown}{more}.\n"
            "Expected one noisy and one clean image of each name.\n"
            f"To list all: python -m datasets check {facts.name} --data_dir={root}"
        )
    if not found.pairs:
        raise UserError(
            f"dataset {facts.name}: folder {root} has no pairs of noisy and clean images.\n"
            "Expected two folders such as noisy and clean with files of equal names, or files "
            f"such as a_noisy.png and a_clean.png.\nTo get it: {facts.how_to_get}."
        )
    return found.pairs


def _own_split(facts: DatasetFacts, root: Path, split: str) -> list[tuple[str, Path, Path]]:
    if split in ("all", "test"):
        return _whole_pairs(facts, root / "test" if split == "test" else root)
    separate, train = folder.validation_folder(root), folder.training_folder(root)
    if separate is not None:
        return _whole_pairs(facts, separate if split == "validation" else train)
    pairs = _whole_pairs(facts, train)
    if len(pairs) < 2:
        raise UserError(
            f"folder {root} has one pair; expected at least two, since one is held out.\n"
            "Add pairs, or put the validation pairs into a subfolder named validation."
        )
    return folder.held_out_split(pairs, split)


_NAM = (
    "S. Nam, Y. Hwang, Y. Matsushita, S. J. Kim: A Holistic Approach to Cross-Channel Image Noise "
    "Modeling and its Application to Image Denoising, CVPR 2016"
)
_MCWNNM = "https://github.com/csjunxu/MCWNNM-ICCV2017 (folder Real_ccnoise_denoised_part)"
_REAL = "noisy files as they are, output clipped"

PUBLISHED = (
    DatasetFacts(
        name="polyu",
        title="PolyU",
        find=find,
        aliases=("PolyU100", "CroppedImages"),
        counts={"test": 100},
        pattern=r".*_(real|mean)\.jpe?g",
        protocol=Protocol(
            split="all 100 cropped pairs",
            crop="the 512×512 crops as published",
            clipping=_REAL,
            noise="real",
            compares_with="tables over the 100 crops (noisy input 35.97 dB as the mean over "
            "images); tables over full images are others",
        ),
        origin="https://github.com/csjunxu/PolyU-Real-World-Noisy-Images-Dataset (folder "
        "CroppedImages)",
        terms="research use only",
        citation="J. Xu, H. Li, Z. Liang, D. Zhang, L. Zhang: Real-world Noisy Image Denoising: A "
        "New Benchmark, arXiv:1804.02603, 2018",
        how_to_get="copy CroppedImages (*_real.JPG, *_mean.JPG) from "
        "https://github.com/csjunxu/PolyU-Real-World-Noisy-Images-Dataset",
    ),
    DatasetFacts(
        name="cc15",
        title="CC15",
        find=find,
        aliases=("CC", "Real_ccnoise_denoised_part"),
        counts={"test": 15},
        pattern=r".*_(real|mean)\.png",
        protocol=Protocol(
            split="all 15 cropped pairs",
            crop="the 512×512 crops as published",
            clipping=_REAL,
            noise="real",
            compares_with="tables over the 15 crops (MCWNNM and after)",
        ),
        origin=f"{_MCWNNM}, cropped from Nam",
        terms="non-commercial (licence of the repository)",
        citation=f"{_NAM}; the crops: J. Xu, L. Zhang, D. Zhang, X. Feng: Multi-channel Weighted "
        "Nuclear Norm Minimization for Real Color Image Denoising, ICCV 2017",
        how_to_get=f"copy *_real.png and *_mean.png from {_MCWNNM}",
    ),
    DatasetFacts(
        name="nam",
        title="Nam",
        find=find,
        aliases=("Nam2016", "CCNoise"),
        pattern=r".*_(real|mean)\.(png|jpe?g)",
        protocol=Protocol(
            split="the pairs that are there: papers cut 11 scenes into crops of their own choice",
            crop="whole images as they are in the folder",
            clipping=_REAL,
            noise="real",
            compares_with="no common table; for one, take cc15",
        ),
        origin="http://snam.ml/research/ccnoise (gone)",
        terms="none stated with the images",
        citation=_NAM,
        how_to_get="the authors' site is gone; put pairs *_real.* (one shot) and *_mean.* (mean of "
        "the shots) of a copy into a folder nam, or use cc15, its 15 public crops",
    ),
)
PAIRS = DatasetFacts(
    name="pairs",
    title="pairs",
    find=find,
    colour=None,
    splits=("all", "train", "validation", "test"),
    evaluation_split="all",
    training_split="train",
    validation_split="validation",
    protocol=Protocol(
        split="all pairs, or the folders train, validation and test; without a folder "
        "validation one pair of twenty is held out of train, 16 at most",
        clipping=_REAL,
        colour_space="RGB; grey with --channels=1 in training",
        noise="real",
        compares_with="none: your own images",
    ),
    origin="your own images",
    how_to_get="give --data_dir two folders such as noisy and clean whose files have equal "
    "names, or one folder of files such as a_noisy.png and a_clean.png",
)
