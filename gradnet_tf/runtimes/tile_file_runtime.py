"""Runs .tflite files of one size from elsewhere, in overlapping tiles that are blended."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gradnet_tf.runtimes.litert_runtime import LiteRTFile
from gradnet_tf.tiling.blend import blend_tiles
from gradnet_tf.tiling.tile_config import AUTO, SMALLEST, TileConfig
from gradnet_tf.tiling.tiler import FLOATS, OnTile, PixelFormat
from gradnet_tf.utils.errors import UserError

_SIGNATURE = "serving_default"


@dataclasses.dataclass(frozen=True)
class TileLayout:
    """How a file takes a tile.

    Attributes:
        side: of the square tile, in pixels.
        channels: 1 or 3.
        channels_first: whether its shape is (1, C, H, W) instead of (1, H, W, C).
        dtype: float32 in [0, 1], or uint8.
    """

    side: int
    channels: int
    channels_first: bool
    dtype: np.dtype


def tile_layout(file: LiteRTFile) -> TileLayout | None:
    """Returns how a file takes tiles; `None` if it does not take images of one size.

    It has one graph with one input and one output of the same shape, (1, S, S, C) or
    (1, C, S, S) with C = 1 or 3 and S of at least 16 pixels, and of float32 or uint8.
    """
    if file.signatures != [_SIGNATURE]:
        return None
    tensors = [*file.inputs(_SIGNATURE).values()], [*file.outputs(_SIGNATURE).values()]
    if any(len(part) != 1 for part in tensors):
        return None
    (given,), (made,) = tensors
    shape = given["shape_signature"].tolist()
    if len(shape) != 4 or shape[0] != 1 or made["shape_signature"].tolist() != shape:
        return None
    dtypes = {np.dtype(item["dtype"]) for item in (given, made)}
    if len(dtypes) != 1 or not dtypes <= {np.dtype(np.float32), np.dtype(np.uint8)}:
        return None
    first = shape[3] not in (1, 3)
    channels, sides = (shape[1], shape[2:]) if first else (shape[3], shape[1:3])
    if channels not in (1, 3) or sides[0] != sides[1] or sides[0] < SMALLEST:
        return None
    return TileLayout(sides[0], channels, first, dtypes.pop())


class TileFileRunner:
    """A .tflite file of one size as a function of pictures of any size; takes no noise level.

    Args:
        file: the open file.
        layout: how it takes tiles.
        card: what the .json file beside it says; `tile` and `overlap` in pixels are used.

    Raises:
        UserError: the card does not fit the file.
    """

    runtime = "litert"
    needs_sigma = False
    model = None
    parameters = None
    #: Tiles are run as they are, so nothing is averaged over the picture.
    averages_picture = False
    #: Whether it is for the caller to say how far tiles overlap.
    takes_overlap = True

    def __init__(self, file: LiteRTFile, layout: TileLayout, card: Mapping[str, Any]):
        self._file, self._layout = file, layout
        self.path = file.path
        self.channels = layout.channels
        self._overlap = card.get("overlap")
        if self._overlap is not None:
            self._check_overlap(self._overlap, self._card)
        if card.get("tile") not in (None, layout.side):
            raise UserError(
                f"{self.path}: takes tiles of {layout.side}, and {self._card} says "
                f"{json.dumps(card['tile'])[:20]}. Correct the card."
            )

    @property
    def _card(self) -> str:
        return Path(self.path).with_suffix(".json").name

    def run(self, images: np.ndarray, sigma: None = None) -> np.ndarray:
        """Returns the denoised images, float32, shaped like `images`."""
        return np.stack([self.run_picture(image) for image in images])

    def naive(self, images: np.ndarray, sigma: None = None) -> None:
        """A .tflite file does not expose its naive estimate."""
        return None

    def run_picture(
        self,
        image: np.ndarray,
        sigma: np.ndarray | None = None,
        tiles: TileConfig = AUTO,
        pixels: PixelFormat = FLOATS,
        on_tile: OnTile | None = None,
    ) -> np.ndarray:
        """Returns one denoised picture of any size.

        Args:
            image: (H, W, ·), as `pixels.read` takes it.
            sigma: ignored.
            tiles: `overlap` replaces the card's; `tile` must be "auto" or the file's.
            pixels: how pixels are read and stored.
            on_tile: called after each tile with the pixels done and all pixels.

        Raises:
            UserError: the picture is larger than a tile, and the overlap is not known; or another
                tile is asked for.
        """
        side = self._layout.side
        if tiles.tile not in ("auto", side):
            raise UserError(
                f"`tile` must be auto or {side} here: the file takes no other. "
                f"Received: tile={tiles.tile}"
            )
        overlap = self._overlap if tiles.overlap is None else tiles.overlap
        if overlap is None and max(image.shape[:2]) > side:
            raise UserError(
                f"{self.path}: takes tiles of {side}×{side} pixels, and says nothing of their "
                f"overlap. Give it, as its authors do: --overlap=16, for example, or a file "
                f'{self._card} beside it: {{"tile": {side}, "overlap": 16}}.'
            )
        self._check_overlap(overlap or 0, "overlap")
        return blend_tiles(self._call, image, side, int(overlap or 0), pixels, on_tile)

    def _check_overlap(self, overlap: Any, where: str) -> None:
        most = self._layout.side // 2
        if type(overlap) is not int or not 0 <= overlap <= most:
            raise UserError(
                f"{self.path}: the overlap of tiles of {self._layout.side} must be a number of "
                f"pixels from 0 to {most}. Received in {where}: {json.dumps(overlap)[:20]}"
            )

    def _call(self, tile: np.ndarray) -> np.ndarray:
        """Runs one tile, float32 (1, S, S, C) with nominal range [0, 1]."""
        layout = self._layout
        (name, details), *_ = self._file.inputs(_SIGNATURE).items()
        (made,) = self._file.outputs(_SIGNATURE).values()
        given = tile.transpose(0, 3, 1, 2) if layout.channels_first else tile
        if layout.dtype == np.uint8:
            scale, zero = _quantization(details)
            given = np.clip(np.rint(given / scale + zero), 0, 255)
        given = np.ascontiguousarray(given, layout.dtype)
        (result,) = self._file.call(_SIGNATURE, {name: given}).values()
        if layout.dtype == np.uint8:
            scale, zero = _quantization(made)
            result = (result.astype(np.float32) - np.float32(zero)) * np.float32(scale)
        return result.transpose(0, 2, 3, 1) if layout.channels_first else result


def _quantization(details: Mapping[str, Any]) -> tuple[float, int]:
    """Returns the scale and the zero of uint8 values; without one, 255 is white."""
    scale, zero = details["quantization"]
    return (float(scale), int(zero)) if scale else (1 / 255, 0)
