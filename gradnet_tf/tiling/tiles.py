"""The one tiler: cuts a picture into overlapping windows and puts the results together."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from gradnet_tf.tiling.tile_config import SMALLEST

#: Called with the pixels that are done and all pixels.
OnTile = Callable[[int, int], None]


def _as_is(values: np.ndarray, *_) -> np.ndarray:
    return values


@dataclasses.dataclass(frozen=True)
class PixelFormat:
    """How a picture's own numbers become the network's and back, part by part.

    Attributes:
        read: maps a part of the picture, (1, h, w, ·), to float32 (1, h, w, C).
        store: maps the network's (h, w, C) and the same part of the picture to
            what the result holds there.
    """

    read: Callable[[np.ndarray], np.ndarray] = _as_is
    store: Callable[[np.ndarray, np.ndarray], np.ndarray] = _as_is


#: Float pictures in, float pictures out.
FLOATS = PixelFormat()


class Span(NamedTuple):
    """One window along one axis: the network sees [start, stop), [first, last) is kept."""

    start: int
    stop: int
    first: int
    last: int


def spans(length: int, tile: int, halo: int, block: int = 1, fixed: bool = False) -> list[Span]:
    """Covers one axis with windows of one size.

    Where a tile has no neighbour it needs no margin and contributes more. All
    windows are equally long, because a network prepares for each new size; only
    the last may lack up to `block` - 1 pixels, when the axis is no multiple. They
    are no longer than their number needs, so that little is computed twice.

    Args:
        length: pixels along the axis.
        tile: pixels that a tile between others contributes, at most.
        halo: margin on either side.
        block: windows start at multiples of it; tile and halo are rounded up to it.
        fixed: windows have `tile` + 2 · `halo` pixels, no fewer.
    """
    tile, halo = (_round_up(side, block) for side in (tile, halo))
    size = tile + 2 * halo
    if length <= size:
        return [Span(0, length, 0, length)]
    if not fixed:
        count = -(-(length - 2 * halo) // tile)
        size = _round_up(-(-(length + 2 * halo * (count - 1)) // count), block)
    latest = _round_up(length - size, block)
    found, first = [], 0
    while first < length:
        start = min(max(0, first - halo), latest)
        stop = min(start + size, length)
        last = length if stop == length else stop - halo
        found.append(Span(start, stop, first, last))
        first = last
    return found


def windows(
    shape: tuple[int, int], tile: int, halo: int, block: int, fixed: bool = False
) -> list[tuple[Span, Span]]:
    """Returns the windows of a picture of `shape` (H, W), row by row; see `spans`."""
    rows, columns = (spans(side, tile, halo, block, fixed) for side in shape)
    return list(itertools.product(rows, columns))


def map_tiles(
    function: Callable[[np.ndarray], np.ndarray],
    image: np.ndarray,
    cut: list[tuple[Span, Span]],
    pixels: PixelFormat,
    on_tile: OnTile | None = None,
) -> np.ndarray:
    """Puts a picture together from what `function` makes of its windows.

    Nothing but the result is as large as the picture.

    Args:
        function: maps (1, h, w, C) float32 to (1, h, w, ·) float32.
        image: (H, W, C), as `pixels.read` takes it.
        cut: from `windows`.
        pixels: how `image` is read and the result is stored.
        on_tile: called after each window with the pixels done and all pixels.

    Returns:
        What `pixels.store` makes, put together.
    """
    result = None
    done, total = 0, image.shape[0] * image.shape[1]
    for row, column in cut:
        part = function(pixels.read(image[None, row.start : row.stop, column.start : column.stop]))
        inside = (
            slice(row.first - row.start, row.last - row.start),
            slice(column.first - column.start, column.last - column.start),
        )
        place = slice(row.first, row.last), slice(column.first, column.last)
        kept = pixels.store(part[0][inside], image[place])
        if result is None:
            result = np.empty((*image.shape[:2], kept.shape[-1]), kept.dtype)
        result[place] = kept
        done += kept.shape[0] * kept.shape[1]
        if on_tile:
            on_tile(done, total)
    return result


def smaller_tiles(tile: int, shape: tuple[int, int]) -> Iterator[int]:
    """Yields `tile` and its halves down to `SMALLEST`, for when memory does not suffice."""
    yield tile
    tile = min(tile, max(shape))
    while (tile := tile // 2) >= SMALLEST:
        yield tile


def _round_up(value: int, block: int) -> int:
    return -(-value // block) * block
