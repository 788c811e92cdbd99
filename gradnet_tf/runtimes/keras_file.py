"""Reads a `.keras` or `.h5` file of Keras under the precision asked for.

The file is untrusted: a few bytes can name any class or declare any number of layers. So
its classes are checked before anything is built, its layers are counted, and a network may have no
more weights than the file has numbers for.
"""

import contextlib
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras

from gradnet_tf.models import register_all
from gradnet_tf.models.base import DenoisingModel, build_model
from gradnet_tf.models.estimates import AnyKerasModel
from gradnet_tf.utils.containers import Budget, count_numbers, open_archive, parse_json
from gradnet_tf.utils.errors import UserError

register_all()  # Registers the classes that a file may name.

#: Keras takes these for its older format, HDF5.
H5_SUFFIXES = (".h5", ".hdf5")
_POLICY = "DTypePolicy"
# What two networks of one architecture may differ in.
#: Of config.json: bytes, objects in it, and layers that these declare by a number such as
#: `num_layers`. Our largest network takes 8 kB, ten objects and 36 of these.
_MOST_CONFIG, _MOST_OBJECTS, _MOST_BLOCKS = 2**20, 2000, 256
#: How much larger the content of an archive may be than the file, and bytes that always may.
_INFLATION, _SMALL = 4, 2**24
#: Keras' own classes that would run what a file brings along, or read other files.
_RUNS_CODE = {
    *("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"),
    *("StringLookup", "IntegerLookup", "TextVectorization"),
}
#: Placeholders for tensors and tuples in the arguments of a functional model.
_PLACEHOLDERS = {"__keras_tensor__", "__tuple__"}
#: Files of Keras 2 name classes without their module.
_OF_KERAS_2 = {
    *("Model", "Functional", "Sequential"),
    *dir(keras.layers),
    *dir(keras.initializers),
    *dir(keras.regularizers),
    *dir(keras.constraints),
}
_INCIDENTAL = {"name", "dtype", "trainable", "build_config", "compile_config", "shared_object_id"}


def describe(model: keras.Model) -> dict[str, Any]:
    """Returns the architecture of one of our models, without its weights."""
    return keras.saving.serialize_keras_object(model)


def rebuild(
    architecture: dict[str, Any], precision: str, what: str, most_numbers: int | None = None
) -> keras.Model:
    """Makes the model that `describe` described, with fresh weights, all trainable.

    Args:
        architecture: from `describe`.
        precision: dtype policy of all its layers.
        what: where the architecture stands, for messages.
        most_numbers: how many weights it may have, as the file of its weights has them.

    Raises:
        UserError: a class in it is not one of ours, or it declares more layers or weights than
            allowed. Nothing is made or imported before every class is known.
    """
    if not isinstance(architecture, dict) or "class_name" not in architecture:
        raise UserError(f"{what}: expected an architecture. Received: {type(architecture)}.")
    try:
        _check_classes(architecture, what, of_keras=True)
        _check_layers(architecture, what)
        with weights_at_most(most_numbers, what):
            model = keras.saving.deserialize_keras_object(in_precision(architecture, precision))
            # All of it can be trained, also what was frozen within; only a change is passed on.
            model.trainable = False
            model.trainable = True
            return model if model.built else build_model(model)
    except (UserError, MemoryError):
        raise
    except Exception as error:  # Layers raise whatever a number of another kind leads to.
        reason = _reason(error)
        raise UserError(f"{what}: not an architecture of this version: {reason}") from error


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


