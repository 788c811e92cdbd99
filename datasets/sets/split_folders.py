"""Training sets whose splits are subfolders: DIV2K, and Flickr2K and WED, which have one each."""

import re
from pathlib import Path

from datasets.facts.dataset_facts import DatasetFacts
from datasets.sets import set_folder as folder
from datasets.sets.image_set import ImageSet
from gradnet_tf.images.image_files import list_images
from gradnet_tf.utils.errors import UserError


def find(facts: DatasetFacts, data_dir: str | Path | None, split: str, channels: int) -> ImageSet:
    """Finds a split; see `datasets.layouts`.

    The subfolders of `facts.split_folders` are looked for in D/<name or
    alias>, in D, and beside D where D is one of them. A set without a
    validation folder gives evenly spaced images of its training folder, one of
    twenty and 16 at most.
    """
    root = folder.check_data_dir(facts, data_dir)
    own = facts.split_folders.get(split)
    found = _split_folder(facts, root, own or facts.split_folders["train"])
    named = [(path.name, path) for path in list_images(found)]
    if own is None and split != "all":
        named = folder.held_out_split(named, split)
    elif split == "train" and "validation" not in facts.split_folders:
        named = folder.held_out_split(named, split)
    return folder.image_set(facts, split, named, channels)


def _split_folder(facts: DatasetFacts, root: Path, names: tuple[str, ...]) -> Path:
    """Returns the first of the subfolders that has images."""
    places = [*folder.named_folders(facts, root), root]
    if root.resolve().name in {name for some in facts.split_folders.values() for name in some}:
        places.append(root.resolve().parent)
    wanted = [name.casefold() for name in names]
    for place in places:
        below = {path.name.casefold(): path for path in place.iterdir() if path.is_dir()}
        for name in wanted:
            if name in below and list_images(below[name]):
                return below[name]
    for place in places:
        # The images themselves, where nothing but such images is there.
        images = list_images(place) if "." in names else []
        if images and all(re.fullmatch(facts.pattern, path.name.lower()) for path in images):
            return place
    if folder.named_folders(facts, root) or folder.is_named(facts, root):
        raise UserError(
            f"dataset {facts.name}: {places[0]} has no images in a subfolder "
            f"{' or '.join(name for name in names if name != '.')}"
            f"{', nor directly' if '.' in names else ''}.\nTo get it: {facts.how_to_get}."
        )
    raise folder.not_found(facts, root)
