"""Presets with trained weights in them: what `from_preset` does."""

from pathlib import Path

from gradnet_tf import weights
from gradnet_tf.models.presets import PRESETS, build_model, get_preset
from gradnet_tf.utils.errors import UserError


def model_from_weights(preset: str, channels: int, precision: str, path: Path, naive=None):
    """Builds a preset under a dtype policy and loads a `.weights.h5` file into it.

    Args:
        preset: name of the architecture.
        channels: 3 or 1.
        precision: dtype policy of the layers. The variables are float32, whatever the
            dtype of the file's arrays.
        path: the weights.
        naive: a Keras model to use as naive denoiser instead of the preset's own.

    Returns:
        A built `keras.Model`.

    Raises:
        UserError: the file is not of that preset.
    """
    model = build_model(preset, channels=channels, precision=precision, naive=naive)
    try:
        model.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(
            f"{path}: the weights do not fit preset {preset} of this version: {reason}"
        ) from error
    return model


def load_preset(preset: str, load_weights: bool, precision: str, wanted: type, caller: str):
    """Builds the network that `preset` names; see `DenoisingModel.from_preset`.

    Args:
        preset: name of weights that ship, of an architecture, or "default".
        load_weights: without, any preset's name does, and the weights are fresh.
        precision: dtype policy of the layers.
        wanted: the class the network has to be of.
        caller: what was called, for messages.

    Raises:
        UserError: an unknown name, weights that do not ship or are damaged, a
            network of another class.
    """
    said = f"{caller}({preset!r})"
    card = weights.find_card(preset)
    known = (card["preset"], card["channels"]) if card else weights.parse_name(preset)
    if known is None:
        raise UserError(
            f"{said}: no such preset. Weights that ship: {weights.shipped_names()}.\n"
            f"Architectures: {', '.join(PRESETS)}."
        )
    _require_class(get_preset(known[0]), wanted, said)
    if not load_weights:
        return build_model(*known, precision=precision)
    if card is None:
        name, command = weights.train_command(preset)
        raise UserError(
            f"{said}: the weights {name} do not ship; these do: {weights.shipped_names()}.\n"
            f"load_weights=False builds the network with fresh ones. To train them:\n  {command}"
        )
    return model_from_weights(*known, precision, weights.verified_path(card))


def _require_class(preset, wanted: type, said: str) -> None:
    from gradnet_tf import models

    if not issubclass(getattr(models, preset.architecture), wanted):
        raise UserError(
            f"{said}: {preset.name} is a {preset.architecture}, not a {wanted.__name__}.\n"
            f"Use {preset.architecture}.from_preset."
        )
