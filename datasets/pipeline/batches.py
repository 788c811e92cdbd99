"""Training batches as a pure function of their number (NumPy only).

Batch k of a run holds the examples n = k · batch_size … k · batch_size + batch_size − 1, and
example n is fixed by (seed, n). Nothing depends on earlier calls, so any worker can make any
batch.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from datasets.pipeline.leak_guard import LeakGuard, usable_images
from datasets.pipeline.mixture import MixedSet, real_sets
from datasets.pipeline.pipeline_config import PipelineConfig
from datasets.sets.image_set import ImageSet
from gradnet_tf.degradations import add_gaussian_noise
from gradnet_tf.degradations.compose import Degradation
from gradnet_tf.degradations.draws import Draws, box_muller
from gradnet_tf.degradations.sampling import (
    CropSampler,
    TextureChoice,
    WeightedOrder,
    evaluation_key,
    evaluation_noise,
    orient,
)
from gradnet_tf.images.image_files import require_one_size, to_float
from gradnet_tf.models.classical import append_estimate, classical_denoiser
from gradnet_tf.utils.errors import UserError


class ImageStore:
    """Decoded images, kept up to a number of bytes; safe for several threads."""

    def __init__(self, load: Callable, indices: list[int], memory_limit: int):
        self._load = load
        self._indices = indices
        self._memory_limit = memory_limit
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, position: int) -> np.ndarray:
        """Returns image number `position` of `indices`, uint8 [H, W, C]."""
        with self._lock:
            image = self._kept.get(position)
            if image is not None:
                self._kept.move_to_end(position)
                return image
        image = self._load(self._indices[position])
        self.put(position, image)
        return image

    def put(self, position: int, image: np.ndarray) -> None:
        """Stores an image and evicts the least recently used ones, down to the limit."""
        with self._lock:
            if position in self._kept:
                return
            self._kept[position] = image
            self._bytes += image.nbytes
            while self._bytes > self._memory_limit and self._kept:
                _, gone = self._kept.popitem(last=False)
                self._bytes -= gone.nbytes


def change_colours(crop: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Permutes the channels and changes saturation and each channel's brightness.

    Photographs of landscapes have few saturated colours; pictures of products and signs have many.

    Args:
        crop: uint8 (H, W, C).
        generator: decides the change.

    Returns:
        uint8 (H, W, C), clipped; a grey crop is only made brighter or darker.
    """
    channels = crop.shape[2]
    image = crop[..., generator.permutation(channels)].astype(np.float32)
    grey = image.mean(axis=2, keepdims=True)
    image = grey + (image - grey) * np.float32(generator.uniform(0, 2.5))
    image *= generator.uniform(0.6, 1.25, size=channels).astype(np.float32)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def frame_of(
    crop: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | float]:
    """Draws a flat frame around a part of a crop, as letterboxes and passe-partouts have.

    Args:
        crop: (H, W, C).
        generator: decides which part stays, from 5% of the crop to nearly all, and the colour.

    Returns:
        Which pixels belong to the frame, bool (H, W), and its colour, float32 (C,) in [0, 1].
    """
    height, width, channels = crop.shape
    inside = np.zeros((height, width), bool)
    sides = []
    for length in (height, width):
        kept = max(1, round(length * generator.uniform(0.22, 1.0)))
        start = int(generator.integers(length - kept + 1))
        sides.append(slice(start, start + kept))
    inside[tuple(sides)] = True
    kind = generator.integers(4)
    if kind == 0:
        colour = np.zeros(channels)
    elif kind == 1:
        colour = np.ones(channels)
    else:
        colour = generator.integers(256, size=1 if kind == 2 else channels) / 255
    return ~inside, np.broadcast_to(colour, channels).astype(np.float32)


# Its stream of random numbers, apart from those of the noise (see `Draws`).
_AUGMENTATION = 2


