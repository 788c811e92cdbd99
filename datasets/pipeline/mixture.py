"""Several training sets at once, and images at several scales.

`--dataset=a,b` mixes two sets, `a:2,b:1` with weights. Images are also used at smaller scales,
because large photographs are smooth at the pixel level.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np

from datasets.sets.catalog import find_training_sets, get_info
from datasets.sets.image_set import ImageSet
from gradnet_tf.utils.errors import UserError

_MOST_WEIGHT = 1000


@dataclasses.dataclass(frozen=True)
class MixedSet(ImageSet):
    """The images of several sets, one set after the other; names begin with the set's name.

    Attributes:
        parts: the sets.
        weights: relative probabilities of the sets; `None` draws every image equally often.
    """

    parts: tuple[ImageSet, ...] = ()
    weights: tuple[int, ...] | None = None

    def locate(self, index: int) -> tuple[int, int]:
        """Returns the part that contains image `index`, and its index there."""
        for number, part in enumerate(self.parts):
            if index < len(part):
                return number, index
            index -= len(part)
        raise IndexError(index)

    def load(self, index: int) -> np.ndarray:
        """See `ImageSet.load`; this and the methods below delegate to the image's set."""
        part, own = self.locate(index)
        return self.parts[part].load(own)

    @property
    def has_clean(self) -> bool:
        """Whether all sets have clean images."""
        return all(part.has_clean for part in self.parts)

    def noisy(self, index: int) -> np.ndarray | None:
        """See `ImageSet.noisy`."""
        part, own = self.locate(index)
        return self.parts[part].noisy(own)

    def clean(self, index: int) -> np.ndarray:
        """See `ImageSet.clean`."""
        part, own = self.locate(index)
        return self.parts[part].clean(own)

    def original(self, index: int) -> np.ndarray | None:
        """See `ImageSet.original`."""
        part, own = self.locate(index)
        return self.parts[part].original(own)

    def sources(self, index: int) -> tuple[Path, ...]:
        """See `ImageSet.sources`."""
        part, own = self.locate(index)
        return self.parts[part].sources(own)

    @property
    def sizes(self) -> list[tuple[int, int] | None]:
        """Height and width of every image; `None` if they are unknown without decoding."""
        return [size for part in self.parts for size in known_sizes(part)]

    def with_parts(self, change: Callable[[ImageSet], ImageSet]) -> "MixedSet":
        """Returns the mixture with each part replaced by `change(part)`."""
        return dataclasses.replace(self, parts=tuple(change(part) for part in self.parts))


def known_sizes(image_set: ImageSet) -> list[tuple[int, int] | None]:
    """Returns (height, width) of every image, `None` if it is unknown without decoding."""
    return getattr(image_set, "sizes", None) or [None] * len(image_set)


def parts_of(image_set: ImageSet) -> tuple[ImageSet, ...]:
    """Returns the sets of a mixture; a plain set is its only part."""
    return image_set.parts if isinstance(image_set, MixedSet) else (image_set,)


def real_sets(image_set: ImageSet) -> list[str]:
    """Returns the names of the sets with real noise, to which no noise is added."""
    return [part.name for part in parts_of(image_set) if part.noisy(0) is not None]


def parse_mixture(text: str) -> tuple[list[str], tuple[int, ...] | None]:
    """Parses `a`, `a,b` or `a:2,b:1` into the names of the sets and their weights.

    Raises:
        UserError: for an unknown or repeated set, or a weight that is not an integer or only given
            for some sets.
    """
    names, weights = [], []
    for part in text.split(","):
        match = re.fullmatch(r"([^:]*?)(?::(\d{1,4}))?", part.strip())
        if match is None or (match[2] and not 1 <= int(match[2]) <= _MOST_WEIGHT):
            raise UserError(
                f"--dataset={text}: weights are integers from 1 to {_MOST_WEIGHT}, as in "
                f"bsds500:3,renoir:1. Received: {part.strip()}"
            )
        names.append(get_info(match[1]).name)
        weights.append(int(match[2]) if match[2] else None)
    if len(set(names)) < len(names):
        raise UserError(f"--dataset={text}: names a set twice. Give each once, with a weight.")
    if any(weights) and not all(weights):
        raise UserError(f"--dataset={text}: give every set a weight, as in a:2,b:1, or none.")
    return names, tuple(weights) if all(weights) else None


