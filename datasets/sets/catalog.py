"""All sets by name; resolves `--dataset`, `--data_dir` and `--split` to images."""

import os
from pathlib import Path

from datasets.sets import (
    bsds500,
    dnd,
    drawings,
    folder_sets,
    free_photos,
    nyuv2,
    paired,
    renoir,
    sample,
    sidd,
)
from datasets.sets.image_set import DatasetInfo, ImageSet
from gradnet_tf.utils.console import note
from gradnet_tf.utils.errors import UserError

# In listing order.
_ROWS = (
    sample.SAMPLE,
    folder_sets.FOLDER,
    bsds500.BSDS500,
    *folder_sets.TRAINING,
    *free_photos.FREE_PHOTOS,
    drawings.DRAWINGS,
    bsds500.CBSD68,
    bsds500.BSD68,
    *folder_sets.CLEAN,
    renoir.RENOIR,
    *paired.PUBLISHED,
    folder_sets.RNI15,
    paired.PAIRS,
    sidd.SIDD,
    dnd.DND,
    nyuv2.NYUV2,
)

DATASETS: dict[str, DatasetInfo] = {row.name: row for row in _ROWS}
#: Names of the sets to train on.
TRAINING_SETS = tuple(sorted(row.name for row in _ROWS if row.training_split))


def get_info(name: str) -> DatasetInfo:
    """Returns the description of a set by its name or an alias; case does not matter.

    Raises:
        UserError: for an unknown name; the message lists the known ones.
    """
    wanted = name.casefold()
    for row in _ROWS:
        if wanted in {known.casefold() for known in (row.name, *row.aliases)}:
            return row
    hint = ""
    if Path(name).is_dir() or os.path.basename(name) != name:
        hint = f"\nFor a folder of your own: --dataset=folder --data_dir={name} (or pairs)."
    raise UserError(
        f"unknown dataset {name!r}.\n`dataset` must be one of {', '.join(DATASETS)}.{hint}"
    )


def find_dataset(
    name: str,
    data_dir: str | Path | None = None,
    split: str | None = None,
    max_images: int | None = None,
    channels: int | None = None,
    warn: bool = True,
) -> ImageSet:
    """Finds a set of images; nothing is decoded yet.

    Args:
        name: a name or alias of a set.
        data_dir: D means D/<name> or D/<alias> in any case, or D itself if its files fit; `folder`
            takes D itself and `sample` needs none.
        split: one of the set's splits; by default its evaluation split.
        max_images: takes the first images in byte order of the names.
        channels: 3 or 1; by default as in the set, 3 for `folder`.
        warn: warn if the number of images differs from the published one.

    Raises:
        UserError: for an unknown name or split, a missing or empty folder, or
            `max_images` below 1.
    """
    info = get_info(name)
    split = info.evaluation_split if split is None else split
    if split not in info.splits:
        why = info.refused_splits.get(split)
        raise UserError(
            f"dataset {info.name} has no split {split!r}{f' here: {why}' if why else ''}.\n"
            f"`split` must be one of {', '.join(info.splits)}."
        )
    channels = info.channels if channels is None else channels
    image_set = info.find(info, data_dir, split, channels)
    paths = image_set.paths
    expected = info.counts.get(split)
    if warn and expected is not None and len(paths) != expected:
        note(
            f"{info.title} {split} has {expected} images, but {len(paths)} were found in "
            f"{paths[0].parent if paths else data_dir}; scores will not be comparable."
        )
    return image_set.first(max_images)


def find_training_sets(
    name: str,
    data_dir: str | Path | None = None,
    channels: int | None = None,
    max_images: int | None = None,
) -> tuple[ImageSet, ImageSet]:
    """Returns the training and the validation split of a set, which share no file.

    The arguments are those of `find_dataset`; `max_images` cuts the training split only.

    Raises:
        UserError: if the set is for tests only, and as `find_dataset` does.
    """
    info = get_info(name)
    if info.training_split is None:
        raise UserError(
            f"dataset {info.name} is a test set; training on it would invalidate its scores.\n"
            f"`dataset` to train on must be one of {', '.join(TRAINING_SETS)}."
        )
    training = find_dataset(name, data_dir, info.training_split, max_images, channels)
    validation = find_dataset(name, data_dir, info.validation_split, None, channels)
    return training, validation


def find_calibration_sets(
    name: str, data_dir: str | Path | None = None, channels: int | None = None
) -> tuple[ImageSet, ImageSet]:
    """Returns what 8-bit ranges are chosen with: a set's training split, and generated drawings.

    Photographs hardly have edges from black to white; ranges from them alone cut off those of text.
    The arguments and errors are those of `find_training_sets`.
    """
    drawings, _ = find_training_sets("drawings", channels=channels, max_images=16)
    return find_training_sets(name, data_dir, channels)[0], drawings
