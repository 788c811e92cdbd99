"""Runs a network over a picture in tiles whose size does not show in the result."""

import numpy as np

from gradnet_tf.tiling.attention_sample import WHOLE_PIXELS, attention_vectors
from gradnet_tf.tiling.memory import choose_tile
from gradnet_tf.tiling.tile_config import TileConfig
from gradnet_tf.tiling.tile_facts import TileFacts
from gradnet_tf.tiling.tiles import (
    FLOATS,
    OnTile,
    PixelFormat,
    map_tiles,
    smaller_tiles,
    windows,
)
from gradnet_tf.utils.console import note
from gradnet_tf.utils.errors import UserError


class TiledNetwork:
    """A network as a function of one picture of any size.

    The attention averages over the whole picture, so a tile by itself gets
    another answer than the picture. Here its vectors are taken once for each
    picture (see `attention_sample`) and given to every tile; what is left of
    the network is convolutions, for which a margin of the receptive radius is
    exact.

    Args:
        facts: of the network; or why it cannot be tiled, and runs whole pictures only.
        denoise: maps (images, *sigma) to images, the attention's vectors computed inside.
        denoise_given: maps (images, *sigma, *vectors) to images.
        vectors: maps (images, *sigma) to the list of vectors.
        whole_pixels: larger pictures get their vectors from crops; `WHOLE_PIXELS` by default.

    The three take and return float32 arrays, σ as (N,), and raise `MemoryError`
    when memory does not suffice. Of a network that takes tiles of one size,
    `denoise` is not called, and `vectors` gets crops alone.
    """

    def __init__(self, facts: TileFacts | str, denoise, denoise_given, vectors, whole_pixels=None):
        self._facts = facts
        self._denoise, self._denoise_given, self._vectors = denoise, denoise_given, vectors
        self._whole_pixels = whole_pixels
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
            UserError: a tile size for a network that cannot be tiled, or too little
                `max_memory`.
            MemoryError: also the smallest tiles need too much.
        """
        facts, shape = self._facts, image.shape[:2]
        if isinstance(facts, str):
            return run_whole(self._denoise, image, sigma, config, pixels, on_tile, facts)
        pooled_whole = not facts.attention or self._is_small(shape)
        tile = self._tile(image, config, pooled_whole)
        levels = () if sigma is None else (sigma,)
        for side in [tile] if facts.side else smaller_tiles(tile, shape):
            cut = windows(shape, side, facts.halo, facts.block, facts.side is not None)
            try:
                plain = pooled_whole and len(cut) == 1 and not facts.side
                function = self._function(image, pixels, levels, plain)
                result = map_tiles(function, image, cut, pixels, on_tile)
            except MemoryError as error:
                failure = error
                continue
            if side != tile:
                self._limit = side
                note(f"out of memory with tiles of {min(tile, max(shape))}; {side} went through")
            return result
        raise failure

    def _is_small(self, shape) -> bool:
        return shape[0] * shape[1] <= self._limit_of_whole

    @property
    def _limit_of_whole(self) -> int:
        return WHOLE_PIXELS if self._whole_pixels is None else self._whole_pixels

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

    def _function(self, image, pixels, levels, plain: bool):
        """Returns the function of a window; `plain` where the network may do its own pooling."""
        if plain or not self._facts.attention:
            return lambda part: self._denoise(part, *levels)
        given = attention_vectors(
            image,
            lambda part: self._vectors(
                np.concatenate([pixels.read(crop[None]) for crop in part]),
                *(np.repeat(level, len(part)) for level in levels),
            ),
            self._limit_of_whole,
        )
        return lambda part: self._denoise_given(part, *levels, *given)


def run_whole(denoise, image, sigma, config, pixels, on_tile, reason: str) -> np.ndarray:
    """Denoises a picture in one piece, whatever its size; the arguments of `TiledNetwork.run`.

    Args:
        denoise: maps (images, *sigma) to images.
        reason: why there are no tiles.

    Raises:
        UserError: a tile size was asked for.
    """
    if isinstance(config.tile, int):
        raise UserError(
            f"`tile` must be auto or whole here: {reason}. Received: tile={config.tile}"
        )
    levels = () if sigma is None else (sigma,)
    cut = windows(image.shape[:2], max(image.shape[:2]), 0, 1)
    return map_tiles(lambda part: denoise(part, *levels), image, cut, pixels, on_tile)
