"""A set whose images are also shown smaller, since large photographs are smooth pixel by pixel."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from datasets.pipeline.mixture import MixedSet
from datasets.sets.image_set import ImageSet

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
