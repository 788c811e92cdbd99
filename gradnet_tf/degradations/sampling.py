"""Chooses image, crop, orientation, σ and noise of example number n of a run (NumPy only).

An example depends only on (seed, n), not on batch size, worker count, strategy or time. So runs can
be resumed, distributed and repeated, and every backend makes the same choices.
"""

import dataclasses
import zlib
from collections.abc import Callable, Sequence
from pathlib import PurePath

import numpy as np

# Streams of random numbers that must not overlap under one seed.
_ORDER, _EXAMPLE, _BLOCK, _GROUP = range(4)


class WeightedOrder:
    """Chooses the image of example n: exactly `weight` of every `sum(weights)` from each group.

    Each group is shuffled for every pass over it. Everything depends only on (seed, n). That is why
    weights are exact in every block: with a random group for each example, the position within a
    group's epoch would depend on all earlier draws.
    """

    def __init__(self, groups: Sequence[tuple[Sequence[int], int]], seed: int):
        """Args:
        groups: for each group the indices of its images, at least one, and its weight, a whole
            number of at least 1.
        seed: the run's seed.
        """
        self._images = [list(images) for images, _ in groups]
        self._weights = [weight for _, weight in groups]
        self._seed = seed
        # For each slot of a block: its group, and its index among the group's slots.
        self._slots = [
            (group, rank) for group, weight in enumerate(self._weights) for rank in range(weight)
        ]
        self._orders: list[tuple[int, np.ndarray] | None] = [None] * len(groups)

    def image(self, n: int) -> int:
        """Returns the number of the image of example `n` (from 0)."""
        block, place = divmod(n, len(self._slots))
        slots = np.random.default_rng((self._seed, _BLOCK, block)).permutation(len(self._slots))
        group, rank = self._slots[slots[place]]
        images = self._images[group]
        epoch, position = divmod(block * self._weights[group] + rank, len(images))
        cached = self._orders[group]
        if cached is None or cached[0] != epoch:
            generator = np.random.default_rng((self._seed, _GROUP, group, epoch))
            # One assignment, so that threads see either the old or the new pair.
            self._orders[group] = cached = (epoch, generator.permutation(len(images)))
        return images[cached[1][position]]


@dataclasses.dataclass(frozen=True)
class Choice:
    """The random choices of one training example.

    Attributes:
        image: index of the image.
        top: first row of the crop.
        left: first column of the crop.
        orientation: 0-7, see `orient`.
        sigma: noise level on the 0-255 scale.
        noise_seed: two 31-bit integers, the key of the draws for noise and augmentation.
    """

    image: int
    top: int
    left: int
    orientation: int
    sigma: float
    noise_seed: tuple[int, int]


class CropSampler:
    """Chooses example n: a uniform crop of an image, with all images shuffled for every epoch."""

    def __init__(
        self,
        image_sizes: Sequence[tuple[int, int]],
        crop_size: int,
        sigma_min: float,
        sigma_max: float,
        seed: int,
    ):
        """Args:
        image_sizes: (height, width) of each image, each at least `crop_size`.
        crop_size: side of the square crop in pixels.
        sigma_min: lowest noise level, 0-255 scale.
        sigma_max: highest noise level; σ is uniform between the two.
        seed: the run's seed.
        """
        self.image_sizes = [(int(height), int(width)) for height, width in image_sizes]
        self.crop_size = crop_size
        self.sigma_min = sigma_min
        self.sigma_max = sigma_max
        self.seed = seed
        # Replaces the plain order if parts of the set have weights.
        self.order: WeightedOrder | None = None
        # If set, chooses the most textured of several crops.
        self.texture: TextureChoice | None = None
        self._order: tuple[int, np.ndarray] | None = None

    def _image(self, n: int) -> int:
        if self.order is not None:
            return self.order.image(n)
        epoch, position = divmod(n, len(self.image_sizes))
        cached = self._order
        if cached is None or cached[0] != epoch:
            generator = np.random.default_rng((self.seed, _ORDER, epoch))
            # One assignment, so that threads see either the old or the new pair.
            self._order = cached = (epoch, generator.permutation(len(self.image_sizes)))
        return int(cached[1][position])

    def choose(self, n: int) -> Choice:
        """Returns the choice for example `n` (from 0)."""
        image = self._image(n)
        height, width = self.image_sizes[image]
        generator = np.random.default_rng((self.seed, _EXAMPLE, n))
        top = int(generator.integers(height - self.crop_size + 1))
        left = int(generator.integers(width - self.crop_size + 1))
        orientation = int(generator.integers(8))
        sigma = self.sigma_min + (self.sigma_max - self.sigma_min) * float(generator.random())
        first, second = generator.integers(2**31, size=2)
        if self.texture is not None:
            # Drawn last, so that σ, orientation and noise do not depend on it.
            top, left = self.texture.choose(image, (top, left), generator)
        return Choice(image, top, left, orientation, sigma, (int(first), int(second)))


