"""Trained weights that ship with the package: `NAME.weights.h5` and a card `NAME.json` each."""

import json
import re
from pathlib import Path
from typing import Any

#: Where the files lie.
FOLDER = Path(__file__).parent

#: The weights that `--model=default` means.
DEFAULT = "gradnet_small_color_blind"

# gradnet_small_color_blind, gradnet_tiny_gray_s25, gradnet_real, ...
_NAME = re.compile(r"(?P<preset>.+?)(_(?P<colour>color|gray)_(?P<level>blind|s(?P<sigma>\d+)))?$")


def weights_path(name: str) -> Path:
    """Returns where the weights called `name` lie, whether or not they exist."""
    return FOLDER / f"{name}.weights.h5"


def read_card(name: str) -> dict[str, Any] | None:
    """Returns the card of the weights called `name`, or `None` where none ship.

    A card holds at least `name`, `preset`, `channels`, `sigma_min`, `sigma_max`,
    `sha256`, `parameters`, `bytes`, `scores` ({set: {sigma: dB}}) and `licence`.
    """
    card = FOLDER / f"{name}.json"
    # A name with a separator in it is a path, and is none of these names.
    if card.parent != FOLDER or not card.is_file() or not weights_path(name).is_file():
        return None
    return json.loads(card.read_text(encoding="utf-8"))


def list_weights() -> list[dict[str, Any]]:
    """Returns the cards of all weights that ship, by name."""
    names = sorted(path.stem for path in FOLDER.glob("*.json"))
    return [card for card in map(read_card, names) if card is not None]


def train_command(name: str) -> str | None:
    """Returns the command that trains the weights called `name`, or `None` for another name."""
    from gradnet_tf.presets import PRESETS

    parts = _NAME.match(name)
    if parts is None or parts["preset"] not in PRESETS:
        return None
    level = f"--sigma={parts['sigma']}" if parts["sigma"] else "--sigma_min=0 --sigma_max=55"
    colour = " --channels=1" if parts["colour"] == "gray" else ""
    return (
        f"python train.py --preset={parts['preset']} --dataset=bsds500 --data_dir=DATA "
        f"{level}{colour} --workdir=runs/{name}"
    )
