"""CBDNet: two networks in a row, its own loss against NumPy, and that it learns both."""

import keras
import numpy as np
import pytest
from keras import ops

from gradnet_tf.models import CBDNet, losses
from gradnet_tf.models.base import build_model
from gradnet_tf.training.config import TrainConfig
from gradnet_tf.training.engines.choose_engine import make_engine
from gradnet_tf.training.engines.objective import objective_per_image

RNG = np.random.default_rng(6)


def small(channels=3, gain=1.0):
    keras.utils.set_random_seed(2)
    model = build_model(CBDNet(8, 8, channels=channels))
    model.reconstruction.kernel.assign(model.reconstruction.kernel * gain)
    return model


def pictures(count, size):
    """Smooth images with noise of σ = 50, (noisy, clean)."""
    ramps = RNG.random((count, 1, 1, 3)) * 0.5 + np.linspace(0, 0.5, size)[None, :, None, None]
    clean = np.broadcast_to(ramps, (count, size, size, 3)).astype("float32")
    noise = RNG.standard_normal(clean.shape).astype("float32") * np.float32(50 / 255)
    return clean + noise, clean


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 3), (7, 8), (12, 9)])
def test_any_size_from_one_pixel(size):
    images = RNG.random((2, *size, 3), dtype=np.float32)
    outputs = small(gain=100.0)(images, return_intermediates=True)
    for name in ("denoised", "noise_level"):
        assert outputs[name].shape == images.shape
        assert np.isfinite(ops.convert_to_numpy(outputs[name])).all()


def test_what_completes_a_size_is_the_repeated_border():
    """5×6 pixels give what the same pixels with repeated border give, cut."""
    model = small(gain=100.0)
    images = RNG.random((1, 5, 6, 3), dtype=np.float32)
    # The noise level is estimated before anything is appended: the same on both ways in.
    model.estimator = [lambda level: 0.0 * level]
    whole = np.pad(images, ((0, 0), (0, 3), (0, 2), (0, 0)), mode="edge")
    expected = ops.convert_to_numpy(model(whole))[:, :5, :6]
    np.testing.assert_allclose(ops.convert_to_numpy(model(images)), expected, atol=1e-5)


def test_the_noise_level_reaches_the_output():
    model, images = small(gain=100.0), RNG.random((1, 8, 8, 3), dtype=np.float32)
    before = ops.convert_to_numpy(model(images))
    model.estimator[-1].bias.assign(model.estimator[-1].bias + 0.5)
    assert np.abs(ops.convert_to_numpy(model(images)) - before).max() > 1e-4


def test_the_receptive_radius_bounds_what_a_pixel_changes():
    model = small(gain=1e5)
    radius = model.receptive_radius
    assert radius == 5 + 2 + (2 * (3 + (2 * 6 + 1) + 3) + 1) + 2 + 1
    side = 2 * radius + 13
    images = RNG.random((1, side, side, 3), dtype=np.float32)
    before, reached = ops.convert_to_numpy(model(images)), 0
    for centre in range(side // 2, side // 2 + 4):  # every place in a block of 4
        changed = images.copy()
        changed[0, centre, centre] += 50.0
        rows = np.abs(ops.convert_to_numpy(model(changed)) - before).max(axis=(0, 2, 3))
        touched = np.flatnonzero(rows)
        reached = max(reached, centre - touched.min(), touched.max() - centre)
    assert radius - 8 <= reached <= radius


def test_asymmetric_and_tv_loss_match_numpy():
    level = RNG.random((2, 5, 4, 3), dtype=np.float32)
    true = np.array([0.2, 0.7], "float32").reshape(2, 1, 1, 1)
    weight = np.abs(0.3 - (level < true))
    expected = (weight * (level - true) ** 2).mean((1, 2, 3))
    found = losses.asymmetric_loss_per_image(true, level)
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-5)
    expected = sum((np.diff(level, axis=axis) ** 2).mean((1, 2, 3)) for axis in (1, 2))
    found = ops.convert_to_numpy(losses.tv_loss_per_image(level))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.isfinite(ops.convert_to_numpy(losses.tv_loss_per_image(level[:, :1, :1]))).all()


def test_the_objective_is_the_papers_sum():
    model, (noisy, clean) = small(), pictures(2, 12)
    outputs = model(noisy, return_intermediates=True)
    sigma = np.sqrt(((noisy - clean) ** 2).mean((1, 2, 3), keepdims=True))
    expected = (
        losses.gradnet_loss_per_image(clean, outputs["denoised"], 0.1)
        + 0.5 * losses.asymmetric_loss_per_image(sigma, outputs["noise_level"])
        + 0.05 * losses.tv_loss_per_image(outputs["noise_level"])
    )
    found = objective_per_image(model, noisy, clean, 0.1, False)
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), ops.convert_to_numpy(expected), rtol=1e-5
    )


def test_the_noise_level_starts_above_zero_where_its_relu_passes_gradients():
    outputs = small()(pictures(2, 12)[0], return_intermediates=True)
    level = ops.convert_to_numpy(outputs["noise_level"])
    assert (level > 0).all() and abs(level.mean() - 25 / 255) < 0.05


def test_it_learns_to_denoise_and_the_noise_level():
    config = TrainConfig(preset="cbdnet", batch_size=4, crop_size=24, warmup_steps=0)
    engine = make_engine(config, small)
    noisy, clean = pictures(4, 24)
    batch = tuple(ops.convert_to_tensor(images) for images in (noisy, clean))
    found = [engine.step(batch, 2e-3)["loss"] for _ in range(100)]
    assert found[-1] < 0.7 * found[0]
    denoised = engine.predict(noisy)
    assert ((denoised - clean) ** 2).mean() < 0.5 * ((noisy - clean) ** 2).mean()
    level = ops.convert_to_numpy(engine.model(noisy, return_intermediates=True)["noise_level"])
    assert abs(float(level.mean()) * 255 - 50) < 8
