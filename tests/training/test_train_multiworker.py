"""Several processes train as one, lose a worker with a clear message, and resume."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
from multiworker_case import ROOT, end, free_addresses, start_worker, start_workers

from gradnet_tf.models.presets import build_model

if keras.backend.backend() != "tensorflow":
    pytest.skip("multiworker needs KERAS_BACKEND=tensorflow", allow_module_level=True)

RUN = [
    "--preset=gradnet_tiny",
    "--dataset=sample",
    "--batch_size=12",
    "--crop_size=24",
    "--log_every=1",
    "--validate_every=1000",
    "--seed=3",
    "--ema=0.9",
]
SHORT = [*RUN, "--steps=8", "--naive_steps=8"]
LONG = [*RUN, "--steps=60", "--naive_steps=4", "--checkpoint_every=10"]


def log(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def losses(folder):
    return [row["loss"] for row in log(folder) if "loss" in row]


def final_weights(folder, step):
    model = build_model("gradnet_tiny")
    model.load_weights(folder / f"checkpoints/step-{step:08d}/model.weights.h5")
    return model.get_weights()


def wait_for(path, processes, seconds=180):
    until = time.monotonic() + seconds
    while not path.exists():
        running = [process.poll() is None for process in processes]
        assert all(running) and time.monotonic() < until, f"{path} did not appear"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    folder = tmp_path_factory.mktemp("single")
    command = [sys.executable, "train.py", *SHORT, f"--workdir={folder}"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3])
def test_workers_train_as_one_process_does(tmp_path, single, count):
    # Each worker works through its part of a batch in two halves: that changes nothing either.
    for code, err in end(start_workers(count, tmp_path, [*SHORT, "--accumulate=2"])):
        assert code == 0, err
    chief = tmp_path / "0"
    for stage in ("naive", "."):
        assert len(losses(chief / stage)) == 8
        np.testing.assert_allclose(losses(chief / stage), losses(single / stage), rtol=0, atol=1e-5)
        assert {row["replicas"] for row in log(chief / stage)} == {count}
    assert log(chief)[-1]["psnr"] == pytest.approx(log(single)[-1]["psnr"], abs=1e-3)
    for ours, theirs in zip(final_weights(chief, 8), final_weights(single, 8), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    # The others write nothing at all.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    for code, err in end(start_workers(2, folder, LONG)):
        assert code == 0, err
    return folder / "0"


def assert_resumes_to(folder, undisturbed, least_step):
    for code, err in end(start_workers(2, folder, LONG)):
        assert code == 0, err
    resumed = [row["step"] for row in log(folder / "0") if row.get("event") == "resume"]
    assert len(resumed) == 1 and resumed[0] >= least_step
    assert losses(folder / "0") == losses(undisturbed)
    for ours, theirs in zip(
        final_weights(folder / "0", 60), final_weights(undisturbed, 60), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_worker_ends_the_other_and_the_job_resumes(tmp_path, undisturbed, victim):
    workers = start_workers(2, tmp_path, LONG)
    wait_for(tmp_path / "0/checkpoints/step-00000020", workers)
    workers[victim].kill()
    killed = time.monotonic()
    results = end(workers, timeout=60)
    assert time.monotonic() - killed < 60
    assert results[victim][0] == -signal.SIGKILL
    code, err = results[1 - victim]
    assert code == 75, err
    assert "another worker of this run was lost or does not respond" in err
    assert "Traceback" not in err
    assert_resumes_to(tmp_path, undisturbed, 20)


@pytest.mark.slow
def test_a_stop_request_to_one_worker_saves_and_stops_all(tmp_path, undisturbed):
    workers = start_workers(2, tmp_path, LONG)
    wait_for(tmp_path / "0/checkpoints/step-00000010", workers)
    workers[1].terminate()
    results = end(workers, timeout=60)
    assert [code for code, _ in results] == [75, 75], results
    assert "stopped by a signal to another worker at step" in results[0][1]
    assert "stopped by SIGTERM at step" in results[1][1]
    assert_resumes_to(tmp_path, undisturbed, 10)


@pytest.mark.slow
def test_workers_with_different_flags_are_refused(tmp_path):
    addresses = free_addresses(2)
    flags = [*SHORT, f"--workdir={tmp_path}"]
    workers = [
        start_worker(addresses, index, [*flags, f"--gradient_loss_weight={index}"])
        for index in range(2)
    ]
    for code, err in end(workers):
        assert code == 2 and "a different configuration than worker 0" in err
        assert "Traceback" not in err


@pytest.mark.slow
def test_nan_on_one_worker_is_skipped_and_ends_all_at_the_limit(tmp_path):
    flags = [*SHORT, "--learning_rate=1e30", "--warmup_steps=0", "--nan_limit=2"]
    results = end(start_workers(2, tmp_path, flags))
    assert [code for code, _ in results] == [3, 3], results
    assert "for the 3rd step in a row" in results[0][1]
    assert "Worker 0 has the checkpoints" in results[1][1]


def test_a_worker_that_never_comes_is_named_within_the_timeout(tmp_path):
    here, away = free_addresses(2)
    worker = start_worker([here, away], 0, [*SHORT, "--worker_timeout=1", f"--workdir={tmp_path}"])
    ((code, err),) = end([worker])
    assert code == 75 and f"waited 1 s for worker 1 ({away})" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("backend", "words"),
    [
        ("tensorflow", "found no cluster"),
        # Not the cluster's description first, which would not help.
        pytest.param(
            "jax",
            "--strategy=multiworker requires TensorFlow. Received: KERAS_BACKEND=jax",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_without_a_cluster_the_environment_is_explained(tmp_path, backend, words):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    names = ("TF_CONFIG", "JOB_COMPLETION_INDEX", "SLURM_PROCID")
    done = subprocess.run(
        [sys.executable, "train.py", "--strategy=multiworker", f"--workdir={tmp_path}"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if name not in names}
        | {"KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2
    assert words in done.stderr and "Traceback" not in done.stderr
