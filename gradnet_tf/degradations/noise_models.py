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
from gradnet_tf.degradations.photograph import CameraSettings, noise_profile, photograph
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

    def draw_logarithm(self, draws: Draws) -> float:
        """Returns a value above 0 whose logarithm is drawn uniformly."""
        return math.exp(Range(math.log(self.low), math.log(self.high)).draw(draws))

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

    Two channels correlate by `common²`, as in film grain and toned black-and-white photographs.

    Attributes:
        sigma: standard deviation of a pixel, 0-255 scale.
        length: pixels; 0 is white noise. Below 0.7 see `correlated_noise`.
        common: share of the standard deviation that is one field for all channels.
    """

    sigma: Range = _parameter(0, 255)
    length: Range = _parameter(0, 16)
    common: Range = _parameter(0, 1, (0, 0))

    def apply(self, image: np.ndarray, draws: Draws) -> np.ndarray:
        """Returns the noisy image: float32 (H, W, C), not clipped."""
        sigma, length = self.sigma.draw(draws), self.length.draw(draws)
        return add_correlated_noise(image, draws, sigma, length, self.common.draw(draws))


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
class Photograph:
    """The noise of a whole camera, with published noise profiles; see `photograph`.

    Attributes:
        iso: sensitivity, which chooses shot and read noise; a camera is drawn for each image. For a
            range, the logarithm is drawn uniformly.
        push: stops by which the exposure is too short, as in shadows that are brightened.
        row: row noise as a share of the read noise.
        bits: of the sensor, rounded to a whole number.
        mosaic: 1 for one color per pixel, 0 for all three.
        bilinear: 1 for bilinear demosaicking, 0 for Malvar's filters; a range chooses by its value
            above or below 0.5.
        balance: strength of the white balance.
        matrix: strength of the color matrix.
        gamma: γ of the tone curve.
        contrast: S-curve of the tone curve, see `Response`.
        size: the photograph's size as a share of the sensor's.
        smoothing: share of the luma noise that the camera's denoiser smooths.
        reach: standard deviation of that smoothing in pixels.
        chroma: standard deviation of the smoothing of chroma noise in pixels.
        sharpen: strength of the sharpening.
        quality: JPEG quality, rounded to a whole number; 0 for no JPEG.
    """

    iso: Range = _parameter(25, 819200, (3200, 102400))
    push: Range = _parameter(0, 6, (0, 3))
    row: Range = _parameter(0, 2, (0, 0.3))
    bits: Range = _parameter(8, 16, (12, 14))
    mosaic: Range = _parameter(0, 1, (1, 1))
    bilinear: Range = _parameter(0, 1, (0, 1))
    balance: Range = _parameter(0, 1, (0, 1))
    matrix: Range = _parameter(0, 1, (0, 1))
    gamma: Range = _parameter(1, 4, (1.2, 2.4))
    contrast: Range = _parameter(0, 0.9, (0, 0.5))
    size: Range = _parameter(0.25, 1, (0.6, 1))
    smoothing: Range = _parameter(0, 1, (0, 0.8))
    reach: Range = _parameter(0.3, 8, (0.7, 2))
    chroma: Range = _parameter(0, 8, (0, 3.5))
    sharpen: Range = _parameter(0, 2, (0, 0.7))
    quality: Range = _parameter(0, 100, (75, 100))

    def apply(self, image: np.ndarray, draws: Draws) -> np.ndarray:
        """Returns the photograph: float32 (H, W, C) in [0, 1]."""
        shot, read = noise_profile(self.iso.draw_logarithm(draws), draws)
        pattern = int(draws.uniform(0, len(PATTERNS)))
        settings = CameraSettings(
            shot=shot,
            read=read,
            push=self.push.draw(draws),
            row=self.row.draw(draws),
            bits=round(self.bits.draw(draws)),
            pattern=pattern if self.mosaic.draw(draws) >= 0.5 else None,
            bilinear=self.bilinear.draw(draws) >= 0.5,
            balance=self.balance.draw(draws),
            matrix=self.matrix.draw(draws),
            response=Response(self.gamma.draw(draws), self.contrast.draw(draws)),
            size=self.size.draw(draws),
            smoothing=self.smoothing.draw(draws),
            reach=self.reach.draw(draws),
            chroma=self.chroma.draw(draws),
            sharpen=self.sharpen.draw(draws),
            quality=round(self.quality.draw(draws)),
        )
        return photograph(image, draws, settings)


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
    "photograph": Photograph,
    "jpeg": Jpeg,
    "round": Round,
}
