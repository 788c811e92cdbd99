"""Runs a network over a picture in tiles; the tile size does not affect the result."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradnet_tf.images.noise_survey import BLOCK
from gradnet_tf.tiling.machine import available_memory
from gradnet_tf.tiling.tile_config import AUTO, DEFAULT_MEMORY, SMALLEST, TileConfig
from gradnet_tf.utils.console import note
from gradnet_tf.utils.errors import UserError

#: Measured memory of the process with TensorFlow and a traced network, before any picture.
START = 900_000_000
#: The same with LiteRT.
START_LITERT = 200_000_000
#: Copies of a picture in memory while it is read, denoised and written.
_COPIES = 4
#: Larger windows hardly reduce the margins' share, and do not fit into caches.
_LARGEST_WINDOW = 2**20

#: Pictures up to this size are pooled whole by default, as in validation and in the published
#: scores of every set (the largest, Kodak's, have 0.39 megapixels). Photographs are larger and may
#: not fit into memory whole, so their attention vectors are computed from crops. Crops from
#: 160×160 pixels on, as with `pooling="crops"`, improve real noise (RENOIR 34.00 -> 34.23 dB, PolyU
#: 36.02 -> 36.17) but not white noise (CBSD68 at sigma 0: 47.52 -> 47.40, at 25: -0.007 dB), so
#: the default agrees with other implementations and our tables.
WHOLE_PIXELS = 2**19
#: Side of a crop, as in training.
CROP_SIDE = 80
#: Pictures up to this size are always pooled whole: a few crops would not represent them.
FEW_PIXELS = 4 * CROP_SIDE**2
#: Number of crops: one per this many pixels, within limits that bound the error and the time.
PIXELS_PER_CROP = 2**15
FEWEST, MOST = 32, 128
#: With parts of the picture left out: places drawn for each crop, and the still share of a crop.
_CANDIDATES, _MOST_STILL = 8, 0.25
#: Sides of these crops: smaller ones where parts with noise are narrow.
_NOISY_SIDES = (CROP_SIDE, 40, 24)
_CHUNK = 8
_SEED = 0

#: Called with the number of pixels that are done, and with the total.
OnTile = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class TileInfo:
    """How a network can be tiled.

    Attributes:
        halo: margin that a tile needs, in pixels.
        block: tiles begin at multiples of this number of pixels.
        attention: whether the network averages over the picture, so that tiles need vectors.
        bytes_per_pixel: estimated working memory.
        start: memory of the process in bytes before the first picture.
        side: side of the tiles without margins, if the network only takes one size; `None` if
            it takes any size.
    """

    halo: int
    block: int
    attention: bool
    bytes_per_pixel: float
    start: int = START
    side: int | None = None


def info_of(model) -> TileInfo:
    """Returns how a Keras network of `gradnet_tf.models` can be tiled.

    Raises:
        TypeError: the network does not define its receptive radius.
    """
    radius = getattr(model, "receptive_radius", None)
    if radius is None:
        raise TypeError(f"no rule for the receptive radius of {type(model).__name__}")
    return TileInfo(radius, model.block_side, bool(model.attention_widths), model.bytes_per_pixel)


def info_from_card(card: Mapping[str, Any], attention: bool) -> TileInfo | None:
    """Returns how an exported network can be tiled according to its card, `None` if unknown.

    Args:
        card: holds `halo`, `block`, `bytes_per_pixel`, and `tile` for a file of one size.
        attention: whether the file computes and takes attention vectors.
    """
    values = [card.get(key) for key in ("halo", "block", "bytes_per_pixel")]
    tile = card.get("tile")
    if not all(_positive(value) for value in values) or not (tile is None or _positive(tile)):
        return None
    halo, block, cost = values
    return TileInfo(int(halo), int(block), attention, float(cost), START_LITERT, tile)


def _positive(value) -> bool:
    # Beyond these bounds no margin, tile or cost of a pixel makes sense; NaN is in no bounds.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 2**24


def choose_tile(
    shape: tuple[int, int],
    size: int,
    cost: float,
    halo: int,
    config: TileConfig,
    least: int = 0,
    start: int = START,
) -> int:
    """Returns the side of the tiles for a picture; at least its own size means no tiles.

    Args:
        shape: (H, W).
        size: size of the picture in bytes.
        cost: working memory of the network in bytes per pixel.
        halo: margin on either side of a tile.
        config: the requested configuration.
        least: pixels that the network has to process at once in any case.
        start: memory of the process in bytes before the first picture.

    Raises:
        UserError: `max_memory` is given and does not suffice.
    """
    if config.tile != "auto":
        return max(shape) if config.tile == "whole" else config.tile
    pixels = shape[0] * shape[1]
    fixed = start + _COPIES * size
    least = max(least, min(pixels, (SMALLEST + 2 * halo) ** 2))
    memory = config.max_memory
    if memory is None:
        # Every process that can load a network has room for small pictures.
        is_small = fixed + cost * pixels <= _SMALL
        memory = DEFAULT_MEMORY if is_small else _usual_memory()
    allowed = (memory - fixed) / cost
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


def _usual_memory() -> float:
    """Returns the default memory limit: less where a container allows less."""
    return min(DEFAULT_MEMORY, _SHARE * available_memory())


#: Bytes that need no look at the limits of the machine.
_SMALL = 400_000_000
#: Share of the memory that the process may use; the rest is for the system's caches.
_SHARE = 0.8


def sampled_parts(
    image: np.ndarray, whole_pixels: float = FEW_PIXELS, still: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """Yields the batches of a picture that stand for the whole of it.

    A picture of up to `whole_pixels` pixels is its own sample. A larger one is sampled by crops
    of the training size: as many as cover its area, but at most 32, and beyond a megapixel one
    per `PIXELS_PER_CROP` pixels, at most 128. Their positions are drawn from a generator with a
    fixed seed and depend only on the picture's size, so the result does not depend on the tiles
    or on the available memory.

    Args:
        image: (H, W, C).
        whole_pixels: where crops begin.
        still: bool (⌈H/8⌉, ⌈W/8⌉), blocks that say nothing about the noise: crops are then drawn
            at any size of the picture, and those with more than a quarter of such blocks are
            left out; where too few remain, crops are smaller.

    Yields:
        (N, h, w, C), N up to 8, all of one shape.
    """
    height, width = image.shape[:2]
    if still is None and height * width <= whole_pixels:
        yield image[None]
        return
    sides = min(CROP_SIDE, height), min(CROP_SIDE, width)
    draw = np.random.default_rng(_SEED)
    count = min(MOST, max(FEWEST, height * width // PIXELS_PER_CROP))
    count = min(count, max(4, height * width // (sides[0] * sides[1])))
    if still is None:
        tops = draw.integers(0, height - sides[0] + 1, count)
        lefts = draw.integers(0, width - sides[1] + 1, count)
    else:
        tops, lefts, sides = _noisy_crops(draw, count, (height, width), still)
    for begin in range(0, len(tops), _CHUNK):
        chunk = zip(tops[begin : begin + _CHUNK], lefts[begin : begin + _CHUNK], strict=True)
        crops = np.stack([image[t : t + sides[0], x : x + sides[1]] for t, x in chunk])
        if still is not None:
            # A smaller crop is mirrored to the side that the networks are trained on.
            missing = [(0, max(0, CROP_SIDE - side)) for side in sides]
            crops = np.pad(crops, ((0, 0), *missing, (0, 0)), "symmetric")
        yield crops


def _noisy_crops(
    draw: np.random.Generator, count: int, shape: tuple[int, int], still: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[int, int]]:
    """Returns top and left of at most `count` crops with few still blocks, and their sides."""
    for side in _NOISY_SIDES:
        sides = min(side, shape[0]), min(side, shape[1])
        tops = draw.integers(0, shape[0] - sides[0] + 1, _CANDIDATES * count)
        lefts = draw.integers(0, shape[1] - sides[1] + 1, _CANDIDATES * count)
        places = zip(tops, lefts, strict=True)
        shares = np.array([_still_share(still, top, left, sides) for top, left in places])
        best = np.argsort(shares, kind="stable")[:count]
        if shares[best[min(3, len(best) - 1)]] <= _MOST_STILL:
            break
    # Where there is no such crop, the best quarter has to do.
    best = best[shares[best] <= max(_MOST_STILL, np.quantile(shares[best], 0.25))]
    return tops[best], lefts[best], sides


def _still_share(still: np.ndarray, top: int, left: int, sides: tuple[int, int]) -> float:
    """Returns the share of still blocks among those that a crop touches."""
    ends = -(-(top + sides[0]) // BLOCK), -(-(left + sides[1]) // BLOCK)
    return float(still[top // BLOCK : ends[0], left // BLOCK : ends[1]].mean())


def attention_vectors(
    image: np.ndarray,
    function: Callable[[np.ndarray], Sequence[np.ndarray]],
    whole_pixels: float = FEW_PIXELS,
    still: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Returns a picture's attention vectors, averaged over its sample.

    Args:
        image: (H, W, C) float32.
        function: returns the vectors (N, 1, 1, ·) of a batch.
        whole_pixels: see `sampled_parts`.
        still: see `sampled_parts`.

    Returns:
        A list of float32 (1, 1, 1, ·).
    """
    batches = [function(part) for part in sampled_parts(image, whole_pixels, still)]
    stacked = (np.concatenate(vectors) for vectors in zip(*batches, strict=True))
    return [np.mean(v, axis=0, keepdims=True, dtype=np.float64).astype(np.float32) for v in stacked]


