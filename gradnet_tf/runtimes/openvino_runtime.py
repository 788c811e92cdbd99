"""Runs a .tflite file through OpenVINO; TensorFlow and Keras are not needed."""

import contextlib
import os
import struct
import tempfile
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from gradnet_tf.tiling.machine import allowed_cores
from gradnet_tf.utils.errors import UserError

_HINTS = {"float32": "f32", "bfloat16": "bf16"}
_FLOAT32 = 0  # TensorType.FLOAT32 of TFLite's schema


class OpenVINOFile:
    """A .tflite file in OpenVINO, with the interface of `litert_runtime.LiteRTFile`.

    OpenVINO reads only the first graph of a file. So it is given a copy for each graph, with that
    one first. Graphs are compiled when they are first needed, and kept compiled in the user's cache
    folder, where the next process finds them.

    Args:
        path: the file.
        num_threads: threads of a computation; all cores that the process may use by default.
        precision: "float32" or "bfloat16".

    Raises:
        UserError: the file does not load.
    """

    #: Files without named graphs run in LiteRT.
    has_signatures = True

    def __init__(self, path: Path, num_threads: int | None = None, precision: str = "float32"):
        self.path = path
        self._options = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "INFERENCE_NUM_THREADS": num_threads or allowed_cores(),
        }
        self._lock = threading.Lock()
        self._process = os.getpid()
        try:
            self._content = path.read_bytes()
            self._graphs = read_graphs(self._content)
        except (OSError, struct.error, IndexError, ValueError) as error:
            raise UserError(f"{path}: the file does not load: {error}") from error
        self._compiled: dict = {}

    @property
    def signatures(self) -> list[str]:
        """Names of the graphs."""
        return list(self._graphs)

    def inputs(self, signature: str) -> dict:
        """Returns `shape_signature` and `dtype` of each input, by name."""
        return self._graphs[signature]["inputs"]

    def outputs(self, signature: str) -> dict:
        """Returns `shape_signature` and `dtype` of each output, by name."""
        return self._graphs[signature]["outputs"]

    def call(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Runs a graph.

        Args:
            signature: its name.
            inputs: arrays by name, with a dtype and a shape that the graph takes.

        Raises:
            MemoryError: there is not enough memory.
        """
        if os.getpid() != self._process:  # A forked process lacks OpenVINO's threads.
            self._of_parent = self._compiled
            self._compiled, self._lock, self._process = {}, threading.Lock(), os.getpid()
        graph = self._graphs[signature]
        with self._lock:
            try:
                request = self._request(signature)
                names = {name: each["tensor"] for name, each in graph["inputs"].items()}
                given = {names[name]: array for name, array in inputs.items()}
                found = request.infer(given)
                outputs = graph["outputs"].items()
                return {name: np.array(found[each["tensor"]]) for name, each in outputs}
            except RuntimeError as error:
                text = str(error)
                if "alloc" in text or "memory" in text:
                    shapes = ", ".join(str(array.shape) for array in inputs.values())
                    raise MemoryError(f"OpenVINO could not run {shapes}") from error
                raise UserError(f"{self.path}: OpenVINO: {text.splitlines()[-1][:200]}") from error

    def _request(self, signature: str):
        if signature not in self._compiled:
            import openvino

            content = _with_first(self._content, self._graphs[signature]["index"])
            core = openvino.Core()
            # OpenVINO reads .tflite from a file only.
            with tempfile.TemporaryDirectory(prefix="gradnet_openvino_") as folder:
                path = Path(folder, f"{signature}.tflite")
                path.write_bytes(content)
                model = core.read_model(str(path))
                compiled = core.compile_model(model, "CPU", self._options | _cache())
            self._compiled[signature] = compiled.create_infer_request()
        return self._compiled[signature]


def _cache() -> dict[str, str]:
    """Returns the option for the cache; without one each process compiles.

    OpenVINO runs nothing at all with a folder that it cannot write.
    """
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(cache, "gradnet", "openvino")
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return {"CACHE_DIR": str(folder)}
    return {}


# The few tables of TFLite's schema that are needed, as FlatBuffers store them: `_field` numbers
# count the fields of a table in the schema. No package of the [openvino] extra reads the format.


def _u32(data, place: int) -> int:
    return struct.unpack_from("<I", data, place)[0]


def _field(data, table: int, number: int) -> int | None:
    """Returns the place of a table's field, `None` if it is not stored."""
    offsets = table - struct.unpack_from("<i", data, table)[0]
    size = struct.unpack_from("<H", data, offsets)[0]
    if 4 + 2 * number >= size:
        return None
    offset = struct.unpack_from("<H", data, offsets + 4 + 2 * number)[0]
    return table + offset if offset else None


def _vector(data, table: int, number: int) -> list[int]:
    """Returns the places of the elements of a field that is a vector of 4 bytes each."""
    field = _field(data, table, number)
    if field is None:
        return []
    start = field + _u32(data, field)
    count = _u32(data, start)
    if start + 4 + 4 * count > len(data):
        raise ValueError("a vector is longer than the file")
    return [start + 4 + 4 * index for index in range(count)]


def _tables(data, table: int, number: int) -> list[int]:
    """Returns the places of the tables that a vector refers to."""
    return [place + _u32(data, place) for place in _vector(data, table, number)]


def _text(data, table: int, number: int) -> str:
    field = _field(data, table, number)
    if field is None:
        return ""
    start = field + _u32(data, field)
    return bytes(data[start + 4 : start + 4 + _u32(data, start)]).decode("utf-8")


def _integer(data, table: int, number: int, width: str = "<I") -> int:
    field = _field(data, table, number)
    return 0 if field is None else struct.unpack_from(width, data, field)[0]


_MODEL_GRAPHS, _MODEL_SIGNATURES = 2, 7
_SIGNATURE_INPUTS, _SIGNATURE_OUTPUTS, _SIGNATURE_KEY, _SIGNATURE_GRAPH = 0, 1, 2, 4
_MAP_NAME, _MAP_TENSOR = 0, 1
_TENSOR_SHAPE, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_SIGNATURE = 0, 1, 3, 7


def read_graphs(data: bytes) -> dict[str, dict]:
    """Returns each signature's graph: its index, and its inputs and outputs by name.

    An input or output has `shape_signature` (-1 for open sides), `dtype` (float32 or `None`) and
    the name of its tensor.

    Raises:
        struct.error, IndexError, ValueError: the file is damaged.
    """
    model = _u32(data, 0)
    graphs = _tables(data, model, _MODEL_GRAPHS)
    found = {}
    for signature in _tables(data, model, _MODEL_SIGNATURES):
        index = _integer(data, signature, _SIGNATURE_GRAPH)
        tensors = _tables(data, graphs[index], 0)
        sides = {
            side: {
                _text(data, entry, _MAP_NAME): _tensor(
                    data, tensors[_integer(data, entry, _MAP_TENSOR)]
                )
                for entry in _tables(data, signature, number)
            }
            for side, number in (("inputs", _SIGNATURE_INPUTS), ("outputs", _SIGNATURE_OUTPUTS))
        }
        found[_text(data, signature, _SIGNATURE_KEY)] = {"index": index, **sides}
    return found


def _tensor(data, tensor: int) -> dict:
    places = _vector(data, tensor, _TENSOR_SIGNATURE) or _vector(data, tensor, _TENSOR_SHAPE)
    shape = [struct.unpack_from("<i", data, place)[0] for place in places]
    is_float = _integer(data, tensor, _TENSOR_TYPE, "<b") == _FLOAT32
    return {
        "tensor": _text(data, tensor, _TENSOR_NAME),
        "shape_signature": np.array(shape, np.int32),
        "dtype": np.float32 if is_float else None,
    }


def _with_first(data: bytes, index: int) -> bytes:
    """Returns a .tflite file with one of its graphs exchanged with the first."""
    changed = bytearray(data)
    places = _vector(data, _u32(data, 0), _MODEL_GRAPHS)
    one, other = places[0], places[index]
    # References are relative to their own place, and may lead backwards after the exchange.
    struct.pack_into("<i", changed, one, other + _u32(data, other) - one)
    struct.pack_into("<i", changed, other, one + _u32(data, one) - other)
    return bytes(changed)
