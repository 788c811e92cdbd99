"""train.py as a user runs it: strategies agree, a killed run resumes, mistakes are explained."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from datasets.sets.catalog import DATASETS, TRAINING_SETS

ROOT = Path(__file__).parents[2]
STEPS = 50
RUN = [
    "--preset=gradnet_tiny",
    "--dataset=sample",
    "--batch_size=8",
    "--crop_size=24",
    f"--steps={STEPS}",
    "--naive_steps=5",
    "--log_every=1",
    "--checkpoint_every=10",
    "--validate_every=1000",
    "--seed=3",
    "--ema=0.9",
]


def start(workdir, *flags):
    command = [sys.executable, "train.py", *RUN, *flags, f"--workdir={workdir}"]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(workdir, *flags):
    process = start(workdir, *flags)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def log(workdir):
    return [json.loads(line) for line in (workdir / "log.jsonl").read_text().splitlines()]


def losses(workdir):
    return [row["loss"] for row in log(workdir) if "loss" in row]


def final_weights(workdir):
    from gradnet_tf.models.presets import build_model

    model = build_model("gradnet_tiny")
    model.load_weights(workdir / f"checkpoints/step-{STEPS:08d}/model.weights.h5")
    return model.get_weights()


def averages(workdir):
    with np.load(workdir / f"checkpoints/step-{STEPS:08d}/ema-00.npz") as file:
        return [file[name] for name in sorted(file.files)]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """An uninterrupted run on one device."""
    workdir = tmp_path_factory.mktemp("reference") / "run"
    out = finish(workdir)
    assert "python evaluate.py --model=" in out
    return workdir


def test_a_run_folder_holds_what_was_promised(reference):
    config = json.loads((reference / "config.json").read_text())
    assert config["command"][0] == "train.py" and config["train"]["crop_size"] == 24
    rows = log(reference)
    assert [row["step"] for row in rows] == list(range(1, STEPS + 1))
    assert rows[0]["replicas"] == 1 and "psnr" in rows[-1]
    assert (reference / "naive/best/manifest.json").exists()
    assert list((reference / "tensorboard").iterdir())


@pytest.mark.slow
def test_mirrored_over_two_logical_devices_gives_the_same_losses(reference, tmp_path):
    # Each replica works through its half of a batch in two parts: that changes nothing either.
    finish(tmp_path / "run", "--strategy=mirrored", "--cpu_replicas=2", "--accumulate=2")
    assert log(tmp_path / "run")[0]["replicas"] == 2
    one, two = np.array(losses(reference)), np.array(losses(tmp_path / "run"))
    assert np.abs(one[:8] - two[:8]).max() < 1e-5
    assert (np.abs(one - two) / one).max() < 1e-3
    pairs = zip(averages(reference), averages(tmp_path / "run"), strict=True)
    assert max(np.abs(one - two).max() for one, two in pairs) < 1e-3


def test_a_killed_run_resumes_and_ends_at_the_same_weights(reference, tmp_path):
    workdir = tmp_path / "run"
    process = start(workdir)
    deadline = time.monotonic() + 240
    while not (workdir / "checkpoints/step-00000010").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (workdir / f"checkpoints/step-{STEPS:08d}").exists(), "killed too late to tell"
    finish(workdir, "--workers=1")  # the number of workers may change: no example does
    resumed = [row["step"] for row in log(workdir) if row.get("event") == "resume"]
    assert len(resumed) == 1 and resumed[0] >= 10
    assert losses(workdir) == losses(reference)
    for ours, theirs in zip(final_weights(workdir), final_weights(reference), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for ours, theirs in zip(averages(workdir), averages(reference), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_prepared_images_change_no_loss(reference, tmp_path):
    for run in ("makes them", "finds them"):
        finish(tmp_path / run, f"--prepared_dir={tmp_path}")
        assert losses(tmp_path / run) == losses(reference)


def message(*flags):
    """Runs train.main in this process's interpreter image; returns (exit code, last lines)."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "train.py", *flags],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=environment,
        timeout=120,
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--preset=gradnet_smal"], "`preset` must be one of gradnet, "),
        (["--sigma=5", "--degradation=camera"], "exclude each other"),
        (["--degradation=camera(5)"], "camera takes shot=…"),
        (["--dataset=sample:2,renoir"], "give every set a weight"),
        (["--sigma=-3"], "`sigma` must be in [0, 255]. Received: sigma=-3.0"),
        (["--time_budget=soon"], "`time_budget` must be a duration"),
        (["--dataset=bsds500", "--data_dir=/no/such/folder"], "/no/such/folder"),
        (["--dataset=cbsd68"], "is a test set"),
        (["--batch_sise=3"], "batch_sise"),
        (["--data_service=grpc://a:5050"], "--data_service needs --prepared_dir"),
    ],
)
def test_mistakes_are_explained_with_exit_code_2(flags, words):
    code, err = message(*flags)
    assert code == 2
    assert words in err and "Traceback" not in err
    assert len(err.strip().splitlines()) <= 5


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (["train.py"], TRAINING_SETS),
        (["evaluate.py"], DATASETS),
        (["-m", "export"], DATASETS),
    ],
)
def test_help_lists_the_sets_there_are(command, names):
    command = [sys.executable, *command, "--help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120).stdout
    (line,) = [line for line in " ".join(shown.split()).split(" --") if line.startswith("dataset:")]
    assert ", ".join(names) in line


def test_a_mixture_of_noise_trains_and_is_recorded(tmp_path):
    noise = "3*gaussian(0,55)|camera|poisson_gaussian(shot=0.01,read=5)+jpeg(60,95)"
    noise += "|correlated(sigma=0..40,length=0,common=0.5..1)+jpeg(30..90)"
    short = ("--steps=2", "--naive_steps=1", f"--degradation={noise}", "--eval_sets=sample")
    finish(tmp_path / "run", *short)
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["train"]["degradation"] == noise.replace(",55", "..55").replace(",95", "..95")
    assert config["train"]["sigma_max"] is None and config["facts"]["guarded"]["sample"] == 3
    assert np.isfinite(losses(tmp_path / "run")).all()


def test_an_empty_folder_is_reported(tmp_path):
    code, err = message("--dataset=folder", f"--data_dir={tmp_path}")
    assert code == 2 and str(tmp_path) in err and "Traceback" not in err