def normal_draws(shape: tuple[int, ...], seed: tuple[int, int]) -> np.ndarray:
    """Draws N(0, 1) numbers from a key of two integers by `box_muller`; float32 of `shape`."""
    return box_muller(np.random.default_rng(seed), shape)


class TrainingBatches:
    """Makes batch k of (noisy, clean) from a set of clean images.

    If an image has a noisy partner, that is cropped with it and no noise is added.
    """

    def __init__(self, image_set: ImageSet, config: PipelineConfig, guard: LeakGuard | None = None):
        """Decodes every image once to verify it and get its size; prepared ones are not read.

        Images smaller than the crop are left out, with a message on standard error.

        Args:
            image_set: clean images.
            config: what the batches are.
            guard: knows the test images; by default those that are always known.

        Raises:
            UserError: when no image is as large as the crop, one cannot be
                read or is a test image, its noisy partner has another size, or
                the channels do not agree.
        """
        if image_set.channels != config.channels:
            raise UserError(
                "`channels` of the images and of the batches must agree. "
                f"Received: {image_set.channels} and {config.channels}"
            )
        self.config = config
        # One thread each: `workers` batches are made at once, and with more threads BM3D's sums
        # differ in the last bits.
        name = config.estimator
        self._estimate = classical_denoiser(name, threads=1) if name else None
        sizes: list[tuple[int, int]] = []
        indices: list[int] = []
        self._store = ImageStore(image_set.load, indices, config.memory_limit)
        self._real = ImageStore(image_set.noisy, indices, config.memory_limit)
        self._is_real: list[bool] = []
        if name and real_sets(image_set):
            raise UserError(
                f"{name} needs a noise level, and the noise of {real_sets(image_set)[0]} is real.\n"
                f"Give another --naive. Received: --naive={name}"
            )
        for index, size, image in usable_images(image_set, config.crop_size, guard):
            indices.append(index)
            sizes.append(size)
            if image is not None:
                self._store.put(len(indices) - 1, image)
            self._is_real.append(self._keep_partner(image_set, index, image))
        self.sampler = CropSampler(
            sizes, config.crop_size, config.sigma_min, config.sigma_max, config.seed
        )
        if config.crop_candidates > 1:
            self.sampler.texture = TextureChoice(
                self._store.get, sizes, config.crop_size, config.crop_candidates
            )
        if isinstance(image_set, MixedSet) and image_set.weights:
            self.sampler.order = _weighted_order(image_set, indices, config.seed)

    def _keep_partner(self, image_set: ImageSet, index: int, image: np.ndarray | None) -> bool:
        """Decodes the noisy partner (except in a prepared set); returns whether there is one."""
        partner = image_set.noisy(index)
        if partner is not None and image is not None:
            require_one_size(image_set.names[index], image, partner)
            self._real.put(len(self._is_real), partner)
        return partner is not None

    @property
    def noisy_shape(self) -> tuple[int, int, int, int]:
        """The shape of the noisy array: twice the channels where an estimate follows."""
        return (*self.shape[:3], self.shape[3] * (2 if self._estimate else 1))

    @property
    def has_real_noise(self) -> bool:
        """Whether noisy crops are photographs', for which σ has no meaning."""
        return any(self._is_real)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of the clean array of a batch, or of the part of it that is made."""
        config = self.config
        return (
            config.batch_size // config.parts,
            config.crop_size,
            config.crop_size,
            config.channels,
        )

    def image(self, index: int) -> np.ndarray:
        """Returns image `index` of the sampler, uint8 [H, W, C]."""
        return self._store.get(index)

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Makes batch number `step`, or this process's part of it.

        Returns:
            (noisy, clean), float32 of `noisy_shape` and `shape`; clean is in [0, 1] and
            noisy is not clipped.
        """
        size, count = self.config.crop_size, self.shape[0]
        first = step * self.config.batch_size + self.config.part * count
        pixels = np.empty(self.shape, np.uint8)
        # What noise is not added to: photographs, and what a degradation made.
        ready: dict[int, np.ndarray] = {}
        frames: dict[int, tuple] = {}
        noise = np.zeros(self.shape, np.float32)
        sigma = np.zeros((count, 1, 1, 1), np.float32)
        for position in range(count):
            choice = self.sampler.choose(first + position)
            rows = slice(choice.top, choice.top + size)
            columns = slice(choice.left, choice.left + size)

            def cut(store, rows=rows, columns=columns, choice=choice):
                return orient(store.get(choice.image)[rows, columns], choice.orientation)

            pixels[position] = cut(self._store)
            if self._is_real[choice.image]:
                ready[position] = to_float(cut(self._real))
                continue
            if self.config.color_jitter or self.config.frame_share:
                augmentation = np.random.default_rng((*choice.noise_seed, _AUGMENTATION))
                if augmentation.random() < self.config.color_jitter:
                    pixels[position] = change_colours(pixels[position], augmentation)
                if augmentation.random() < self.config.frame_share:
                    frames[position] = frame_of(pixels[position], augmentation)
            sigma[position] = choice.sigma
            if self.config.degradation:
                draws = Draws(choice.noise_seed, fast=True)
                crop = to_float(pixels[position])
                ready[position] = self.config.degradation.apply(crop, draws)
                continue
            noise[position] = normal_draws(noise.shape[1:], choice.noise_seed)
        clean = to_float(pixels)
        noisy = add_gaussian_noise(clean, noise, sigma)
        for position, crop in ready.items():
            noisy[position] = crop
        for position, (outside, colour) in frames.items():
            clean[position][outside] = noisy[position][outside] = colour
        if self._estimate:
            noisy = append_estimate(noisy, sigma.reshape(-1), self._estimate)
        return noisy, clean


