"""The noise models by their names for `--degradation`, with their parameters and units.

A parameter is a value or a range, from which a value is drawn uniformly for each image.
"""

import dataclasses
import math

import numpy as np

from gradnet_tf.degradations.camera import PATTERNS, Response, camera
from gradnet_tf.degradations.correlated import add_correlated_noise
from gradnet_tf.degradations.draws import Draws
from gradnet_tf.degradations.eight_bits import jpeg, round_to_8_bits
from gradnet_tf.degradations.gaussian import add_gaussian_noise
from gradnet_tf.degradations.sensor import add_poisson_gaussian_noise


@dataclasses.dataclass(frozen=True)
class Range:
    """A parameter: drawn uniformly from [low, high]; fixed if these are equal."""

    low: float
    high: float

    def draw(self, draws: Draws) -> float:
        """Returns the value for an image; a fixed one uses no random number."""
        return self.low if self.low == self.high else draws.uniform(self.low, self.high)

    def draw_variance(self, draws: Draws) -> float:
        """Returns a variance whose square root is drawn uniformly."""
        return Range(math.sqrt(self.low), math.sqrt(self.high)).draw(draws) ** 2

    def __str__(self) -> str:
        texts = [f"{value:.12g}" for value in (self.low, self.high)]
        return texts[0] if self.low == self.high else "..".join(texts)


def _parameter(least: float, most: float, default: tuple[float, float] | None = None):
    """Declares a parameter: its limits, and its default if it is optional."""
    limits = {"limits": (least, most)}
    if default is None:
        return dataclasses.field(metadata=limits)
    return dataclasses.field(default=Range(*default), metadata=limits)


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """White Gaussian noise; a range of σ makes a blind denoiser.

    Attributes:
        sigma: standard deviation, 0-255 scale.
    """

    sigma: Range = _parameter(0, 255)

    def apply(self, image: np.ndarray, draws: Draws) -> np.ndarray:
        """Returns the noisy image: float32 (H, W, C), not clipped."""
        sigma = np.float32(self.sigma.draw(draws))
        return add_gaussian_noise(image, draws.normal(image.shape), sigma)


@dataclasses.dataclass(frozen=True)
class PoissonGaussian:
    """Shot and read noise: variance `shot · signal + (read / 255)²` on the [0, 1] scale.

    Attributes:
        shot: variance of white's shot noise, [0, 1] scale; white is 1 / shot photons. For a range,
            the square root is drawn uniformly.
        read: standard deviation, 0-255 scale.
    """

    shot: Range = _parameter(0, 1)
    read: Range = _parameter(0, 255, (0, 0))

    def apply(self, image: np.ndarray, draws: Draws) -> np.ndarray:
        """Returns the noisy image: float32 (H, W, C), not clipped."""
        shot, read = self.shot.draw_variance(draws), self.read.draw(draws)
        return add_poisson_gaussian_noise(image, draws, shot, read)


@dataclasses.dataclass(frozen=True)
class Correlated:
    """Gaussian noise, correlated `exp(−d² / (4 · length²))` between pixels d apart.

    Attributes:
        sigma: standard deviation of a pixel, 0-255 scale.
        length: pixels; 0 is white noise.
    """

    sigma: Range = _parameter(0, 255)
    length: Range = _parameter(0, 16)

    def apply(self, image: np.ndarray, draws: Draws) -> np.ndarray:
        """Returns the noisy image: float32 (H, W, C), not clipped."""
        sigma, length = self.sigma.draw(draws), self.length.draw(draws)
        return add_correlated_noise(image, draws, sigma, length)


@dataclasses.dataclass(frozen=True)
class Camera:
    """A camera: inverse response, mosaic, noise, demosaicking, response, JPEG; see `camera`.

    Attributes:
        shot: variance of white's shot noise in linear light, [0, 1] scale. For a range, the square
            root is drawn uniformly; it is CBDNet's σ_s, 0 to 0.16.
        read: standard deviation in linear light, 0-255 scale; CBDNet's σ_c is 0 to 0.06 · 255.
        gamma: γ of the response.
        contrast: S-curve of the response, see `Response`.
        quality: JPEG quality, 1-100, rounded to a whole number; 0 for no JPEG.
        mosaic: 1 for one color per pixel (one of four patterns at random), 0 for all three.
    """

    shot: Range = _parameter(0, 1, (0, 0.0256))
    read: Range = _parameter(0, 255, (0, 15.3))
    gamma: Range = _parameter(1, 4, (1.8, 2.4))
    contrast: Range = _parameter(0, 0.9, (0, 0.5))
    quality: Range = _parameter(0, 100, (60, 100))
    mosaic: Range = _parameter(0, 1, (1, 1))

    def apply(self, image: np.ndarray, draws: Draws) -> np.ndarray:
        """Returns the photograph: float32 (H, W, C) in [0, 1]."""
        response = Response(self.gamma.draw(draws), self.contrast.draw(draws))
        shot, read = self.shot.draw_variance(draws), self.read.draw(draws)
        pattern = int(draws.uniform(0, len(PATTERNS)))
        quality = round(self.quality.draw(draws))
        pattern = pattern if self.mosaic.draw(draws) >= 0.5 else None
        return camera(image, draws, response, shot, read, pattern, quality)


@dataclasses.dataclass(frozen=True)
class Jpeg:
    """JPEG compression, which also clips and rounds to 8 bits.

    Attributes:
        quality: 1-100, rounded to a whole number.
    """

    quality: Range = _parameter(1, 100)

    def apply(self, image: np.ndarray, draws: Draws) -> np.ndarray:
        """Returns the image of the file: float32 (H, W, C) in [0, 1]."""
        return jpeg(image, round(self.quality.draw(draws)))


@dataclasses.dataclass(frozen=True)
class Round:
    """Clips to [0, 1] and rounds to 8 bits, as a PNG file does."""

    def apply(self, image: np.ndarray, draws: Draws) -> np.ndarray:
        """Returns the image of the file: float32 (H, W, C) in [0, 1]."""
        return round_to_8_bits(image)


STAGES = {
    "gaussian": Gaussian,
    "poisson_gaussian": PoissonGaussian,
    "correlated": Correlated,
    "camera": Camera,
    "jpeg": Jpeg,
    "round": Round,
}