class TextureChoice:
    """Chooses the most textured of several random crops, by the mean gradient of the luma."""

    #: Side in pixels of the cells over which gradients are summed.
    CELL = 8

    def __init__(
        self,
        load: Callable[[int], np.ndarray],
        sizes: Sequence[tuple[int, int]],
        crop_size: int,
        candidates: int,
    ):
        """Args:
        load: returns image number i, uint8 (H, W, C); its gradients are cached.
        sizes: (height, width) of each image.
        crop_size: side of the crops in pixels.
        candidates: number of crops to choose from, at least 2.
        """
        self._load, self._sizes = load, sizes
        self._crop_size, self._candidates = crop_size, candidates
        self._sums: dict[int, np.ndarray] = {}

    def _integral(self, image: int) -> np.ndarray:
        """Returns the gradients of an image, summed over all cells above and to the left."""
        if image not in self._sums:
            luma = self._load(image).astype(np.float32).mean(axis=2)
            steps = np.abs(np.diff(luma[:-1], axis=1)) + np.abs(np.diff(luma[:, :-1], axis=0))
            rows, columns = (max(1, side // self.CELL) for side in steps.shape)
            cells = steps[: rows * self.CELL, : columns * self.CELL]
            cells = cells.reshape(rows, -1, columns, cells.shape[1] // columns)
            cells = cells.sum(axis=(1, 3), dtype=np.float64)
            self._sums[image] = np.pad(cells.cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
        return self._sums[image]

    def _texture(self, image: int, top: int, left: int) -> float:
        sums, side = self._integral(image), max(1, self._crop_size // self.CELL)
        bottom = min(top // self.CELL + side, sums.shape[0] - 1)
        right = min(left // self.CELL + side, sums.shape[1] - 1)
        # There is one gradient less than pixels, so an image of the crop's size has one cell less.
        top, left = max(0, bottom - side), max(0, right - side)
        return float(sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left])

    def choose(
        self, image: int, first: tuple[int, int], generator: np.random.Generator
    ) -> tuple[int, int]:
        """Returns top and left of the chosen crop.

        Args:
            image: index of the image.
            first: one of the candidates; the others are drawn.
            generator: draws the others.
        """
        height, width = self._sizes[image]
        limits = (height - self._crop_size + 1, width - self._crop_size + 1)
        others = generator.integers(limits, size=(self._candidates - 1, 2))
        candidates = [first, *((int(top), int(left)) for top, left in others)]
        return max(candidates, key=lambda place: self._texture(image, *place))


def orient(image: np.ndarray, orientation: int) -> np.ndarray:
    """Returns one of the eight flips and quarter turns of an H×W×C image.

    Args:
        image: array with height and width first.
        orientation: bit 0 flips left-right, bit 1 up-down, bit 2 transposes.
    """
    if orientation & 1:
        image = image[:, ::-1]
    if orientation & 2:
        image = image[::-1]
    if orientation & 4:
        image = image.swapaxes(0, 1)
    return image


def evaluation_key(seed: int, name: str) -> tuple[int, int]:
    """Returns the key of an evaluated image's draws: the seed and the crc32 of its stem."""
    return seed, zlib.crc32(PurePath(name).stem.encode("utf-8"))


def evaluation_noise(shape: Sequence[int], seed: int, name: str) -> np.ndarray:
    """Draws the N(0, 1) noise of one evaluated image.

    The draws depend only on the seed and the file's stem, not on batch, subset or order.

    Args:
        shape: shape of the image.
        seed: the evaluation's seed.
        name: file name of the image; folder and suffix are ignored.

    Returns:
        float32 array of `shape`.
    """
    generator = np.random.default_rng(evaluation_key(seed, name))
    return generator.standard_normal(tuple(shape), dtype=np.float32)
