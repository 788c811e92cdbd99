"""Free photographs: wallpapers of free desktops, gb82 and CID22's references, with their licences.

The folder contains `manifest.tsv` (file, size, licence, author, source and sha256 of each original)
and `train/`. Two sets read it: `free_photos` trains on all of it, `free_photos_cc_by` only on the
photographs under CC0 or CC-BY, for weights with clear terms. Both choose checkpoints on the same
sixteen photographs, which neither trains on.
"""

import csv
import dataclasses
import functools
import re
from pathlib import Path

from datasets.sets import folder_sets as folder
from datasets.sets.image_set import FOR_TRAINING, TRAINABLE, DatasetInfo, ImageSet, Protocol
from gradnet_tf.utils.errors import UserError

FOLDER = "free_photos"
MANIFEST = "manifest.tsv"
_COLUMNS = ("file", "licence", "author", "source")

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
    info: DatasetInfo,
    data_dir: str | Path | None,
    split: str,
    channels: int,
    permissive: bool = False,
) -> ImageSet:
    """Finds a split; see `Find`. `permissive` limits the training split to CC0 and CC-BY.

    Raises:
        UserError: if the folder, its manifest or a photograph of the manifest is missing.
    """
    root = find_root(info, data_dir)
    named = []
    for row in read_manifest(root / MANIFEST):
        name = row["file"]
        validates = name in VALIDATION_IMAGES
        wanted = not permissive or is_permissive(row["licence"]) or validates
        if not wanted or (split == "validation") != validates:
            continue
        path = root / "train" / name
        if not path.is_file():
            raise UserError(
                f"{path} is missing, but {root / MANIFEST} lists it.\nTo get it: {info.how_to_get}."
            )
        named.append((name, path))
    if not named:
        raise UserError(
            f"{root / MANIFEST} lists no photograph for {info.name} {split}.\n"
            f"Expected the whole table; the {split} split is: {info.protocol.split}."
        )
    return folder.image_set(info, split, sorted(named, key=lambda one: one[0].encode()), channels)


def is_permissive(licence: str) -> bool:
    """Whether a licence of the manifest is CC0 or CC-BY."""
    return re.match(r"(CC0|CC0-1\.0|CC-BY-\d\.\d)(?= |$)", licence) is not None


def read_manifest(path: Path) -> list[dict[str, str]]:
    """Reads the table of photographs.

    Raises:
        UserError: if it cannot be read, lacks a column or a value, or lists a file twice.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"{path} cannot be read: {error}.\nExpected a table of tab-separated columns."
        ) from error
    if not rows or not set(_COLUMNS) <= set(rows[0]):
        raise UserError(
            f"{path} is not a table of photographs.\nExpected a header line with the columns "
            f"{', '.join(_COLUMNS)}, and a line per photograph."
        )
    seen = set()
    for row in rows:
        name = row["file"]
        # Short lines yield None. Names with a folder could point anywhere.
        if not all(row[key] for key in ("file", "licence", "source")) or Path(name).name != name:
            raise UserError(
                f"{path} has a line without a file's name, licence or source: {name!r}.\n"
                f"Expected the columns {', '.join(_COLUMNS)} on every line; author may be empty."
            )
        if name in seen:
            raise UserError(f"{path} lists {name} twice.\nExpected one line per photograph.")
        seen.add(name)
    return rows


def find_root(info: DatasetInfo, data_dir: str | Path | None) -> Path:
    """Returns the folder with the manifest: D/free_photos, or D itself.

    Raises:
        UserError: if there is no such folder, or no manifest in it.
    """
    data_dir = folder.check_data_dir(info, data_dir)
    # Both sets read one folder, so its name cannot be an alias of the second.
    info = dataclasses.replace(info, aliases=(FOLDER,))
    named = folder.named_folders(info, data_dir)
    for candidate in (*named, data_dir):
        if (candidate / MANIFEST).is_file():
            return candidate
    if named or folder.is_named(info, data_dir):
        missing = (named[0] if named else data_dir) / MANIFEST
        raise UserError(
            f"{missing} is missing; it states the licence of each photograph.\n"
            f"To get it: {info.how_to_get}."
        )
    raise folder.not_found(info, data_dir)


_ALL = DatasetInfo(
    name="free_photos",
    title="free_photos",
    find=find,
    splits=("train", "validation"),
    **TRAINABLE,
    counts={"train": 317, "validation": 16},
    protocol=Protocol(
        split="all but 16 photographs of CID22 for training; these 16, those with the smallest "
        "sha256 of their names, for choosing checkpoints",
        compares_with=FOR_TRAINING,
    ),
    origin="wallpapers of Budgie, elementary, Fedora, Lomiri, openSUSE, Pop!_OS and Ubuntu MATE, "
    "gb82, and CID22's references",
    terms="each photograph has its own: CC0, CC-BY or CC-BY-SA, see docs/free_photos.md",
    citation="see docs/free_photos.md",
    how_to_get="put manifest.tsv into a folder free_photos and the photographs that it lists into "
    "free_photos/train; docs/free_photos.md names the source of each",
)
FREE_PHOTOS = (
    _ALL,
    dataclasses.replace(
        _ALL,
        name="free_photos_cc_by",
        title="free_photos_cc_by",
        find=functools.partial(find, permissive=True),
        counts={"train": 78, "validation": 16},
        protocol=Protocol(
            split="the photographs under CC0 or CC-BY for training; the same 16 as in "
            "free_photos, which are under CC-BY-SA, for choosing checkpoints",
            compares_with=FOR_TRAINING,
        ),
        terms="CC0 or CC-BY (attribution at most), see docs/free_photos.md; the photographs for "
        "choosing checkpoints are under CC-BY-SA",
    ),
)
