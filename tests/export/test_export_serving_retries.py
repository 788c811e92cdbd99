"""Retries, the load test's figures and TF Serving's configuration files."""

import re
import threading
import types
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from export.savedmodel.limits import Limits
from export.serving import client
from export.serving.client import Refused, Unreachable, with_retries
from tools import stand_in_model

FOLDER = Path(client.__file__).parent


def failing(times, error):
    """A call that fails so many times; `calls` counts."""
    calls = []

    def call():
        calls.append(1)
        if len(calls) <= times:
            raise error
        return "answer"

    return call, calls


def test_the_waits_double_and_vary():
    waits = []
    call, calls = failing(3, Unreachable("busy"))
    assert with_retries(call, 4, first_delay=1.0, sleep=waits.append) == "answer"
    assert len(calls) == 4 and len(waits) == 3
    for attempt, wait in enumerate(waits):
        assert 0.5 * 2**attempt <= wait <= 2**attempt


def test_the_last_error_is_raised_when_tries_run_out():
    call, calls = failing(9, Unreachable("still busy"))
    with pytest.raises(Unreachable, match="still busy"):
        with_retries(call, 2, sleep=lambda seconds: None)
    assert len(calls) == 3


def test_what_the_server_refuses_is_not_asked_again():
    call, calls = failing(9, Refused("wrong"))
    with pytest.raises(Refused):
        with_retries(call, 5, sleep=lambda seconds: None)
    assert len(calls) == 1


def test_the_load_test_sends_all_requests_and_as_many_at_a_time():
    lock, now, most, seen = threading.Lock(), [0], [0], []
    barrier = threading.Barrier(3)

    def send(item):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
            seen.append(item)
            first = len(seen) == 1
        if not first:
            barrier.wait(timeout=20)
        with lock:
            now[0] -= 1

    load = client.run_load(send, ["a", "b"], 6, concurrency=3)
    assert most[0] == 3 and len(load.answered) == 6 and not load.errors
    assert sorted(seen) == ["a"] * 4 + ["b"] * 3


def test_the_load_test_counts_failures_apart():
    answers = iter([None, None, Refused("no"), None])

    def send(item):
        answer = next(answers)
        if answer:
            raise answer

    load = client.run_load(send, ["a"], 3, concurrency=1)
    assert len(load.answered) == 2 and load.errors == ["no"]


def test_the_load_test_gives_up_when_its_first_request_fails():
    calls = []

    def send(item):
        calls.append(item)
        raise Unreachable("gone")

    load = client.run_load(send, ["a"], 1000, 2)
    assert load.errors == ["gone"] and calls == ["a"]
    assert client.summary(load, {}) == "no request was answered"


def test_the_summary_gives_rates_and_percentiles():
    answered = [("a", seconds / 1000) for seconds in range(1, 101)]
    text = client.summary(client.Load(answered, [], 5.0), {"a": 500_000})
    assert "100 requests in 5.00 s: 20.00 requests/s, 10.000 MP/s" in text
    assert "p50 50.5, p90 90.1, p99 99.0, max 100.0" in text


def test_every_code_of_grpc_has_its_name():
    grpc = pytest.importorskip("grpc")
    wanted = {code.value[0]: code.name for code in grpc.StatusCode if code.value[0]}
    assert wanted == stand_in_model.NAMES
    assert stand_in_model.HTTP[stand_in_model.INVALID_ARGUMENT] == 400


def test_the_model_configuration_is_what_tf_serving_reads():
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse((FOLDER / "models.config").read_text(), config)
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path) == ("denoiser", "/models/denoiser")
    assert model.model_version_policy.latest.num_versions == 1


def test_the_batching_parameters_stay_below_the_graphs_limits():
    """Their message is no part of tensorflow-serving-api, so the text is read."""
    text = (FOLDER / "batching_parameters.txt").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    values = dict(re.fullmatch(r"(\w+)(?: \{ value: (\d+) \}|: false)", s).groups() for s in lines)
    assert set(values) == {
        "max_batch_size",
        "batch_timeout_micros",
        "num_batch_threads",
        "max_enqueued_batches",
        "pad_variable_length_inputs",
    }
    assert 1 < int(values["max_batch_size"]) <= Limits().max_images


def test_the_compose_file_mounts_the_files_that_are_there():
    text = (FOLDER / "docker-compose.yml").read_text()
    for name in ("models.config", "monitoring.config", "batching_parameters.txt"):
        assert f"./{name}:/config/{name}:ro" in text and (FOLDER / name).is_file()
        assert f"=/config/{name}" in text + (FOLDER.parents[1] / "docs/serving.md").read_text()
    assert '"127.0.0.1:8500:8500"' in text and '"127.0.0.1:8501:8501"' in text


@pytest.mark.parametrize(
    ("details", "kind"),
    [("", Unreachable), ("CLIENT: Received message larger than max (9 vs. 4)", Refused)],
)
def test_a_grpc_server_without_a_free_thread_is_asked_again(details, kind):
    grpc = pytest.importorskip("grpc")
    grpc_client = pytest.importorskip("export.serving.grpc_client")

    class Full(grpc.RpcError):
        def code(self):
            return grpc.StatusCode.RESOURCE_EXHAUSTED

        def details(self):
            return details

    def predict(*_, **__):
        raise Full

    transport = grpc_client.GrpcTransport("127.0.0.1:9", "denoiser", None)
    transport._stub = types.SimpleNamespace(Predict=predict)
    with pytest.raises(kind, match="RESOURCE_EXHAUSTED"):
        transport.predict("encoded", {"image_bytes": [b"x"]}, 1.0)
    transport.close()
