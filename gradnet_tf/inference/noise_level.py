"""Estimates the noise level of a picture, for networks that want to be told it."""

import sys

import numpy as np

from gradnet_tf.degradations import unit_to_sigma

#: Median of |x| for x from N(0, 1).
_NORMAL_MEDIAN = 0.6744897501960817


def estimate_sigma(image: np.ndarray) -> float:
    """Returns the standard deviation of white Gaussian noise in a picture, 0-255 scale.

    The median of the absolute diagonal details of one Haar transform, divided
    by the median of |N(0, 1)|: of a picture, these details hold little but
    noise, and the median passes over the edges that they do hold (Donoho and
    Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika
    81(3), 1994, section 4.2). Fine texture is taken for noise, so the estimate
    is high rather than low; noise that is coloured or was clipped is
    underestimated.

    Args:
        image: (H, W, C) float, nominal range [0, 1], with the same noise in all
            channels. Less than 2×2 pixels tell nothing: the answer is 0.
    """
    image = np.asarray(image, np.float32)
    height, width = (side - side % 2 for side in image.shape[:2])
    if not height or not width:
        return 0.0
    image = image[:height, :width]
    # Orthonormal: noise keeps its standard deviation.
    details = (image[::2, ::2] - image[::2, 1::2] - image[1::2, ::2] + image[1::2, 1::2]) / 2
    return float(unit_to_sigma(np.median(np.abs(details)) / _NORMAL_MEDIAN))


def estimate_and_tell(image: np.ndarray, what: str) -> float:
    """Returns `estimate_sigma(image)`, and prints it as a notice on standard error."""
    sigma = estimate_sigma(image)
    print(f"{what}: noise level not given, estimated: sigma={sigma:.1f}", file=sys.stderr)
    return sigma
