"""Reads a `.keras` file under the requested precision."""

from pathlib import Path
from typing import Any

import keras

from gradnet_tf.models import register_all
from gradnet_tf.models.base import DenoisingModel, build_model
from gradnet_tf.utils.errors import UserError

register_all()  # Registers the classes that a file may name.

_POLICY = "DTypePolicy"
# Keys that may differ between two networks of the same architecture.
_INCIDENTAL = {"name", "dtype", "trainable", "build_config", "compile_config", "shared_object_id"}


def describe(model: keras.Model) -> dict[str, Any]:
    """Returns the architecture of one of our models, without its weights."""
    return keras.saving.serialize_keras_object(model)


def rebuild(architecture: dict[str, Any], precision: str, what: str) -> keras.Model:
    """Builds a model from the result of `describe`, with fresh weights, all trainable.

    Args:
        architecture: from `describe`.
        precision: dtype policy of all its layers.
        what: source of the architecture, for error messages.

    Raises:
        UserError: a class in it is not one of ours. All classes are checked before anything is
            imported or created.
    """
    if not isinstance(architecture, dict) or "class_name" not in architecture:
        raise UserError(f"{what}: expected an architecture. Received: {type(architecture)}.")
    _check_classes(architecture, what)
    try:
        model = keras.saving.deserialize_keras_object(in_precision(architecture, precision))
        # Makes all layers trainable: Keras propagates `trainable` only when it changes.
        model.trainable = False
        model.trainable = True
        return model if model.built else build_model(model)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(f"{what}: not an architecture of this version: {reason}") from error


def in_precision(config, precision: str):
    """Returns a serialized object with every dtype policy in it set to `precision`."""
    if isinstance(config, list):
        return [in_precision(item, precision) for item in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == _POLICY:
        return {**config, "config": {**config["config"], "name": precision}}
    return {key: in_precision(value, precision) for key, value in config.items()}


def same_architecture(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Compares two results of `describe`, ignoring names, precision and trainability."""
    return _essence(one) == _essence(other)


def _essence(config):
    if isinstance(config, list | tuple):
        return [_essence(item) for item in config]
    if not isinstance(config, dict):
        return config
    return {key: _essence(value) for key, value in config.items() if key not in _INCIDENTAL}


def _check_classes(config, what: str) -> None:
    """Refuses a serialized object that names other classes than our models and dtype policies.

    Keras would import whatever module such an object names.
    """
    if isinstance(config, list | tuple):
        for item in config:
            _check_classes(item, what)
    elif isinstance(config, dict):
        if "class_name" in config and not _is_known(config):
            received = config.get("registered_name") or config["class_name"]
            raise UserError(
                f"{what}: names the class {received!r}; expected networks of gradnet_tf only.\n"
                "Nothing of it was loaded."
            )
        for value in config.values():
            _check_classes(value, what)


def _is_known(config: dict) -> bool:
    if config["class_name"] == _POLICY:
        return config.get("module") == "keras" and not config.get("registered_name")
    name = config.get("registered_name")
    found = keras.saving.get_registered_object(name) if isinstance(name, str) else None
    return getattr(found, "__module__", "").startswith("gradnet_tf.")


def load_keras_file(path: Path, precision: str):
    """Loads the model of a `.keras` file.

    A file keeps the dtype policy it was saved with. If it was saved in half precision and float32
    is requested, the model is rebuilt with every policy set to float32; its variables are float32
    in any case.

    Raises:
        UserError: not a readable Keras file, not a denoiser, or saved in another precision than
            the requested one (unless that is float32).
    """
    try:
        model = keras.models.load_model(path, compile=False)
    except (ValueError, TypeError, OSError, KeyError) as error:
        reason = str(error).splitlines()[0][:200]
        raise UserError(f"{path}: Keras does not read this file: {reason}") from error
    if not isinstance(model, DenoisingModel):
        raise UserError(
            f"{path}: expected a denoiser of gradnet_tf. Received: {type(model).__name__}."
        )
    if model.dtype_policy.name == precision:
        return model
    if precision != "float32":
        raise UserError(
            f"{path}: was saved in {model.dtype_policy.name}. Received: precision={precision}.\n"
            "Give a name or a run's folder for another precision."
        )
    rebuilt = rebuild(describe(model), precision, str(path))
    rebuilt.set_weights(model.get_weights())
    return rebuilt
