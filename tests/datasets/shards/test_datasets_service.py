"""The data service as a process, what training checks before it uses one, and a run through it."""

import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from multiworker_case import end, start_workers

pytest.importorskip("tensorflow")

from service_case import prepared_images, running_service  # noqa: E402

from datasets.__main__ import main  # noqa: E402
from datasets.pipeline.service_client import check_flags, check_service, dispatcher_address  # noqa: E402
from datasets.pipeline.stream import require_tensorflow  # noqa: E402
from datasets.shards.shard_writer import prepare  # noqa: E402
from gradnet_tf.training.config import TrainConfig  # noqa: E402
from gradnet_tf.utils.errors import UserError  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return prepared_images(tmp_path_factory.mktemp("images"))


@pytest.fixture(scope="module")
def service():
    with running_service(1) as address:
        yield address


@pytest.mark.parametrize(
    "address", ["localhost:5050", "http://a:5050", "grpc://a", "grpc://a:0", "grpc://a:70000", ""]
)
def test_a_malformed_address_is_refused(address):
    with pytest.raises(UserError, match=r"--data_service must be .*grpc://host:port"):
        check_flags(address, "shards")


def test_addresses_of_all_kinds_are_read():
    assert dispatcher_address("grpc://node-1.cluster:5050") == ("node-1.cluster", 5050)
    assert dispatcher_address("grpc://[::1]:5050") == ("::1", 5050)


def test_a_service_without_shards_or_tensorflow_is_refused(monkeypatch):
    check_flags(None, None)
    with pytest.raises(UserError, match="--data_service needs --prepared_dir"):
        check_flags("grpc://a:1", None)
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(UserError, match="runs on TensorFlow. Received: KERAS_BACKEND=jax"):
        require_tensorflow()


def test_a_dispatcher_that_is_not_there_is_reported_within_the_timeout(prepared):
    with socket.create_server(("localhost", 0)) as free:
        address = f"grpc://localhost:{free.getsockname()[1]}"
    started = time.monotonic()
    with pytest.raises(UserError, match=f"{address}: the dispatcher was not reached within 1 s"):
        check_service(address, prepared, 1)
    assert time.monotonic() - started < 20


def test_a_service_without_workers_is_reported_within_the_timeout(prepared):
    # In a process of its own: TensorFlow's wait cannot be ended, and must not hold up the exit.
    code = f"""
import tensorflow as tf
from types import SimpleNamespace
from datasets.pipeline.service_client import check_service
from gradnet_tf.utils.errors import UserError
dispatcher = tf.data.experimental.service.DispatchServer()
try:
    check_service(dispatcher.target, SimpleNamespace(files=[{str(prepared.files[0])!r}]), 2)
except UserError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0 and "no worker of the service answered within 2 s" in done.stdout


def test_a_worker_that_cannot_read_the_shards_is_reported(prepared, service, tmp_path):
    check_service(service, prepared, 60)
    away = prepare(prepared, tmp_path, shards=1)
    away.files[0].rename(tmp_path / "away")
    with pytest.raises(UserError, match="cannot read .*shard-00000(.|\n)*Expected the same path"):
        check_service(service, away, 60)
    away.files[0].write_bytes(b"not a record at all")
    with pytest.raises(UserError, match="cannot read .*shard-00000(.|\n)*datasets prepare"):
        check_service(service, away, 60)


def test_whether_a_service_is_used_belongs_to_the_run():
    from gradnet_tf.training.run import _FREE_FIELDS

    assert TrainConfig().data_service is None  # as in the records of earlier runs
    assert "data_service" not in _FREE_FIELDS


def run_service(capsys, *arguments):
    return main(["service", *arguments]), capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "`role` must be one of dispatcher, worker"),
        (["--role=chief"], "`role` must be one of dispatcher, worker"),
        (["--role=worker"], "--dispatcher must be the address of the dispatcher"),
        (["--role=worker", "--dispatcher=localhost:5"], "grpc://host:port"),
        (["--role=dispatcher", "--dispatcher=grpc://a:5"], "does not apply to --role=dispatcher"),
        (
            ["--role=dispatcher"],
            "listens on all network interfaces and serves anybody.\nExpected --all_i",
        ),
        (["--role=worker", "--dispatcher=grpc://a:5"], "Expected --all_interfaces"),
        (["--role=dispatcher", "--port=70000"], "`port` must be in [0, 65535]"),
    ],
)
def test_mistakes_in_the_services_flags_are_explained(capsys, arguments, words):
    code, err = run_service(capsys, *arguments)
    assert code == 2 and words in err


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def service_processes():
    """Yields the address of a dispatcher with a worker, as a person starts them; ends both."""
    command = ["-m", "datasets", "service", "--all_interfaces"]
    started = [start(*command, "--role=dispatcher")]
    try:
        address = started[0].stdout.readline().split()[-1]
        started.append(start(*command, "--role=worker", f"--dispatcher={address}"))
        assert "worker ready" in started[1].stdout.readline()
        yield address
        for server in started:  # The dispatcher first: its worker must end all the same.
            server.terminate()
            out, err = server.communicate(timeout=60)
            assert server.returncode == 0 and "stopped" in out and "Traceback" not in err
    finally:
        for server in started:
            server.kill()


RUN = ["--preset=gradnet_tiny", "--batch_size=4", "--crop_size=16", "--log_every=1"]
RUN += ["--steps=6", "--naive_steps=4"]


@pytest.mark.slow
def test_train_runs_through_a_dispatcher_and_a_worker_and_everything_ends(tmp_path):
    command = ["train.py", *RUN, "--strategy=mirrored", "--cpu_replicas=2"]
    command += [f"--workdir={tmp_path / 'run'}"]
    with service_processes() as address:
        train = start(*command, f"--prepared_dir={tmp_path}", f"--data_service={address}")
        _, err = train.communicate(timeout=200)
    assert train.returncode == 0 and "Traceback" not in err, err
    assert len((tmp_path / "run/log.jsonl").read_text().splitlines()) == 6
    # Without the service the examples differ: that is another run.
    plain = start(*command)
    _, err = plain.communicate(timeout=200)
    assert plain.returncode == 2 and "data_service: True there, None now" in err


@pytest.mark.slow
def test_two_training_workers_share_a_job_and_the_preparation(tmp_path):
    with service_processes() as address:
        flags = [*RUN, f"--prepared_dir={tmp_path / 'shards'}", f"--data_service={address}"]
        for code, err in end(start_workers(2, tmp_path, flags)):
            assert code == 0, err
    rows = (tmp_path / "0/log.jsonl").read_text().splitlines()
    assert len(rows) == 6 and '"replicas": 2' in rows[0]
