"""Scores of flat and of textured regions apart: thirds of a set's pixels by local variance."""

from collections.abc import Sequence

import numpy as np

#: From the least to the most varied third.
REGIONS = ("flat", "middle", "textured")
# A pixel's neighbourhood: as wide as the gradient's filter and the convolutions around it see.
_WINDOW = 7


def local_variance(image: np.ndarray) -> np.ndarray:
    """Returns the variance of brightness in the 7×7 pixels around each, symmetric at the border.

    Args:
        image: (H, W, C) in [0, 1]; the channels' mean is taken.

    Returns:
        float64 (H, W), not negative.
    """
    import cv2

    grey = image.mean(axis=-1, dtype=np.float64)
    window = {"ddepth": -1, "ksize": (_WINDOW, _WINDOW), "borderType": cv2.BORDER_REFLECT}
    mean = cv2.boxFilter(grey, **window)
    return np.maximum(cv2.boxFilter(grey * grey, **window) - mean * mean, 0.0)


class Regions:
    """Which of the three thirds each pixel of a test set lies in.

    The limits are those of the whole set, not of each image: a picture of the
    sky has no textured third.
    """

    def __init__(self, images: Sequence[np.ndarray]):
        """Args:
        images: the clean images, (H, W, C) in [0, 1].
        """
        variances = [local_variance(image) for image in images]
        pixels = np.concatenate([variance.ravel() for variance in variances])
        limits = np.quantile(pixels, [1 / 3, 2 / 3])
        # Equal values, as in a drawing's flat areas, lie on one side of a limit together.
        self._places = [
            np.searchsorted(limits, variance, side="left").astype(np.uint8)
            for variance in variances
        ]

    def psnr(self, clean: Sequence[np.ndarray], outputs: Sequence[np.ndarray]) -> dict[str, float]:
        """Returns the PSNR of each region over all pixels of the set that lie in it, dB.

        The squared errors of the set are averaged before the logarithm: an
        image may have few pixels in a region, or none.

        Args:
            clean: as in the constructor.
            outputs: what is scored, of the same shapes.
        """
        sums, counts = np.zeros(len(REGIONS)), np.zeros(len(REGIONS))
        for place, one, other in zip(self._places, clean, outputs, strict=True):
            error = np.mean((one.astype(np.float64) - other) ** 2, axis=-1)
            sums += np.bincount(place.ravel(), error.ravel(), len(REGIONS))
            counts += np.bincount(place.ravel(), minlength=len(REGIONS))
        return {
            name: float(-10 * np.log10(total / count))
            for name, total, count in zip(REGIONS, sums, counts, strict=True)
            if count
        }
