"""The TensorFlow engine: every variable learns, every knob of a step is live."""

import dataclasses
import math

import keras
import numpy as np
import pytest

from gradnet_tf.models import DnCNN
from gradnet_tf.models.base import build_model as build_variables
from gradnet_tf.models.presets import build_model
from gradnet_tf.training.config import TrainConfig
from gradnet_tf.utils.errors import UserError

if keras.backend.backend() != "tensorflow":
    pytest.skip("the TensorFlow engine needs KERAS_BACKEND=tensorflow", allow_module_level=True)

import tensorflow as tf  # noqa: E402

from gradnet_tf.training.engines.engine_tensorflow import TensorFlowEngine  # noqa: E402

RNG = np.random.default_rng(0)
CLEAN = RNG.random((4, 16, 16, 3), dtype=np.float32)
NOISY = CLEAN + RNG.standard_normal(CLEAN.shape).astype("float32") * np.float32(0.1)
BASE = TrainConfig(preset="gradnet_tiny", batch_size=4, crop_size=16, warmup_steps=0)


def make_engine(config):
    keras.utils.set_random_seed(config.seed)
    return TensorFlowEngine(
        config,
        lambda: build_model(config.preset, config.channels, config.precision, joint=config.joint),
    )


def train(config, steps=3):
    engine = make_engine(config)
    for _ in range(steps):
        result = engine.step((tf.constant(NOISY), tf.constant(CLEAN)), config.learning_rate)
    return engine, result


@pytest.fixture(scope="module")
def base():
    engine, _ = train(BASE)
    return engine.model.get_weights()


def differs(weights, others):
    return any((a != b).any() for a, b in zip(weights, others, strict=True))


def test_same_config_same_weights(base):
    assert not differs(base, train(BASE)[0].model.get_weights())


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"learning_rate": 1e-4},
        {"gradient_loss_weight": 0.0},
        {"clip_norm": 1e-9},
        {"joint": True},
        {"precision": "mixed_bfloat16"},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_knob_of_a_step_changes_the_result(base, changes):
    engine, result = train(dataclasses.replace(BASE, **changes))
    assert result["finite"]
    assert differs(base, engine.model.get_weights())


@pytest.mark.parametrize("joint", [False, True])
def test_no_trainable_variable_is_without_gradient(joint):
    # The plain L1 and dead ReLUs can hide a wire: two steps move everything that is connected.
    config = dataclasses.replace(BASE, joint=joint)
    engine = make_engine(config)
    before = [weight.numpy().copy() for weight in engine.model.weights]
    for _ in range(2):
        engine.step((tf.constant(NOISY), tf.constant(CLEAN)), 1e-3)
    moved = {
        weight.path: (weight.numpy() != old).any()
        for weight, old in zip(engine.model.weights, before, strict=True)
    }
    trainable = {weight.path for weight in engine.model.trainable_weights}
    assert {path for path, value in moved.items() if value} == trainable
    naive = {weight.path for weight in engine.model.naive_denoiser.weights}
    assert (naive <= trainable) == joint
    assert not any("sobel" in path for path in moved)


def test_loss_falls():
    config = dataclasses.replace(BASE, learning_rate=2e-3)
    engine = make_engine(config)
    batch = (tf.constant(NOISY), tf.constant(CLEAN))
    losses = [engine.step(batch, 2e-3)["loss"] for _ in range(30)]
    assert losses[-1] < 0.9 * losses[0]


