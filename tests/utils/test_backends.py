"""TensorFlow and JAX give the same numbers for the same weights; other backends are refused."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed")
def test_tensorflow_and_jax_agree(tmp_path):
    outputs = {}
    for backend in ("tensorflow", "jax"):
        path = tmp_path / f"{backend}.npz"
        environment = {
            **os.environ,
            "KERAS_BACKEND": backend,
            "PYTHONPATH": str(ROOT),
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        command = [
            sys.executable,
            str(ROOT / "tests/helpers/backend_outputs.py"),
            str(tmp_path),
            str(path),
        ]
        subprocess.run(command, check=True, env=environment, timeout=600)
        outputs[backend] = dict(np.load(path))
    ours, theirs = outputs["tensorflow"], outputs["jax"]
    assert ours.pop("modules") and not theirs.pop("modules"), "JAX must not need TensorFlow"
    noisy = ours.pop("noisy")
    for name, value in ours.items():
        np.testing.assert_allclose(theirs[name], value, atol=1e-5, rtol=0, err_msg=name)
    # The agreement is not the global skip alone.
    assert np.abs(ours["gradnet_small"] - noisy).max() > 0.01


COMMANDS = {
    "train": ["train.py", "--preset=gradnet_tiny", "--workdir={tmp}/out"],
    "evaluate": ["evaluate.py", "--model=gradnet_tiny", "--max_images=1", "--output={tmp}/out"],
    "export": ["-m", "export", "--model=gradnet_tiny", "--output={tmp}/out"],
    "gradnet": ["-m", "gradnet_tf", "denoise", "{tmp}/a.png", "--output={tmp}/made"],
}


@pytest.mark.parametrize(
    ("command", "backend"), [*((name, "tensorfow") for name in COMMANDS), ("evaluate", "torch")]
)
def test_a_backend_that_is_none_of_ours_is_explained(tmp_path, command, backend):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 4, 3), np.uint8))
    done = subprocess.run(
        [sys.executable, *(part.format(tmp=tmp_path) for part in COMMANDS[command])],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 2, done.stderr
    first, second = done.stderr.splitlines()
    assert first.startswith("error: ")
    assert first.endswith("the networks run on the Keras backends tensorflow and jax.")
    assert second == f"Received: KERAS_BACKEND={backend}"
    assert not (tmp_path / "out").exists()
