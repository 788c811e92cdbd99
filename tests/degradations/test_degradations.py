"""Noise models: scale, moments, exactness at zero, and no clipping."""

import numpy as np
import pytest

from gradnet_tf.degradations import add_gaussian_noise, sigma_to_unit


def test_sigma_255_is_one():
    assert sigma_to_unit(255) == 1.0
    assert sigma_to_unit(0) == 0.0


def test_sigma_zero_is_the_identity():
    clean = np.random.default_rng(0).random((2, 5, 7, 3), dtype=np.float32)
    draws = np.random.default_rng(1).standard_normal(clean.shape, dtype=np.float32)
    np.testing.assert_array_equal(add_gaussian_noise(clean, draws, 0), clean)


@pytest.mark.parametrize("sigma", [5, 25, 75])
def test_measured_moments_are_the_ones_asked_for(sigma):
    clean = np.full((200, 200, 3), 0.5, np.float32)
    draws = np.random.default_rng(sigma).standard_normal(clean.shape, dtype=np.float32)
    residual = (add_gaussian_noise(clean, draws, sigma) - clean).astype(np.float64) * 255
    assert abs(residual.mean()) < 4 * sigma / np.sqrt(residual.size)
    assert abs(residual.std() - sigma) < 4 * sigma / np.sqrt(2 * residual.size)


def test_noise_is_not_clipped_and_float32_stays_float32():
    noisy = add_gaussian_noise(np.zeros(3, np.float32), np.array([-9, 0, 9], np.float32), 51.0)
    np.testing.assert_allclose(noisy, [-1.8, 0, 1.8], rtol=1e-6)
    assert noisy.dtype == np.float32


def test_each_image_of_a_batch_can_have_its_sigma():
    draws = np.ones((2, 1, 1, 1), np.float32)
    sigma = np.array([51.0, 102.0], np.float32).reshape(2, 1, 1, 1)
    noisy = add_gaussian_noise(np.zeros_like(draws), draws, sigma)
    np.testing.assert_allclose(noisy.ravel(), [0.2, 0.4], rtol=1e-6)


def test_levels_add_in_quadrature():
    generator = np.random.default_rng(0)
    draws = generator.standard_normal((2, 400_000), dtype=np.float32)
    once = add_gaussian_noise(np.zeros(400_000, np.float32), draws[0], 30)
    twice = add_gaussian_noise(once, draws[1], 40) * 255
    assert abs(twice.std() - 50) < 4 * 50 / np.sqrt(2 * twice.size)


def test_tensors_pass_too():
    import tensorflow as tf

    clean = np.linspace(0, 1, 6, dtype=np.float32)
    draws = np.linspace(-2, 2, 6, dtype=np.float32)
    ours = add_gaussian_noise(tf.constant(clean), tf.constant(draws), 25.0)
    np.testing.assert_allclose(ours.numpy(), add_gaussian_noise(clean, draws, 25.0), rtol=1e-6)
