"""A camera, from light to an image file, after S. Guo et al.: CBDNet, CVPR 2019, equation 3.

```
light = f⁻¹(clean);   y = JPEG(f(demosaic(mosaic(light) + n(light))))
```

n is Gaussian with variance `shot · light + (read / 255)²`. Noise is added to the mosaic, as in a
sensor, so that demosaicking makes it correlated and f amplifies it in dark areas. CBDNet's released
code scales the noise with the light itself, unlike its paper and unlike photon statistics. White
balance and color correction are omitted, as there.

Demosaicking is the linear interpolation of H. S. Malvar, L. He, R. Cutler: High-quality linear
interpolation for demosaicing of Bayer-patterned color images, ICASSP 2004. It preserves measured
values, and is exact for constant and linearly changing colors.
"""

import dataclasses

import cv2
import numpy as np

from gradnet_tf.degradations.draws import Draws
from gradnet_tf.degradations.eight_bits import jpeg
from gradnet_tf.degradations.sensor import add_signal_dependent_noise

# Points of the table that inverts the S-curve; linear interpolation errs by less than 1e-6.
_POINTS = 4096
# Row and column of the red pixel in each block of 2×2; blue is diagonally opposite.
PATTERNS = ((0, 0), (0, 1), (1, 0), (1, 1))

# Malvar's filters, in eighths. Green at red and blue:
_GREEN = np.array(
    [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]],
    np.float32,
)
# Red (blue) at green with red (blue) to the left and right; transposed for above and below:
_ROW = np.array(
    [
        [0, 0, 0.5, 0, 0],
        [0, -1, 0, -1, 0],
        [-1, 4, 5, 4, -1],
        [0, -1, 0, -1, 0],
        [0, 0, 0.5, 0, 0],
    ],
    np.float32,
)
# Red at blue and blue at red:
_ACROSS = np.array(
    [
        [0, 0, -1.5, 0, 0],
        [0, 2, 0, 2, 0],
        [-1.5, 0, 6, 0, -1.5],
        [0, 2, 0, 2, 0],
        [0, 0, -1.5, 0, 0],
    ],
    np.float32,
)


@dataclasses.dataclass(frozen=True)
class Response:
    """The curve `f(light) = s(light^(1/γ))` with the S-curve `s(g) = (1 − c) g + c (3g² − 2g³)`.

    Two parameters replace the measured curves of CBDNet's model, which have no licence: γ of 1.8 to
    2.4 and a contrast of up to 0.5 cover most cameras. Light and values are in [0, 1]; f(0) = 0 and
    f(1) = 1.

    Attributes:
        gamma: γ, 1 or more; 1 with no contrast is the identity.
        contrast: c in [0, 0.9], strength of the S-curve.
    """

    gamma: float
    contrast: float

    def to_image(self, light: np.ndarray) -> np.ndarray:
        """Maps linear light to an image; float32, clipped to [0, 1] first (saturation)."""
        g = np.clip(light, 0, 1) ** np.float32(1 / self.gamma)
        return self._curve(g).astype(np.float32)

    def to_light(self, image: np.ndarray) -> np.ndarray:
        """Maps an image to linear light; float32, clipped to [0, 1] first."""
        g = np.clip(image, 0, 1)
        if self.contrast:
            points = np.linspace(0, 1, _POINTS)
            g = np.interp(g, self._curve(points), points)
        return (g**self.gamma).astype(np.float32)

    def _curve(self, g):
        return (1 - self.contrast) * g + self.contrast * g * g * (3 - 2 * g)


def mosaic(image: np.ndarray, pattern: int) -> np.ndarray:
    """Keeps one color of each pixel.

    Args:
        image: float32 (H, W, 3), RGB.
        pattern: index into `PATTERNS`.

    Returns:
        float32 (H, W).
    """
    row, column = PATTERNS[pattern]
    raw = image[..., 1].copy()
    raw[row::2, column::2] = image[row::2, column::2, 0]
    raw[1 - row :: 2, 1 - column :: 2] = image[1 - row :: 2, 1 - column :: 2, 2]
    return raw


def demosaic(raw: np.ndarray, pattern: int) -> np.ndarray:
    """Interpolates the two missing colors of each pixel; never clipped.

    Args:
        raw: float32 (H, W), H and W at least 3.
        pattern: index into `PATTERNS`.

    Returns:
        float32 (H, W, 3), RGB.
    """

    def apply(kernel):
        # Reflection about the outermost pixels continues the pattern.
        return cv2.filter2D(raw, -1, kernel / 8, borderType=cv2.BORDER_REFLECT_101)

    green, beside, across = apply(_GREEN), apply(_ROW), apply(_ACROSS)
    above = apply(np.ascontiguousarray(_ROW.T))
    image = np.repeat(raw[..., np.newaxis], 3, axis=-1)
    row, column = PATTERNS[pattern]
    for own, other, (r, c) in ((0, 2, (row, column)), (2, 0, (1 - row, 1 - column))):
        here = np.s_[r::2, c::2]
        image[..., 1][here], image[..., other][here] = green[here], across[here]
        in_row, in_column = np.s_[r::2, 1 - c :: 2], np.s_[1 - r :: 2, c::2]
        image[..., own][in_row], image[..., own][in_column] = beside[in_row], above[in_column]
    return image


def camera(
    clean: np.ndarray,
    draws: Draws,
    response: Response,
    shot: float,
    read: float,
    pattern: int | None,
    quality: int,
) -> np.ndarray:
    """Simulates a photograph of an image.

    Args:
        clean: float32 (H, W, 3) or (H, W, 1), nominal range [0, 1]; clipped to it.
        draws: the image's random numbers.
        response: f.
        shot: variance of a full signal's shot noise, in linear light on the [0, 1] scale.
        read: standard deviation of the read noise in linear light, on the 0-255 scale.
        pattern: index into `PATTERNS`; `None` for a sensor that measures all colors at every
            pixel. Ignored for gray images.
        quality: JPEG quality, 1-100; 0 for no JPEG (and no rounding).

    Returns:
        float32 image of the same shape in [0, 1].
    """
    light = response.to_light(clean)
    if pattern is None or light.shape[-1] == 1 or min(light.shape[:2]) < 3:
        light = add_signal_dependent_noise(light, draws, shot, read)
    else:
        raw = add_signal_dependent_noise(mosaic(light, pattern), draws, shot, read)
        light = demosaic(raw, pattern)
    image = response.to_image(light)
    return jpeg(image, quality) if quality else image
