"""The layouts of data sets: for each layout the function that finds the files.

A layout's `find(facts, data_dir, split, channels)` returns an `ImageSet` whose files are found
and verified; nothing of an image is decoded. A set with a usual layout needs only a row of
facts; one with its own layout has a module with such a function, and a line here.

    facts: the set's row.
    data_dir: `--data_dir` as given, or None.
    split: one of `facts.splits`.
    channels: 3 or 1.

It raises a `UserError` that says what is missing, where it was looked for and how to get it.
"""

from collections.abc import Callable
from pathlib import Path

from datasets.facts.dataset_facts import DatasetFacts
from datasets.sets import (
    bsds500,
    dnd,
    drawings,
    free_photos,
    nyuv2,
    paired,
    renoir,
    sample,
    sidd,
    split_folders,
)
from datasets.sets import set_folder as folder
from datasets.sets.image_set import ImageSet

Find = Callable[[DatasetFacts, str | Path | None, str, int], ImageSet]

LAYOUTS: dict[str, Find] = {
    "flat": folder.find,
    "own_folder": folder.find_own,
    "sample": sample.find,
    "bsds500": bsds500.find,
    "free_photos": free_photos.find,
    "free_photos_cc_by": free_photos.find_permissive,
    "drawings": drawings.find,
    "split_folders": split_folders.find,
    "pairs": paired.find,
    "renoir": renoir.find,
    "sidd": sidd.find,
    "dnd": dnd.find,
    "nyuv2": nyuv2.find,
}
