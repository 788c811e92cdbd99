"""Estimates the noise level of a picture, and compares levels with those of the training."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from gradnet_tf.degradations import unit_to_sigma

#: Median of |x| for x from N(0, 1).
_NORMAL_MEDIAN = 0.6744897501960817


def estimate_sigma(image: np.ndarray) -> float:
    """Returns the standard deviation of white Gaussian noise in a picture, 0-255 scale.

    The median of the absolute diagonal details of one Haar transform, divided by the median of
    |N(0, 1)|: these details are mostly noise, and the median is robust against the edges in them
    (Donoho and Johnstone, "Ideal spatial adaptation by wavelet shrinkage", Biometrika 81(3), 1994,
    section 4.2). Fine texture counts as noise, so the estimate tends to be high; correlated or
    clipped noise is underestimated.

    Args:
        image: (H, W, C) float, nominal range [0, 1], with the same noise in all channels. The
            result is 0 for less than 2×2 pixels.
    """
    image = np.asarray(image, np.float32)
    height, width = (side - side % 2 for side in image.shape[:2])
    if not height or not width:
        return 0.0
    image = image[:height, :width]
    # Orthonormal: noise keeps its standard deviation.
    details = (image[::2, ::2] - image[::2, 1::2] - image[1::2, ::2] + image[1::2, 1::2]) / 2
    return float(unit_to_sigma(np.median(np.abs(details)) / _NORMAL_MEDIAN))


def levels_text(low: float, high: float) -> str:
    """Formats noise levels: "σ = 25", or "σ = 0 to 55"."""
    return f"σ = {low:g}" if low == high else f"σ = {low:g} to {high:g}"


def untrained_note(
    name: str, source: Mapping[str, Any] | None, low: float, high: float, use: str
) -> str | None:
    """Returns a warning if weights are used at noise levels that they were not trained for.

    Args:
        name: name of the denoiser.
        source: its `source`.
        low: lowest level in use, on the 0-255 scale.
        high: highest level.
        use: the kind of use, such as "it is scored at".

    Returns:
        A sentence, or `None` if the levels are within those of the training or these are unknown.
    """
    trained = (source or {}).get("trained_sigma")
    if trained is None or trained[0] <= low <= high <= trained[1]:
        return None
    return f"{name} was trained for {levels_text(*trained)}; {use} {levels_text(low, high)}"


def scored_untrained(name: str, source: Mapping[str, Any] | None, sigma: float) -> str | None:
    """Returns `untrained_note` of a denoiser that is scored at one level."""
    return untrained_note(name, source, sigma, sigma, "it is scored at")
