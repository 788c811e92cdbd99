"""Changes to what is trained on: several sets at once, and images at several sizes.

`--dataset=a,b` mixes two sets, `a:2,b:1` with weights. Images are also shown smaller, because
large photographs are smooth pixel by pixel.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from datasets.sets.catalog import find_training_sets, get_facts
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


# A smaller copy is only made where it keeps so many pixels a side.
_LEAST_SIDE = 128


@dataclasses.dataclass(frozen=True)
class ScaledSet(ImageSet):
    """Every image of a set at each of some scales; names end with @ and the scale.

    Attributes:
        base: the set.
        entries: for each image here its number in `base` and its scale.
    """

    base: ImageSet
    entries: tuple[tuple[int, float], ...]

    def load(self, index: int) -> np.ndarray:
        """Decodes one image and shrinks it by area; uint8 [H, W, `channels`]."""
        number, scale = self.entries[index]
        image = self.base.load(number)
        if scale == 1:
            return image
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        return small.reshape(height, width, self.channels)

    def original(self, index: int) -> np.ndarray | None:
        """Returns the image before it is shrunk, for the first copy of it that is shown smaller."""
        number, scale = self.entries[index]
        seen = index > 0 and self.entries[index - 1][0] == number
        return None if scale == 1 or seen else self.base.load(number)

    def sources(self, index: int) -> tuple[Path, ...]:
        """Returns the files that image `index` comes from."""
        return self.base.sources(self.entries[index][0])


def at_scales(image_set: ImageSet, scales: Sequence[float]) -> ImageSet:
    """Returns the set with every image at each scale; the set itself for the scale 1 alone.

    Sets with noisy partners keep their size: shrinking would change the noise.

    Args:
        image_set: clean images, or a mixture of sets, of which each is scaled.
        scales: sizes relative to the image's own, in (0, 1]. A scale that would leave fewer than
            128 pixels a side is left out for that image; the largest scale is always there.
    """
    if tuple(scales) == (1.0,):
        return image_set
    if isinstance(image_set, MixedSet):
        scaled = image_set.with_parts(lambda part: at_scales(part, scales))
        names = [f"{part.name}/{name}" for part in scaled.parts for name in part.names]
        paths = [path for part in scaled.parts for path in part.paths]
        return dataclasses.replace(scaled, names=names, paths=paths)
    if image_set.noisy(0) is not None:
        return image_set
    known = getattr(image_set, "sizes", None) or [None] * len(image_set)
    entries = []
    for index, size in enumerate(known):
        side = min(size or image_set.load(index).shape[:2])
        fit = [scale for scale in scales if side * scale >= _LEAST_SIDE]
        entries += [(index, scale) for scale in fit or [max(scales)]]
    return ScaledSet(
        name=image_set.name,
        split=image_set.split,
        names=[f"{image_set.names[index]}@{scale:g}" for index, scale in entries],
        paths=[image_set.paths[index] for index, _ in entries],
        channels=image_set.channels,
        facts=image_set.facts,
        base=image_set,
        entries=tuple(entries),
    )
