"""A stand-in for TF Serving's gRPC interface: PredictionService and ModelService on a SavedModel.

It uses the stubs of `tensorflow-serving-api`, so names, dtypes, message sizes and status codes
match TF Serving. For tests on one machine only.
"""

from concurrent import futures

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tools.stand_in_model import (
    INVALID_ARGUMENT,
    RESOURCE_EXHAUSTED,
    Servable,
    ServingError,
)

#: Largest request in bytes; also the largest tensor that a compressed message may represent.
MAX_MESSAGE = 2**30
_STATUSES = {status.value[0]: status for status in grpc.StatusCode}


def _with_status(method):
    """Makes a service method that reports a `ServingError` as a gRPC status."""

    def answer(self, request, context):
        try:
            return method(self, request)
        except ServingError as error:
            context.abort(_STATUSES[error.code], str(error))

    return answer


class _Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, servable: Servable):
        self._servable = servable

    @_with_status
    def Predict(self, request):
        spec = request.model_spec
        self._servable.require(spec.name, spec.version.value if spec.HasField("version") else None)
        signature = spec.signature_name or "serving_default"
        inputs = {name: _array(name, proto) for name, proto in request.inputs.items()}
        outputs = self._servable.predict(signature, inputs, request.output_filter)
        response = predict_pb2.PredictResponse()
        response.model_spec.name = spec.name
        response.model_spec.signature_name = signature
        response.model_spec.version.value = self._servable.version
        for name, array in outputs.items():
            response.outputs[name].CopyFrom(tf.make_tensor_proto(array))
        return response

    @_with_status
    def GetModelMetadata(self, request):
        self._servable.require(request.model_spec.name)
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.model_spec.name = self._servable.name
        response.model_spec.version.value = self._servable.version
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, tensors in self._servable.signatures.items():
            signature = signatures.signature_def[name]
            for infos, specs in zip((signature.inputs, signature.outputs), tensors, strict=True):
                for key, spec in specs.items():
                    infos[key].dtype = spec.dtype.as_datatype_enum
                    infos[key].tensor_shape.CopyFrom(spec.shape.as_proto())
        response.metadata["signature_def"].Pack(signatures)
        return response


class _Model(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, servable: Servable):
        self._servable = servable

    @_with_status
    def GetModelStatus(self, request):
        self._servable.require(request.model_spec.name)
        response = get_model_status_pb2.GetModelStatusResponse()
        status = response.model_version_status.add(version=self._servable.version)
        status.state = get_model_status_pb2.ModelVersionStatus.AVAILABLE
        return response


def start_grpc(servable: Servable, port: int = 0) -> tuple[grpc.Server, int]:
    """Starts the gRPC stand-in on 127.0.0.1 and returns it with its port; 0 takes a free one.

    Raises:
        RuntimeError: the port is taken.
    """
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=8),
        options=[
            ("grpc.max_receive_message_length", MAX_MESSAGE),
            ("grpc.max_send_message_length", -1),
            # Otherwise two servers could share a port.
            ("grpc.so_reuseport", 0),
        ],
    )
    add = prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server
    add(_Prediction(servable), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_Model(servable), server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server, port


def _array(name: str, proto) -> np.ndarray:
    """Reads a TensorProto, in which one value may represent any number of equal ones."""
    size = float(np.prod([float(dim.size) for dim in proto.tensor_shape.dim]))
    if size > MAX_MESSAGE:
        raise ServingError(RESOURCE_EXHAUSTED, f"{name}: {size:.0f} values are too many")
    try:
        array = tf.make_ndarray(proto)
    except (TypeError, ValueError) as error:
        raise ServingError(INVALID_ARGUMENT, f"tensor parsing error: {name}") from error
    return array
