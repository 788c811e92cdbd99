"""Chooses the ranges of 8-bit activations on real images with noise."""

from collections.abc import Iterator

import numpy as np

from export.litert.int8_network import Int8Network
from gradnet_tf.degradations import add_gaussian_noise
from gradnet_tf.images.image_files import to_float

#: Images at most, and the side of the crop that is taken of each.
IMAGES, CROP = 64, 160
#: Noise of a network that does not say what it was trained for, on the 0-255 scale.
_LEVELS = (0.0, 55.0)


def calibrated(model, images, levels: tuple[float, float] | None, seed: int = 0) -> Int8Network:
    """Returns the network as 8-bit arithmetic computes it, its ranges chosen on noisy crops.

    Args:
        model: see `Int8Network`.
        images: set of clean images.
        levels: lowest and highest noise level, on the 0-255 scale; those of the training.
        seed: of crops, levels and noise.
    """
    network = Int8Network(model)
    for crop in noisy_crops(images, levels or _LEVELS, seed):
        network(crop)
    network.settle()
    return network


def noisy_crops(images, levels: tuple[float, float], seed: int) -> Iterator[np.ndarray]:
    """Yields float32 (1, h, w, C) crops, spread over the set, with levels spread over the range."""
    count = min(IMAGES, len(images))
    places = np.linspace(0, len(images) - 1, count).astype(int)
    draw = np.random.default_rng(seed)
    for place, level in zip(places, draw.permutation(np.linspace(*levels, count)), strict=True):
        clean = to_float(images.load(int(place)))
        top, left = (draw.integers(0, max(side - CROP, 0) + 1) for side in clean.shape[:2])
        clean = clean[top : top + CROP, left : left + CROP]
        noise = draw.standard_normal(clean.shape).astype(np.float32)
        yield add_gaussian_noise(clean, noise, level).astype(np.float32)[None]
