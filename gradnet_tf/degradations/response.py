"""The response of a camera: a curve from linear light to the values of an image file."""

import dataclasses

import numpy as np

# Points of the table that inverts the S-curve; linear between them it errs by less than 1e-6.
_POINTS = 4096


@dataclasses.dataclass(frozen=True)
class Response:
    """The curve `f(light) = s(light^(1/γ))` with the S-curve `s(g) = (1 − c) g + c (3g² − 2g³)`.

    Two numbers replace the measured curves of CBDNet's model, which have no
    licence: γ of 1.8 to 2.4 and a contrast up to a half cover most cameras.
    Light and values are in [0, 1]; f(0) = 0 and f(1) = 1.

    Attributes:
        gamma: γ, 1 or more; 1 with no contrast is the identity.
        contrast: c in [0, 0.9]: how much darker dark and lighter light parts become.
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
