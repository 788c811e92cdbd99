"""The JAX engine: as TensorFlow's on the same batches, as itself on two devices and resumed."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("jax") is None, reason="JAX is not installed"
)


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    """Lets the processes of this file share what XLA compiled: compiling is most of their time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path_factory.mktemp("compiled")))
        patch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
        yield


def run(backend, *command, blocked=None):
    """Runs Python under a backend; `blocked` is a folder whose sitecustomize runs first."""
    paths = [str(blocked)] if blocked else []
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "PYTHONPATH": os.pathsep.join([*paths, str(ROOT), str(ROOT / "tests/helpers")]),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    return subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def run_case(backend, case, folder):
    done = run(backend, "tests/helpers/jax_cases.py", case, folder)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Both backends on the same initial weights and batches; JAX last, so that it reads TF's."""
    folder = tmp_path_factory.mktemp("compare")
    for backend in ("tensorflow", "jax"):
        run_case(backend, "compare", folder)
    run_case("tensorflow", "load", folder)
    found = {
        backend: dict(np.load(folder / f"{backend}_results.npz"))
        for backend in ("tensorflow", "jax")
    }
    return {**found, "loaded": np.load(folder / "loaded.npy")}


@pytest.mark.slow
def test_losses_agree_from_the_same_weights_on_the_same_batches(results):
    ours, theirs = results["jax"]["losses"], results["tensorflow"]["losses"]
    assert np.abs(ours[:8] - theirs[:8]).max() < 1e-5
    assert (np.abs(ours - theirs) / theirs).max() < 1e-3
    # The steps did something: the agreement is not that of two idle engines.
    assert theirs[-8:].mean() < 0.9 * theirs[:4].mean()


def test_weights_of_one_backend_load_on_the_other(results):
    under_jax, by_tensorflow = results["jax"]["outputs_of_other"], results["tensorflow"]["outputs"]
    np.testing.assert_allclose(under_jax, by_tensorflow, atol=1e-5, rtol=0)
    np.testing.assert_allclose(results["loaded"], results["jax"]["outputs"], atol=1e-5, rtol=0)
    assert np.abs(by_tensorflow - results["jax"]["noisy"]).max() > 0.05


def test_a_run_started_on_tensorflow_resumes_on_jax(results):
    ours, theirs = results["jax"]["losses_from_other"], results["tensorflow"]["losses"][8:]
    assert len(ours) == len(theirs)
    assert (np.abs(ours - theirs) / theirs).max() < 1e-3


@pytest.mark.slow
def test_two_devices_train_as_one(tmp_path):
    run_case("jax", "two_devices", tmp_path)
    found = np.load(tmp_path / "two_devices.npz")
    assert (found["none_replicas"], found["mirrored_replicas"]) == (1, 2)
    for name in ("", "_stream", "_parts"):
        assert np.abs(found[f"none{name}"] - found[f"mirrored{name}"]).max() < 1e-5
    # Working through a batch in two parts changes nothing but rounding.
    assert np.abs(found["none"] - found["none_parts"]).max() < 1e-5


def test_clipping_loss_scaling_averages_and_nan(tmp_path):
    run_case("jax", "details", tmp_path)
    found = np.load(tmp_path / "details.npz")
    # Adam's first step is ±1 learning rate an element, unless the gradient is clipped to nothing.
    assert np.abs(found["single"]).max() > 0.9
    assert 0 < np.abs(found["clipped"]).max() < 0.05
    # Rounding to half precision flips few of the signs.
    assert (np.abs(found["half"] - found["single"]) > 0.3).mean() < 0.05
    assert found["half_finite"] and not found["nan"]
    # A step that is not finite changes nothing, and the next one goes on.
    assert not found["nan_move"].any() and np.abs(found["after_nan"]).max() > 0.1
    assert found["ema_error"] < 1e-6 and found["ema_nan"] == 0
    assert found["ema_effect"] > 1e-4 and found["ema_left"] == 0
    assert not found["overflow"].any() and found["scale"] < 2e38


@pytest.mark.slow
def test_loss_scaling_hides_no_broken_gradient_and_spoils_no_statistics(tmp_path):
    run_case("jax", "float16", tmp_path)
    found = np.load(tmp_path / "float16.npz")
    assert found["finite"].tolist() == [True] * 15 + [False] * 5
    assert np.isfinite(found["weights"]).all()
    assert not found["ruined"] and np.isfinite(found["after"]).all()


RUN = ["train.py", "--preset=gradnet_tiny", "--dataset=sample", "--batch_size=4"]
RUN += ["--crop_size=24", "--naive_steps=0", "--joint", "--log_every=1", "--checkpoint_every=4"]
RUN += ["--validate_every=1000", "--seed=3"]


NOT_INSTALLED = "import sys\nsys.modules['tensorflow'] = None\n"
# Fails where a caught ImportError would hide that something tried.
FORBIDDEN = """
import sys

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            raise RuntimeError("something imports TensorFlow")

sys.meta_path.insert(0, Finder)
"""


def startup(folder, code):
    """Makes a folder whose code every interpreter runs first that has it on its path."""
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    return folder


def test_training_needs_no_tensorflow_and_resumes_bit_identically(tmp_path):
    from test_train_script import log, losses

    forbidden = startup(tmp_path / "forbidden", FORBIDDEN)
    absent = startup(tmp_path / "absent", NOT_INSTALLED)

    def train(name, *flags, blocked=absent):
        done = run("jax", *RUN, *flags, f"--workdir={tmp_path / name}", blocked=blocked)
        assert done.returncode == 0, done.stderr

    train("whole", "--steps=8", blocked=forbidden)
    # The last checkpoint is damaged: the run goes on from the one before it.
    shutil.copytree(tmp_path / "whole", tmp_path / "resumed")
    damaged = tmp_path / "resumed/checkpoints/step-00000008/model.weights.h5"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    train("resumed", "--steps=8")
    rows = log(tmp_path / "resumed")
    assert [row["step"] for row in rows if row.get("event") == "resume"] == [4]
    assert losses(tmp_path / "resumed") == losses(tmp_path / "whole")
    hashes = [
        json.loads((tmp_path / name / "checkpoints/step-00000008/manifest.json").read_text())
        for name in ("whole", "resumed")
    ]
    assert hashes[0]["files"] == hashes[1]["files"]


def test_a_missing_backend_is_explained(tmp_path):
    done = run("tensorflow", *RUN, blocked=startup(tmp_path / "absent", NOT_INSTALLED))
    assert done.returncode == 2
    assert "KERAS_BACKEND=jax" in done.stderr and "Traceback" not in done.stderr
