"""Denoises image files through the REST interface of TF Serving, or of its stand-in.

Example:
  python -m export.serving.rest_client noisy.jpg --output denoised
"""

import base64
import contextlib
import functools
import http.client
import json
import math
import socket
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping

import numpy as np

from export.serving.client import Refused, Unreachable, client_main, one_line

#: TF Serving's default port for REST.
URL = "http://127.0.0.1:8501"
#: Too many requests (429), busy or restarting (503), or no response behind a gateway (502, 504).
_TRY_AGAIN = (429, 502, 503, 504)
#: Bytes of an answer beside its pixels, of a result in base64, and of what an error says.
_SMALL, _MOST_FILE, _MOST_MESSAGE = 2**20, 2**29, 2000
#: Lists and objects in an answer beside those of pixels.
_MOST_LISTS = 1000


class RestTransport:
    """A `Transport` for `URL/v1/models/NAME:predict` in column format."""

    def __init__(self, url: str, model_name: str, version: int | None = None):
        path = f"/versions/{version}" if version else ""
        self._url = f"{url.rstrip('/')}/v1/models/{model_name}{path}:predict"

    def predict(
        self, signature: str, inputs: Mapping[str, list[bytes] | np.ndarray], timeout: float
    ) -> list[bytes] | np.ndarray:
        """See `Transport`."""
        values = {name: _to_json(value) for name, value in inputs.items()}
        body = json.dumps({"signature_name": signature, "inputs": values}).encode()
        status, data = self._ask(body, timeout, _most_bytes(inputs))
        if status != 200:
            kind = Unreachable if status in _TRY_AGAIN else Refused
            raise kind(f"HTTP {status}: {_message(data)}")
        try:
            return _outputs(data, inputs)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            reason = one_line(str(error) or type(error).__name__)
            raise Refused(f"{self._url}: the answer is no predict response: {reason}") from error

    def _ask(self, body: bytes, timeout: float, most: int) -> tuple[int, bytes]:
        """Returns status and content of the whole answer, which has to come within `timeout`."""
        opened, late = [], threading.Event()

        def give_up():
            late.set()
            for each in opened:  # Ends whatever waits for the next byte.
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(timeout, give_up)
        timer.daemon = True
        timer.start()
        headers = {"Content-Type": "application/json"}
        try:
            request = urllib.request.Request(self._url, body, headers=headers)
            opener = urllib.request.build_opener(_Http(opened), _Https(opened))
            try:
                answer = opener.open(request, timeout=timeout)
            except urllib.error.HTTPError as error:  # An answer as well.
                answer, most = error, _MOST_MESSAGE
            with answer:
                status, data = answer.status, answer.read(most + 1)
                # `read` with a number of bytes does not tell that the connection has ended.
                if len(data) <= most and getattr(answer, "length", None):
                    raise http.client.IncompleteRead(data, answer.length)
        except (OSError, http.client.HTTPException) as error:
            if not late.is_set():
                reason = one_line(str(getattr(error, "reason", error)) or type(error).__name__)
                raise Unreachable(f"{self._url}: {reason}") from error
        except ValueError as error:
            raise Refused(f"--url: {one_line(str(error))}") from error
        finally:
            timer.cancel()
        if late.is_set():
            raise Unreachable(f"{self._url}: no whole answer within {timeout:g} s")
        if len(data) > most and status == 200:
            raise Refused(
                f"{self._url}: the answer is larger than any of the request: {most} bytes"
            )
        return status, data

    def close(self) -> None:
        """Does nothing: requests do not share a connection."""


def _to_json(value):
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [{"b64": base64.b64encode(data).decode()} for data in value]


def _most_bytes(inputs: Mapping[str, list[bytes] | np.ndarray]) -> int:
    """Returns how large an answer may be: a number takes 25 bytes, a PNG 500 times a JPEG's."""
    if "images" in inputs:
        return _SMALL + 64 * inputs["images"].size
    return _SMALL + min(_MOST_FILE, 500 * sum(map(len, inputs["image_bytes"])))


def _outputs(
    data: bytes, inputs: Mapping[str, list[bytes] | np.ndarray]
) -> list[bytes] | np.ndarray:
    """Returns the output in a JSON answer.

    Raises:
        ValueError, KeyError, TypeError, RecursionError: it has none.
    """
    shape = inputs["images"].shape if "images" in inputs else ()
    lists = sum(math.prod(shape[:axis]) for axis in range(len(shape)))
    # Each bracket becomes an object of 50 bytes and more.
    if data.count(b"[") + data.count(b"{") > lists + _MOST_LISTS:
        raise ValueError("more lists than the request has")
    outputs = json.loads(data)["outputs"]
    if not isinstance(outputs, list) or not outputs:
        raise ValueError("no outputs")
    if "image_bytes" in inputs:
        return [base64.b64decode(value["b64"], validate=True) for value in outputs]
    return np.asarray(outputs, np.float64)


def _message(data: bytes) -> str:
    """Returns what the server says went wrong."""
    text = data[:_MOST_MESSAGE].decode("utf-8", "replace")
    try:
        text = str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    return one_line(text) or "the server gives no reason"


class _Http(urllib.request.HTTPHandler):
    """Notes the sockets of connections, so that a deadline can end them.

    Args:
        opened: they are added to it.
    """

    def __init__(self, opened: list[socket.socket]):
        super().__init__()
        self._opened = opened

    def http_open(self, request):
        """Opens a request; see `urllib.request.HTTPHandler`."""
        return self.do_open(functools.partial(_connection, _Connection, self._opened), request)


class _Https(urllib.request.HTTPSHandler):
    """The same of encrypted ones."""

    def __init__(self, opened: list[socket.socket]):
        super().__init__()
        self._opened = opened

    def https_open(self, request):
        """Opens a request; see `urllib.request.HTTPSHandler`."""
        made = functools.partial(_connection, _SafeConnection, self._opened)
        return self.do_open(made, request, context=self._context)


class _Noting:
    """A connection that adds its socket to `opened`."""

    opened: list[socket.socket]

    def connect(self):
        super().connect()
        self.opened.append(self.sock)


class _Connection(_Noting, http.client.HTTPConnection):
    pass


class _SafeConnection(_Noting, http.client.HTTPSConnection):
    pass


def _connection(kind, opened: list[socket.socket], host: str, **more):
    connection = kind(host, **more)
    connection.opened = opened
    return connection


if __name__ == "__main__":
    sys.exit(client_main(RestTransport, "export.serving.rest_client", __doc__, URL))
