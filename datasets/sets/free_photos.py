"""Free photographs: wallpapers of free desktops, gb82 and CID22's references, with their licences.

The folder holds `manifest.tsv` (file, size, licence, author, source and sha256 of each original)
and `train/`. Two rows of facts read it: `free_photos` trains on all of it, `free_photos_cc_by` on
the photographs under CC0 or CC-BY alone, for weights whose terms nobody can question. Both choose
checkpoints on the same sixteen photographs, which neither trains on.
"""

import csv
import functools
from pathlib import Path

from datasets.sets import folder_sets as folder
from datasets.sets.image_set import FOR_TRAINING, TRAINABLE, DatasetFacts, ImageSet, Protocol
from gradnet_tf.utils.errors import UserError

MANIFEST = "manifest.tsv"

# The sixteen of the 512×512 photographs under CC-BY-SA whose name has the smallest sha256.
VALIDATION_IMAGES = frozenset(
    """
    cid22__1147124.jpg cid22__1545529.jpg
    cid22__1938351.jpg cid22__2079234.jpg
    cid22__2232979.jpg cid22__2866385.jpg
    cid22__3493730.jpg cid22__5146462.jpg
    cid22__5184684.jpg cid22__60003.jpg
    cid22__8442861.jpg cid22__pexels-photo-3289880.jpg
    cid22__pexels-photo-6096399.jpg cid22__pexels-photo-635405.jpg
    cid22__pexels-photo-7078476.jpg cid22__pexels-photo-951408.jpg
    """.split()
)


def find(
    facts: DatasetFacts,
    data_dir: str | Path | None,
    split: str,
    channels: int,
    permissive: bool = False,
) -> ImageSet:
    """Finds a split; see `datasets.sets.catalog`.

    Args:
        permissive: leave out what is neither CC0 nor CC-BY, but for the validation split.

    Raises:
        UserError: when the folder, its manifest or a photograph of the manifest is missing.
    """
    root = _find_root(facts, folder.check_data_dir(facts, data_dir))
    named = []
    for row in read_manifest(root / MANIFEST):
        name = row["file"]
        validates = name in VALIDATION_IMAGES
        wanted = permissive is False or is_permissive(row["licence"]) or validates
        if not wanted or (split == "validation") != validates:
            continue
        path = root / "train" / name
        if not path.is_file():
            raise UserError(
                f"{path} is missing, though {root / MANIFEST} lists it.\n"
                f"To get it: {facts.how_to_get}."
            )
        named.append((name, path))
    return folder.image_set(facts, split, sorted(named, key=lambda one: one[0].encode()), channels)


find_permissive = functools.partial(find, permissive=True)


def is_permissive(licence: str) -> bool:
    """Tells whether a licence of the manifest is CC0 or CC-BY."""
    return licence.startswith(("CC0", "CC-BY-2", "CC-BY-3", "CC-BY-4"))


def read_manifest(path: Path) -> list[dict[str, str]]:
    """Reads the table of photographs.

    Raises:
        UserError: when it cannot be read or lacks a column.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{path} cannot be read: {error}.\nExpected a table of tab-separated columns."
        ) from error
    needed = {"file", "licence", "author", "source"}
    if not rows or not needed <= set(rows[0]):
        raise UserError(
            f"{path} is no table of photographs.\nExpected a first line with the columns "
            f"{', '.join(sorted(needed))}, and a line for each photograph."
        )
    return rows


def _find_root(facts: DatasetFacts, data_dir: Path) -> Path:
    for candidate in (*folder.named_folders(facts, data_dir), data_dir):
        if (candidate / MANIFEST).is_file() and (candidate / "train").is_dir():
            return candidate
    raise folder.not_found(facts, data_dir)


_FREE_SPLIT = (
    "all but 16 named photographs of CID22 train; these 16, by the smallest sha256 of their names, "
    "choose checkpoints"
)
_FREE_ORIGIN = (
    "wallpapers of Budgie, elementary, Fedora, Lomiri, openSUSE, Pop!_OS and Ubuntu MATE, gb82, "
    "and CID22's references"
)
_FREE_HOW = "docs/free_photos.md lists every photograph with its source"

FREE_PHOTOS = (
    DatasetFacts(
        name="free_photos",
        title="free photographs",
        find=find,
        splits=("train", "validation"),
        **TRAINABLE,
        counts={"train": 317, "validation": 16},
        protocol=Protocol(split=_FREE_SPLIT, compares_with=FOR_TRAINING),
        origin=_FREE_ORIGIN,
        terms="each photograph its own: CC0, CC-BY or CC-BY-SA, see docs/free_photos.md",
        citation="see docs/free_photos.md",
        how_to_get=_FREE_HOW,
    ),
    DatasetFacts(
        name="free_photos_cc_by",
        title="free photographs under CC0 and CC-BY",
        find=find_permissive,
        aliases=("free_photos",),
        splits=("train", "validation"),
        **TRAINABLE,
        counts={"train": 78, "validation": 16},
        protocol=Protocol(split=_FREE_SPLIT, compares_with=FOR_TRAINING),
        origin=_FREE_ORIGIN,
        terms="CC0 or CC-BY (ask for attribution at most), see docs/free_photos.md; the "
        "photographs that choose checkpoints are under CC-BY-SA",
        citation="see docs/free_photos.md",
        how_to_get=_FREE_HOW,
    ),
)
