"""Trained weights that ship with the package: `NAME.weights.h5` and a card `NAME.json` each."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import sha256_of

#: Where the files lie.
FOLDER = Path(__file__).parent

#: The weights that `--model=default` means.
DEFAULT = "gradnet_small_color_blind"

# gradnet_small_color_blind, gradnet_tiny_gray_s25, gradnet_small_color_blind_bsds500, ...
NAME = re.compile(
    r"(?P<preset>.+?)(_(?P<colour>color|gray)_(?P<level>blind|s(?P<sigma>\d+))(_bsds500)?)?$"
)


def weights_path(name: str) -> Path:
    """Returns where the weights called `name` lie, whether or not they exist."""
    return FOLDER / f"{name}.weights.h5"


def read_card(name: str) -> dict[str, Any] | None:
    """Returns the card of the weights called `name`, or `None` where none ship.

    A card holds at least `name`, `preset`, `channels`, `sigma_min`, `sigma_max`, `sha256`
    (of the file beside it), `dtype` (of its arrays), `parameters`, `bytes`, `scores`
    ({set: {sigma: dB}}), `clean` ({set: dB}), `limits` (sentences), `data`, `terms`, `licence`
    and `recipe`.
    """
    card = FOLDER / f"{name}.json"
    # A name with a separator in it is a path, and is none of these names.
    if Path(name).name != name or not card.is_file() or not weights_path(name).is_file():
        return None
    return json.loads(card.read_text(encoding="utf-8"))


def find_tflite(spec: str) -> Path | None:
    """Returns the .tflite file that ships of the weights that a name means, `None` without one.

    Args:
        spec: see `find_card`.
    """
    card = find_card(spec)
    return card and tflite_path(card)


def tflite_path(card: Mapping[str, Any]) -> Path | None:
    """Returns the .tflite file that ships beside the weights of a card, `None` without one."""
    path = FOLDER / "litert" / f"{card['name']}.tflite"
    return path if path.is_file() else None


def list_weights() -> list[dict[str, Any]]:
    """Returns the cards of all weights that ship, by name."""
    names = sorted(path.stem for path in FOLDER.glob("*.json"))
    return [card for card in map(read_card, names) if card is not None]


def find_card(spec: str) -> dict[str, Any] | None:
    """Returns the card that a name means, or `None` where no such weights ship.

    Args:
        spec: a weights' name, an architecture (its color blind weights), or `default`.
    """
    if spec == "default":
        return read_card(DEFAULT)
    return read_card(spec) or read_card(f"{spec}_color_blind")


def gray_partner(name: str, source: Mapping[str, Any] | None) -> str | None:
    """Returns the gray weights that ship beside color weights: the same preset and noise level.

    Args:
        name: of a denoiser, such as "gradnet_small_color_blind".
        source: its `source`; a run or a file has no partner, whatever its name.

    Returns:
        Such as "gradnet_small_gray_blind"; `None` where none ship.
    """
    parts = NAME.match(name)
    if (source or {}).get("kind") != "weights" or parts is None or parts["colour"] != "color":
        return None
    gray = f"{parts['preset']}_gray_{parts['level']}"
    return gray if read_card(gray) is not None else None


def verified_path(card: dict[str, Any]) -> Path:
    """Returns the file that `card` describes.

    Raises:
        UserError: its sha256 is not that of the card.
    """
    path = weights_path(card["name"])
    found = sha256_of(path)
    if found != card.get("sha256"):
        raise UserError(
            f"{path}: the file is damaged or was exchanged: its sha256 is {found}, expected "
            f"{card.get('sha256')}.\nReinstall the package."
        )
    return path


def shipped_names() -> str:
    """Returns the names of all weights that ship, for messages."""
    return ", ".join(card["name"] for card in list_weights()) or "none"
