"""The gRPC contract: the stand-in for TF Serving, asked with tensorflow-serving-api's stubs."""

import signal
import subprocess
import sys
from pathlib import Path

import grpc
import numpy as np
import pytest
import serving_case as case
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from gradnet_tf.images.image_files import to_float, to_uint8
from gradnet_tf.utils.errors import UserError
from tools.stand_in_grpc import start_grpc
from tools.stand_in_model import Servable

ROOT = Path(__file__).resolve().parents[2]
UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


@pytest.fixture(scope="module")
def grpc_port(servable):
    server, port = start_grpc(servable)
    yield port
    server.stop(grace=None).wait()


def predict(port, signature, inputs, name="denoiser", version=None, options=UNLIMITED):
    """A predict request as any client of TF Serving sends it."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = name, signature
    if version:
        request.model_spec.version.value = version
    for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = stub.Predict(request, timeout=60)
    return {key: tf.make_ndarray(proto) for key, proto in response.outputs.items()}, response


def refused(*arguments, **options):
    """The status of a predict request that must fail."""
    with pytest.raises(grpc.RpcError) as caught:
        predict(*arguments, **options)
    return caught.value.code().name, caught.value.details()


SMALL = case.encode(case.pixels(9, 7))


def test_grpc_contract_of_a_large_file_in_encoded(served_model, grpc_port):
    array = case.pixels(1100, 1400)  # 4.6 MB, more than gRPC takes by default
    outputs, response = predict(grpc_port, "encoded", {"image_bytes": [case.encode(array)]})
    assert list(outputs) == ["denoised_bytes"] and response.model_spec.version.value == 7
    assert response.model_spec.signature_name == "encoded"
    found = case.decode(outputs["denoised_bytes"][0])
    assert found.shape == (1100, 1400, 3)
    # The attention averages over all of the picture: only the whole one can be compared.
    wanted = to_uint8(np.asarray(served_model(to_float(array)[None]))[0])
    assert np.abs(found.astype(int) - wanted).max() <= 1


def test_grpc_contract_of_the_array_signatures(served_model, grpc_port):
    levels = case.pixels(20, 33)[None]
    wanted = np.clip(np.asarray(served_model(to_float(levels))), 0, 1)
    outputs, _ = predict(grpc_port, "", {"images": to_float(levels)})
    assert outputs["denoised"].dtype == np.float32
    assert np.abs(outputs["denoised"] - wanted).max() <= 1e-5
    outputs, _ = predict(grpc_port, "uint8", {"images": levels}, version=7)
    assert outputs["denoised"].dtype == np.uint8
    assert np.abs(outputs["denoised"] - 255 * wanted).max() <= 0.501


def test_a_float_reply_of_700x700_passes_grpcs_default_limit(grpc_port):
    """Why the client raises grpc.max_receive_message_length."""
    images = np.zeros((1, 700, 700, 3), np.float32)
    code, said = refused(grpc_port, "", {"images": images}, options=None)
    assert code == "RESOURCE_EXHAUSTED" and "larger than max" in said


def test_grpc_statuses_and_the_server_continues(grpc_port):
    images = np.zeros((1, 4, 4, 3), np.float32)
    cases = [
        (("encoded", {"image_bytes": [b"junk"]}), "INVALID_ARGUMENT", "expected a PNG or JPEG"),
        (("encoded", {"image_bytes": np.zeros(0, object)}), "INVALID_ARGUMENT", "Received: 0"),
        (("encoded", {"image_bytes": [case.huge_jpeg()]}), "INVALID_ARGUMENT", "30000 x 30000"),
        (("encoded", {"image_bytes": SMALL}), "INVALID_ARGUMENT", "expected the shape (None,)"),
        (("", {"images": np.uint8(images)}), "INVALID_ARGUMENT", "to be float32 but uint8"),
        (("", {"images": images[..., :1]}), "INVALID_ARGUMENT", "expected the shape"),
        (("", {"images": images[:0]}), "INVALID_ARGUMENT", "at least 1"),
        (("", {"images": images, "x": images}), "INVALID_ARGUMENT", "Sent extra: {x}"),
        (("", {}), "INVALID_ARGUMENT", "Missing but required: {images}"),
        (("other", {"images": images}), "FAILED_PRECONDITION", 'key "other" not found'),
        (("", {"images": images}, "other"), "NOT_FOUND", "Latest(other)"),
        (("", {"images": images}, "denoiser", 9), "NOT_FOUND", "Specific(denoiser, 9)"),
    ]
    for arguments, wanted, message in cases:
        code, said = refused(grpc_port, *arguments)
        assert (code, message in said) == (wanted, True), (arguments, code, said)
        assert predict(grpc_port, "encoded", {"image_bytes": [SMALL]})[0]["denoised_bytes"]


def test_a_short_message_cannot_stand_for_a_tensor_of_gigabytes(grpc_port):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "denoiser"
    proto = request.inputs["images"]
    proto.dtype = tf.float32.as_datatype_enum
    for size in (1, 30_000, 30_000, 3):
        proto.tensor_shape.dim.add(size=size)
    proto.float_val.append(0.5)
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Predict(request, timeout=60)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_grpc_status_and_metadata(grpc_port):
    with grpc.insecure_channel(f"127.0.0.1:{grpc_port}") as channel:
        status_request = get_model_status_pb2.GetModelStatusRequest()
        status_request.model_spec.name = "denoiser"
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        (state,) = stub.GetModelStatus(status_request, timeout=60).model_version_status
        assert (state.version, state.state) == (7, state.AVAILABLE)
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = "denoiser"
        prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        response = prediction.GetModelMetadata(request, timeout=60)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(signatures)
    info = signatures.signature_def["encoded"].inputs["image_bytes"]
    assert info.dtype == tf.string.as_datatype_enum
    assert [dim.size for dim in info.tensor_shape.dim] == [-1]


def test_a_missing_noise_level_is_invalid_argument(told_servable):
    server, port = start_grpc(told_servable)
    code, said = refused(port, "encoded", {"image_bytes": [SMALL]})
    assert code == "INVALID_ARGUMENT" and "Missing but required: {sigma}" in said
    given = {"image_bytes": [SMALL], "sigma": np.float32([30])}
    assert predict(port, "encoded", given)[0]["denoised_bytes"]
    server.stop(grace=None).wait()


def test_the_highest_version_is_served_and_none_is_an_error(tmp_path):
    with pytest.raises(UserError, match="expected a folder of versions"):
        Servable(tmp_path, "denoiser")
    (tmp_path / "12").mkdir()
    with pytest.raises(UserError, match="does not load"):
        Servable(tmp_path, "denoiser")


@pytest.mark.slow
def test_the_command_serves_until_it_is_asked_to_stop(served_folder):
    command = [sys.executable, "-m", "tools.stand_in", f"--model_dir={served_folder}"]
    command += ["--rest_port=0", "--grpc_port=0"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    process = subprocess.Popen(command, cwd=ROOT, **pipes)
    try:
        lines = [process.stdout.readline() for _ in range(3)]
        assert "stand-in for TF Serving: denoiser, version 7" in lines[0]
        port = int(lines[1].split("127.0.0.1:")[1].split("/")[0])
        assert case.ask_rest(port, "/v1/models/denoiser")[0] == 200
    finally:
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "")
