"""Runs classical denoisers: alone, or as the naive denoiser of a GradNet."""

import numpy as np

from gradnet_tf.models.classical import append_estimate, classical_denoiser
from gradnet_tf.tiling.tile_config import AUTO, TileConfig
from gradnet_tf.tiling.tiler import FLOATS, OnTile, PixelFormat


class ClassicalRunner:
    """A classical denoiser as a function from arrays to arrays, clipped to [0, 1].

    Args:
        name: one of `gradnet_tf.models.classical.CLASSICAL`.

    Raises:
        UserError: the package that implements it is not installed.
    """

    runtime = "classical"
    needs_sigma = True
    model = None
    parameters = None
    #: It takes images with one or three channels.
    channels = None

    def __init__(self, name: str):
        self._denoise = classical_denoiser(name)

    def run(self, images: np.ndarray, sigma: np.ndarray | None = None) -> np.ndarray:
        """Returns the denoised images, float32, shaped like `images`."""
        return self._denoise(images, sigma)

    def naive(self, images: np.ndarray, sigma: np.ndarray | None = None) -> None:
        """A classical denoiser has no naive estimate."""
        return None


class GivenEstimateRunner:
    """A GradNet whose naive estimate comes from a classical denoiser outside the network.

    The estimate uses the noise level of the training, the only one that the main branch was
    trained with.

    Args:
        runner: runs the network on images with the estimate appended as further channels.

    Raises:
        UserError: the package that implements the classical denoiser is not installed.
    """

    runtime = "keras"
    needs_sigma = False

    def __init__(self, runner):
        naive = runner.model.naive_denoiser
        self._runner = runner
        self._sigma = naive.sigma
        self._denoise = classical_denoiser(naive.method)
        self.model, self.parameters = runner.model, runner.parameters
        self.channels = runner.model.channels

    def run(self, images: np.ndarray, sigma: np.ndarray | None = None) -> np.ndarray:
        """Returns the denoised images, float32, shaped like `images`."""
        return self._runner.run(append_estimate(images, self._sigma, self._denoise))

    def run_picture(
        self,
        image: np.ndarray,
        sigma: np.ndarray | None = None,
        tiles: TileConfig = AUTO,
        pixels: PixelFormat = FLOATS,
        on_tile: OnTile | None = None,
    ) -> np.ndarray:
        """Returns one denoised picture; the estimate is not tiled, the network is."""
        noisy = pixels.read(image[None])
        both = append_estimate(noisy, self._sigma, self._denoise)[0]
        as_floats = PixelFormat(check=pixels.check)
        denoised = self._runner.run_picture(both, None, tiles, as_floats, on_tile)
        return pixels.store(denoised, image)

    def naive(self, images: np.ndarray, sigma: np.ndarray | None = None) -> np.ndarray:
        """Returns the classical denoiser's result."""
        return self._denoise(images, self._sigma)
