"""Noise that is alike in all color channels: brightness by a gray network, color by another.

A network for color pictures learns from noise that is independent in each channel, and takes
noise that is alike in all of them for texture. Brightness along the direction of that noise,
the `tone` of `gradnet_tf.images.noise_survey`, is one gray picture: a network for gray pictures
denoises it, and its result replaces that part of the color network's.
"""

import dataclasses

import numpy as np

from gradnet_tf.tiling.tiler import FLOATS, OnTile, PixelFormat, map_tiles, windows

#: Side of the parts in which a picture is passed on unchanged.
_PART = 1024


def luma_format(pixels: PixelFormat, tone: np.ndarray, check) -> PixelFormat:
    """Returns how brightness along `tone` is read from a color picture; it is kept as float32.

    Args:
        pixels: how the color picture is read.
        tone: float32 (3,), of mean 1.
        check: of the gray network's results; see `PixelFormat`.
    """

    def read(part):
        return brightness(pixels.read(part), tone)

    return dataclasses.replace(pixels, read=read, store=FLOATS.store, check=check)


def with_luma(
    image: np.ndarray, luma: np.ndarray, pixels: PixelFormat, tone: np.ndarray
) -> tuple[np.ndarray, PixelFormat]:
    """Puts denoised brightness beside a picture, and into what the color network makes of it.

    Args:
        image: (H, W, 3) uint8, uint16 or float.
        luma: (H, W, 1) float32 in [0, 1].
        pixels: how `image` is read and stored.
        tone: float32 (3,), of mean 1.

    Returns:
        (H, W, 4), to be denoised in place of `image`, and how it is read and stored.
    """
    # float32 holds every number of 8 and of 16 bits exactly.
    both = np.concatenate([image.astype(np.result_type(image.dtype, np.float32)), luma], axis=-1)

    def own(part):
        return part[..., :3].astype(image.dtype)

    def store(denoised, part):
        change = part[..., 3:] - brightness(denoised, tone)
        # Along the tone, so that its brightness becomes the given one and its color stays.
        along = tone * np.float32(tone.sum() / np.square(tone).sum())
        return pixels.store(np.clip(denoised + change * along, 0.0, 1.0), own(part))

    def read(part):
        return pixels.read(own(part))

    return both, dataclasses.replace(pixels, read=read, store=store)


def brightness(colors: np.ndarray, tone: np.ndarray) -> np.ndarray:
    """Returns (..., 1), the mean of (..., 3) weighted by the tone, in the range of the colors."""
    red, green, blue = tone / tone.sum()
    # Not `@`, whose threads would go on beside the network; see `noise_survey`.
    mean = colors[..., :1] * red + colors[..., 1:2] * green + colors[..., 2:] * blue
    return mean.astype(np.float32)


def unchanged(image: np.ndarray, pixels: PixelFormat, on_tile: OnTile | None = None) -> np.ndarray:
    """Returns what `pixels` stores of a picture to which nothing was done."""
    cut = windows(image.shape[:2], _PART, 0, 1)
    plain = dataclasses.replace(pixels, check=FLOATS.check)
    return map_tiles(_clipped, image, cut, plain, on_tile)


def _clipped(part: np.ndarray) -> np.ndarray:
    return np.clip(part, 0.0, 1.0)