def to_unit(pixels: np.ndarray) -> np.ndarray:
    """Converts uint8, uint16 or float pixels to float32 with nominal range [0, 1]."""
    if pixels.dtype.kind == "u":
        return pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
    return pixels.astype(np.float32)


def _as_is(values: np.ndarray, *_) -> np.ndarray:
    return values


def _unchecked(values: np.ndarray, shape: tuple[int, ...]) -> None:
    pass


@dataclasses.dataclass(frozen=True)
class PixelFormat:
    """How the pixels of a picture are converted for the network and back, window by window.

    Attributes:
        read: maps a part of the picture, (1, h, w, ·), to float32 (1, h, w, C).
        store: maps the network's (h, w, C) and the same part of the picture to
            what the result holds there.
        check: called with what the network made of a window, (1, h, w, C), and the shape of
            what it was given; raises where it is not sound. `store` would hide it.
        still: bool (⌈H/8⌉, ⌈W/8⌉), blocks of the picture that have no noise: the attention's
            vectors are taken from crops of the others. By default they are taken of everything.
    """

    read: Callable[[np.ndarray], np.ndarray] = _as_is
    store: Callable[[np.ndarray, np.ndarray], np.ndarray] = _as_is
    check: Callable[[np.ndarray, tuple[int, ...]], None] = _unchecked
    still: np.ndarray | None = None


