"""Denoises image files through the REST interface of TF Serving, or of its stand-in.

Example:
  python -m export.serving.rest_client noisy.jpg --output denoised
"""

import base64
import http.client
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping

import numpy as np

from export.serving.client import Refused, Unreachable, client_main

#: TF Serving's default port for REST.
URL = "http://127.0.0.1:8501"
#: Busy or restarting (503), or no response behind a gateway (502, 504).
_TRY_AGAIN = (502, 503, 504)


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
        request = urllib.request.Request(
            self._url, body, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                outputs = json.loads(answer.read())["outputs"]
        except urllib.error.HTTPError as error:
            kind = Unreachable if error.code in _TRY_AGAIN else Refused
            raise kind(f"HTTP {error.code}: {_message(error)}") from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise Unreachable(f"{self._url}: {reason}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise Refused(f"{self._url}: the answer is not a predict response") from error
        if outputs and isinstance(outputs[0], dict):
            return [base64.b64decode(value["b64"]) for value in outputs]
        dtype = inputs["images"].dtype if "images" in inputs else np.float32
        return np.asarray(outputs, dtype)

    def close(self) -> None:
        """Does nothing: requests do not share a connection."""


def _to_json(value):
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [{"b64": base64.b64encode(data).decode()} for data in value]


def _message(error: urllib.error.HTTPError) -> str:
    """Returns the server's error message."""
    text = error.read(2000).decode("utf-8", "replace")
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text.strip()[:300] or error.reason


if __name__ == "__main__":
    sys.exit(client_main(RestTransport, "export.serving.rest_client", __doc__, URL))
