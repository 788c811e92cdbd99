"""Training batches as a pure function of their index (NumPy only).

Batch k of a run contains the examples n = k · batch_size … k · batch_size + batch_size − 1, and
example n is determined by (seed, n). Nothing depends on earlier calls, so any worker can make any
batch.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from datasets.pipeline.leak_guard import LeakGuard, usable_images
from datasets.pipeline.mixture import MixedSet, known_sizes, parts_of, real_sets
from datasets.pipeline.pipeline_config import PipelineConfig
from datasets.sets.image_set import ImageSet, central_crop
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
from gradnet_tf.utils.console import note
from gradnet_tf.utils.errors import UserError


class ImageStore:
    """A thread-safe LRU cache of decoded images, limited in bytes."""

    def __init__(self, load: Callable, indices: list[int], memory_limit: int):
        self._load = load
        self._indices = indices
        self._memory_limit = memory_limit
        self._kept: OrderedDict[int, np.ndarray] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, position: int) -> np.ndarray:
        """Returns the image of `indices[position]`, uint8 [H, W, C]."""
        with self._lock:
            image = self._kept.get(position)
            if image is not None:
                self._kept.move_to_end(position)
                return image
        image = self._load(self._indices[position])
        self.put(position, image)
        return image

    def put(self, position: int, image: np.ndarray) -> None:
        """Stores an image and evicts the least recently used ones beyond the limit."""
        with self._lock:
            if position in self._kept:
                return
            self._kept[position] = image
            self._bytes += image.nbytes
            while self._bytes > self._memory_limit and self._kept:
                _, gone = self._kept.popitem(last=False)
                self._bytes -= gone.nbytes


def change_colors(crop: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Permutes the channels and changes saturation and each channel's brightness.

    Landscapes have few saturated colors; pictures of products and signs have many. Input and output
    are uint8 (H, W, C); only the brightness of a gray crop changes.
    """
    channels = crop.shape[2]
    image = crop[..., generator.permutation(channels)].astype(np.float32)
    gray = image.mean(axis=2, keepdims=True)
    image = gray + (image - gray) * np.float32(generator.uniform(0, 2.5))
    image *= generator.uniform(0.6, 1.25, size=channels).astype(np.float32)
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


