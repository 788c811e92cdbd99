"""The loss against NumPy."""

import json

import keras
import numpy as np
import pytest
from keras import ops
from numpy_sobel import numpy_sobel

from gradnet_tf.models import losses

RNG = np.random.default_rng(11)
CLEAN = RNG.random((3, 8, 6, 3), dtype=np.float32)
DENOISED = CLEAN + RNG.normal(0, 0.1, CLEAN.shape).astype("float32")


def reference(weight):
    l1 = np.abs(DENOISED - CLEAN).mean((1, 2, 3))
    gradients = []
    for clean, denoised in zip(CLEAN, DENOISED, strict=True):
        pairs = [(numpy_sobel(clean[..., k]), numpy_sobel(denoised[..., k])) for k in range(3)]
        gradients.append(
            sum(np.mean([np.abs(b[axis] - a[axis]).mean() for a, b in pairs]) for axis in (0, 1))
        )
    return l1 + weight * np.array(gradients)


@pytest.mark.parametrize("weight", [0.0, 0.1, 2.0])
def test_loss_is_l1_plus_weighted_gradient_consistency(weight):
    value = ops.convert_to_numpy(losses.gradnet_loss_per_image(CLEAN, DENOISED, weight))
    np.testing.assert_allclose(value, reference(weight), rtol=1e-5)


def test_keras_loss_is_the_mean_and_round_trips():
    loss = losses.GradNetLoss(0.1)
    assert float(loss(CLEAN, DENOISED)) == pytest.approx(reference(0.1).mean(), rel=1e-5)
    config = json.loads(json.dumps(keras.saving.serialize_keras_object(loss)))
    assert keras.saving.deserialize_keras_object(config).gradient_loss_weight == 0.1


def test_perfect_output_costs_nothing():
    assert float(losses.GradNetLoss()(CLEAN, CLEAN)) == 0.0


def test_negative_weight_is_refused():
    with pytest.raises(ValueError, match="`gradient_loss_weight` must not be negative"):
        losses.GradNetLoss(-1)


def test_the_level_of_noise_beside_a_given_estimate():
    """The input of a network with a classical naive denoiser has that estimate in it."""
    clean = RNG.random((2, 8, 9, 3), np.float32)
    noisy = clean + RNG.normal(0, 0.1, clean.shape).astype(np.float32)
    given = np.concatenate([noisy, clean], -1)
    for found in (losses.noise_level(given, clean), losses.noise_level(noisy, clean)):
        np.testing.assert_allclose(found, np.sqrt(((noisy - clean) ** 2).mean((1, 2, 3))), 1e-5)
