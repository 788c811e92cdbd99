"""A stand-in for TF Serving's REST interface (v1): predict, status and metadata of one model.

For tests on one machine only.

A body has "instances", a list with an object or a value for each image (row format), or "inputs",
an object or a value for all (column format). Bytes are encoded as `{"b64": "…"}`, in responses for
every output whose name ends in `_bytes`.
"""

import base64
import binascii
import json
import re
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2

from tools.stand_in_model import HTTP, INTERNAL, INVALID_ARGUMENT, Servable, ServingError


def read_body(body: bytes) -> tuple[dict, str, bool]:
    """Parses a predict request: its object, the name of the signature, and whether it is rows.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    try:
        request = json.loads(body)
    except ValueError as error:
        raise _refused(f"JSON Parse error: {error}") from error
    if not isinstance(request, dict):
        raise _refused("JSON: expected an object with 'instances' or 'inputs'")
    if ("instances" in request) == ("inputs" in request):
        raise _refused("JSON: expected one of 'instances' and 'inputs'")
    signature = request.get("signature_name", "serving_default")
    if not isinstance(signature, str):
        raise _refused("JSON: 'signature_name' must be a string")
    return request, signature, "instances" in request


def read_inputs(
    request: Mapping, row_format: bool, specs: Mapping[str, tf.TensorSpec]
) -> dict[str, np.ndarray]:
    """Returns the arrays of a request by input name, or raises a `ServingError`."""
    values = request["instances"] if row_format else request["inputs"]
    if row_format:
        if not isinstance(values, list) or not values:
            raise _refused("JSON: 'instances' must be a list with at least one value")
        named = [value for value in values if _is_named(value)]
        if named and (len(named) != len(values) or len({tuple(sorted(v)) for v in values}) > 1):
            raise _refused("JSON: 'instances' must all have the same names")
        if named:
            values = {name: [value[name] for value in values] for name in values[0]}
    if not _is_named(values):
        if len(specs) != 1:
            raise _refused(f"JSON: expected values for {', '.join(sorted(specs))} by name")
        values = {next(iter(specs)): values}
    return {name: _array(name, value, specs.get(name)) for name, value in values.items()}


def write_outputs(outputs: Mapping[str, np.ndarray], row_format: bool) -> bytes:
    """Returns the body of the response: "predictions" or "outputs"."""
    lists = {name: _list(name, array) for name, array in outputs.items()}
    if not row_format:
        value = lists if len(lists) > 1 else next(iter(lists.values()))
        return json.dumps({"outputs": value}).encode()
    rows = [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]
    if len(lists) == 1:
        rows = next(iter(lists.values()))
    return json.dumps({"predictions": rows}).encode()


def _is_named(value) -> bool:
    return isinstance(value, dict) and set(value) != {"b64"}


def _array(name: str, value, spec: tf.TensorSpec | None) -> np.ndarray:
    if spec is None:  # An unknown name, which the servable reports.
        return np.zeros(0, np.float32)
    if spec.dtype == tf.string:
        values = value if isinstance(value, list) else [value]
        array = np.empty(len(values), object)
        array[:] = [_bytes(name, item) for item in values]
        return array if isinstance(value, list) else array.reshape(())
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise _refused(f"{name}: expected an array, received lists of differing length") from error
    wanted = spec.dtype.as_numpy_dtype
    kinds = "iu" if spec.dtype.is_integer else "iuf"
    if array.dtype.kind not in kinds:
        raise _refused(f"{name}: expected {spec.dtype.name} values")
    if spec.dtype.is_integer and array.size:
        info = np.iinfo(wanted)
        if array.min() < info.min or array.max() > info.max:
            raise _refused(f"{name}: expected {spec.dtype.name} values")
    return array.astype(wanted)


def _bytes(name: str, value) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if not isinstance(value, dict) or not isinstance(value.get("b64"), str):
        raise _refused(f'{name}: expected {{"b64": "..."}}')
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refused(f"{name}: not base64: {error}") from error


def _list(name: str, array: np.ndarray) -> list:
    if array.dtype != object:
        return array.tolist()
    if name.endswith("_bytes"):
        return [{"b64": base64.b64encode(value).decode()} for value in array]
    return [value.decode("utf-8", "replace") for value in array]


def _refused(message: str) -> ServingError:
    return ServingError(INVALID_ARGUMENT, message)


#: Largest body of a request in bytes.
MAX_BODY = 2**30
_MODEL = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?(:predict|/metadata)?")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    servable: Servable

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BODY:
            # The unread body would be parsed as the next request.
            self.close_connection = True
            self._answer(413, {"error": f"expected a body of at most {MAX_BODY} bytes"})
            return
        body = self.rfile.read(int(length))
        self._guarded(lambda: self._predict(body))

    def do_GET(self):
        self._guarded(self._describe)

    def log_message(self, *_):
        """Requests are not printed."""

    def _guarded(self, answer):
        try:
            self._answer(200, answer())
        except ServingError as error:
            self._answer(HTTP[error.code], {"error": str(error)})
        except Exception as error:
            self._answer(HTTP[INTERNAL], {"error": f"{type(error).__name__}: {error}"[:500]})

    def _predict(self, body: bytes) -> bytes:
        if self._target() != ":predict":
            raise self._malformed()
        request, signature, row_format = read_body(body)
        specs = self.servable.inputs_of(signature)
        inputs = read_inputs(request, row_format, specs)
        return write_outputs(self.servable.predict(signature, inputs), row_format)

    def _describe(self) -> dict:
        what = self._target()
        if what == ":predict":
            raise self._malformed()
        version = str(self.servable.version)
        if not what:
            state = {"version": version, "state": "AVAILABLE"}
            status = {"error_code": "OK", "error_message": ""}
            return {"model_version_status": [{**state, "status": status}]}
        signatures = {
            name: {
                "inputs": {key: _tensor_info(spec) for key, spec in inputs.items()},
                "outputs": {key: _tensor_info(spec) for key, spec in outputs.items()},
                "method_name": "tensorflow/serving/predict",
            }
            for name, (inputs, outputs) in self.servable.signatures.items()
        }
        spec = {"name": self.servable.name, "signature_name": "", "version": version}
        signature_def = {"signature_def": signatures}
        return {"model_spec": spec, "metadata": {"signature_def": signature_def}}

    def _target(self) -> str | None:
        match = _MODEL.fullmatch(self.path)
        if not match:
            raise self._malformed()
        name, version, what = match.groups()
        self.servable.require(name, None if version is None else int(version))
        return what

    def _malformed(self) -> ServingError:
        return ServingError(INVALID_ARGUMENT, f"Malformed request: {self.command} {self.path}")

    def _answer(self, code: int, value: dict | bytes):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        try:
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except (BrokenPipeError, ConnectionResetError):  # The client disconnected.
            self.close_connection = True


def start_rest(servable: Servable, port: int = 0) -> tuple[ThreadingHTTPServer, int]:
    """Starts the REST stand-in on 127.0.0.1 and returns it with its port; 0 takes a free one.

    Raises:
        OSError: the port is taken.
    """
    handler = type("Handler", (_Handler,), {"servable": servable})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, server.server_address[1]


def _tensor_info(spec) -> dict:
    """Returns a tensor's dtype and shape in TF Serving's format; -1 is any size."""
    sizes = [{"size": str(-1 if size is None else size), "name": ""} for size in spec.shape]
    shape = {"dim": sizes, "unknown_rank": False}
    dtype = types_pb2.DataType.Name(spec.dtype.as_datatype_enum)
    return {"dtype": dtype, "tensor_shape": shape, "name": ""}