#: Float pictures in, float pictures out.
FLOATS = PixelFormat()


class Span(NamedTuple):
    """A window along one axis: the network processes [start, stop), and [first, last) is kept."""

    start: int
    stop: int
    first: int
    last: int


def spans(length: int, tile: int, halo: int, block: int = 1, fixed: bool = False) -> list[Span]:
    """Covers one axis with windows of one size.

    A tile at the border needs no margin there, so it contributes more pixels. All windows have
    the same length, because runtimes prepare for each new size; only the last one may be up to
    `block` - 1 pixels shorter, if the axis is not a multiple of `block`. Windows are as short as
    their number allows, to reduce overlap.

    Args:
        length: pixels along the axis.
        tile: largest number of pixels that an inner tile contributes.
        halo: margin on either side.
        block: windows start at multiples of it; tile and halo are rounded up to multiples.
        fixed: windows have exactly `tile` + 2 · `halo` pixels.
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
    function: Callable[..., np.ndarray],
    image: np.ndarray,
    cut: list[tuple[Span, Span]],
    pixels: PixelFormat,
    on_tile: OnTile | None = None,
    more: Sequence[np.ndarray] = (),
) -> np.ndarray:
    """Applies `function` to the windows of a picture and assembles the results.

    Apart from the result, no array is as large as the picture.

    Args:
        function: maps (1, h, w, C) float32 and `more` to (1, h, w, ·) float32.
        image: (H, W, C), as `pixels.read` takes it.
        cut: from `windows`.
        pixels: how `image` is read and the result is stored.
        on_tile: called after each window with the pixels done and all pixels.
        more: further arguments of `function`, the same for every window.

    Returns:
        The assembled results of `pixels.store`.
    """
    result = None
    done, total = 0, image.shape[0] * image.shape[1]
    for row, column in cut:
        window = pixels.read(image[None, row.start : row.stop, column.start : column.stop])
        part = function(window, *more)
        pixels.check(part, window.shape)
        part = np.clip(part, 0.0, 1.0)  # Files of other origin do not do so themselves.
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
    """Yields `tile` and its halves down to `SMALLEST`, to retry when memory runs out."""
    yield tile
    tile = min(tile, max(shape))
    while (tile := tile // 2) >= SMALLEST:
        yield tile


def _round_up(value: int, block: int) -> int:
    return -(-value // block) * block


class TiledNetwork:
    """A network as a function of one picture of any size.

    The attention averages over the whole picture, so a single tile would give another result.
    Therefore the attention vectors are computed once per picture (see `sampled_parts`) and passed
    to every tile. The rest of the network consists of convolutions, for which tiles with a margin
    of the receptive radius are exact.

    Args:
        info: how the network can be tiled, or the reason why it only runs whole pictures.
        denoise: maps (images, *sigma) to images; computes the attention vectors itself.
        denoise_given: maps (images, *sigma, *vectors) to images.
        vectors: maps (images, *sigma) to the list of vectors.
        whole_pixels: the largest number of pixels that `vectors` takes, in sides of at most
            `CROP_SIDE`; unlimited by default.

    The three functions take and return float32 arrays, σ as (N,), and raise `MemoryError` if
    there is not enough memory. For a network that takes tiles of one size, `denoise` is not
    called, and `vectors` only gets crops.
    """

    def __init__(self, info: TileInfo | str, denoise, denoise_given, vectors, whole_pixels=None):
        self._info = info
        self._denoise, self._denoise_given, self._vectors = denoise, denoise_given, vectors
        self._most_pixels = whole_pixels
        self._limit: int | None = None  # the tile that went through when memory ran out
        self.averages_picture = isinstance(info, TileInfo) and info.attention

    def run(
        self,
        image: np.ndarray,
        sigma: np.ndarray | None,
        config: TileConfig,
        pixels: PixelFormat = FLOATS,
        on_tile: OnTile | None = None,
    ) -> np.ndarray:
        """Denoises one picture.

        Args:
            image: (H, W, ·), as `pixels.read` takes it.
            sigma: its noise level, (1,), or `None` if the network takes none.
            config: how the picture is cut and pooled.
            pixels: how pixels are read and stored.
            on_tile: see `map_tiles`.

        Returns:
            (H, W, ·), as returned by `pixels.store`.

        Raises:
            UserError: the network does not support these tiles or this pooling, or
                `max_memory` is too small.
            MemoryError: even the smallest tiles need too much memory.
        """
        info, shape = self._info, image.shape[:2]
        if config.overlap is not None:
            config.refuse_overlap()
        if isinstance(info, str):
            return run_whole(self._denoise, image, sigma, config, pixels, on_tile, info)
        whole_pixels = self._whole_pixels_of(config.pooling, shape)
        # Who asks for whole pooling gets it.
        still = None if config.pooling == "whole" else pixels.still
        fits = still is None and shape[0] * shape[1] <= whole_pixels
        pooled_whole = not info.attention or fits
        tile = self._tile(image, config, pooled_whole)
        levels = () if sigma is None else (sigma,)
        for side in [tile] if info.side else list(smaller_tiles(tile, shape)):
            cut = windows(shape, side, info.halo, info.block, info.side is not None)
            try:
                plain = pooled_whole and len(cut) == 1 and not info.side
                function, more = self._function(image, pixels, levels, plain, whole_pixels, still)
                result = map_tiles(function, image, cut, pixels, on_tile, more)
            except MemoryError as error:
                failure = error
                continue
            if side != tile:
                self._limit = side
                note(f"out of memory with tiles of {min(tile, max(shape))}; continuing with {side}")
            return result
        raise failure

    def _whole_pixels_of(self, pooling: str, shape: tuple[int, int]) -> float:
        """Returns the largest number of pixels that is pooled whole, of a picture (H, W)."""
        most = math.inf if self._most_pixels is None else self._most_pixels
        if pooling == "whole" and most < math.inf:
            raise UserError(
                "`pooling` must be auto or crops here: the file computes attention vectors of "
                "crops only. Received: pooling=whole"
            )
        if most < math.inf and max(shape) > CROP_SIDE:
            return 0  # Neither side may be longer.
        by_pooling = {"auto": WHOLE_PIXELS, "whole": most, "crops": min(FEW_PIXELS, WHOLE_PIXELS)}
        return min(most, by_pooling[pooling])

    def _tile(self, image, config: TileConfig, pooled_whole: bool) -> int:
        """Returns the side of the tiles."""
        info, shape = self._info, image.shape[:2]
        if info.side is not None:
            if config.tile not in ("auto", info.side):
                raise UserError(
                    f"`tile` must be auto or {info.side} here: the file takes no other. "
                    f"Received: tile={config.tile}"
                )
            return info.side
        # To be pooled whole, the picture has to fit into memory once.
        least = shape[0] * shape[1] if pooled_whole and info.attention else 0
        known = shape, image.nbytes, info.bytes_per_pixel, info.halo
        tile = choose_tile(*known, config, least, info.start)
        return tile if self._limit is None else min(tile, self._limit)

    def _function(self, image, pixels, levels, plain: bool, whole_pixels: float, still):
        """Returns the function of a window and its further arguments, as `map_tiles` takes them.

        With `plain`, the network does its own pooling.
        """
        if plain or not self._info.attention:
            return self._denoise, levels
        given = attention_vectors(
            image,
            lambda part: self._vectors(
                np.concatenate([pixels.read(crop[None]) for crop in part]),
                *(np.repeat(level, len(part)) for level in levels),
            ),
            whole_pixels,
            still,
        )
        return self._denoise_given, (*levels, *given)


class TiledRunner:
    """Base class of the runners that can denoise a picture in tiles.

    They set `_tiled`, and `averages_picture`: whether the network averages over the picture, also
    over parts without noise.
    """

    _tiled: TiledNetwork
    averages_picture: bool

    def run_picture(
        self,
        image: np.ndarray,
        sigma: np.ndarray | None = None,
        tiles: TileConfig = AUTO,
        pixels: PixelFormat = FLOATS,
        on_tile: OnTile | None = None,
    ) -> np.ndarray:
        """Returns one denoised picture of any size; see `TiledNetwork.run`."""
        return self._tiled.run(image, sigma, tiles, pixels, on_tile)


def run_whole(denoise, image, sigma, config, pixels, on_tile, reason: str) -> np.ndarray:
    """Denoises a picture in one piece; see `TiledNetwork.run` for the other arguments.

    Args:
        denoise: maps (images, *sigma) to images.
        reason: why tiles are not supported, for the error message.

    Raises:
        UserError: a tile size or crops were requested.
    """
    if config.overlap is not None:
        config.refuse_overlap()
    if config.pooling == "crops":
        raise UserError(f"`pooling` must be auto or whole here: {reason}. Received: pooling=crops")
    if isinstance(config.tile, int):
        raise UserError(
            f"`tile` must be auto or whole here: {reason}. Received: tile={config.tile}"
        )
    levels = () if sigma is None else (sigma,)
    cut = windows(image.shape[:2], max(image.shape[:2]), 0, 1)
    return map_tiles(denoise, image, cut, pixels, on_tile, levels)
