"""benchmarks/quality/tile_agreement.py: what it measures, on pictures whose answer is known."""

import numpy as np
import pytest
from tiny_run import tiny_model

from benchmarks.quality.tile_agreement import agreement, psnr, steps
from gradnet_tf.denoiser import Denoiser
from gradnet_tf.runtimes.keras_runtime import KerasRunner
from gradnet_tf.tiling import tiler
from gradnet_tf.tiling.tiler import windows


def test_psnr():
    assert psnr(np.zeros((2, 2, 1)), np.full((2, 2, 1), 0.1)) == pytest.approx(20)
    assert psnr(np.ones(3), np.ones(3)) == float("inf")


def test_a_step_at_a_border_is_distinguished_from_one_elsewhere():
    cut = windows((40, 30), 16, 2, 1)
    border = sorted({row.first for row, _ in cut})[1]
    difference = np.zeros((40, 30, 3))
    difference[border:] = 0.5
    at, rest = steps(difference, cut)
    assert at > 0.1 and rest == 0.0
    difference = np.zeros((40, 30, 3))
    difference[border + 1 :] = 0.5
    at, rest = steps(difference, cut)
    assert at == 0.0 and rest > 0.005


def test_tiles_of_a_network_agree_and_what_they_are_compared_by(monkeypatch):
    monkeypatch.setattr(tiler, "WHOLE_PIXELS", 1500)
    noisy = np.random.default_rng(0).random((120, 110, 3), np.float32)
    found = agreement(Denoiser(KerasRunner(tiny_model()), "tiny"), noisy, [16, 32])
    assert set(found["differences"]) == {16, 32} and found["whole"].shape == noisy.shape
    assert found["far"] < 0.01 and found["psnr"] > 90
    assert max(found["seam"], found["elsewhere"]) < 0.001
