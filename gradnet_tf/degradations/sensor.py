"""Noise of a sensor: shot noise of the photons and read noise of the electronics."""

import numpy as np

from gradnet_tf.degradations.draws import Draws
from gradnet_tf.degradations.gaussian import add_gaussian_noise, sigma_to_unit

# Less changes no float32 value, and the numbers of photons would be too large to draw.
_LEAST_SHOT = 1e-15


def add_poisson_gaussian_noise(
    clean: np.ndarray, draws: Draws, shot: float, read: float
) -> np.ndarray:
    """Adds shot and read noise: `shot · Poisson(clean / shot) + (read / 255) · N(0, 1)`.

    The mean is `clean` and the variance `shot · clean + (read / 255)²`, on the
    [0, 1] scale; never clipped.

    Args:
        clean: float32 image, nominal range [0, 1]; negative values have no shot noise.
        draws: the image's random numbers.
        shot: variance of a full signal's shot noise on the [0, 1] scale: white
            (1.0) is `1 / shot` photons. 0 for none.
        read: standard deviation of the read noise on the 0-255 scale.

    Returns:
        float32 image of the same shape.
    """
    noisy = clean
    if shot > _LEAST_SHOT:
        noisy = np.minimum(clean, 0) + np.float32(shot) * draws.poisson(np.maximum(clean, 0) / shot)
    if read > 0:
        noisy = add_gaussian_noise(noisy, draws.normal(clean.shape), np.float32(read))
    return noisy


def add_signal_dependent_noise(
    light: np.ndarray, draws: Draws, shot: float, read: float
) -> np.ndarray:
    """Adds Gaussian noise of variance `shot · light + (read / 255)²`, as in CBDNet's model.

    It has the moments of `add_poisson_gaussian_noise` and is much faster.

    Args, returns: see `add_poisson_gaussian_noise`; `light` is linear in the photons.
    """
    variance = shot * np.maximum(light, 0) + sigma_to_unit(read) ** 2
    return light + np.sqrt(variance, dtype=np.float32) * draws.normal(light.shape)
