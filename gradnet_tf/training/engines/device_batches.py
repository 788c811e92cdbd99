"""Training batches made on the device, where the images stay as bytes.

The whole training set is in device memory, as one flat uint8 array per color
channel (planes, because a last axis of 3 is padded on some devices). For each step
the host sends a few numbers per example (crop, orientation, σ, the key of the
noise), and the compiled step makes the floats. The choices are those of
`CropSampler`, so every clean crop is bit for bit that of the other pipelines;
the noise is JAX's.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gradnet_tf.degradations import add_gaussian_noise
from gradnet_tf.degradations.sampling import CropSampler
from gradnet_tf.images.image_files import to_float
from gradnet_tf.utils.errors import UserError

_STEPS_AHEAD = 4
_MOST_PIXELS = 2**31 - 1  # Crops are found by 32-bit pixel numbers.


class Choices(NamedTuple):
    """What makes the examples of one batch; see `gradnet_tf.degradations.sampling.Choice`.

    Attributes:
        first: (B,) int32, number of the crop's first pixel in the whole set.
        width: (B,) int32, pixels in a row of the image.
        orientation: (B,) int32, 0-7.
        sigma: (B,) float32, 0-255 scale.
        noise_key: (B, 2) uint32, the key of JAX's draws.
    """

    first: np.ndarray
    width: np.ndarray
    orientation: np.ndarray
    sigma: np.ndarray
    noise_key: np.ndarray


class DeviceBatches:
    """A training set that fits into device memory, and the choices of every step.

    Iterating gives the `Choices` of step `start_step` and all later steps. A
    thread prepares them, so that the device does not wait.
    """

    def __init__(
        self,
        images: Sequence[np.ndarray],
        sampler: CropSampler,
        batch_size: int,
        start_step: int = 0,
    ):
        """Args:
        images: uint8 (H, W, C) each, in the sampler's order.
        sampler: chooses crops of these images.
        batch_size: examples in a batch, over all devices.
        start_step: number of the first batch.

        Raises:
            UserError: when there are more pixels than 32-bit numbers can name.
        """
        sizes = [image.shape[:2] for image in images]
        if sizes != sampler.image_sizes:
            raise ValueError("`sampler` must be one for the sizes of `images`.")
        counts = [height * width for height, width in sizes]
        if sum(counts) > _MOST_PIXELS:
            raise UserError(
                f"the training set has {sum(counts):,} pixels; in device memory there can be "
                f"{_MOST_PIXELS:,}.\nTrain on fewer images, or on TensorFlow, which streams them."
            )
        self.sampler, self.batch_size, self.start_step = sampler, batch_size, start_step
        self.planes = tuple(
            np.concatenate([image[..., channel].ravel() for image in images])
            for channel in range(images[0].shape[-1])
        )
        self._offsets = np.concatenate([[0], np.cumsum(counts)[:-1]])

    @property
    def crop_size(self) -> int:
        """Side of the square crops in pixels."""
        return self.sampler.crop_size

    def choices(self, step: int) -> Choices:
        """Returns what makes batch number `step`."""
        start = step * self.batch_size
        chosen = [self.sampler.choose(n) for n in range(start, start + self.batch_size)]
        widths = [self.sampler.image_sizes[choice.image][1] for choice in chosen]
        first = [
            self._offsets[choice.image] + choice.top * width + choice.left
            for choice, width in zip(chosen, widths, strict=True)
        ]
        return Choices(
            np.array(first, np.int32),
            np.array(widths, np.int32),
            np.array([choice.orientation for choice in chosen], np.int32),
            np.array([choice.sigma for choice in chosen], np.float32),
            np.array([choice.noise_seed for choice in chosen], np.uint32),
        )

    def __iter__(self) -> Iterator[Choices]:
        # One thread, so that the sampler's order of an epoch is drawn once.
        with ThreadPoolExecutor(1, "choices") as thread:
            ahead, step = deque(), self.start_step
            while True:
                while len(ahead) < _STEPS_AHEAD:
                    ahead.append(thread.submit(self.choices, step))
                    step += 1
                yield ahead.popleft().result()


def clean_crops(planes, choices: Choices, crop_size: int):
    """Cuts and turns the crops of a batch; to be compiled.

    Args:
        planes: for each of C channels uint8 (P,), the pixels of all images.
        choices: what to cut.
        crop_size: side of the crops, static.

    Returns:
        float32 (B, crop_size, crop_size, C) in [0, 1].
    """
    rows = choices.first[:, None] + choices.width[:, None] * jnp.arange(crop_size, dtype=jnp.int32)

    def cut(plane):
        def row(first):
            return jax.lax.dynamic_slice(plane, (first,), (crop_size,))

        return jax.vmap(jax.vmap(row))(rows)

    crops = jnp.stack([cut(plane) for plane in planes], axis=-1)
    bits = choices.orientation[:, None, None, None]
    crops = jnp.where(bits & 1, crops[:, :, ::-1], crops)
    crops = jnp.where(bits & 2, crops[:, ::-1], crops)
    crops = jnp.where(bits & 4, crops.swapaxes(1, 2), crops)
    # XLA turns a division by 255 into a product with the rounded 1/255, which differs in the
    # last bit for half of the values; the table holds NumPy's.
    table = to_float(np.arange(256, dtype=np.uint8))
    return jnp.take(table, crops.astype(jnp.int32), axis=0)


def make_batch(planes, choices: Choices, crop_size: int):
    """Makes (noisy, clean) of a batch from its choices; to be compiled.

    Args and shapes: see `clean_crops`; noisy is not clipped.
    """
    clean = clean_crops(planes, choices, crop_size)

    def draw(key):
        key = jax.random.wrap_key_data(key, impl="threefry2x32")
        return jax.random.normal(key, clean.shape[1:], jnp.float32)

    noise = jax.vmap(draw)(choices.noise_key)
    return add_gaussian_noise(clean, noise, choices.sigma[:, None, None, None]), clean
