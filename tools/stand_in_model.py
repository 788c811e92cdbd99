"""The model of the stand-in for TF Serving: predictions by signature, with TF Serving's errors.

It uses TensorFlow's Python loader; `export.verify.cpp_loader` checks what only the C++ loader
rejects.
"""

import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from gradnet_tf.runtimes.saved_model_runtime import reason_of
from gradnet_tf.utils.errors import UserError

# gRPC code, name and HTTP status of TF Serving 2.x.
_TABLE = (
    (1, "CANCELLED", 499),
    (2, "UNKNOWN", 500),
    (3, "INVALID_ARGUMENT", 400),
    (4, "DEADLINE_EXCEEDED", 504),
    (5, "NOT_FOUND", 404),
    (6, "ALREADY_EXISTS", 409),
    (7, "PERMISSION_DENIED", 403),
    (8, "RESOURCE_EXHAUSTED", 429),
    (9, "FAILED_PRECONDITION", 400),
    (10, "ABORTED", 409),
    (11, "OUT_OF_RANGE", 400),
    (12, "UNIMPLEMENTED", 501),
    (13, "INTERNAL", 500),
    (14, "UNAVAILABLE", 503),
    (15, "DATA_LOSS", 500),
    (16, "UNAUTHENTICATED", 401),
)
NAMES = {code: name for code, name, _ in _TABLE}
HTTP = {code: http for code, _, http in _TABLE}
INVALID_ARGUMENT, NOT_FOUND, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, INTERNAL = 3, 5, 8, 9, 13


class ServingError(RuntimeError):
    """An error response: a gRPC code and a message."""

    def __init__(self, code: int, message: str):
        super().__init__(message)
        self.code = code


#: Parallel requests, since each may use as much memory as its limits allow.
CONCURRENCY = 2


class Servable:
    """The highest version in a folder of versions; `name` is that of the model in requests.

    Raises:
        UserError: there is no version, or it does not load.
    """

    def __init__(self, folder: Path, name: str):
        folder = Path(folder)
        versions = folder.iterdir() if folder.is_dir() else ()
        numbers = [int(p.name) for p in versions if p.name.isdecimal() and p.is_dir()]
        if not numbers:
            raise UserError(
                f"--model_dir={folder}: expected a folder of versions, such as {folder}/1, as "
                "`python -m export --formats=saved_model` writes it. Received: none."
            )
        self.name, self.version = name, max(numbers)
        try:
            # Keeps the loaded object, because signatures only have weak references to variables.
            self._loaded = tf.saved_model.load(str(folder / str(self.version)))
        except (OSError, ValueError, tf.errors.OpError) as error:
            reason = str(error).splitlines()[0][:200]
            raise UserError(f"--model_dir={folder}: does not load: {reason}") from error
        self._slots = threading.BoundedSemaphore(CONCURRENCY)

    @property
    def signatures(self) -> dict[str, tuple[dict, dict]]:
        """{signature: (inputs, outputs)}, each {name: tf.TensorSpec}."""
        return {
            name: (function.structured_input_signature[1], function.structured_outputs)
            for name, function in self._loaded.signatures.items()
        }

    def require(self, name: str, version: int | None = None) -> None:
        """Raises `ServingError` NOT_FOUND for another model or version."""
        if name != self.name or version not in (None, self.version):
            wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise ServingError(NOT_FOUND, f"Servable not found for request: {wanted}")

    def inputs_of(self, signature: str) -> dict[str, tf.TensorSpec]:
        """Returns a signature's inputs.

        Raises:
            ServingError: FAILED_PRECONDITION, there is no such signature.
        """
        if signature not in self._loaded.signatures:
            message = f'Serving signature key "{signature}" not found.'
            raise ServingError(FAILED_PRECONDITION, message)
        return self.signatures[signature][0]

    def predict(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Iterable[str] = ()
    ) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
            signature: its name.
            inputs: arrays by name; bytes in an array of objects.
            outputs: names of the requested outputs; all by default.

        Raises:
            ServingError: an invalid request, or an error of TensorFlow.
        """
        specs = self.inputs_of(signature)
        if set(inputs) != set(specs):
            extra, missing = set(inputs) - set(specs), set(specs) - set(inputs)
            raise ServingError(
                INVALID_ARGUMENT,
                f"input size does not match signature: {len(inputs)}!={len(specs)}. Sent extra: "
                f"{{{','.join(sorted(extra))}}}. Missing but required: "
                f"{{{','.join(sorted(missing))}}}.",
            )
        tensors = {name: _tensor(name, array, specs[name]) for name, array in inputs.items()}
        function = self._loaded.signatures[signature]
        unknown = set(outputs) - set(function.structured_outputs)
        if unknown:
            message = f"output tensor alias not found in signature: {sorted(unknown)[0]}"
            raise ServingError(INVALID_ARGUMENT, message)
        try:
            with self._slots:
                results = function(**tensors)
        except tf.errors.OpError as error:
            raise ServingError(error.error_code, reason_of(error)) from error
        except Exception as error:
            raise ServingError(INTERNAL, f"{type(error).__name__}: {error}"[:500]) from error
        wanted = list(outputs) or list(results)
        return {name: results[name].numpy() for name in wanted}


def _tensor(name: str, array: np.ndarray, spec: tf.TensorSpec) -> tf.Tensor:
    """Converts an array, which must match `spec`, to a tensor."""
    tensor = tf.constant(array, tf.string) if array.dtype == object else tf.constant(array)
    if tensor.dtype != spec.dtype:
        message = f"Expects {name} to be {spec.dtype.name} but {tensor.dtype.name} is provided"
        raise ServingError(INVALID_ARGUMENT, message)
    if not spec.shape.is_compatible_with(tensor.shape):
        message = f"{name}: expected the shape {spec.shape}. Received: {tensor.shape}."
        raise ServingError(INVALID_ARGUMENT, message)
    return tensor
