"""Pairs of noisy and clean images, matched by name.

One layout for the user's own pairs, PolyU, CC15 and Nam. The two kinds are distinguished either by
folder (`noisy/a.png` and `clean/a.png`; also input and target, NOISY and GT, and the others of
`WORDS`) or by file name (`a_real.png` and `a_mean.png`, `NOISY_a.png` and `GT_a.png`).
File suffixes and the case of the words do not matter. Where no pairs are found so, words inside of
names count too (`Real_NoisyImage/a_Noisy_1.png` and `Real_MeanImage/a_Mean_1.png`, as in CC60).
"""

import collections
import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datasets.sets import folder_sets as folder
from datasets.sets.image_set import OWN_SPLITS, REAL_NOISE, DatasetInfo, ImageSet, Protocol
from gradnet_tf.images.image_files import list_images, read_image
from gradnet_tf.utils.errors import UserError

# Words for noisy and clean images: folder names, or the first or last part of a file name.
WORDS = {
    "noisy": ("noisy", "input", "real", "noise", "lq", "input_crops"),
    "clean": (
        *("clean", "target", "gt", "mean", "reference", "groundtruth", "ground_truth", "hq"),
        "target_crops",
    ),
}
_ROLE = {word: role for role, words in WORDS.items() for word in words}
_ANY_WORD = "|".join(sorted(_ROLE, key=len, reverse=True))
#: Words that say what an image is even in the middle of a name.
_INNER = {"noisy": "noisy", "mean": "clean", "clean": "clean", "gt": "clean"}
#: Parts of a name such as "CC60_NoisyImage": words by their capitals, and numbers.
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+")
_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class Matches:
    """The pairs of a folder.

    Attributes:
        pairs: (name, noisy file, clean file), in byte order of the names.
        unmatched: files whose partner is missing, or that share a name with another file.
        others: images that are neither noisy nor clean by name.
    """

    pairs: list[tuple[str, Path, Path]]
    unmatched: list[Path]
    others: list[Path]


@dataclasses.dataclass(frozen=True)
class PairedSet(ImageSet):
    """Clean images (`paths`) with real noisy partners (`noisy_paths`, in the same order)."""

    noisy_paths: tuple[Path, ...] = ()

    def noisy(self, index: int) -> np.ndarray:
        """Returns the photograph with noise, uint8 [H, W, `channels`]."""
        return read_image(self.noisy_paths[index], self.channels)

    def sources(self, index: int) -> tuple[Path, ...]:
        """Returns the clean file and the noisy one."""
        return self.paths[index], self.noisy_paths[index]


def find(info: DatasetInfo, data_dir: str | Path | None, split: str, channels: int) -> ImageSet:
    """Finds the pairs of a split; see `Find`.

    `pairs` has the splits of `folder_sets.list_own_folder`. Any other set is one folder, D/<name>
    or D.

    Raises:
        UserError: also if a file has no partner; the message names some.
    """
    root = find_root(info, folder.check_data_dir(info, data_dir))
    whole = info.training_split is None
    pairs = _whole_pairs(info, root) if whole else _own_split(info, root, split)
    return make_set(info, split, pairs, channels)


def make_set(
    info: DatasetInfo, split: str, pairs: list[tuple[str, Path, Path]], channels: int
) -> PairedSet:
    """Builds the set from (name, noisy file, clean file)."""
    names = [name for name, _, _ in pairs]
    noisy, clean = tuple(pair[1] for pair in pairs), [pair[2] for pair in pairs]
    return PairedSet(info.name, split, names, clean, channels, info, noisy)


def find_root(info: DatasetInfo, data_dir: Path) -> Path:
    """Returns the folder of a set's pairs; D itself for `pairs`; raises if it is not found."""
    if info.training_split:
        return data_dir
    root = folder.find_named(info, data_dir)
    deeper = folder.named_folders(info, root)
    return deeper[0] if deeper else root


