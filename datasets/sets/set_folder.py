"""Finds the folder of a set under `--data_dir`, and lists sets that are one flat folder."""

import re
from pathlib import Path

from datasets.facts.dataset_facts import DatasetFacts
from datasets.sets.image_set import ImageSet
from gradnet_tf.images.image_files import list_images
from gradnet_tf.utils.errors import UserError

# A folder without a split of its own gives every twentieth image, at most 16, to validation.
_VALIDATION_SHARE = 20
_MOST_VALIDATION = 16


def check_data_dir(facts: DatasetFacts, data_dir: str | Path | None) -> Path:
    """Returns `data_dir` as a path to an existing folder.

    Raises:
        UserError: when it is not given, missing or a file; says how to get the set.
    """
    if data_dir is None or str(data_dir) == "":
        raise UserError(
            f"dataset {facts.name} needs --data_dir, the folder that holds it; none was given.\n"
            f"To get it: {facts.how_to_get}."
        )
    path = Path(data_dir).expanduser()
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise UserError(
            f"dataset {facts.name}: --data_dir={data_dir} {what}.\n"
            f"Expected the folder that holds it; to get it: {facts.how_to_get}."
        )
    return path


def named_folders(facts: DatasetFacts, data_dir: Path) -> list[Path]:
    """Lists the subfolders called like the set or an alias, whatever the case; its name first."""
    names = [name.casefold() for name in (facts.name, *facts.aliases)]
    found = [p for p in data_dir.iterdir() if p.is_dir() and p.name.casefold() in names]
    return sorted(found, key=lambda p: (names.index(p.name.casefold()), p.name))


def is_named(facts: DatasetFacts, folder: Path) -> bool:
    """Returns whether the folder itself has the name of the set or an alias."""
    names = {name.casefold() for name in (facts.name, *facts.aliases)}
    return folder.resolve().name.casefold() in names


def find_named(facts: DatasetFacts, data_dir: Path) -> Path:
    """Returns D/<name or alias>, or D itself if it has such a name or such files.

    Raises:
        UserError: when the set is not found.
    """
    named = named_folders(facts, data_dir)
    fits = any(re.fullmatch(facts.pattern, p.name.lower()) for p in list_images(data_dir))
    if not named and not fits and not is_named(facts, data_dir):
        raise not_found(facts, data_dir)
    return named[0] if named else data_dir


def not_found(facts: DatasetFacts, data_dir: Path) -> UserError:
    """Returns the error for a set that was not found: what was looked for, what to do."""
    names = list(dict.fromkeys((facts.name, *facts.aliases)))
    return UserError(
        f"dataset {facts.name} is not in --data_dir={data_dir}.\n"
        f"Looked for a subfolder named {' or '.join(names)} (in any case), and for its files in "
        f"the folder itself.\nTo get it: {facts.how_to_get}."
    )


def find(facts: DatasetFacts, data_dir: str | Path | None, split: str, channels: int) -> ImageSet:
    """Finds a set that is one flat folder; see `datasets.layouts`."""
    named = find_flat(facts, check_data_dir(facts, data_dir))
    return image_set(facts, split, named, channels)


def find_own(
    facts: DatasetFacts, data_dir: str | Path | None, split: str, channels: int
) -> ImageSet:
    """Finds a person's own folder; see `datasets.layouts`."""
    paths = list_own_folder(check_data_dir(facts, data_dir), split)
    return image_set(facts, split, [(path.name, path) for path in paths], channels)


def image_set(
    facts: DatasetFacts, split: str, named: list[tuple[str, Path]], channels: int
) -> ImageSet:
    """Makes an `ImageSet` of (name, path) pairs."""
    names, paths = [name for name, _ in named], [path for _, path in named]
    return ImageSet(facts.name, split, names, paths, channels, facts)


def find_flat(facts: DatasetFacts, data_dir: Path) -> list[tuple[str, Path]]:
    """Lists the images of a set that is one folder, as (name, path) in byte order of the names.

    Looks at D/<name or alias>, then at D itself, which fits when it is called
    like the set, or when all its images are named like the set's and are as many.

    Raises:
        UserError: when the set is not found, or its folder has no images.
    """
    named = named_folders(facts, data_dir)
    if is_named(facts, data_dir):
        named.append(data_dir)
    for folder in named:
        paths = list_images(folder, facts.recursive)
        if paths:
            return [(path.relative_to(folder).as_posix(), path) for path in paths]
    paths = list_images(data_dir)
    if len(paths) in facts.counts.values() and all(
        re.fullmatch(facts.pattern, path.name, re.IGNORECASE) for path in paths
    ):
        return [(path.name, path) for path in paths]
    if named:
        raise UserError(
            f"dataset {facts.name}: folder {named[0]} has no images.\n"
            f"To get it: {facts.how_to_get}."
        )
    raise not_found(facts, data_dir)


def list_own_folder(data_dir: Path, split: str) -> list[Path]:
    """Lists a split of a person's own folder D.

    `all` is the images in D. `train` and `validation` are D/train and
    D/validation (or D/val) where these exist. Without the latter every
    twentieth image (1 to 16 of them, evenly spaced in byte order) is held out
    of D/train or D for validation. `test` is D/test.

    Raises:
        UserError: when there are no images, or a single one to split in two.
    """
    if split in ("all", "test"):
        return _require_images(data_dir / "test" if split == "test" else data_dir)
    separate = validation_folder(data_dir)
    if split == "validation" and separate is not None:
        return _require_images(separate)
    folder = training_folder(data_dir)
    paths = _require_images(folder)
    if separate is not None:
        return paths
    if len(paths) < 2:
        raise UserError(
            f"folder {folder} has one image; expected at least two, since one is held out.\n"
            "Add images, or put the validation images into a subfolder named validation."
        )
    return held_out_split(paths, split)


def validation_folder(data_dir: Path) -> Path | None:
    """Returns D/validation or D/val if there is one."""
    folders = (data_dir / name for name in ("validation", "val"))
    return next((folder for folder in folders if folder.is_dir()), None)


def training_folder(data_dir: Path) -> Path:
    """Returns D/train if it exists, else D."""
    folder = data_dir / "train"
    return folder if folder.is_dir() else data_dir


def held_out_split(items: list, split: str) -> list:
    """Returns the items held out for `validation`, or the others for `train`.

    One of twenty is held out, from 1 to 16, evenly spaced in the order given.
    """
    count = len(items)
    number = min(_MOST_VALIDATION, max(1, count // _VALIDATION_SHARE))
    held_out = {(2 * index + 1) * count // (2 * number) for index in range(number)}
    wanted = split == "validation"
    return [item for index, item in enumerate(items) if (index in held_out) == wanted]


def _require_images(folder: Path) -> list[Path]:
    paths = list_images(folder)
    if not paths:
        below = list_images(folder, recursive=True)
        hint = f" (images lie deeper, in {below[0].parent})" if below else ""
        raise UserError(
            f"folder {folder} has no images{hint}.\nExpected clean images directly in --data_dir."
        )
    return paths