def find_training_mixture(
    text: str, data_dir: str | Path | None = None, channels: int | None = None
) -> tuple[ImageSet, ImageSet]:
    """Returns the training images and the validation images that `--dataset` names.

    Args:
        text: see `parse_mixture`.
        data_dir: as in `find_dataset`; for several sets, their parent folder.
        channels: 3 or 1; by default 3 for several sets.

    Raises:
        UserError: as `parse_mixture` and `find_training_sets` do.
    """
    names, weights = parse_mixture(text)
    if len(names) == 1:
        return find_training_sets(names[0], data_dir, channels)
    pairs = [find_training_sets(name, _folder_of(name, data_dir), channels or 3) for name in names]
    training, validation = zip(*pairs, strict=True)
    return _join(training, "train", weights), _join(validation, "validation", None)


def _folder_of(name: str, data_dir: str | Path | None) -> str | Path | None:
    """Returns D/pairs or D/folder for these sets, if there is one: other sets share D."""
    own = Path(data_dir, name).expanduser() if data_dir and get_info(name).is_own else None
    return own if own and own.is_dir() else data_dir


def _join(parts: tuple[ImageSet, ...], split: str, weights: tuple[int, ...] | None) -> MixedSet:
    return MixedSet(
        name=",".join(part.name for part in parts),
        split=split,
        names=[f"{part.name}/{name}" for part in parts for name in part.names],
        paths=[path for part in parts for path in part.paths],
        channels=parts[0].channels,
        info=parts[0].info,
        parts=tuple(parts),
        weights=weights,
    )


# Scaled copies with a shorter side below this are left out.
_LEAST_SIDE = 128


@dataclasses.dataclass(frozen=True)
class ScaledSet(ImageSet):
    """Every image of a set at several scales; names end with @ and the scale.

    Attributes:
        base: the set.
        entries: index in `base` and scale of each image.
    """

    base: ImageSet
    entries: tuple[tuple[int, float], ...]

    def load(self, index: int) -> np.ndarray:
        """Decodes an image and downscales it by area; uint8 [H, W, `channels`]."""
        number, scale = self.entries[index]
        image = self.base.load(number)
        if scale == 1:
            return image
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        return small.reshape(height, width, self.channels)

    def original(self, index: int) -> np.ndarray | None:
        """Returns the image before scaling, for its first copy if that is scaled."""
        number, scale = self.entries[index]
        seen = index > 0 and self.entries[index - 1][0] == number
        return None if scale == 1 or seen else self.base.load(number)

    def sources(self, index: int) -> tuple[Path, ...]:
        """See `ImageSet.sources`."""
        return self.base.sources(self.entries[index][0])


def at_scales(image_set: ImageSet, scales: Sequence[float]) -> ImageSet:
    """Returns the set with every image at each scale.

    Sets with noisy partners are not scaled, because that would change the noise.

    Args:
        image_set: clean images, or a mixture of sets, each of which is scaled.
        scales: sizes relative to the original, in (0, 1]. A scale that would leave fewer than 128
            pixels a side is skipped for that image, except for the largest scale.
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
    entries = []
    for index, size in enumerate(known_sizes(image_set)):
        side = min(size or image_set.load(index).shape[:2])
        fit = [scale for scale in scales if side * scale >= _LEAST_SIDE]
        entries += [(index, scale) for scale in fit or [max(scales)]]
    return ScaledSet(
        name=image_set.name,
        split=image_set.split,
        names=[f"{image_set.names[index]}@{scale:g}" for index, scale in entries],
        paths=[image_set.paths[index] for index, _ in entries],
        channels=image_set.channels,
        info=image_set.info,
        base=image_set,
        entries=tuple(entries),
    )
