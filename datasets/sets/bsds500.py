"""BSDS500 without the images of BSD68/CBSD68: 432 photographs to train and validate on.

All 68 test images lie in BSDS500's `val` folder. They are refused by number in
whatever subfolder they are, so 200 `train` + 200 `test` + 32 `val` images
remain. Sixteen of these are the validation split, the other 416 the train split.
"""

import os
import re
from pathlib import Path

from datasets.facts.dataset_facts import DatasetFacts
from datasets.sets import set_folder as folder
from datasets.sets.held_out import BSD68_IMAGES
from datasets.sets.image_set import ImageSet
from gradnet_tf.images.image_files import list_images
from gradnet_tf.utils.errors import UserError

SUBFOLDERS = ("train", "val", "test")

# Where the three subfolders lie in the published archives, from the outside in.
_NESTINGS = (".", "images", "data/images", "BSDS500/data/images")

# The 16 of the 432 whose number has the smallest sha256: fixed, and blind to the pictures.
VALIDATION_IMAGES = frozenset(
    "134052 153077 155060 156079 161062 196015 20069 216041 "
    "22093 259060 306051 317080 372019 55075 61086 71046".split()
)


def find(facts: DatasetFacts, data_dir: str | Path | None, split: str, channels: int) -> ImageSet:
    """Finds the archive in any of its nestings; see `datasets.layouts`."""
    root = _find_below(facts, folder.check_data_dir(facts, data_dir))
    return folder.image_set(facts, split, list_split(facts, root, split), channels)


def _find_below(facts: DatasetFacts, data_dir: Path) -> Path:
    for candidate in folder.named_folders(facts, data_dir):
        root = find_root(candidate)
        if root is not None:
            return root
    root = find_root(data_dir)
    if root is not None and (
        folder.is_named(facts, data_dir)
        or any(re.fullmatch(facts.pattern, p.name.lower()) for p in list_images(root / "train"))
    ):
        return root
    raise folder.not_found(facts, data_dir)


def find_root(path: Path) -> Path | None:
    """Returns the folder at or below `path` that holds train, val and test; None without one."""
    for nesting in _NESTINGS:
        root = path / nesting
        if all((root / name).is_dir() for name in SUBFOLDERS):
            return root
    return None


def list_split(facts: DatasetFacts, root: Path, split: str) -> list[tuple[str, Path]]:
    """Lists a split as (file name, path), in byte order of the file names.

    Args:
        facts: the set's row.
        root: folder with train, val and test.
        split: `train` (416), `validation` (16) or `trainable` (both).

    Raises:
        UserError: when a subfolder has no images at all.
    """
    found = []
    for subfolder in SUBFOLDERS:
        paths = list_images(root / subfolder)
        if not paths:
            raise UserError(
                f"folder {root / subfolder} has no images.\n"
                f"Expected the {subfolder} images of {facts.title}; {facts.how_to_get}."
            )
        found += [path for path in paths if path.stem not in BSD68_IMAGES]
    if split != "trainable":
        wanted = split == "validation"
        found = [path for path in found if (path.stem in VALIDATION_IMAGES) == wanted]
    found.sort(key=lambda path: os.fsencode(path.name))
    return [(path.name, path) for path in found]