def match_pairs(info: DatasetInfo, root: Path, without: Sequence[str] = ()) -> Matches:
    """Matches the images below a folder by name, if their names match the set's pattern.

    Those in its subfolders `without` are not looked at.

    The last folder of its path that is one of `WORDS` decides whether a file is noisy or clean,
    otherwise its own name does. Partners have the same path without these words. Equal file names
    in two folders are matched first, so that an image named "real_estate" keeps its name.
    """
    kinds: dict[str, dict[tuple, list[Path]]] = {"noisy": {}, "clean": {}}
    others = []
    in_folders: dict[str, dict[tuple, list[Path]]] = {"noisy": {}, "clean": {}}
    for path in _images(root, without):
        parts = path.relative_to(root).parts
        if not re.fullmatch(info.pattern, path.name.lower()):
            others.append(path)
            continue
        place = [i for i, part in enumerate(parts[:-1]) if part.casefold() in _ROLE]
        if place:
            role = _ROLE[parts[place[-1]].casefold()]
            rest = parts[: place[-1]] + parts[place[-1] + 1 : -1]
            in_folders[role].setdefault((*rest, path.stem.casefold()), []).append(path)
            continue
        role, stem = _role_by_name(path.stem)
        if role is None:
            others.append(path)
        else:
            kinds[role].setdefault((*parts[:-1], stem), []).append(path)
    for key in [*in_folders["noisy"], *in_folders["clean"]]:
        same = all(len(in_folders[role].get(key, ())) == 1 for role in WORDS)
        for role in WORDS:
            files = in_folders[role].pop(key, [])
            stem = key[-1] if same else _role_by_name(key[-1])[1]
            if files:
                # Separate from pairs matched by file names, which may be in the same folder.
                kinds[role].setdefault(("", same, *key[:-1], stem), []).extend(files)
    pairs, unmatched = [], []
    for key in kinds["noisy"] | kinds["clean"]:
        files = [kinds[role].get(key, []) for role in WORDS]
        if [len(some) for some in files] == [1, 1]:
            pairs.append((_name_of(root, files[1][0], key), files[0][0], files[1][0]))
        else:
            unmatched += files[0] + files[1]
    if not pairs:
        inner = _match_inner_words(info, root, without)
        if inner.pairs and not inner.unmatched:
            return inner
    # Two kinds of pairs may have one name: noisy/a.png and a_noisy.png.
    counts = collections.Counter(name for name, *_ in pairs)
    pairs = [
        (name if counts[name] == 1 else clean.relative_to(root).as_posix(), noisy, clean)
        for name, noisy, clean in pairs
    ]
    order = sorted(pairs, key=lambda pair: os.fsencode(pair[0]))
    return Matches(order, sorted(unmatched), others)


def _images(root: Path, without: Sequence[str]) -> list[Path]:
    paths = list_images(root, recursive=True)
    return [path for path in paths if path.relative_to(root).parts[0].casefold() not in without]


def _match_inner_words(info: DatasetInfo, root: Path, without: Sequence[str]) -> Matches:
    """Matches by words inside of the names of files and folders; see `match_pairs`."""
    found: dict[tuple[str, ...], dict[str, list[Path]]] = {}
    others = []
    for path in _images(root, without):
        parts = path.relative_to(root).with_suffix("").as_posix()
        words = [word.casefold() for word in _PART.findall(parts)]
        roles = {_INNER[word] for word in words if word in _INNER}
        if len(roles) != 1 or not re.fullmatch(info.pattern, path.name.lower()):
            others.append(path)
            continue
        role = roles.pop()
        key = [word for word in words if word not in _INNER]
        # "Real_NoisyImage/a_real.png" says it twice.
        if key and _ROLE.get(key[-1]) == role:
            key.pop()
        both = found.setdefault(tuple(key), {"noisy": [], "clean": []})
        both[role].append(path)
    pairs, unmatched = [], []
    for both in found.values():
        noisy, clean = both["noisy"], both["clean"]
        if len(noisy) == len(clean) == 1:
            name = clean[0].relative_to(root).as_posix()
            pairs.append((name, noisy[0], clean[0]))
        else:
            unmatched += noisy + clean
    return Matches(sorted(pairs, key=lambda pair: os.fsencode(pair[0])), sorted(unmatched), others)


def _role_by_name(stem: str) -> tuple[str | None, str]:
    """Returns the role that a file name states, and the name without that word."""
    stem = stem.casefold()
    if found := re.fullmatch(rf"(.+?)[_\-. ]({_ANY_WORD})", stem):
        return _ROLE[found[2]], found[1]
    found = re.fullmatch(rf"({_ANY_WORD})[_\-. ](.+)", stem)
    return (_ROLE[found[1]], found[2]) if found else (None, stem)


def _name_of(root: Path, clean: Path, key: tuple) -> str:
    """Names a pair after its clean file, without the words and in the file's case."""
    relative = clean.relative_to(root)
    kept = [part for part in relative.parts[:-1] if part.casefold() not in _ROLE]
    stem, length = relative.stem, len(key[-1])
    start = stem.casefold().rfind(key[-1]) if not stem.casefold().startswith(key[-1]) else 0
    return "/".join([*kept, stem[start : start + length] + relative.suffix])


