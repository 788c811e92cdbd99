"""Whether a noisy and a clean image show the same scene and are aligned.

Both are decided on patterns, not on pixel values: noise, exposure and color may differ.
The limits were tried on the 140 pairs of RENOIR and PolyU, which are as their authors aligned
them: thumbnails of pairs correlate at 0.91 and above, those of different scenes below 0.77.
"""

import dataclasses
import math

import cv2
import numpy as np

# Thumbnails of one scene correlate at least so much.
_SAME_SCENE = 0.6
_THUMBNAIL = 16
# The middle of the image is enough, and larger shifts than this are not looked for.
_CROP = 512
_LARGEST_SHIFT = 24
# How much smaller the difference must get when the noisy image is moved. A pair half a pixel
# apart gains less.
_GAIN_DB = 1.0


@dataclasses.dataclass(frozen=True)
class Shift:
    """Where the noisy image fits the clean one best.

    Attributes:
        down: pixels that the noisy image lies too low, whole.
        right: pixels that it lies too far to the right.
        gain_db: by how many dB the difference of the patterns gets smaller there.
    """

    down: int
    right: int
    gain_db: float

    @property
    def is_misaligned(self) -> bool:
        """Whether a shift would improve the pair clearly."""
        return (self.down, self.right) != (0, 0) and self.gain_db >= _GAIN_DB


def shows_same_scene(noisy: np.ndarray, clean: np.ndarray) -> bool:
    """Compares thumbnails of two uint8 images [H, W, C]; plain pictures pass."""
    thumbnails = [
        cv2.resize(_grey(image), (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA).ravel()
        for image in (noisy, clean)
    ]
    if min(thumbnail.std() for thumbnail in thumbnails) < 1:
        return True
    return float(np.corrcoef(*thumbnails)[0, 1]) >= _SAME_SCENE


def find_shift(noisy: np.ndarray, clean: np.ndarray) -> Shift:
    """Moves the noisy image over the clean one by up to 24 pixels each way.

    Args:
        noisy: uint8 [H, W, C].
        clean: uint8 of the same shape.

    Returns:
        The best place by normalised cross-correlation of the two patterns,
        smoothed against the noise; no shift for images too small or too plain to tell.
    """
    first, second = _pattern(noisy), _pattern(clean)
    margin = min(_LARGEST_SHIFT, min(first.shape) // 4)
    inner = second[margin : len(second) - margin, margin : second.shape[1] - margin]
    if margin < 1 or inner.std() < 0.5 or first.std() < 0.5:
        return Shift(0, 0, 0.0)
    fit = cv2.matchTemplate(first, inner, cv2.TM_CCOEFF_NORMED)
    top, left = np.unravel_index(int(np.argmax(fit)), fit.shape)
    # Of normalised patterns with correlation c the squared difference goes as 1 - c.
    here, there = 1 - float(fit[margin, margin]), 1 - float(fit[top, left])
    gain = 10 * math.log10(max(here, 1e-9) / max(there, 1e-9))
    return Shift(int(top) - margin, int(left) - margin, gain)


def _grey(image: np.ndarray) -> np.ndarray:
    return image.astype(np.float32).mean(axis=-1)


def _pattern(image: np.ndarray) -> np.ndarray:
    """Returns the middle of an image between two smoothings, float32 [H, W]."""
    top, left = (max(0, (side - _CROP) // 2) for side in image.shape[:2])
    grey = cv2.GaussianBlur(_grey(image[top : top + _CROP, left : left + _CROP]), (0, 0), 1.5)
    return grey - cv2.GaussianBlur(grey, (0, 0), 8)
