"""All sets by name, and how `--dataset`, `--data_dir` and `--split` become images."""

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
from datasets.sets.image_set import DatasetFacts, ImageSet
from gradnet_tf.utils.console import note
from gradnet_tf.utils.errors import UserError

# In the order in which they are listed.
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

FACTS: dict[str, DatasetFacts] = {row.name: row for row in _ROWS}
#: Names of the sets that may be trained on.
TRAINING_SETS = tuple(sorted(row.name for row in _ROWS if row.training_split))


def get_facts(name: str) -> DatasetFacts:
    """Returns the row of a set by its name or an alias, whatever the case.

    Raises:
        UserError: for an unknown name; the message lists the known ones.
    """
    wanted = name.casefold()
    for row in _ROWS:
        if wanted in {known.casefold() for known in (row.name, *row.aliases)}:
            return row
    raise UserError(f"unknown dataset {name!r}.\n`dataset` must be one of {', '.join(FACTS)}.")


def find_dataset(
    name: str,
    data_dir: str | Path | None = None,
    split: str | None = None,
    max_images: int | None = None,
    channels: int | None = None,
    tell: bool = True,
) -> ImageSet:
    """Finds a set of images.

    `data_dir=D` means D/<name>, whatever the case, or D/<alias>, or D itself
    when its files fit; `folder` takes D itself and `sample` needs none.

    Args:
        name: a name or alias of `datasets.sets.catalog`.
        data_dir: see above.
        split: one of the set's splits; by default the one it is evaluated on.
        max_images: takes the first images in byte order of the names.
        channels: 3 or 1; by default what the set is, 3 for `folder`.
        tell: say on standard error when there are more or fewer images than were published.

    Returns:
        The images; nothing is decoded yet.

    Raises:
        UserError: for an unknown name or split, a missing or empty folder, or
            `max_images` below 1.
    """
    facts = get_facts(name)
    split = facts.evaluation_split if split is None else split
    if split not in facts.splits:
        why = facts.refused_splits.get(split)
        raise UserError(
            f"dataset {facts.name} has no split {split!r}{f' here: {why}' if why else ''}.\n"
            f"`split` must be one of {', '.join(facts.splits)}."
        )
    channels = facts.channels if channels is None else channels
    image_set = facts.find(facts, data_dir, split, channels)
    paths = image_set.paths
    expected = facts.counts.get(split)
    if tell and expected is not None and len(paths) != expected:
        note(
            f"{facts.title} {split} has {expected} images, but {len(paths)} were found in "
            f"{paths[0].parent if paths else data_dir}; scores will not compare."
        )
    return image_set.first(max_images)


def find_training_sets(
    name: str,
    data_dir: str | Path | None = None,
    channels: int | None = None,
    max_images: int | None = None,
) -> tuple[ImageSet, ImageSet]:
    """Finds the images to train on and those to choose checkpoints on.

    Args:
        name: a name or alias of `datasets.sets.catalog`.
        data_dir: as in `find_dataset`.
        channels: 3 or 1, as in `find_dataset`.
        max_images: takes the first images of the training split only.

    Returns:
        The training and the validation split; they share no file, and neither
        is a test set.

    Raises:
        UserError: when the set is for tests only, and as `find_dataset` does.
    """
    facts = get_facts(name)
    if facts.training_split is None:
        raise UserError(
            f"dataset {facts.name} is for tests only; training on it would spoil its scores.\n"
            f"`dataset` to train on must be one of {', '.join(TRAINING_SETS)}."
        )
    training = find_dataset(name, data_dir, facts.training_split, max_images, channels)
    validation = find_dataset(name, data_dir, facts.validation_split, None, channels)
    return training, validation
