"""TensorFlow and JAX give the same numbers for the same weights."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]


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
        command = [sys.executable, str(ROOT / "tests/backend_outputs.py"), str(tmp_path), str(path)]
        subprocess.run(command, check=True, env=environment, timeout=240)
        outputs[backend] = dict(np.load(path))
    ours, theirs = outputs["tensorflow"], outputs["jax"]
    assert ours.pop("modules") and not theirs.pop("modules"), "JAX must not need TensorFlow"
    noisy = ours.pop("noisy")
    for name, value in ours.items():
        np.testing.assert_allclose(theirs[name], value, atol=1e-5, rtol=0, err_msg=name)
    # The agreement is not the global skip alone.
    assert np.abs(ours["gradnet_small"] - noisy).max() > 0.01
