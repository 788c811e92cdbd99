"""The stand-in for TF Serving's REST interface: formats, statuses, metadata."""

import http.client
import json

import numpy as np
import pytest
import serving_case as case

from gradnet_tf.images.image_files import to_float
from tools.stand_in_rest import start_rest

PREDICT = "/v1/models/denoiser:predict"
SMALL = case.encode(case.pixels(9, 7))


@pytest.fixture(scope="module")
def rest_port(servable):
    server, port = start_rest(servable)
    yield port
    server.shutdown()
    server.server_close()


def test_rest_in_row_and_column_format(servable, rest_port):
    other = case.encode(case.pixels(20, 33), "JPEG")
    files = case.files(SMALL, other)
    wanted = servable.predict("encoded", {"image_bytes": files})["denoised_bytes"]
    encoded = [case.b64(data) for data in wanted]
    values = [case.b64(SMALL), case.b64(other)]
    named = [{"image_bytes": value} for value in values]
    for body, key in (
        ({"instances": values}, "predictions"),
        ({"instances": named}, "predictions"),
        ({"inputs": values}, "outputs"),
        ({"inputs": {"image_bytes": values}}, "outputs"),
    ):
        for path in (PREDICT, "/v1/models/denoiser/versions/7:predict"):
            status, found = case.ask_rest(rest_port, path, {"signature_name": "encoded", **body})
            assert (status, found) == (200, {key: encoded})


def test_rest_of_arrays(served_model, rest_port):
    levels = case.pixels(5, 4)[None]
    wanted = np.clip(np.asarray(served_model(to_float(levels))), 0, 1)
    status, found = case.ask_rest(rest_port, PREDICT, {"instances": to_float(levels).tolist()})
    assert status == 200
    np.testing.assert_allclose(found["predictions"], wanted, atol=1e-5)
    body = {"signature_name": "uint8", "inputs": {"images": levels.tolist()}}
    status, found = case.ask_rest(rest_port, PREDICT, body)
    assert np.abs(np.array(found["outputs"]) - 255 * wanted).max() <= 0.501


def test_rest_statuses_and_the_server_continues(rest_port):
    encoded = {"signature_name": "encoded"}
    huge = case.b64(case.png(30000, 30000, rows=1))
    ragged, pixel = [[[[0, 0, 0]], [[0, 0, 0], [0, 0, 0]]]], [[[[0, 0, 0]]]]
    cases = [
        ({**encoded, "inputs": [case.b64(b"junk")]}, 400, "expected a PNG or JPEG file"),
        ({**encoded, "inputs": []}, 400, "expected 1 to 64 images in a request. Received: 0"),
        ({**encoded, "instances": []}, 400, "at least one value"),
        ({**encoded, "inputs": [huge]}, 400, "Received: 30000 x 30000"),
        ({**encoded, "inputs": [{"b64": "%%%"}]}, 400, "not base64"),
        ({**encoded, "inputs": [3]}, 400, "b64"),
        ({**encoded, "inputs": {"other": [case.b64(SMALL)]}}, 400, "required: {image_bytes}"),
        ({"inputs": ragged}, 400, "lists of differing length"),
        ({"inputs": "text"}, 400, "expected float32 values"),
        ({"signature_name": "uint8", "inputs": [[[[256, 0, 0]]]]}, 400, "expected uint8 values"),
        ({"signature_name": "uint8", "inputs": [[[[0.5, 0, 0]]]]}, 400, "expected uint8 values"),
        ({"signature_name": "other", "inputs": pixel}, 400, "not found"),
        ({"inputs": pixel, "instances": pixel}, 400, "one of 'instances' and 'inputs'"),
        ({}, 400, "one of 'instances' and 'inputs'"),
        ([], 400, "expected an object"),
    ]
    for body, wanted, message in cases:
        status, found = case.ask_rest(rest_port, PREDICT, body)
        assert (status, message in found["error"]) == (wanted, True), (body, status, found)
        assert case.ask_rest(rest_port, PREDICT, {**encoded, "inputs": [case.b64(SMALL)]})[0] == 200
    assert case.ask_rest(rest_port, PREDICT, raw=b"{no json")[0] == 400
    assert case.ask_rest(rest_port, "/v1/models/other:predict", {})[0] == 404
    assert case.ask_rest(rest_port, "/v1/models/denoiser/versions/9:predict", {})[0] == 404
    status, found = case.ask_rest(rest_port, "/v2/anything", {})
    assert (status, found) == (400, {"error": "Malformed request: POST /v2/anything"})


def test_rest_refuses_a_body_that_is_too_large_before_reading_it(rest_port):
    connection = http.client.HTTPConnection("127.0.0.1", rest_port, timeout=60)
    connection.putrequest("POST", PREDICT)
    connection.putheader("Content-Length", str(2**40))
    connection.endheaders()
    answer = connection.getresponse()
    assert (answer.status, "error" in json.loads(answer.read())) == (413, True)
    connection.close()


def test_rest_status_and_metadata(rest_port):
    status, found = case.ask_rest(rest_port, "/v1/models/denoiser")
    assert (status, found["model_version_status"][0]["state"]) == (200, "AVAILABLE")
    status, found = case.ask_rest(rest_port, "/v1/models/denoiser/metadata")
    signatures = found["metadata"]["signature_def"]["signature_def"]
    assert found["model_spec"]["version"] == "7"
    assert signatures["encoded"]["outputs"]["denoised_bytes"]["dtype"] == "DT_STRING"
    sizes = signatures["uint8"]["inputs"]["images"]["tensor_shape"]["dim"]
    assert [size["size"] for size in sizes] == ["-1", "-1", "-1", "3"]
    assert case.ask_rest(rest_port, "/v1/models/other/metadata")[0] == 404


def test_a_missing_noise_level_is_a_bad_request(told_servable):
    server, port = start_rest(told_servable)
    body = {"signature_name": "encoded", "inputs": [case.b64(SMALL)]}
    status, said = case.ask_rest(port, PREDICT, body)
    assert status == 400 and "sigma" in said["error"]
    row = {"image_bytes": case.b64(SMALL), "sigma": 30}
    body = {"signature_name": "encoded", "instances": [row]}
    status, found = case.ask_rest(port, PREDICT, body)
    given = {"image_bytes": case.files(SMALL), "sigma": np.float32([30])}
    (wanted,) = told_servable.predict("encoded", given)["denoised_bytes"]
    assert (status, found["predictions"]) == (200, [case.b64(wanted)])
    server.shutdown()
    server.server_close()
