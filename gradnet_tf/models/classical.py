"""Classical denoisers, without a network: BM3D and OpenCV's non-local means (NumPy only).

Both need the noise level. BM3D comes from the optional package `bm3d`, whose
licence allows non-commercial use only: nothing here requires it.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from gradnet_tf.degradations import sigma_to_unit
from gradnet_tf.images.image_files import to_float, to_uint8
from gradnet_tf.utils.errors import UserError, install_command

#: Names and descriptions, for lists and messages.
CLASSICAL = {
    "bm3d": "BM3D (needs the package bm3d, which is for non-commercial use only)",
    "opencv_nlm": "non-local means of OpenCV, on 8 bits",
}

# Strength h of non-local means in units of σ: the best result of
# `python -m benchmarks.quality.nlm_strength`, in gray and in color (docs/results.md).
NLM_STRENGTH = 0.9
_NLM_PATCH, _NLM_SEARCH = 7, 21
# The package crashes on images of at most one block (8×8); its window is 39 pixels.
_BM3D_SMALLEST = 24
# Lightness and two color differences; orthonormal, so that noise keeps its level.
_OPPONENT = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])


def classical_name(spec: str | None) -> str | None:
    """Returns `spec` if it names a classical denoiser and not a file or folder, else `None`."""
    return spec if spec in CLASSICAL and not Path(spec).exists() else None


def classical_denoiser(name: str, threads: int = 0) -> Callable[[np.ndarray, float], np.ndarray]:
    """Returns the function of a name of `CLASSICAL`.

    It takes (images, sigma): float32 (N, H, W, 1 or 3), nominal range [0, 1], H and W from 1, and
    the noise level on the 0-255 scale, a number or one per image. It returns float32 of the same
    shape; with level 0, the unchanged images.

    Args:
        name: "bm3d" or "opencv_nlm".
        threads: threads of BM3D per image; 0 for all cores. Only 1 gives bit-identical results.

    Raises:
        UserError: its package is not installed.
    """
    denoise = {"bm3d": lambda: _bm3d(threads), "opencv_nlm": lambda: _opencv_nlm}[name]()

    def run(images, sigma):
        sigmas = np.broadcast_to(np.asarray(sigma, np.float64), len(images)).tolist()
        denoised = [
            denoise(image, level) if level > 0 else image
            for image, level in zip(images, sigmas, strict=True)
        ]
        return np.stack(denoised).astype(np.float32) if denoised else images

    return run


def append_estimate(
    noisy: np.ndarray, sigma, denoise: Callable[[np.ndarray, float], np.ndarray]
) -> np.ndarray:
    """Appends the estimate to the noisy images, as input of `models.GivenEstimate`.

    Args:
        noisy: (N, H, W, C) float32.
        sigma: noise level, see `classical_denoiser`.
        denoise: from `classical_denoiser`.

    Returns:
        (N, H, W, 2·C) float32, the noisy channels first.
    """
    return np.concatenate([noisy, denoise(noisy, sigma)], axis=-1)


def _bm3d(threads: int):
    try:
        import bm3d
    except ImportError as error:
        raise UserError(
            "bm3d: the package is not installed.\n"
            f"Install it: {install_command('bm3d')} (its licence allows non-commercial use only), "
            "or use opencv_nlm."
        ) from error
    profile = bm3d.BM3DProfile()
    profile.num_threads = threads

    def denoise(image, sigma):
        """BM3D and CBM3D (Dabov et al., 2007), in the package's default profile."""
        height, width, channels = image.shape
        padding = [(0, max(0, _BM3D_SMALLEST - side)) for side in (height, width)]
        whole = np.pad(image, [*padding, (0, 0)], mode="symmetric").astype(np.float64)
        level = sigma_to_unit(sigma)
        if channels == 3:
            # Blocks are matched in the first channel. The package's `bm3d_rgb` divides by the range
            # of each channel, which is 0 for gray images.
            denoised = bm3d.bm3d(whole @ _OPPONENT.T, [level] * 3, profile) @ _OPPONENT
        else:
            denoised = bm3d.bm3d(whole[..., 0], level, profile)[..., None]
        return denoised[:height, :width]

    return denoise


def _opencv_nlm(image, sigma):
    """Non-local means (Buades et al., 2005) of OpenCV.

    It works on 8 bits: the noisy image is clipped and rounded to [0, 255], and the result has 256
    levels. Patches of color images are compared in all three channels at once.
    """
    import cv2

    pixels = np.ascontiguousarray(to_uint8(image))
    strength = NLM_STRENGTH * sigma
    denoised = cv2.fastNlMeansDenoising(pixels, None, strength, _NLM_PATCH, _NLM_SEARCH)
    return to_float(denoised.reshape(image.shape))
