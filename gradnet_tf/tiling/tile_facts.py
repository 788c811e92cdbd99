"""What has to be known of a network to run it in tiles."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from gradnet_tf.tiling.halo import block_side, receptive_radius
from gradnet_tf.tiling.memory import START, START_LITERT, bytes_per_pixel


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
        TypeError: there is no rule for the network; the message says so.
    """
    radius = receptive_radius(model)
    return TileFacts(
        radius, block_side(model), bool(model.attention_widths), bytes_per_pixel(model)
    )


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
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
