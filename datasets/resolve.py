"""Turns `--dataset`, `--data_dir` and `--split` into images: the one place that does."""

import re
from pathlib import Path

from datasets import bsds500, folder, renoir, sample
from datasets.facts import TRAINING_SETS, DatasetFacts, get_facts
from datasets.image_set import ImageSet, notice
from gradnet_tf.errors import UserError
from gradnet_tf.inference.image_files import list_images


def find_dataset(
    name: str,
    data_dir: str | Path | None = None,
    split: str | None = None,
    max_images: int | None = None,
    channels: int | None = None,
) -> ImageSet:
    """Finds a set of images.

    `data_dir=D` means D/<name>, whatever the case, or D/<alias>, or D itself
    when its files fit; `folder` takes D itself and `sample` needs none.

    Args:
        name: a name or alias of `datasets.facts`.
        data_dir: see above.
        split: one of the set's splits; by default the one it is evaluated on.
        max_images: takes the first images in byte order of the names.
        channels: 3 or 1; by default what the set is, 3 for `folder`.

    Returns:
        The images; nothing is decoded yet.

    Raises:
        UserError: for an unknown name or split, a missing or empty folder, or
            `max_images` below 1.
    """
    facts = get_facts(name)
    split = facts.evaluation_split if split is None else split
    if split not in facts.splits:
        raise UserError(
            f"dataset {facts.name} has no split {split!r}{_why_not(facts, split)}.\n"
            f"`split` must be one of {', '.join(facts.splits)}."
        )
    channels = facts.channels if channels is None else channels
    shots = None
    if facts.name == "renoir":
        root = folder.find_named(facts, folder.check_data_dir(facts, data_dir))
        scenes = renoir.list_split(facts, root, split)
        shots = tuple(files for _, files in scenes)
        named = [(name, files[-1]) for name, files in scenes]
    else:
        named = _list_files(facts, data_dir, split, channels)
    names, paths = [item[0] for item in named], [item[1] for item in named]
    expected = facts.counts.get(split)
    if expected is not None and len(paths) != expected:
        notice(
            f"{facts.title} {split} has {expected} images, but {len(paths)} were found in "
            f"{paths[0].parent if paths else data_dir}; scores will not compare."
        )
    fields = (facts.name, split, names, paths, channels, facts)
    image_set = ImageSet(*fields) if shots is None else renoir.RenoirSet(*fields, shots)
    return image_set.first(max_images)


def find_training_sets(
    name: str,
    data_dir: str | Path | None = None,
    channels: int | None = None,
    max_images: int | None = None,
) -> tuple[ImageSet, ImageSet]:
    """Finds the images to train on and those to choose checkpoints on.

    Args:
        name: a name or alias of `datasets.facts`.
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


def _why_not(facts: DatasetFacts, split: str) -> str:
    if facts.name == "bsds500" and split in ("val", "test", "all"):
        return (
            " here: the official val folder holds the 68 test images of CBSD68, which are kept "
            "out (evaluate on them with --dataset=cbsd68)"
        )
    return ""


def _list_files(
    facts: DatasetFacts, data_dir: str | Path | None, split: str, channels: int
) -> list[tuple[str, Path]]:
    """Lists (name, path) of a split, in byte order of the names."""
    if facts.name == "sample":
        return sample.list_split(split, grey=channels == 1)
    root = folder.check_data_dir(facts, data_dir)
    if facts.name == "bsds500":
        return bsds500.list_split(facts, _find_bsds500(facts, root), split)
    if facts.name == "folder":
        return [(path.name, path) for path in folder.list_own_folder(root, split)]
    return folder.find_flat(facts, root)


def _find_bsds500(facts: DatasetFacts, data_dir: Path) -> Path:
    for candidate in folder.named_folders(facts, data_dir):
        root = bsds500.find_root(candidate)
        if root is not None:
            return root
    root = bsds500.find_root(data_dir)
    if root is not None and (
        folder.is_named(facts, data_dir)
        or any(re.fullmatch(facts.pattern, p.name.lower()) for p in list_images(root / "train"))
    ):
        return root
    raise folder.not_found(facts, data_dir)