def _weighted_order(image_set: MixedSet, indices: list[int], seed: int) -> WeightedOrder:
    groups: list[list[int]] = [[] for _ in image_set.parts]
    for position, index in enumerate(indices):
        groups[image_set.locate(index)[0]].append(position)
    for part, images in zip(image_set.parts, groups, strict=True):
        if not images:
            raise UserError(
                f"no image of {part.name} is as large as the crop, so it can have no weight.\n"
                "Give a smaller `crop_size`, or leave the set out of --dataset."
            )
    return WeightedOrder(list(zip(groups, image_set.weights, strict=True)), seed)


def validation_pairs(
    image_set: ImageSet,
    sigma: float,
    seed: int,
    crop: int = 256,
    degradation: Degradation | None = None,
    guard: LeakGuard | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Makes the fixed pairs that checkpoints are chosen on.

    Args:
        image_set: clean images.
        sigma: noise level, 0-255 scale; of no meaning where the set has noisy partners.
        seed: keys the noise, together with the file's stem.
        crop: the centre of the image is taken, at most so many pixels a side.
        degradation: what makes the noise instead of σ; the same for an image in every run.
        guard: knows the test images; by default those that are always known.

    Returns:
        (noisy, clean) of each image, float32 [H, W, C]; noisy is not clipped.

    Raises:
        UserError: when a file cannot be read or is a test image.
    """
    pairs = []
    guard = guard or LeakGuard()
    for index, name in enumerate(image_set.names):
        image = image_set.load(index)
        guard.check(image, image_set.paths[index], validating=True)
        height, width = min(crop, image.shape[0]), min(crop, image.shape[1])
        top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
        rows, columns = slice(top, top + height), slice(left, left + width)
        clean = to_float(image[rows, columns])
        real = image_set.noisy(index)
        if real is not None:
            require_one_size(name, image, real)
            pairs.append((to_float(real[rows, columns]), clean))
            continue
        if degradation:
            draws = Draws(evaluation_key(seed, name))
            pairs.append((degradation.apply(clean, draws), clean))
            continue
        noise = evaluation_noise(clean.shape, seed, name)
        pairs.append((add_gaussian_noise(clean, noise, np.float32(sigma)), clean))
    return pairs