def frame_of(
    crop: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | float]:
    """Draws a flat frame around a part of a crop (H, W, C), like a letterbox or a mat.

    Returns:
        A mask of the frame, bool (H, W), and its color, float32 (C,) in [0, 1]. The frame leaves
        from 5% of the crop to nearly all of it.
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
        color = np.zeros(channels)
    elif kind == 1:
        color = np.ones(channels)
    else:
        color = generator.integers(256, size=1 if kind == 2 else channels) / 255
    return ~inside, np.broadcast_to(color, channels).astype(np.float32)


# The random stream of augmentations, separate from those of the noise (see `Draws`).
_AUGMENTATION = 2


def normal_draws(shape: tuple[int, ...], seed: tuple[int, int]) -> np.ndarray:
    """Draws N(0, 1) numbers, float32 of `shape`, from a key of two integers."""
    return box_muller(np.random.default_rng(seed), shape)


class TrainingBatches:
    """Makes batch k of (noisy, clean) from a set of clean images.

    Images with a real noisy partner get no further noise; the partner is cropped with them.
    """

    def __init__(self, image_set: ImageSet, config: PipelineConfig, guard: LeakGuard | None = None):
        """Decodes every image once to verify it and get its size, unless it is prepared.

        Args:
            image_set: clean images; those smaller than the crop are skipped with a warning.
            config: see `PipelineConfig`.
            guard: see `usable_images`.

        Raises:
            UserError: as `usable_images` does, or if a noisy partner has another size or the
                channels differ from the config's.
        """
        if image_set.channels != config.channels:
            raise UserError(
                "`channels` of the images and of the batches must agree. "
                f"Received: {image_set.channels} and {config.channels}"
            )
        self.config = config
        # One thread, because batches are made in parallel, and with more threads BM3D's results
        # differ in the last bits.
        name = config.estimator
        self._estimate = classical_denoiser(name, threads=1) if name else None
        sizes: list[tuple[int, int]] = []
        indices: list[int] = []
        self._store = ImageStore(image_set.load, indices, config.memory_limit)
        self._real = ImageStore(image_set.noisy, indices, config.memory_limit)
        self._is_real: list[bool] = []
        if name and (real := real_sets(image_set)):
            raise UserError(
                f"{name} needs a noise level, but the noise of {real[0]} is real.\n"
                f"Choose another --naive. Received: --naive={name}"
            )
        for index, size, image in usable_images(image_set, config.crop_size, guard):
            indices.append(index)
            sizes.append(size)
            if image is not None:
                self._store.put(len(indices) - 1, image)
            self._is_real.append(self._keep_partner(image_set, index, image))
        _warn_of_large_set(image_set, sizes, sum(self._is_real), config)
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
        """Decodes the noisy partner (unless prepared); returns whether there is one."""
        partner = image_set.noisy(index)
        if partner is not None and image is not None:
            require_one_size(image_set.names[index], image, partner)
            self._real.put(len(self._is_real), partner)
        return partner is not None

    @property
    def noisy_shape(self) -> tuple[int, int, int, int]:
        """The shape of the noisy array, with twice the channels if an estimate is appended."""
        return (*self.shape[:3], self.shape[3] * (2 if self._estimate else 1))

    @property
    def has_real_noise(self) -> bool:
        """Whether there are images with real noise, for which σ has no meaning."""
        return any(self._is_real)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """The shape of this process's part of a clean batch."""
        config, size = self.config, self.config.crop_size
        return config.batch_size // config.parts, size, size, config.channels

    def image(self, index: int) -> np.ndarray:
        """Returns the sampler's image `index`, uint8 [H, W, C]."""
        return self._store.get(index)

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Makes batch `step`, or this process's part of it.

        Returns:
            (noisy, clean), float32 of `noisy_shape` and `shape`; clean is in [0, 1] and
            noisy is not clipped.
        """
        size, count = self.config.crop_size, self.shape[0]
        first = step * self.config.batch_size + self.config.part * count
        pixels = np.empty(self.shape, np.uint8)
        # Crops that are already noisy: real photographs, and results of a degradation.
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
                    pixels[position] = change_colors(pixels[position], augmentation)
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
        for position, (outside, color) in frames.items():
            clean[position][outside] = noisy[position][outside] = color
        if self._estimate:
            noisy = append_estimate(noisy, sigma.reshape(-1), self._estimate)
        return noisy, clean


def _warn_of_large_set(image_set: ImageSet, sizes, pairs: int, config: PipelineConfig) -> None:
    """Prints a note if images have to be decoded again and again, as frames of SIDD would be."""
    parts = parts_of(image_set)
    if all(all(known_sizes(part)) for part in parts):
        return  # prepared: nothing is decoded
    num_bytes = sum(height * width for height, width in sizes) * config.channels
    limit = config.memory_limit * (2 if pairs else 1)
    if num_bytes * (2 if pairs else 1) > limit:
        note(
            f"the decoded images of {image_set.name} take {num_bytes / 2**30:.1f} GiB"
            f"{' and their noisy partners as much' if pairs else ''}, more than the "
            f"{config.memory_limit / 2**30:.1f} GiB that are kept, so that images are decoded "
            "again and again.\nUse --prepared_dir=FOLDER, which decodes each of them once."
        )


def _weighted_order(image_set: MixedSet, indices: list[int], seed: int) -> WeightedOrder:
    groups: list[list[int]] = [[] for _ in image_set.parts]
    for position, index in enumerate(indices):
        groups[image_set.locate(index)[0]].append(position)
    for part, images in zip(image_set.parts, groups, strict=True):
        if not images:
            raise UserError(
                f"no image of {part.name} is as large as the crop, so it cannot have a weight.\n"
                "Use a smaller `crop_size`, or remove the set from --dataset."
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
    """Makes the fixed (noisy, clean) pairs to choose checkpoints on.

    Args:
        image_set: clean images.
        sigma: noise level, 0-255 scale; ignored if the set has noisy partners.
        seed: seed of the noise, together with the file's stem.
        crop: largest side of the central crop in pixels.
        degradation: replaces the Gaussian noise.
        guard: see `usable_images`.

    Returns:
        Pairs of float32 [H, W, C]; noisy is not clipped.

    Raises:
        UserError: if a file cannot be read or is a test image.
    """
    pairs = []
    guard = guard or LeakGuard()
    for index, name in enumerate(image_set.names):
        image = image_set.load(index)
        guard.check(image, image_set.paths[index], validating=True)
        clean = to_float(central_crop(image, crop))
        real = image_set.noisy(index)
        if real is not None:
            require_one_size(name, image, real)
            noisy = to_float(central_crop(real, crop))
        elif degradation:
            noisy = degradation.apply(clean, Draws(evaluation_key(seed, name)))
        else:
            noise = evaluation_noise(clean.shape, seed, name)
            noisy = add_gaussian_noise(clean, noise, np.float32(sigma))
        pairs.append((noisy, clean))
    return pairs