def test_mixed_float16_scales_the_loss_and_survives_an_overflow():
    config = dataclasses.replace(BASE, precision="mixed_float16", preset="dncnn_tiny")
    engine, result = train(config, 1)
    optimizer = engine.optimizer
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer) and result["finite"]
    # The clipped, unscaled gradient gives the same step as float32, to half precision.
    single, _ = train(dataclasses.replace(config, precision="float32"), 1)
    pairs = zip(engine.model.get_weights(), single.model.get_weights(), strict=True)
    # Adam's first step is ±2e-3 an element; rounding flips few of the signs.
    apart = np.concatenate([np.abs(half - full).ravel() for half, full in pairs]) > 5e-4
    assert apart.mean() < 0.05
    optimizer.dynamic_scale.assign(3e38)
    weights = engine.model.get_weights()
    engine.step((tf.constant(NOISY * 1e3), tf.constant(CLEAN)), 1e-3)
    assert not differs(weights, engine.model.get_weights())
    assert float(optimizer.dynamic_scale) < 2e38


@pytest.mark.parametrize("strategy", ["none", "mirrored"])
def test_a_nan_is_reported_and_changes_nothing(strategy):
    engine = make_engine(dataclasses.replace(BASE, strategy=strategy, ema=0.9))
    good, bad = (tf.constant(NOISY), tf.constant(CLEAN)), NOISY.copy()
    bad[0, 0, 0, 0] = np.nan
    engine.step(good, 1e-3, 0.5)
    weights, state = engine.model.get_weights(), engine.state()
    result = engine.step((tf.constant(bad), tf.constant(CLEAN)), 1e-3, 0.5)
    assert not result["finite"] and math.isnan(result["loss"])
    assert not differs(weights, engine.model.get_weights())
    after = engine.state()
    # The learning rate is set before the step.
    assert not differs(state["optimizer"], after["optimizer"]) and not differs(
        state["ema"], after["ema"]
    )
    assert engine.step(good, 1e-3, 0.5)["finite"] and differs(weights, engine.model.get_weights())


def test_gradients_that_are_not_finite_are_reported_with_a_finite_loss():
    engine = make_engine(dataclasses.replace(BASE, preset="dncnn_tiny"))
    weights = engine.model.get_weights()
    # The squares of such gradients overflow, their sum's root with them; the loss does not.
    result = engine.step((tf.constant(NOISY * np.float32(1e30)), tf.constant(CLEAN)), 1e-3)
    assert math.isfinite(result["loss"]) and not result["finite"]
    assert not differs(weights, engine.model.get_weights())


class Broken(DnCNN):
    """Its loss is finite and its gradient is not: the slope of a root at zero."""

    def loss_per_image(self, noisy, clean, gradient_loss_weight):
        denoised = self(noisy, training=True)
        zero = 0 * keras.ops.sum(keras.ops.square(denoised), axis=(1, 2, 3))
        return keras.ops.mean(keras.ops.abs(denoised - clean), axis=(1, 2, 3)) + keras.ops.sqrt(
            zero
        )


def test_gradients_that_no_loss_scale_makes_finite_are_reported():
    config = dataclasses.replace(BASE, precision="mixed_float16", preset="dncnn_tiny")
    engine = TensorFlowEngine(config, lambda: build_variables(Broken(3, 4, dtype="mixed_float16")))
    before = engine.model.get_weights()
    found = [
        engine.step((tf.constant(NOISY), tf.constant(CLEAN)), 1e-3)["finite"] for _ in range(20)
    ]
    assert found == [True] * 15 + [False] * 5  # from a scale of 2**15 to 1, and then no further
    assert not differs(before, engine.model.get_weights())


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_parts_of_a_batch_add_up_to_the_whole(precision):
    config = dataclasses.replace(BASE, preset="dncnn_tiny", precision=precision, clip_norm=0.01)
    moves = []
    for accumulate in (1, 2, 4):
        engine = make_engine(dataclasses.replace(config, accumulate=accumulate))
        engine.optimizer = keras.optimizers.SGD(1.0)  # shows the gradient itself
        if precision == "mixed_float16":
            engine.optimizer = keras.optimizers.LossScaleOptimizer(engine.optimizer)
        engine.optimizer.build(engine.model.trainable_variables)
        before = engine.model.get_weights()
        loss = engine.step((tf.constant(NOISY), tf.constant(CLEAN)), 1.0)["loss"]
        pairs = zip(engine.model.get_weights(), before, strict=True)
        moves.append((loss, np.concatenate([(new - old).ravel() for new, old in pairs])))
    atol = 1e-7 if precision == "float32" else 1e-4
    assert np.abs(moves[0][1]).max() > 1e-4
    for loss, move in moves[1:]:
        assert loss == pytest.approx(moves[0][0], abs=1e-3 if precision != "float32" else 1e-6)
        np.testing.assert_allclose(move, moves[0][1], rtol=0, atol=atol)