def _whole_pairs(
    info: DatasetInfo, root: Path, without: Sequence[str] = ()
) -> list[tuple[str, Path, Path]]:
    """Returns all pairs below a folder, but those in its subfolders `without`."""
    found = match_pairs(info, root, without)
    if found.unmatched:
        shown = ", ".join(path.relative_to(root).as_posix() for path in found.unmatched[:_SHOWN])
        more = f" and {len(found.unmatched) - _SHOWN} more" if len(found.unmatched) > _SHOWN else ""
        raise UserError(
            f"dataset {info.name}: files in {root} have no partner, or several: {shown}{more}.\n"
            "Expected one noisy and one clean image for each name.\n"
            f"To list all: python -m datasets check {info.name} --data_dir={root}"
        )
    if not found.pairs:
        raise UserError(
            f"dataset {info.name}: folder {root} has no pairs of noisy and clean images.\n"
            "Expected two folders such as noisy and clean with files of equal names, or files "
            f"such as a_noisy.png and a_clean.png.\nTo get it: {info.how_to_get}."
        )
    return found.pairs


def _own_split(info: DatasetInfo, root: Path, split: str) -> list[tuple[str, Path, Path]]:
    if split in ("all", "test"):
        return _whole_pairs(info, root / "test" if split == "test" else root)
    separate, train = folder.validation_folder(root), folder.training_folder(root)
    if separate is not None and split == "validation":
        return _whole_pairs(info, separate)
    # Pairs are looked for in subfolders, too, but without a folder train not in those of others.
    others = () if train != root else ("validation", "val", "test")
    pairs = _whole_pairs(info, train, others)
    if separate is not None:
        return pairs
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

PUBLISHED = (
    DatasetInfo(
        name="polyu",
        title="PolyU",
        find=find,
        aliases=("PolyU100", "CroppedImages"),
        counts={"test": 100},
        pattern=r".*_(real|mean)\.jpe?g",
        protocol=Protocol(
            **REAL_NOISE,
            split="all 100 cropped pairs",
            crop="the 512×512 crops as published",
            compares_with="tables over the 100 crops (noisy input 35.97 dB as the mean over "
            "images), not over full images",
        ),
        origin="https://github.com/csjunxu/PolyU-Real-World-Noisy-Images-Dataset (folder "
        "CroppedImages)",
        terms="research use only",
        citation="J. Xu, H. Li, Z. Liang, D. Zhang, L. Zhang: Real-world Noisy Image Denoising: A "
        "New Benchmark, arXiv:1804.02603, 2018",
        how_to_get="copy CroppedImages (*_real.JPG, *_mean.JPG) from "
        "https://github.com/csjunxu/PolyU-Real-World-Noisy-Images-Dataset",
    ),
    DatasetInfo(
        name="cc15",
        title="CC15",
        find=find,
        aliases=("CC", "Real_ccnoise_denoised_part"),
        counts={"test": 15},
        pattern=r".*_(real|mean)\.png",
        protocol=Protocol(
            **REAL_NOISE,
            split="all 15 cropped pairs",
            crop="the 512×512 crops as published",
            compares_with="tables over the 15 crops (MCWNNM and after)",
        ),
        origin=f"{_MCWNNM}, cropped from Nam",
        terms="non-commercial (licence of the repository)",
        citation=f"{_NAM}; the crops: J. Xu, L. Zhang, D. Zhang, X. Feng: Multi-channel Weighted "
        "Nuclear Norm Minimization for Real Color Image Denoising, ICCV 2017",
        how_to_get=f"copy *_real.png and *_mean.png from {_MCWNNM}",
    ),
    DatasetInfo(
        name="nam",
        title="Nam",
        find=find,
        aliases=("Nam2016", "CCNoise", "CC60"),
        pattern=r".*(_(real|mean)|noisy.*|mean.*)\.(png|jpe?g)",
        protocol=Protocol(
            **REAL_NOISE,
            split="the pairs in the folder: papers crop the 11 scenes in different ways",
            compares_with="no common table; use cc15 for one",
        ),
        origin="http://snam.ml/research/ccnoise (gone)",
        terms="none stated with the images",
        citation=_NAM,
        how_to_get="the authors' site is gone; from a copy, put pairs *_real.* (one shot) and "
        "*_mean.* (mean of the shots) into a folder nam, or use cc15, its 15 public crops",
    ),
)
PAIRS = DatasetInfo(
    name="pairs",
    title="pairs",
    find=find,
    **OWN_SPLITS,
    protocol=Protocol(
        **REAL_NOISE,
        split="all pairs, or the folders train, validation and test; without a folder "
        "validation, one pair of twenty is held out of train, at most 16",
        colour_space="RGB; gray with --channels=1 in training",
        compares_with="none: your own images",
    ),
    origin="your own images",
    how_to_get="give --data_dir two folders such as noisy and clean whose files have equal "
    "names, or one folder of files such as a_noisy.png and a_clean.png",
)