@contextlib.contextmanager
def weights_at_most(count: int | None, what: str) -> Iterator[None]:
    """Refuses a network that makes more weights in the block than `count` numbers.

    Keras allocates each weight as its layer is built, and has no way to ask a declared network
    for its size, so `Layer.add_weight`, through which all of them come, is watched meanwhile.

    Args:
        count: numbers in the file that the weights will come from; `None`: not counted.
        what: names the file in the message.

    Raises:
        UserError: before the memory of the weight that is too much is allocated.
    """
    if count is None:
        yield
        return
    left, thread, refused = [count], threading.get_ident(), []
    original = keras.layers.Layer.add_weight

    def add_weight(self, shape=None, *arguments, **more):
        if threading.get_ident() == thread:
            left[0] -= math.prod(shape or ())
        if left[0] < 0:
            refused.append(
                UserError(
                    f"{what}: declares more weights than the {count} numbers that the file holds."
                    "\nThe file is damaged or was made to fill the memory; download it again."
                )
            )
            raise refused[0]
        return original(self, shape, *arguments, **more)

    with _WATCHING:
        keras.layers.Layer.add_weight = add_weight
        try:
            yield
        except Exception as error:
            if refused:  # Keras may have wrapped it in an advice to programmers.
                raise refused[0] from error
            raise
        finally:
            keras.layers.Layer.add_weight = original


_WATCHING = threading.RLock()


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


def _check_classes(config, what: str, of_keras: bool = False) -> None:
    """Refuses a serialised object that names anything but our models and a dtype policy.

    Keras would import the module that such an object names.

    Args:
        config: the object.
        what: names it in the message.
        of_keras: allows Keras' own classes, too, but for those that run code.
    """
    if isinstance(config, list | tuple):
        for item in config:
            _check_classes(item, what, of_keras)
    elif isinstance(config, dict):
        allowed = _is_known(config) or (of_keras and _is_of_keras(config))
        if "class_name" in config and not allowed:
            received = config.get("registered_name") or config["class_name"]
            raise UserError(
                f"{what}: names the class {received!r}; expected networks of gradnet_tf only.\n"
                "Nothing of it was loaded."
            )
        for value in config.values():
            _check_classes(value, what, of_keras)


def _check_layers(config: Any, what: str) -> None:
    """Refuses an architecture of more layers than any network here has."""
    objects, blocks, left = 0, 0, [config]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            objects += "class_name" in item
            counts = [
                value
                for key, value in item.items()
                if key.startswith("num_") and isinstance(value, int | float)
            ]
            if not all(0 <= count <= _MOST_BLOCKS for count in counts):
                raise UserError(f"{what}: declares {max(counts):g} layers, at most {_MOST_BLOCKS}.")
            blocks += math.prod(counts) if counts else 0
        if objects > _MOST_OBJECTS or blocks > _MOST_BLOCKS:
            raise UserError(
                f"{what}: declares more than {_MOST_BLOCKS} layers, or {_MOST_OBJECTS} objects."
            )
        left += item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()


def _is_of_keras(config: dict) -> bool:
    module, name = config.get("module"), config.get("class_name")
    if not isinstance(name, str):
        return False
    if name in _PLACEHOLDERS:
        return module is None
    if module is None and not config.get("registered_name"):
        return name in _OF_KERAS_2 and name not in _RUNS_CODE
    package = isinstance(module, str) and module.split(".")[0] == "keras"
    return package and name not in _RUNS_CODE


def _is_known(config: dict) -> bool:
    if config.get("class_name") == _POLICY:
        return config.get("module") == "keras" and not config.get("registered_name")
    name = config.get("registered_name")
    found = keras.saving.get_registered_object(name) if isinstance(name, str) else None
    return getattr(found, "__module__", "").startswith("gradnet_tf.")


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
        if archive.getinfo("config.json").file_size > _MOST_CONFIG:
            raise ValueError(f"its config.json is larger than {_MOST_CONFIG >> 10} kB")
        config = parse_json(archive.read("config.json"))
        if not isinstance(config, dict):
            raise ValueError("its config.json describes no network")
        # What a training was compiled with is not loaded.
        config = {key: value for key, value in config.items() if key != "compile_config"}
        _check_classes(config, str(path), of_keras=True)
        _check_layers(config, str(path))
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
    config = parse_json(text) if len(text) <= _MOST_CONFIG else None
    if not isinstance(config, dict):
        raise ValueError("its model_config describes no network")
    _check_classes(config, str(path), of_keras=True)
    _check_layers(config, str(path))
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
            f"Another Keras model runs, too, if it maps images to images: {_reason(error)}"
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
        raise UserError(f"{path}: Keras does not read this file: {_reason(error)}") from error
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
