"""Writes small raw files in the published layout of DNG, with known light and noise."""

import io

import numpy as np
import tifffile

WHITE, BLACK = 16000, 512
#: XYZ to the camera's colors: those of sRGB, so that developed colors are those of the scene.
XYZ_TO_SRGB = (
    *(3.2404542, -1.5371385, -0.4985314),
    *(-0.9692660, 1.8760108, 0.0415560),
    *(0.0556434, -0.2040259, 1.0572252),
)


def scene(height=160, width=192) -> np.ndarray:
    """Returns linear light (H, W, 3) in [0, 1]: slopes of several colors."""
    y, x = np.mgrid[:height, :width] / 100
    light = [0.3 + 0.2 * np.sin(x * (1 + 0.3 * k) + k) * np.cos(y + k) for k in range(3)]
    return np.stack(light, -1).astype(np.float32)


def make_dng(light: np.ndarray, shot: float, read: float, seed: int = 0) -> bytes:
    """Returns a DNG with an RGGB mosaic of linear light and noise of variance a · x + b."""
    mosaic = light[..., 1].copy()
    mosaic[::2, ::2] = light[::2, ::2, 0]
    mosaic[1::2, 1::2] = light[1::2, 1::2, 2]
    noise = np.random.default_rng(seed).standard_normal(mosaic.shape)
    noisy = mosaic + noise * np.sqrt(shot * mosaic + read)
    values = np.clip(np.rint(BLACK + noisy * (WHITE - BLACK)), 0, 65535).astype(np.uint16)
    matrix = [number for value in XYZ_TO_SRGB for number in (round(value * 10**6), 10**6)]
    tags = [
        (271, 2, 0, "Synthetic", True),
        (272, 2, 0, "Raw", True),
        (33421, 3, 2, (2, 2), True),  # CFARepeatPatternDim
        (33422, 1, 4, (0, 1, 1, 2), True),  # CFAPattern
        (50706, 1, 4, (1, 4, 0, 0), True),  # DNGVersion
        (50708, 2, 0, "Synthetic Raw", True),  # UniqueCameraModel
        (50714, 4, 1, BLACK, True),  # BlackLevel
        (50717, 4, 1, WHITE, True),  # WhiteLevel
        (50721, 10, 9, matrix, True),  # ColorMatrix1
        (50728, 5, 3, (1, 1, 1, 1, 1, 1), True),  # AsShotNeutral
        (50778, 3, 1, 21, True),  # CalibrationIlluminant1: D65
        (51041, 12, 2, (shot, read), True),  # NoiseProfile
    ]
    file = io.BytesIO()
    tifffile.imwrite(
        file, values, photometric=32803, extratags=tags, metadata=None, software="tests"
    )
    return file.getvalue()
