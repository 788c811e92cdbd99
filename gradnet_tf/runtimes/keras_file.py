"""Reads a `.keras` or `.h5` file of Keras under the precision asked for.

The file is untrusted, and is checked as `gradnet_tf.layers.serialized` describes.
"""

from pathlib import Path

import keras

from gradnet_tf.layers.serialized import (
    MOST_CONFIG,
    check_classes,
    check_layers,
    describe,
    reason_of,
    rebuild,
    weights_at_most,
)
from gradnet_tf.layers.serialized import (
    in_precision as in_precision,
)
from gradnet_tf.layers.serialized import (
    same_architecture as same_architecture,
)
from gradnet_tf.models import register_all
from gradnet_tf.models.base import DenoisingModel, build_model
from gradnet_tf.models.estimates import AnyKerasModel
from gradnet_tf.utils.containers import Budget, count_numbers, open_archive, parse_json
from gradnet_tf.utils.errors import UserError

register_all()  # Registers the classes that a file may name.

#: Keras takes these for its older format, HDF5.
H5_SUFFIXES = (".h5", ".hdf5")
#: How much larger the content of an archive may be than the file, and bytes that always may.
_INFLATION, _SMALL = 4, 2**24


def _policy_of(model) -> str:
    """Returns the precision of a model: that of its layers if these agree in another one."""
    names = {
        layer.dtype_policy.name
        for layer in model._flatten_layers(include_self=False)
        if layer.weights
    }
    return names.pop() if len(names) == 1 else model.dtype_policy.name


def _require_sound(path: Path) -> int:
    """Checks the entries of a `.keras` file and returns how many numbers its weights have.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged; `UserError`, of which it is one: see `load_keras_file`.
    """
    budget = Budget(_INFLATION * path.stat().st_size + _SMALL)
    with open_archive(path, budget) as archive:
        if archive.getinfo("config.json").file_size > MOST_CONFIG:
            raise ValueError(f"its config.json is larger than {MOST_CONFIG >> 10} kB")
        config = parse_json(archive.read("config.json"))
        if not isinstance(config, dict):
            raise ValueError("its config.json describes no network")
        # What a training was compiled with is not loaded.
        config = {key: value for key, value in config.items() if key != "compile_config"}
        check_classes(config, str(path), of_keras=True)
        check_layers(config, str(path))
        if archive.testzip() is not None:
            raise ValueError(f"its entry {archive.testzip()!r} has a wrong checksum")
        names = [name for name in archive.namelist() if name.endswith(".h5")]
        return sum(count_numbers(archive.read(name)) for name in names)


def _require_sound_h5(path: Path) -> int:
    """Checks an `.h5` file of Keras and returns how many numbers it holds; see `_require_sound`."""
    import h5py

    count = count_numbers(path)
    with h5py.File(path, "r") as file:
        text = file.attrs.get("model_config")
    if text is None:
        raise UserError(
            f"{path}: holds weights only, and a weights file does not define its network.\n"
            "Save the whole model, model.save(PATH), or give the run folder instead."
        )
    config = parse_json(text) if len(text) <= MOST_CONFIG else None
    if not isinstance(config, dict):
        raise ValueError("its model_config describes no network")
    check_classes(config, str(path), of_keras=True)
    check_layers(config, str(path))
    return count


def as_denoising_model(model: keras.Model, what: str) -> DenoisingModel:
    """Returns a Keras model as one of ours; `AnyKerasModel` wraps other people's.

    Args:
        model: any Keras model.
        what: where it comes from, for messages.

    Raises:
        UserError: it does not map images of any size to images of the same shape.
    """
    if isinstance(model, DenoisingModel):
        return model
    try:
        return build_model(AnyKerasModel(model, dtype=_policy_of(model)))
    except (TypeError, ValueError) as error:
        raise UserError(
            f"{what}: expected a denoiser of gradnet_tf. Received: {type(model).__name__}.\n"
            f"Another Keras model runs, too, if it maps images to images: {reason_of(error)}"
        ) from error


def load_keras_file(path: Path, precision: str):
    """Loads the model of a `.keras` or `.h5` file; `AnyKerasModel` wraps other people's.

    A file keeps the dtype policy it was saved with. If it was saved in half precision and float32
    is requested, the model is rebuilt with every policy set to float32; its variables are float32
    in any case.

    Raises:
        UserError: not a readable Keras file, not a denoiser, a class that is neither ours nor
            Keras', more layers or weights than the file has numbers for, or saved in another
            precision than the one asked for (float32 excepted).
    """
    try:
        check = _require_sound_h5 if path.suffix in H5_SUFFIXES else _require_sound
        with weights_at_most(check(path), str(path)):
            model = keras.models.load_model(path, compile=False)
    except (UserError, MemoryError):
        raise
    except Exception as error:  # Zip, HDF5, JSON and every layer have errors of their own.
        raise UserError(f"{path}: Keras does not read this file: {reason_of(error)}") from error
    model = as_denoising_model(model, str(path))
    if not model.built:
        raise UserError(f"{path}: the network in it was never built.\nSave it again after a call.")
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
