"""A preset as a folder that can be shared: `config.json`, `metadata.json`, weights and a card.

The names are those of KerasHub's presets. `config.json` is the network as Keras serializes it;
`metadata.json` has the sha256 of the weights, versions, and the card of shipped weights if these
are still the same. A folder may come from a stranger, so that sizes and the sha256 are verified
here, and the classes in `config.json` by `gradnet_tf.layers.serialized` before anything is built.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gradnet_tf.utils.console import note
from gradnet_tf.utils.containers import read_json
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import atomic_path, atomic_write, make_folder, sha256_of, write_json
from gradnet_tf.utils.ownership import require_replaceable
from gradnet_tf.utils.versions import installed_versions
from gradnet_tf.weights import PRESET_CONFIG, PRESET_WEIGHTS

CONFIG, METADATA, WEIGHTS, CARD = PRESET_CONFIG, "metadata.json", PRESET_WEIGHTS, "README.md"
_LIBRARY = "gradnet-tf"
_MOST_CONFIG, _MOST_WEIGHTS = 2**20, 2**30


@dataclasses.dataclass(frozen=True)
class PresetFolder:
    """The verified content of a folder.

    Attributes:
        path: the folder.
        architecture: the network as Keras serializes it; its classes are not checked yet.
        metadata: content of `metadata.json`.
    """

    path: Path
    architecture: dict[str, Any]
    metadata: dict[str, Any]

    @property
    def weights(self) -> Path:
        """The file of the weights."""
        return self.path / WEIGHTS

    @property
    def card(self) -> dict[str, Any] | None:
        """The card of the shipped weights that these are, if they are."""
        card = self.metadata.get("card")
        return card if isinstance(card, dict) else None


def read_folder(path: Path) -> PresetFolder:
    """Reads and verifies a folder that `write_folder` wrote.

    Raises:
        UserError: a file is missing, too large or damaged, or the weights are not those that
            `metadata.json` describes.
    """
    hint = "Copy or download the folder again."
    try:
        config = read_json(path / CONFIG, _MOST_CONFIG)
        metadata = read_json(path / METADATA, _MOST_CONFIG)
        size = (path / WEIGHTS).stat().st_size
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        name = Path(getattr(error, "filename", None) or path).name
        raise UserError(f"{path}: not a preset folder: {name}: {reason}.\n{hint}") from error
    if not isinstance(config, dict) or not isinstance(metadata, dict):
        raise UserError(f"{path}: {CONFIG} and {METADATA} must be JSON objects.\n{hint}")
    if size > _MOST_WEIGHTS:
        raise UserError(f"{path}: {WEIGHTS} has {size >> 20} MB, at most {_MOST_WEIGHTS >> 20}.")
    if metadata.get("unfinished"):
        raise UserError(f"{path}: was not written to its end.\nSave to it again.")
    found, expected = sha256_of(path / WEIGHTS), metadata.get("weights_sha256")
    if found != expected:
        raise UserError(
            f"{path}: {WEIGHTS} is damaged or was replaced: its sha256 is {found}, expected "
            f"{str(expected)[:64]}.\n{hint}"
        )
    return PresetFolder(path, config, metadata)


def write_folder(
    path: Path,
    architecture: Mapping[str, Any],
    save_weights: Callable[[Path], None],
    parameters: int,
    card: Mapping[str, Any] | None,
    card_text: str,
) -> None:
    """Writes a folder; one that this function wrote before is replaced.

    But not a `README.md` that somebody has edited since: that of a network of one's own asks for
    it.

    Args:
        path: the folder; created with its parents.
        architecture: the network as Keras serializes it.
        save_weights: writes the weights to a path that ends with `WEIGHTS`.
        parameters: number of weights.
        card: card of shipped weights, if the network has exactly these.
        card_text: content of `README.md`.

    Raises:
        UserError: a file of that name exists and is not from an earlier call.
        OSError: the folder cannot be written.
    """
    make_folder(path)
    earlier = _own_metadata(path)
    edited = _card_is_edited(path, earlier)
    for name in (CONFIG, METADATA, WEIGHTS, CARD):
        require_replaceable(path / name, f"save_to_preset({str(path)!r})", lambda _: bool(earlier))
    # Until the metadata follow, the folder is refused and not misread, and may be written again.
    unfinished = {"library": _LIBRARY, "unfinished": True}
    own_card = hashlib.sha256(card_text.encode()).hexdigest()
    cards = [earlier.get("readme_sha256"), *earlier.get("readme_sha256s", [])]
    write_json(path / METADATA, {"readme_sha256s": [own_card, *filter(None, cards)], **unfinished})
    with atomic_path(path / WEIGHTS) as temporary:
        save_weights(temporary)
    write_json(path / CONFIG, architecture)
    if edited:
        note(f"{path / CARD} was edited and is kept; see that it is still true")
    else:
        atomic_write(path / CARD, card_text)
    metadata = {
        "library": _LIBRARY,
        "versions": installed_versions(),
        "parameter_count": parameters,
        "weights_sha256": sha256_of(path / WEIGHTS),
        "readme_sha256": own_card,
    }
    write_json(path / METADATA, metadata if card is None else {**metadata, "card": dict(card)})


def _card_is_edited(path: Path, earlier: Mapping[str, Any]) -> bool:
    """Whether README.md is none that was written with the weights.

    An interrupted call names the earlier one and its own, of which either may be there.
    """
    written = [*filter(None, [earlier.get("readme_sha256")]), *earlier.get("readme_sha256s", [])]
    try:
        return bool(written) and sha256_of(path / CARD) not in written
    except OSError:
        return False


def _own_metadata(path: Path) -> dict[str, Any]:
    """Returns the metadata of an earlier call, also of one that was interrupted, otherwise {}."""
    try:
        metadata = read_json(path / METADATA, _MOST_CONFIG)
        if not (isinstance(metadata, dict) and metadata.get("unfinished") is True):
            metadata = read_folder(path).metadata
    except (OSError, ValueError):
        return {}
    return metadata if metadata.get("library") == _LIBRARY else {}
