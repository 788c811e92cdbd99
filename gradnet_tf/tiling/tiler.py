"""Runs a network over a picture in tiles whose size does not show in the result."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from gradnet_tf.tiling.tile_config import DEFAULT_MEMORY, SMALLEST, TileConfig
from gradnet_tf.utils.console import note
from gradnet_tf.utils.errors import UserError

#: Interpreter, TensorFlow and a traced network before the first picture, measured.
START = 900_000_000
#: The same with LiteRT.
START_LITERT = 200_000_000
#: Copies of a picture while it is read, denoised and written.
_COPIES = 4
#: Larger windows save little more of the margins, and processors' caches are small.
_LARGEST_WINDOW = 2**20

#: Pictures up to this size are pooled whole by default, as in training's validation and in the
#: published scores of every set (the largest, Kodak's, have 0.39 megapixels). Photographs are
#: larger: they cannot all be pooled whole in a machine's memory, and get their vectors from crops.
#: With crops from 160×160 pixels on, which `pooling="crops"` still does, real noise gains (RENOIR
#: 34.00 -> 34.23 dB, PolyU 36.02 -> 36.17) and white noise loses (CBSD68 at sigma 0: 47.52 ->
#: 47.40, at 25: -0.007 dB), so the default keeps what other implementations and our tables do.
WHOLE_PIXELS = 2**19
#: Side of a crop: that of training.
CROP_SIDE = 80
#: Up to this size a picture is pooled whole in any case: a few crops would not stand for it.
FEW_PIXELS = 4 * CROP_SIDE**2
#: Crops of a large picture: one for so many pixels, within limits that bound error and time.
PIXELS_PER_CROP = 2**15
FEWEST, MOST = 32, 128
_CHUNK = 8
_SEED = 0

#: Called with the pixels that are done and all pixels.
OnTile = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class TileFacts:
    """How a network can be tiled.

    Attributes:
        halo: margin that a tile needs, in pixels.
        block: tiles begin at multiples of it.
        attention: whether the network averages over the picture, so that vectors are needed.
        bytes_per_pixel: estimate of the working memory.
        start: bytes that the process takes before the first picture.
        side: of the only tiles that the network takes, without their margins; `None`: of any.
    """

    halo: int
    block: int
    attention: bool
    bytes_per_pixel: float
    start: int = START
    side: int | None = None


def facts_of(model) -> TileFacts:
    """Returns the facts of a Keras network of `gradnet_tf.models`.

    Raises:
        TypeError: the network does not know how far it looks.
    """
    radius = getattr(model, "receptive_radius", None)
    if radius is None:
        raise TypeError(f"no rule for the receptive radius of {type(model).__name__}")
    return TileFacts(radius, model.block_side, bool(model.attention_widths), model.bytes_per_pixel)


def facts_from_card(card: Mapping[str, Any], attention: bool) -> TileFacts | None:
    """Returns the facts that an export's card tells, `None` where it does not tell them.

    Args:
        card: `halo`, `block`, `bytes_per_pixel`, and `tile` of a file of one size.
        attention: whether the file gives and takes the attention's vectors.
    """
    values = [card.get(key) for key in ("halo", "block", "bytes_per_pixel")]
    tile = card.get("tile")
    if not all(_positive(value) for value in values) or not (tile is None or _positive(tile)):
        return None
    halo, block, cost = values
    return TileFacts(int(halo), int(block), attention, float(cost), START_LITERT, tile)


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


def sampled_parts(image: np.ndarray, whole_pixels: float = FEW_PIXELS) -> Iterator[np.ndarray]:
    """Yields the batches of a picture that stand for the whole of it.

    A picture of up to `whole_pixels` stands for itself. A larger one is
    represented by crops of the side that the networks are trained on: as many
    as have its area, but at most 32, and beyond a megapixel one for
    `PIXELS_PER_CROP` pixels, at most 128. Their places are drawn from a
    generator of a fixed seed and depend on nothing but the picture's size, so
    that the result does not depend on how the picture is cut or on how much
    memory there is.

    Args:
        image: (H, W, C).
        whole_pixels: where crops begin.

    Yields:
        (N, h, w, C), N up to 8, all of one shape.
    """
    height, width = image.shape[:2]
    if height * width <= whole_pixels:
        yield image[None]
        return
    sides = min(CROP_SIDE, height), min(CROP_SIDE, width)
    draw = np.random.default_rng(_SEED)
    count = min(MOST, max(FEWEST, height * width // PIXELS_PER_CROP))
    count = min(count, max(4, height * width // (sides[0] * sides[1])))
    tops = draw.integers(0, height - sides[0] + 1, count)
    lefts = draw.integers(0, width - sides[1] + 1, count)
    for begin in range(0, count, _CHUNK):
        chunk = zip(tops[begin : begin + _CHUNK], lefts[begin : begin + _CHUNK], strict=True)
        yield np.stack([image[t : t + sides[0], x : x + sides[1]] for t, x in chunk])


def attention_vectors(
    image: np.ndarray,
    function: Callable[[np.ndarray], Sequence[np.ndarray]],
    whole_pixels: float = FEW_PIXELS,
) -> list[np.ndarray]:
    """Returns a picture's attention vectors, the mean over its sample.

    Args:
        image: (H, W, C) float32.
        function: returns the vectors (N, 1, 1, ·) of a batch.
        whole_pixels: see `sampled_parts`.

    Returns:
        A list of float32 (1, 1, 1, ·).
    """
    batches = [function(part) for part in sampled_parts(image, whole_pixels)]
    stacked = (np.concatenate(vectors) for vectors in zip(*batches, strict=True))
    return [np.mean(v, axis=0, keepdims=True, dtype=np.float64).astype(np.float32) for v in stacked]


def _as_is(values: np.ndarray, *_) -> np.ndarray:
    return values


def _unchecked(values: np.ndarray, shape: tuple[int, ...]) -> None:
    pass


@dataclasses.dataclass(frozen=True)
class PixelFormat:
    """How a picture's own numbers become the network's and back, part by part.

    Attributes:
        read: maps a part of the picture, (1, h, w, ·), to float32 (1, h, w, C).
        store: maps the network's (h, w, C) and the same part of the picture to
            what the result holds there.
        check: called with what the network made of a window, (1, h, w, C), and the shape of
            what it was given; raises where it is not sound. `store` would hide it.
    """

    read: Callable[[np.ndarray], np.ndarray] = _as_is
    store: Callable[[np.ndarray, np.ndarray], np.ndarray] = _as_is
    check: Callable[[np.ndarray, tuple[int, ...]], None] = _unchecked


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
        window = pixels.read(image[None, row.start : row.stop, column.start : column.stop])
        part = function(window)
        pixels.check(part, window.shape)
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


class TiledNetwork:
    """A network as a function of one picture of any size.

    The attention averages over the whole picture, so a tile by itself gets
    another answer than the picture. Here its vectors are taken once for each
    picture (see `sampled_parts`) and given to every tile; what is left of
    the network is convolutions, for which a margin of the receptive radius is
    exact.

    Args:
        facts: of the network; or why it cannot be tiled, and runs whole pictures only.
        denoise: maps (images, *sigma) to images, the attention's vectors computed inside.
        denoise_given: maps (images, *sigma, *vectors) to images.
        vectors: maps (images, *sigma) to the list of vectors.
        whole_pixels: the most pixels that `vectors` takes at once; any number by default.

    The three take and return float32 arrays, σ as (N,), and raise `MemoryError`
    when memory does not suffice. Of a network that takes tiles of one size,
    `denoise` is not called, and `vectors` gets crops alone.
    """

    def __init__(self, facts: TileFacts | str, denoise, denoise_given, vectors, whole_pixels=None):
        self._facts = facts
        self._denoise, self._denoise_given, self._vectors = denoise, denoise_given, vectors
        self._most_pixels = whole_pixels
        self._limit: int | None = None  # the tile that went through when memory ran out

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
            sigma: its noise level, (1,), or `None` where the network takes none.
            config: how it is cut.
            pixels: how it is read and the result is stored.
            on_tile: see `map_tiles`.

        Returns:
            (H, W, ·), what `pixels.store` makes.

        Raises:
            UserError: tiles or a pooling that the network cannot run in, or too little
                `max_memory`.
            MemoryError: also the smallest tiles need too much.
        """
        facts, shape = self._facts, image.shape[:2]
        if isinstance(facts, str):
            return run_whole(self._denoise, image, sigma, config, pixels, on_tile, facts)
        whole_pixels = self._whole_pixels_of(config.pooling)
        pooled_whole = not facts.attention or shape[0] * shape[1] <= whole_pixels
        tile = self._tile(image, config, pooled_whole)
        levels = () if sigma is None else (sigma,)
        for side in [tile] if facts.side else list(smaller_tiles(tile, shape)):
            cut = windows(shape, side, facts.halo, facts.block, facts.side is not None)
            try:
                plain = pooled_whole and len(cut) == 1 and not facts.side
                function = self._function(image, pixels, levels, plain, whole_pixels)
                result = map_tiles(function, image, cut, pixels, on_tile)
            except MemoryError as error:
                failure = error
                continue
            if side != tile:
                self._limit = side
                note(f"out of memory with tiles of {min(tile, max(shape))}; {side} went through")
            return result
        raise failure

    def _whole_pixels_of(self, pooling: str) -> float:
        """Returns up to how many pixels a picture is pooled whole."""
        most = math.inf if self._most_pixels is None else self._most_pixels
        if pooling == "whole" and most < math.inf:
            raise UserError(
                "`pooling` must be auto or crops here: the file computes the attention of crops "
                "only. Received: pooling=whole"
            )
        by_pooling = {"auto": WHOLE_PIXELS, "whole": most, "crops": min(FEW_PIXELS, WHOLE_PIXELS)}
        return min(most, by_pooling[pooling])

    def _tile(self, image, config: TileConfig, pooled_whole: bool) -> int:
        """Returns the side of the tiles."""
        facts, shape = self._facts, image.shape[:2]
        if facts.side is not None:
            if config.tile not in ("auto", facts.side):
                raise UserError(
                    f"`tile` must be auto or {facts.side} here: the file takes no other. "
                    f"Received: tile={config.tile}"
                )
            return facts.side
        # What is pooled whole has to fit into memory whole, once.
        least = shape[0] * shape[1] if pooled_whole and facts.attention else 0
        known = shape, image.nbytes, facts.bytes_per_pixel, facts.halo
        tile = choose_tile(*known, config, least, facts.start)
        return tile if self._limit is None else min(tile, self._limit)

    def _function(self, image, pixels, levels, plain: bool, whole_pixels: float):
        """Returns the function of a window; `plain` where the network may do its own pooling."""
        if plain or not self._facts.attention:
            return lambda part: self._denoise(part, *levels)
        given = attention_vectors(
            image,
            lambda part: self._vectors(
                np.concatenate([pixels.read(crop[None]) for crop in part]),
                *(np.repeat(level, len(part)) for level in levels),
            ),
            whole_pixels,
        )
        return lambda part: self._denoise_given(part, *levels, *given)


def run_whole(denoise, image, sigma, config, pixels, on_tile, reason: str) -> np.ndarray:
    """Denoises a picture in one piece, whatever its size; the arguments of `TiledNetwork.run`.

    Args:
        denoise: maps (images, *sigma) to images.
        reason: why there are no tiles.

    Raises:
        UserError: a tile size or crops were asked for.
    """
    if config.pooling == "crops":
        raise UserError(f"`pooling` must be auto or whole here: {reason}. Received: pooling=crops")
    if isinstance(config.tile, int):
        raise UserError(
            f"`tile` must be auto or whole here: {reason}. Received: tile={config.tile}"
        )
    levels = () if sigma is None else (sigma,)
    cut = windows(image.shape[:2], max(image.shape[:2]), 0, 1)
    return map_tiles(lambda part: denoise(part, *levels), image, cut, pixels, on_tile)
