"""Muon on JAX: as on TensorFlow, on two devices as on one, and through NaN and resuming."""

import importlib.util

import numpy as np
import pytest
from test_training_engine_jax import compiled_once, run_case  # noqa: F401

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed"),
]


@pytest.fixture(scope="module", autouse=True)
def muon(compiled_once):  # noqa: F811
    """Has the cases train with Muon."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CASE_OPTIMIZER", "muon")
        yield


def test_losses_agree_with_tensorflows_and_runs_go_over_from_one_to_the_other(tmp_path):
    for backend in ("tensorflow", "jax"):
        run_case(backend, "compare", tmp_path)
    ours, theirs = (np.load(tmp_path / f"{name}_results.npz") for name in ("jax", "tensorflow"))
    assert np.abs(ours["losses"][:8] - theirs["losses"][:8]).max() < 1e-5
    assert (np.abs(ours["losses"] - theirs["losses"]) / theirs["losses"]).max() < 1e-3
    assert theirs["losses"][-8:].mean() < 0.9 * theirs["losses"][:4].mean()
    left = theirs["losses"][8:]
    assert (np.abs(ours["losses_from_other"] - left) / left).max() < 1e-3


def test_two_devices_and_two_parts_are_one(tmp_path):
    run_case("jax", "two_devices", tmp_path)
    found = np.load(tmp_path / "two_devices.npz")
    assert (found["none_replicas"], found["mirrored_replicas"]) == (1, 2)
    for name in ("", "_stream", "_parts"):
        assert np.abs(found[f"none{name}"] - found[f"mirrored{name}"]).max() < 1e-5
    assert np.abs(found["none"] - found["none_parts"]).max() < 1e-5


def test_nan_checkpoint_and_loss_scaling(tmp_path):
    run_case("jax", "survives", tmp_path)
    found = np.load(tmp_path / "survives.npz")
    assert not found["nan"]
    np.testing.assert_array_equal(found["after"], found["before"])
    np.testing.assert_array_equal(found["resumed_losses"], found["whole_losses"])
    np.testing.assert_array_equal(found["resumed"], found["whole"])
    assert found["half"] and 1e-4 < found["half_moved"] < 0.1
