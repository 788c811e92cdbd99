"""How much memory a network takes for a pixel, and the tile that a budget allows."""

import math

from gradnet_tf.tiling.tile_config import DEFAULT_MEMORY, SMALLEST, TileConfig
from gradnet_tf.utils.errors import UserError

#: Interpreter, TensorFlow and a traced network before the first picture, measured.
START = 900_000_000
#: The same with LiteRT.
START_LITERT = 200_000_000
#: Copies of a picture while it is read, denoised and written.
_COPIES = 4
#: Larger windows save little more of the margins, and processors' caches are small.
_LARGEST_WINDOW = 2**20
# Feature maps that are alive at once at the worst place, in units of the network's width; with
# what the convolutions need beside them. Measured: peak memory over the size of one picture.
_MAPS = {"DnCNN": 2.5, "FFDNet": 3.0, "ADNet": 3.5, "CBDNet": 5.0, "MSKResnet": 8.0}


def bytes_per_pixel(model) -> float:
    """Estimates the working memory of a network for each pixel of its input.

    Args:
        model: see `gradnet_tf.tiling.halo.receptive_radius`.
    """
    kind = type(model).__name__
    if kind == "FixedSigma":
        return bytes_per_pixel(model.denoiser)
    if kind == "GivenEstimate":
        return 0.0
    # Convolutions work on channels by the sixteen: 67 of them take the memory of 80. Beside half
    # precision there are float32 copies: measured, it saves a quarter and not a half.
    number = 4 if model.compute_dtype == "float32" else 3
    images = 4 * 4 * model.input_channels
    if kind == "GradNet":
        own = _MAPS["MSKResnet"] * _sixteens(model.body.filters) * number / model.scale**2
        return images + max(own, bytes_per_pixel(model.naive_denoiser))
    width = model.body.filters if kind == "MSKResnet" else model.filters
    return images + _MAPS[kind] * _sixteens(width) * number / model.scale**2


def _sixteens(width: int) -> int:
    return -(-width // 16) * 16


def choose_tile(
    shape: tuple[int, int],
    size: int,
    cost: float,
    halo: int,
    config: TileConfig,
    least: int = 0,
    start: int = START,
) -> int:
    """Returns the side of the tiles for a picture; one of its own size or more means whole.

    Args:
        shape: (H, W).
        size: of the picture in bytes.
        cost: the network's bytes for each pixel.
        halo: margin on either side of a tile.
        config: what was asked for.
        least: pixels that the network has to see at once in any case.
        start: bytes that the process takes before the first picture.

    Raises:
        UserError: `max_memory` was given and cannot suffice.
    """
    if config.tile != "auto":
        return max(shape) if config.tile == "whole" else config.tile
    pixels = shape[0] * shape[1]
    fixed = start + _COPIES * size
    least = max(least, min(pixels, (SMALLEST + 2 * halo) ** 2))
    allowed = ((config.max_memory or DEFAULT_MEMORY) - fixed) / cost
    if allowed < least:
        if config.max_memory is not None:
            raise UserError(
                f"`max_memory` must be at least {math.ceil((fixed + cost * least) / 1e6)}MB for "
                f"{shape[1]}×{shape[0]} pixels. Received: {config.max_memory / 1e6:.0f}MB"
            )
        allowed = least
    window = min(allowed, _LARGEST_WINDOW)
    if pixels <= window:
        return max(shape)
    return max(SMALLEST, math.isqrt(int(window)) - 2 * halo)
