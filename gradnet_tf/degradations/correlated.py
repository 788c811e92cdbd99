"""Gaussian noise that is correlated between neighbors, as in resized or demosaicked photographs.

It may be correlated between channels as well, as in scanned film and toned black-and-white.
"""

import math

import cv2
import numpy as np

from gradnet_tf.degradations.draws import Draws
from gradnet_tf.degradations.gaussian import add_gaussian_noise

# The blur kernel is truncated at so many standard deviations.
_REACH = 4


def correlated_noise(
    shape: tuple[int, int, int], draws: Draws, length: float, common: float = 0.0
) -> np.ndarray:
    """Draws noise of variance 1: white noise, blurred by a Gaussian and scaled.

    The correlation of two pixels at distance d is `exp(−d² / (4 · length²))`, also at the borders,
    for lengths from 0.7 pixels; below, the kernel has too few samples for that (0.26 instead of
    0.37 for neighbors at a length of 0.5).
    A color image's noise is `√(1 − common²) · own + common · shared`, where `own` is independent in
    each channel and `shared` is one field for all, so that two channels correlate by `common²`.

    Args:
        shape: (height, width, channels).
        draws: the image's random numbers.
        length: standard deviation of the blur in pixels; 0 for white noise.
        common: 0 (independent channels) to 1 (the same noise in all channels); without effect on
            a single channel.

    Returns:
        float32 array of `shape`.
    """
    if common > 0 and shape[2] > 1:
        own = correlated_noise(shape, draws, length)
        shared = correlated_noise((*shape[:2], 1), draws, length)
        return np.float32(math.sqrt(1 - common**2)) * own + np.float32(common) * shared
    reach = int(np.ceil(_REACH * length))
    if reach == 0:
        return draws.normal(shape)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / length) ** 2)
    kernel /= np.sqrt(np.sum(kernel**2))  # independent draws add in quadrature
    height, width, channels = shape
    wide = draws.normal((height + 2 * reach, width + 2 * reach, channels))
    blurred = cv2.sepFilter2D(wide, -1, kernel, kernel)
    # OpenCV drops a last axis of size 1.
    blurred = blurred.reshape(wide.shape)
    return np.ascontiguousarray(blurred[reach : reach + height, reach : reach + width])


def add_correlated_noise(
    clean: np.ndarray, draws: Draws, sigma: float, length: float, common: float = 0.0
) -> np.ndarray:
    """Adds `correlated_noise` of standard deviation σ (0-255 scale); never clipped.

    Args:
        clean: float32 image (H, W, C), nominal range [0, 1].
        draws: the image's random numbers.
        sigma: standard deviation of each pixel, 0-255 scale.
        length: see `correlated_noise`, in pixels.
        common: see `correlated_noise`, 0 to 1.

    Returns:
        float32 image of the same shape.
    """
    return add_gaussian_noise(
        clean, correlated_noise(clean.shape, draws, length, common), np.float32(sigma)
    )
