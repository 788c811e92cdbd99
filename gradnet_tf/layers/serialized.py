"""Architectures in files: what Keras serialized, checked before anything is built from it.

A file may be a stranger's: a few bytes of it can name any class, and declare layers without end. So
its classes are checked before anything is built, its layers are counted, and a network may have no
more weights than its file has numbers for.
"""

import contextlib
import math
import threading
from collections.abc import Iterator
from typing import Any

import keras

from gradnet_tf.utils.errors import UserError

_POLICY = "DTypePolicy"
#: Of an architecture: bytes as JSON, objects in it, and layers that these declare by a number such
#: as `num_layers`. Our largest network takes 8 kB, ten objects and 36 of these.
MOST_CONFIG, _MOST_OBJECTS, _MOST_BLOCKS = 2**20, 2000, 256
#: Keras' own classes that would run what a file brings along, or read other files.
_RUNS_CODE = {
    *("Lambda", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer"),
    *("StringLookup", "IntegerLookup", "TextVectorization"),
}
#: What stands for a tensor or a tuple in the arguments of a functional model.
_PLACEHOLDERS = {"__keras_tensor__", "__tuple__"}
#: Files of Keras 2 name classes without their module.
_OF_KERAS_2 = {
    *("Model", "Functional", "Sequential"),
    *dir(keras.layers),
    *dir(keras.initializers),
    *dir(keras.regularizers),
    *dir(keras.constraints),
}
#: What two networks of one architecture may differ in.
_INCIDENTAL = {"name", "dtype", "trainable", "build_config", "compile_config", "shared_object_id"}


def describe(model: keras.Model) -> dict[str, Any]:
    """Returns the architecture of one of our models, without its weights and its training."""
    return _without_training(keras.saving.serialize_keras_object(model))


def _without_training(config: Any) -> Any:
    """Removes what `compile` was given, such as a loss that another program does not have."""
    if isinstance(config, dict):
        kept = {key: value for key, value in config.items() if key != "compile_config"}
        return {key: _without_training(value) for key, value in kept.items()}
    return [_without_training(item) for item in config] if isinstance(config, list) else config


def rebuild(
    architecture: dict[str, Any],
    precision: str,
    what: str,
    most_numbers: int | None = None,
    registered: bool = False,
) -> keras.Model:
    """Makes the model that `describe` described, with fresh weights, all trainable.

    Args:
        architecture: from `describe`.
        precision: dtype policy of all its layers.
        what: where the architecture stands, for messages.
        most_numbers: how many weights it may have, as the file of its weights has them.
        registered: allows classes that the program itself has registered with Keras.

    Raises:
        UserError: a class in it is not one of ours, or it declares more layers or weights than
            allowed. Nothing is made or imported before every class is known.
    """
    if not isinstance(architecture, dict) or "class_name" not in architecture:
        raise UserError(f"{what}: expected an architecture. Received: {type(architecture)}.")
    try:
        check_classes(architecture, what, True, registered)
        check_layers(architecture, what)
        with weights_at_most(most_numbers, what):
            model = keras.saving.deserialize_keras_object(in_precision(architecture, precision))
            # All of it can be trained, also what was frozen within; only a change is passed on.
            model.trainable = False
            model.trainable = True
            if not model.built:
                model.build((None, None, None, getattr(model, "input_channels", model.channels)))
            return model
    except (UserError, MemoryError):
        raise
    except Exception as error:  # Layers raise whatever a number of another kind leads to.
        reason = reason_of(error)
        raise UserError(f"{what}: not an architecture of this version: {reason}") from error


def reason_of(error: Exception) -> str:
    """Returns the first line of an error, cut between words, or its kind."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return line if len(line) <= 200 else f"{line[:200].rsplit(' ', 1)[0]} …"


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


def check_classes(config: Any, what: str, of_keras: bool = False, registered: bool = False) -> None:
    """Refuses a serialised object that names anything but our models and a dtype policy.

    Keras would import the module that such an object names.

    Args:
        config: the object.
        what: names it in the message.
        of_keras: allows Keras' own classes, too, but for those that run code.
        registered: see `rebuild`.
    """
    if isinstance(config, list | tuple):
        for item in config:
            check_classes(item, what, of_keras, registered)
    elif isinstance(config, dict):
        allowed = _is_known(config, registered) or (of_keras and _is_of_keras(config))
        if "class_name" in config and not allowed:
            received = config.get("registered_name") or config["class_name"]
            keras_too = ", or layers of Keras that run no code of their own" if of_keras else ""
            way = " In Python, load it with your class and give the model: Denoiser(model)."
            raise UserError(
                f"{what}: names the class {received!r}; expected only networks of gradnet_tf"
                f"{keras_too}.\nNothing of it was loaded.{way if of_keras else ''}"
            )
        for value in config.values():
            check_classes(value, what, of_keras, registered)


def check_layers(config: Any, what: str) -> None:
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


def _is_known(config: dict, registered: bool) -> bool:
    if config.get("class_name") == _POLICY:
        return config.get("module") == "keras" and not config.get("registered_name")
    name = config.get("registered_name")
    found = keras.saving.get_registered_object(name) if isinstance(name, str) else None
    home = getattr(found, "__module__", "").split(".")[0]
    return home == "gradnet_tf" or (registered and found is not None and home != "keras")
