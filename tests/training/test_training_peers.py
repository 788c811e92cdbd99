"""Training of networks that normalise, or that are told the noise level, on either engine."""

import dataclasses
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from gradnet_tf.models import DnCNN, FFDNet, GradNet, presets
from gradnet_tf.models.base import build_model
from gradnet_tf.training.config import TrainConfig
from gradnet_tf.training.engines.choose_engine import make_engine
from gradnet_tf.training.engines.objective import realized_sigma
from gradnet_tf.training.validation import image_panel, image_psnrs

RNG = np.random.default_rng(0)
CLEAN = np.broadcast_to(RNG.random((4, 1, 1, 3)), (4, 24, 24, 3)).astype("float32")
NOISY = CLEAN + RNG.standard_normal(CLEAN.shape).astype("float32") * np.float32(30 / 255)
CONFIG = TrainConfig(preset="dncnn_bn", batch_size=4, crop_size=24, warmup_steps=0)


class OneWorker:
    """What `image_psnrs` asks of a team."""

    index, size = 0, 1

    def sums(self, values):
        return values


def train(make, config=CONFIG, steps=3):
    engine = make_engine(config, lambda: build_model(make()))
    batch = tuple(map(keras.ops.convert_to_tensor, (NOISY, CLEAN)))
    losses = [engine.step(batch, 3e-3)["loss"] for _ in range(steps)]
    return engine, losses


def moving(engine):
    variables = engine.model.non_trainable_variables
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def test_the_realised_level_is_that_of_the_draws():
    levels = np.float32([5, 25, 60])
    clean = RNG.random((3, 80, 80, 3), dtype=np.float32)
    noise = RNG.standard_normal(clean.shape).astype(np.float32)
    noisy = clean + noise * (levels / 255).reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(realized_sigma(noisy, clean), levels, rtol=0.02)


def test_a_network_that_takes_the_noise_level_learns_and_is_validated_with_it():
    engine, losses = train(lambda: FFDNet(3, 16), steps=60)
    assert losses[-1] < 0.5 * losses[0]
    score = np.mean(image_psnrs(engine, list(zip(NOISY, CLEAN, strict=True)), OneWorker()))
    told = np.sqrt(np.mean((NOISY - CLEAN) ** 2, axis=(1, 2, 3))) * 255
    expected = engine.predict(NOISY, sigma=told.astype(np.float32)).clip(0, 1)
    errors = np.mean((expected - CLEAN) ** 2, axis=(1, 2, 3))
    assert score == pytest.approx(np.mean(-10 * np.log10(errors)), abs=1e-3)
    assert image_panel(engine, NOISY[0], CLEAN[0]).shape == (24, 3 * 24, 3)


def test_a_naive_denoiser_that_takes_the_noise_level_trains_along():
    config = dataclasses.replace(CONFIG, preset="gradnet_tiny", joint=True)
    engine, losses = train(lambda: GradNet(FFDNet(2, 8), 8, 1, 1), config, steps=20)
    assert losses[-1] < losses[0]
    assert image_panel(engine, NOISY[0], CLEAN[0]).shape == (24, 5 * 24, 3)


def test_statistics_move_in_training_and_stay_in_a_skipped_step():
    engine, _ = train(lambda: DnCNN(4, 8, batch_norm=True))
    before = moving(engine)
    assert np.abs(before[0]).max() > 1e-3  # they began at 0
    result = engine.step((NOISY * np.float32(np.nan), CLEAN), 1e-3)
    assert not result["finite"]
    for now, then in zip(moving(engine), before, strict=True):
        np.testing.assert_array_equal(now, then)


def two_devices():
    """In a process of its own: one device and two agree on loss and statistics."""
    from gradnet_tf.training.engines.choose_engine import start_devices
    from gradnet_tf.utils.errors import UserError

    start_devices(2)
    found = {}
    for strategy in ("none", "mirrored"):
        config = dataclasses.replace(CONFIG, strategy=strategy, cpu_replicas=2)
        engine = make_engine(config, lambda: build_model(DnCNN(4, 8, batch_norm=True)))
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            batches = engine.batches(tf.data.Dataset.from_tensors((NOISY, CLEAN)).repeat())
        else:
            batches = engine.batches([(NOISY, CLEAN)] * 3)
        losses = [engine.step(next(batches), 1e-3)["loss"] for _ in range(3)]
        found[strategy] = [np.array(losses), *moving(engine)]
    for one, two in zip(found["none"], found["mirrored"], strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
    if keras.backend.backend() == "tensorflow":
        with pytest.raises(UserError, match="`accumulate` must be 1"):
            make_engine(
                dataclasses.replace(config, accumulate=2),
                lambda: build_model(DnCNN(4, 8, batch_norm=True)),
            )


def waking_on_two_devices():
    """In a process of its own: copies of a network with a dead channel stay equal."""
    import tensorflow as tf

    from gradnet_tf.training.engines.choose_engine import start_devices

    start_devices(2)

    def build():
        model = presets.build_model("gradnet_tiny", joint=True)
        bias = model.body.residual_modules[0].units[0].conv1.bias
        bias.assign(bias - 50.0 * (np.arange(bias.shape[0]) == 0))
        return model

    more = {"joint": True, "wake": True, "strategy": "mirrored", "cpu_replicas": 2}
    config = dataclasses.replace(CONFIG, preset="gradnet_tiny", **more)
    engine = make_engine(config, build)
    batches = engine.batches(tf.data.Dataset.from_tensors((NOISY, CLEAN)).repeat())
    for _ in range(3):
        engine.step(next(batches), 0.01)
    bias = engine.model.body.residual_modules[0].units[0].conv1.bias
    assert np.asarray(bias)[0] > -50.0  # It has woken.
    for variable in engine.model.trainable_variables:
        one, two = engine.strategy.experimental_local_results(variable.value)
        np.testing.assert_array_equal(one.numpy(), two.numpy(), variable.path)


@pytest.mark.parametrize("backend", ["tensorflow", pytest.param("jax", marks=pytest.mark.slow)])
def test_two_devices_normalize_as_one(backend):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__],
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_copies_of_a_network_wake_alike():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, "waking"],
        env={**os.environ, "KERAS_BACKEND": "tensorflow", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


if __name__ == "__main__":
    waking_on_two_devices() if sys.argv[1:] else two_devices()
