"""Trained weights shipped with the package, each a `NAME.weights.h5` and a card `NAME.json`."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import sha256_of

#: The folder of the files.
FOLDER = Path(__file__).parent

#: The weights that `--model=default` means, and those for gray pictures in their place.
DEFAULT = "gradnet_small_color_blind"
GRAY = "gradnet_small_gray_blind"
#: The name that means `DEFAULT`, or `CAMERA` for pictures with a camera's noise.
AUTO = "auto"
CAMERA = "gradnet_small_color_real"

#: How the address of a preset on a hub begins; see `gradnet_tf.weights.hub`.
ADDRESSES = ("hf://", "kaggle://")
#: The files that a preset folder must have; see `gradnet_tf.weights.preset_folder`.
PRESET_CONFIG, PRESET_WEIGHTS = "config.json", "model.weights.h5"

# gradnet_small_color_blind, gradnet_tiny_gray_s25, gradnet_small_color_blind_bsds500, ...
NAME = re.compile(
    r"(?P<preset>.+?)(_(?P<colour>color|gray)_(?P<level>blind|real|s(?P<sigma>\d+))(_bsds500)?)?$"
)


def weights_path(name: str) -> Path:
    """Returns the path of the weights called `name`, even if they do not exist."""
    return FOLDER / f"{name}.weights.h5"


def read_card(name: str) -> dict[str, Any] | None:
    """Returns the card of the weights called `name`, or `None` if there are none.

    A card has at least `name`, `preset`, `channels`, `sigma_min`, `sigma_max`, `sha256`
    (of the file beside it), `dtype` (of its arrays), `parameters`, `bytes`, `scores`
    ({set: {sigma: dB}}, sigma is "real" for real noise), `clean` ({set: dB}), `limits`
    (sentences), `data`, `terms`, `licence` and `recipe`. Weights for real noise have no
    `sigma_min` and `sigma_max` (`None`) but `noise`, the degradation of their training; weights
    that other networks taught name these in `teachers`.
    """
    card = FOLDER / f"{name}.json"
    # A name with a separator is a path.
    if Path(name).name != name or not card.is_file() or not weights_path(name).is_file():
        return None
    return json.loads(card.read_text(encoding="utf-8"))


def is_preset_folder(path: Path) -> bool:
    """Whether a folder has the files that a preset needs."""
    return (path / PRESET_CONFIG).is_file() and (path / PRESET_WEIGHTS).is_file()


def hub_card_path(name: str) -> Path:
    """Returns the path of the model card, in Markdown, that is shipped with weights."""
    return FOLDER / f"{name}.md"


def find_tflite(spec: str) -> Path | None:
    """Returns the .tflite file of the weights that `find_card` finds, or `None`."""
    card = find_card(spec)
    return card and tflite_path(card)


def tflite_path(card: Mapping[str, Any]) -> Path | None:
    """Returns the .tflite file that is shipped with the weights of a card, or `None`."""
    path = FOLDER / "litert" / f"{card['name']}.tflite"
    return path if path.is_file() else None


def list_weights() -> list[dict[str, Any]]:
    """Returns the cards of all shipped weights, sorted by name."""
    names = sorted(path.stem for path in FOLDER.glob("*.json"))
    return [card for card in map(read_card, names) if card is not None]


def find_card(spec: str) -> dict[str, Any] | None:
    """Returns the card of weights, or `None` if there are none.

    Args:
        spec: a name of weights, an architecture (its color blind weights), `default` or `auto`.
    """
    if spec in ("default", AUTO):
        return read_card(DEFAULT)
    return read_card(spec) or read_card(f"{spec}_color_blind")


def gray_partner(name: str, source: Mapping[str, Any] | None) -> str | None:
    """Returns the name of the gray weights with the preset and noise level of color weights.

    `name` and `source` are those of a denoiser; runs and files have no partner. `None` if there are
    no such weights. Weights for real noise have the blind ones for a partner.
    """
    parts = NAME.match(DEFAULT if name == AUTO else name)
    if (source or {}).get("kind") != "weights" or parts is None or parts["colour"] != "color":
        return None
    level = "blind" if parts["level"] == "real" else parts["level"]
    gray = f"{parts['preset']}_gray_{level}"
    return gray if read_card(gray) is not None else None


def partners(name: str, spec: str) -> tuple[str | None, str | None, dict[str, str]]:
    """Returns what stands in for weights where they do not suit a picture.

    Args:
        name: name of the weights.
        spec: the model's name as given; only `auto` has weights for a camera's noise.

    Returns:
        The names of the gray weights and of those for pictures with a camera's noise, `None` if
        there are none, and the sha256 of both by name, according to their cards.
    """
    gray = gray_partner(name, {"kind": "weights"})
    camera = CAMERA if spec == AUTO and read_card(CAMERA) is not None else None
    cards = [card for each in (gray, camera) if each and (card := read_card(each))]
    return gray, camera, {card["name"]: card["sha256"] for card in cards}


def verified_path(card: dict[str, Any]) -> Path:
    """Returns the file that `card` describes.

    Raises:
        UserError: its sha256 is not that of the card.
    """
    path = weights_path(card["name"])
    found = sha256_of(path)
    if found != card.get("sha256"):
        raise UserError(
            f"{path}: the file is damaged or was replaced: its sha256 is {found}, expected "
            f"{card.get('sha256')}.\nReinstall the package."
        )
    return path


def shipped_names() -> str:
    """Returns the names of all shipped weights, for messages."""
    return ", ".join(card["name"] for card in list_weights()) or "none"