def test_a_batch_that_cannot_be_cut_is_refused():
    with pytest.raises(UserError, match="`accumulate` must be a divisor of batch_size=4. Rec"):
        dataclasses.replace(BASE, accumulate=3)


def test_averages_follow_their_definition_and_take_the_models_place_for_a_while():
    engine = make_engine(dataclasses.replace(BASE, preset="dncnn_tiny", ema=0.9))
    expected = [weight.numpy().copy() for weight in engine.model.trainable_weights]
    for decay in (0.1, 0.5, 0.9):
        engine.step((tf.constant(NOISY), tf.constant(CLEAN)), 1e-2, decay)
        weights = [weight.numpy().copy() for weight in engine.model.trainable_weights]
        expected = [decay * e + (1 - decay) * w for e, w in zip(expected, weights, strict=True)]
    plain = engine.predict(NOISY)
    with engine.averaged():
        for ours, theirs in zip(engine.model.trainable_weights, expected, strict=True):
            np.testing.assert_allclose(ours.numpy(), theirs, rtol=0, atol=1e-6)
        assert np.abs(engine.predict(NOISY) - plain).max() > 1e-4
    np.testing.assert_array_equal(engine.predict(NOISY), plain)
    assert not differs(weights, [weight.numpy() for weight in engine.model.trainable_weights])


def test_clipping_bounds_the_global_norm():
    # With plain SGD the step is the clipped gradient itself.
    config = dataclasses.replace(BASE, clip_norm=1e-3)
    engine = make_engine(config)
    engine.optimizer = keras.optimizers.SGD(1.0)
    engine.optimizer.build(engine.model.trainable_variables)
    before = [weight.numpy().copy() for weight in engine.model.trainable_weights]
    engine.step((tf.constant(NOISY), tf.constant(CLEAN)), 1.0)
    steps = [
        weight.numpy() - old
        for weight, old in zip(engine.model.trainable_weights, before, strict=True)
    ]
    norm = math.sqrt(sum(float((step.astype("float64") ** 2).sum()) for step in steps))
    assert norm == pytest.approx(1e-3, rel=1e-2)


def test_intermediates_and_state_round_trip():
    engine, _ = train(BASE, 1)
    outputs = engine.predict(NOISY, intermediates=True)
    assert set(outputs) == {"denoised", "naive", "gradient"}
    np.testing.assert_allclose(outputs["denoised"], engine.predict(NOISY), atol=1e-6)
    state = engine.state()
    other = make_engine(BASE)
    other.set_state(state)
    assert set(state) == {"optimizer"} and not differs(
        state["optimizer"], other.state()["optimizer"]
    )


def test_no_bound_leaves_the_gradient_as_it_is():
    moves = []
    for bound in (0.0, 1e6):
        engine = make_engine(dataclasses.replace(BASE, preset="dncnn_tiny", clip_norm=bound))
        engine.optimizer = keras.optimizers.SGD(1.0)
        engine.optimizer.build(engine.model.trainable_variables)
        before = engine.model.get_weights()
        engine.step((tf.constant(NOISY), tf.constant(CLEAN)), 1.0)
        moves.append(
            [new - old for new, old in zip(engine.model.get_weights(), before, strict=True)]
        )
    assert not differs(*moves)
    assert max(np.abs(move).max() for move in moves[0]) > 1e-4
