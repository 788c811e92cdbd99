"""A stand-in for TF Serving's REST interface (v1): predict, status and metadata of one model.

For tests and first tries on one machine, not for users' traffic.
"""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tensorflow.core.framework import types_pb2

from tools import rest_json
from tools.grpc_status import HTTP, INTERNAL, INVALID_ARGUMENT, ServingError
from tools.stand_in_model import Servable

#: Largest body of a request in bytes.
MAX_BODY = 2**30
_MODEL = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+))?(:predict|/metadata)?")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    servable: Servable

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BODY:
            # What follows on this connection would be read as the next request.
            self.close_connection = True
            self._answer(413, {"error": f"expected a body of at most {MAX_BODY} bytes"})
            return
        body = self.rfile.read(int(length))
        self._guarded(lambda: self._predict(body))

    def do_GET(self):
        self._guarded(self._tell)

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
        request, signature, row_format = rest_json.read_body(body)
        specs = self.servable.inputs_of(signature)
        inputs = rest_json.read_inputs(request, row_format, specs)
        return rest_json.write_outputs(self.servable.predict(signature, inputs), row_format)

    def _tell(self) -> dict:
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
        except (BrokenPipeError, ConnectionResetError):  # The client has given up.
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
    """Returns a tensor's dtype and shape as TF Serving's metadata has them; -1 is any size."""
    sizes = [{"size": str(-1 if size is None else size), "name": ""} for size in spec.shape]
    shape = {"dim": sizes, "unknown_rank": False}
    dtype = types_pb2.DataType.Name(spec.dtype.as_datatype_enum)
    return {"dtype": dtype, "tensor_shape": shape, "name": ""}
