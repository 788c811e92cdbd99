"""Tiles that overlap and are blended: for networks of which only the size of a tile is known.

Without the receptive radius, tiles cannot be exact (see `gradnet_tf.tiling.tiler`). Where two tiles
overlap, their weights change linearly from one to the other, so that no seam shows.
"""

from collections.abc import Callable

import numpy as np

from gradnet_tf.tiling.tiler import FLOATS, OnTile, PixelFormat

# Rows that are stored at once.
_ROWS = 256


def blend_tiles(
    function: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    side: int,
    overlap: int,
    pixels: PixelFormat = FLOATS,
    on_tile: OnTile | None = None,
) -> np.ndarray:
    """Applies `function` to overlapping tiles of a picture and blends the results.

    A picture that is smaller than a tile is completed by mirroring. The last tiles of a row and a
    column begin earlier than the overlap demands, so that they end with the picture.

    Args:
        function: maps (1, side, side, C) float32 to the same shape.
        image: (H, W, ·), as `pixels.read` takes it.
        side: side of a tile.
        overlap: pixels that neighboring tiles share, at most half a side.
        pixels: how `image` is read and the result is stored.
        on_tile: called after each tile with the pixels done and all pixels.

    Returns:
        (H, W, ·), as returned by `pixels.store`.
    """
    height, width = image.shape[:2]
    rows, columns = (_starts(length, side, overlap) for length in (height, width))
    sums = weights = None
    for number, (top, left) in enumerate((r, c) for r in rows for c in columns):
        window = pixels.read(image[None, top : top + side, left : left + side])
        given = window.shape[1:3]
        part = function(_completed(window, side))
        pixels.check(part, (1, side, side, window.shape[-1]))
        part = np.clip(part[0, : given[0], : given[1]], 0.0, 1.0)
        if sums is None:
            sums = np.zeros((height, width, part.shape[-1]), np.float32)
            weights = np.zeros((height, width, 1), np.float32)
        weight = np.outer(
            _weights(top, given[0], height, overlap), _weights(left, given[1], width, overlap)
        )[..., np.newaxis]
        place = slice(top, top + given[0]), slice(left, left + given[1])
        sums[place] += part * weight
        weights[place] += weight
        if on_tile:
            # Tiles overlap: an equal share of the picture for each.
            total = height * width
            on_tile(total * (number + 1) // (len(rows) * len(columns)), total)
    sums /= weights
    result = None
    for row in range(0, height, _ROWS):
        kept = pixels.store(sums[row : row + _ROWS], image[row : row + _ROWS])
        if result is None:
            result = np.empty((height, width, kept.shape[-1]), kept.dtype)
        result[row : row + _ROWS] = kept
    return result


def _starts(length: int, side: int, overlap: int) -> list[int]:
    """Returns where the tiles along an axis begin."""
    last = max(0, length - side)
    return [*range(0, last, side - overlap), last]


def _weights(start: int, count: int, length: int, overlap: int) -> np.ndarray:
    """Returns the weights of a tile along an axis: ramps where it meets another tile."""
    weights = np.ones(count, np.float32)
    ramp = (np.arange(overlap, dtype=np.float32) + 1) / (overlap + 1)
    if start > 0 and overlap:
        weights[:overlap] *= ramp
    if start + count < length and overlap:
        weights[-overlap:] *= ramp[::-1]
    return weights


def _completed(window: np.ndarray, side: int) -> np.ndarray:
    missing = [(0, 0), (0, side - window.shape[1]), (0, side - window.shape[2]), (0, 0)]
    return np.pad(window, missing, "symmetric") if any(sum(missing, ())) else window
