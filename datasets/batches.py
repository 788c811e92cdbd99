"""Training batches as a pure function of their number (NumPy only).

Batch k of a run holds the examples n = k · batch_size … k · batch_size +
batch_size − 1, and example n is fixed by (seed, n). Nothing here depends on
what was asked for before, so any worker can make any batch.
"""

import dataclasses
import math

import numpy as np

from datasets.held_out import refuse_test_image
from datasets.image_set import ImageSet
from datasets.image_store import ImageStore
from datasets.usable import usable_images
from gradnet_tf.classical import append_estimate, classical_denoiser
from gradnet_tf.degradations import add_gaussian_noise
from gradnet_tf.errors import UserError
from gradnet_tf.inference.image_files import require_one_size, to_float
from gradnet_tf.sampling import CropSampler, evaluation_noise, orient

SIGMA_LIMIT = 255.0


@dataclasses.dataclass(frozen=True)
class PipelineConfig:
    """What a run's batches are.

    Attributes:
        batch_size: examples in a batch (the global batch under a strategy).
        crop_size: side of the square crops in pixels.
        sigma_min: lowest noise level, 0-255 scale.
        sigma_max: highest; σ is uniform between the two, and fixed when they are equal.
        seed: the run's seed, 0 or more.
        channels: 3 or 1.
        start_step: first batch; the earlier ones are skipped without work.
        steps: number of the run's batches in all, counted from 0; None is endless.
        part: which part of every batch is made, from 0; for a run of several processes.
        parts: number of equal parts that batches are cut into, in order.
        workers: batches that are made at the same time; changes no value.
        estimator: a name of `gradnet_tf.classical.CLASSICAL` whose estimate
            follows the noisy image in its channels; `None` for the noisy image alone.
        memory_limit: bytes of decoded images to keep; beyond it the images
            used longest ago are decoded again when they are needed.
    """

    batch_size: int
    crop_size: int
    sigma_min: float
    sigma_max: float
    seed: int = 0
    channels: int = 3
    start_step: int = 0
    steps: int | None = None
    part: int = 0
    parts: int = 1
    workers: int = 2
    estimator: str | None = None
    memory_limit: int = 2**31

    def __post_init__(self):
        for name, least in (
            ("batch_size", 1),
            ("crop_size", 1),
            ("seed", 0),
            ("start_step", 0),
            ("part", 0),
            ("parts", 1),
            ("workers", 1),
            ("memory_limit", 0),
        ):
            value = getattr(self, name)
            if value < least:
                raise UserError(f"`{name}` must be at least {least}. Received: {name}={value}")
        for name in ("sigma_min", "sigma_max"):
            value = getattr(self, name)
            if not 0 <= value <= SIGMA_LIMIT:  # Also refuses NaN.
                raise UserError(f"`{name}` must be in [0, 255]. Received: {name}={value}")
        if self.sigma_min > self.sigma_max:
            raise UserError(
                "`sigma_min` must not be above `sigma_max`. "
                f"Received: sigma_min={self.sigma_min}, sigma_max={self.sigma_max}"
            )
        if self.channels not in (1, 3):
            raise UserError(f"`channels` must be 3 or 1. Received: channels={self.channels}")
        if self.part >= self.parts or self.batch_size % self.parts:
            raise UserError(
                "`batch_size` must be a multiple of the parts, and `part` below them. "
                f"Received: batch_size={self.batch_size}, part={self.part}, parts={self.parts}"
            )
        if self.steps is not None and self.steps < self.start_step:
            raise UserError(
                "`steps` must not be below `start_step`. "
                f"Received: steps={self.steps}, start_step={self.start_step}"
            )


def normal_draws(shape: tuple[int, ...], seed: tuple[int, int]) -> np.ndarray:
    """Draws N(0, 1) numbers by the Box-Muller transform of PCG64 uniforms.

    Whole-array arithmetic makes it about twice as fast as NumPy's own
    ziggurat. Uniforms have 24 bits, so that the largest draw is 5.8.

    Args:
        shape: shape of the result.
        seed: two integers of 0 or more.

    Returns:
        float32 array of `shape`.
    """
    count = math.prod(shape)
    half = (count + 1) // 2
    uniform = np.random.default_rng(seed).random((2, half), dtype=np.float32)
    # 1 − u lies in (0, 1], where the logarithm is finite.
    radius = np.sqrt(np.float32(-2) * np.log(np.float32(1) - uniform[0]))
    angle = np.float32(2 * np.pi) * uniform[1]
    draws = np.empty((2, half), np.float32)
    np.multiply(radius, np.cos(angle), out=draws[0])
    np.multiply(radius, np.sin(angle), out=draws[1])
    return draws.reshape(-1)[:count].reshape(shape)


