"""Several sets to train on at once: `--dataset=a,b`, or `a:2,b:1` with weights."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from datasets.facts.all_facts import get_facts
from datasets.resolve import find_training_sets
from datasets.sets.image_set import ImageSet
from gradnet_tf.utils.errors import UserError

_MOST_WEIGHT = 1000


@dataclasses.dataclass(frozen=True)
class MixedSet(ImageSet):
    """The images of several sets, one set after the other; names begin with the set's.

    Attributes:
        parts: the sets.
        weights: how often each set is drawn from, relative to the others;
            `None` for every image equally often.
    """

    parts: tuple[ImageSet, ...] = ()
    weights: tuple[int, ...] | None = None

    def locate(self, index: int) -> tuple[int, int]:
        """Returns which part holds image `index`, and its number there."""
        for number, part in enumerate(self.parts):
            if index < len(part):
                return number, index
            index -= len(part)
        raise IndexError(index)

    def load(self, index: int) -> np.ndarray:
        """Decodes one clean image, uint8 [H, W, `channels`]."""
        part, own = self.locate(index)
        return self.parts[part].load(own)

    @property
    def has_clean(self) -> bool:
        """True: a set is only trained on with its clean images."""
        return all(part.has_clean for part in self.parts)

    def noisy(self, index: int) -> np.ndarray | None:
        """Returns the really noisy partner where the image's set has them, else `None`."""
        part, own = self.locate(index)
        return self.parts[part].noisy(own)

    def clean(self, index: int) -> np.ndarray:
        """Returns what is scored against, as the image's set has it: float32 in [0, 1]."""
        part, own = self.locate(index)
        return self.parts[part].clean(own)

    def original(self, index: int) -> np.ndarray | None:
        """Returns the image that `load` changes, where the image's set changes it."""
        part, own = self.locate(index)
        return self.parts[part].original(own)

    def sources(self, index: int) -> tuple[Path, ...]:
        """Returns the files that image `index` comes from."""
        part, own = self.locate(index)
        return self.parts[part].sources(own)

    @property
    def sizes(self) -> list[tuple[int, int] | None]:
        """Height and width of every image where its set knows them without decoding."""
        found = []
        for part in self.parts:
            found += getattr(part, "sizes", None) or [None] * len(part)
        return found

    def with_parts(self, change: Callable[[ImageSet], ImageSet]) -> "MixedSet":
        """Returns the mixture of `change(part)`, each of the same images as before."""
        return dataclasses.replace(self, parts=tuple(change(part) for part in self.parts))


def parts_of(image_set: ImageSet) -> tuple[ImageSet, ...]:
    """Returns the sets that a mixture is made of; a plain set is its only part."""
    return image_set.parts if isinstance(image_set, MixedSet) else (image_set,)


def real_sets(image_set: ImageSet) -> list[str]:
    """Returns the names of the sets with really noisy images, to which no noise is added."""
    return [part.name for part in parts_of(image_set) if part.noisy(0) is not None]


def parse_mixture(text: str) -> tuple[list[str], tuple[int, ...] | None]:
    """Reads `a`, `a,b` or `a:2,b:1` into the sets' names and their weights.

    Raises:
        UserError: for an unknown or repeated set, or a weight that is no whole
            number or only given for some.
    """
    names, weights = [], []
    for part in text.split(","):
        match = re.fullmatch(r"([^:]*?)(?::(\d{1,4}))?", part.strip())
        if match is None or (match[2] and not 1 <= int(match[2]) <= _MOST_WEIGHT):
            raise UserError(
                f"--dataset={text}: weights are whole numbers of 1 to {_MOST_WEIGHT}, as in "
                f"bsds500:3,renoir:1. Received: {part.strip()}"
            )
        names.append(get_facts(match[1]).name)
        weights.append(int(match[2]) if match[2] else None)
    if len(set(names)) < len(names):
        raise UserError(f"--dataset={text}: names a set twice. Give each once, with a weight.")
    if any(weights) and not all(weights):
        raise UserError(f"--dataset={text}: give every set a weight, as in a:2,b:1, or none.")
    return names, tuple(weights) if all(weights) else None


def find_training_mixture(
    text: str, data_dir: str | Path | None = None, channels: int | None = None
) -> tuple[ImageSet, ImageSet]:
    """Finds what `--dataset` of a training names: one set, or several that are mixed.

    Args:
        text: see `parse_mixture`.
        data_dir: as in `find_dataset`; for several sets the folder that holds theirs.
        channels: 3 or 1; by default 3 for several sets.

    Returns:
        The images to train on, and those to choose checkpoints on: each set's
        validation split, one after the other.

    Raises:
        UserError: as `parse_mixture` and `find_training_sets` do.
    """
    names, weights = parse_mixture(text)
    if len(names) == 1:
        return find_training_sets(names[0], data_dir, channels)
    pairs = [find_training_sets(name, data_dir, channels or 3) for name in names]
    training, validation = zip(*pairs, strict=True)
    return _join(training, "train", weights), _join(validation, "validation", None)


def _join(parts: tuple[ImageSet, ...], split: str, weights: tuple[int, ...] | None) -> MixedSet:
    return MixedSet(
        name=",".join(part.name for part in parts),
        split=split,
        names=[f"{part.name}/{name}" for part in parts for name in part.names],
        paths=[path for part in parts for path in part.paths],
        channels=parts[0].channels,
        facts=parts[0].facts,
        parts=tuple(parts),
        weights=weights,
    )
