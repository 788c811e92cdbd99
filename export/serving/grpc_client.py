"""Denoises image files through the gRPC interface of TF Serving, or of its stand-in.

Example:
  python -m export.serving.grpc_client noisy.jpg --output denoised
"""

import os
import sys
from collections.abc import Mapping

import numpy as np

from export.serving.client import Refused, Unreachable, client_main, one_line

#: TF Serving's default port for gRPC.
URL = "127.0.0.1:8500"
#: gRPC's default of 4 MiB is too small for a float reply of 700×700 pixels.
MAX_MESSAGE = 2**30


class GrpcTransport:
    """A `Transport` for TF Serving's PredictionService; `url` is host and port."""

    def __init__(self, url: str, model_name: str, version: int | None = None):
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        from gradnet_tf.utils.framework_start import quiet_native_logs

        with quiet_native_logs():
            import grpc
            import tensorflow as tf
            from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
        self._grpc, self._tf, self._request = grpc, tf, predict_pb2.PredictRequest
        self._model_name, self._version = model_name, version
        self._channel = grpc.insecure_channel(
            url.removeprefix("grpc://"),
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE),
                ("grpc.max_send_message_length", MAX_MESSAGE),
            ],
        )
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)

    def predict(
        self, signature: str, inputs: Mapping[str, list[bytes] | np.ndarray], timeout: float
    ) -> list[bytes] | np.ndarray:
        """See `Transport`."""
        request = self._request()
        request.model_spec.name = self._model_name
        request.model_spec.signature_name = signature
        if self._version:
            request.model_spec.version.value = self._version
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(self._tf.make_tensor_proto(value))
        try:
            response = self._stub.Predict(request, timeout=timeout)
        except self._grpc.RpcError as error:
            code, details = error.code(), error.details() or ""
            status = self._grpc.StatusCode
            # A server without a free thread says so like one that refuses a large message.
            is_full = code == status.RESOURCE_EXHAUSTED and "larger than max" not in details
            again = is_full or code in (status.UNAVAILABLE, status.DEADLINE_EXCEEDED)
            kind = Unreachable if again else Refused
            raise kind(f"{code.name}: {one_line(details)}") from error
        try:
            (output,) = response.outputs.values()
            array = self._tf.make_ndarray(output)
        except (ValueError, TypeError) as error:
            raise Refused(f"the answer is no predict response: {one_line(str(error))}") from error
        return list(array) if array.dtype == object else array

    def close(self) -> None:
        """Closes the connection."""
        self._channel.close()


if __name__ == "__main__":
    sys.exit(client_main(GrpcTransport, "export.serving.grpc_client", __doc__, URL))