class TrainingBatches:
    """Makes batch k of (noisy, clean) from a set of clean images.

    Where the set has really noisy partners, they are cut along and no noise is added.
    """

    def __init__(self, image_set: ImageSet, config: PipelineConfig):
        """Decodes every image once, to check it and to learn its size; reads no prepared one.

        Images smaller than the crop are left out, with a note on standard error.

        Args:
            image_set: clean images.
            config: what the batches are.

        Raises:
            UserError: when no image is as large as the crop, one cannot be
                read or is a test image, or the channels do not agree.
        """
        if image_set.channels != config.channels:
            raise UserError(
                "`channels` of the images and of the batches must agree. "
                f"Received: {image_set.channels} and {config.channels}"
            )
        self.config = config
        # One thread each, since `workers` batches are made at once and every run shall get the
        # same bits.
        name = config.estimator
        self._estimate = classical_denoiser(name, threads=1) if name else None
        sizes: list[tuple[int, int]] = []
        indices: list[int] = []
        self._store = ImageStore(image_set.load, indices, config.memory_limit)
        self._real = None
        if image_set.noisy(0) is not None:
            if name:
                raise UserError(
                    f"{name} needs a noise level, and the noise of {image_set.name} is real.\n"
                    f"Give another --naive. Received: --naive={name}"
                )
            self._real = ImageStore(image_set.noisy, indices, config.memory_limit)
        for index, size, image in usable_images(image_set, config.crop_size):
            indices.append(index)
            sizes.append(size)
            if image is not None:
                self._store.put(len(indices) - 1, image)
            if image is not None and self._real:
                noisy = image_set.noisy(index)
                require_one_size(image_set.names[index], image, noisy)
                self._real.put(len(indices) - 1, noisy)
        self.sampler = CropSampler(
            sizes, config.crop_size, config.sigma_min, config.sigma_max, config.seed
        )

    @property
    def noisy_shape(self) -> tuple[int, int, int, int]:
        """The shape of the noisy array: twice the channels where an estimate follows."""
        return (*self.shape[:3], self.shape[3] * (2 if self._estimate else 1))

    @property
    def has_real_noise(self) -> bool:
        """Whether the noisy crops are photographs' and σ has no meaning."""
        return self._real is not None

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
        pixels, real = np.empty(self.shape, np.uint8), np.empty(self.shape, np.uint8)
        noise = np.empty(self.shape, np.float32)
        sigma = np.empty((count, 1, 1, 1), np.float32)
        for position in range(count):
            choice = self.sampler.choose(first + position)
            rows = slice(choice.top, choice.top + size)
            columns = slice(choice.left, choice.left + size)

            def cut(store, rows=rows, columns=columns, choice=choice):
                return orient(store.get(choice.image)[rows, columns], choice.orientation)

            pixels[position] = cut(self._store)
            if self._real:
                real[position] = cut(self._real)
                continue
            sigma[position] = choice.sigma
            noise[position] = normal_draws(noise.shape[1:], choice.noise_seed)
        clean = to_float(pixels)
        if self._real:
            return to_float(real), clean
        noisy = add_gaussian_noise(clean, noise, sigma)
        if self._estimate:
            noisy = append_estimate(noisy, sigma.reshape(-1), self._estimate)
        return noisy, clean


def validation_pairs(
    image_set: ImageSet, sigma: float, seed: int, crop: int = 256
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Makes the fixed pairs that checkpoints are chosen on.

    Args:
        image_set: clean images.
        sigma: noise level, 0-255 scale; of no meaning where the set has noisy partners.
        seed: keys the noise, together with the file's stem.
        crop: the centre of the image is taken, at most so many pixels a side.

    Returns:
        (noisy, clean) of each image, float32 [H, W, C]; noisy is not clipped.

    Raises:
        UserError: when a file cannot be read or is a test image.
    """
    pairs = []
    for index, name in enumerate(image_set.names):
        image = image_set.load(index)
        refuse_test_image(image, image_set.paths[index])
        height, width = min(crop, image.shape[0]), min(crop, image.shape[1])
        top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
        rows, columns = slice(top, top + height), slice(left, left + width)
        clean = to_float(image[rows, columns])
        real = image_set.noisy(index)
        if real is not None:
            require_one_size(name, image, real)
            pairs.append((to_float(real[rows, columns]), clean))
            continue
        noise = evaluation_noise(clean.shape, seed, name)
        pairs.append((add_gaussian_noise(clean, noise, np.float32(sigma)), clean))
    return pairs
