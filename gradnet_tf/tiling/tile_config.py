"""How pictures are cut and pooled, as arguments and flags say it."""

import dataclasses
import re

from gradnet_tf.utils.errors import UserError

#: What a process may take where nobody says: a small machine still has it.
DEFAULT_MEMORY = 2_000_000_000
#: Below this side almost all that is computed is margin.
SMALLEST = 16
#: Where the channel attention's averages come from; see `TileConfig`.
POOLINGS = ("auto", "whole", "crops")

_UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}


@dataclasses.dataclass(frozen=True)
class TileConfig:
    """How pictures are cut, and what the channel attention averages over.

    The result depends on `pooling` alone; `tile` and `max_memory` decide the speed.

    Attributes:
        tile: side in pixels of what a tile contributes, "whole" for pictures in
            one piece, "auto" for what `max_memory` allows.
        max_memory: bytes that the process may take, as a target for "auto";
            `None` means `DEFAULT_MEMORY` where it suffices.
        pooling: "whole" averages over all of the picture, as the paper does, which then has to
            fit into memory; "crops" over random crops of 80×80 pixels of pictures above
            160×160; "auto" pools pictures of up to half a megapixel (2**19 pixels) whole and
            larger ones by crops.
    """

    tile: int | str = "auto"
    max_memory: int | None = None
    pooling: str = "auto"

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


AUTO = TileConfig()


def parse_tile(text: str) -> int | str:
    """Reads `--tile`: "auto", "whole" or a number.

    Raises:
        UserError: for anything else, and for too small a number.
    """
    text = text.strip()
    return TileConfig(int(text) if re.fullmatch(r"\d{1,9}", text) else text.lower()).tile


def parse_memory(text: str) -> int:
    """Reads an amount of memory such as "2GB", "1.5 GiB" or "800MB" (a GB is 10⁹ bytes).

    Raises:
        UserError: for anything else.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?B?)\s*", text.upper())
    unit = None
    if match and match[2]:  # A bare number is a slip rather than so many bytes.
        unit = _UNITS.get(match[2] if match[2] in _UNITS else match[2] + "B")
    # Digits without end are infinite.
    if not unit or not 1 <= (amount := float(match[1]) * unit) < float("inf"):
        raise UserError(
            f"`max_memory` must be an amount of memory such as 2GB or 800MB. Received: {text!r}"
        )
    return int(amount)
