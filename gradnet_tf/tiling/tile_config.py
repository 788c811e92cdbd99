"""The configuration of tiles and pooling, and the parsers of its flags."""

import dataclasses
import re
from typing import NoReturn

from gradnet_tf.utils.errors import UserError

#: Default memory limit of a process in bytes; available even on small machines.
DEFAULT_MEMORY = 2_000_000_000
#: Smallest side of a tile; below it, nearly all of the computation would be margin.
SMALLEST = 16
#: The area that the channel attention averages over; see `TileConfig`.
POOLINGS = ("auto", "whole", "crops")

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


@dataclasses.dataclass(frozen=True)
class TileConfig:
    """How pictures are cut into tiles, and the area that the channel attention averages over.

    The result depends on `pooling` only; `tile` and `max_memory` affect the speed.

    Attributes:
        tile: side of a tile in pixels, without its margin; "whole" for one piece; "auto" for
            the largest tile that `max_memory` allows.
        max_memory: memory limit of the process in bytes, as a target for "auto"; `None` means
            `DEFAULT_MEMORY` if that suffices.
        pooling: "whole" averages over the whole picture, as in the paper, which then has to fit
            into memory; "crops" averages over random crops of 80×80 pixels if the picture has
            more than 160×160; "auto" pools pictures of up to half a megapixel (2**19 pixels)
            whole and larger ones by crops.
        overlap: pixels that neighboring tiles share, for .tflite files of one size from elsewhere;
            `None` for what their card says.
    """

    tile: int | str = "auto"
    max_memory: int | None = None
    pooling: str = "auto"
    overlap: int | None = None

    def __post_init__(self):
        sized = isinstance(self.tile, int) and not isinstance(self.tile, bool)
        if not (self.tile in ("auto", "whole") or (sized and self.tile >= SMALLEST)):
            raise UserError(
                f"`tile` must be auto, whole or a side of at least {SMALLEST} pixels. "
                f"Received: tile={self.tile!r}"
            )
        if self.max_memory is not None and self.max_memory <= 0:
            raise UserError(
                f"`max_memory` must be a positive number of bytes. Received: {self.max_memory}"
            )
        if self.pooling not in POOLINGS:
            raise UserError(
                f"`pooling` must be one of {', '.join(POOLINGS)}. Received: {self.pooling!r}"
            )
        if self.overlap is not None and self.overlap < 0:
            raise UserError(f"`overlap` must be 0 or more pixels. Received: {self.overlap}")

    def refuse_overlap(self) -> NoReturn:
        """Raises the error for an overlap given to a network whose margin is known."""
        raise UserError(
            "`overlap` is for .tflite files of one size whose margin is not known; this model "
            f"knows its own. Received: overlap={self.overlap}. Leave it out."
        )


AUTO = TileConfig()


def parse_tile(text: str) -> int | str:
    """Parses `--tile`: "auto", "whole" or a number.

    Raises:
        UserError: the text is something else, or the number is too small.
    """
    text = text.strip()
    return TileConfig(int(text) if re.fullmatch(r"\d{1,9}", text) else text.lower()).tile


def parse_memory(text: str) -> int:
    """Parses an amount of memory such as "2GB", "1.5 GiB" or "800MB" (a GB is 10⁹ bytes).

    Raises:
        UserError: the text is not an amount of memory.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?B?)\s*", text.upper())
    unit = None
    if match and match[2]:  # A number without a unit is more likely a mistake than bytes.
        unit = _UNITS.get(match[2] if match[2] in _UNITS else match[2] + "B")
    # Very long numbers become infinite.
    if not unit or not 1 <= (amount := float(match[1]) * unit) < float("inf"):
        raise UserError(
            f"`max_memory` must be an amount of memory such as 2GB or 800MB. Received: {text!r}"
        )
    return int(amount)
