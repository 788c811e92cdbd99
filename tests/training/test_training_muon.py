"""Muon: each step as in NumPy, which variables it moves, and on TensorFlow all that Adam has."""

import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest

from gradnet_tf.models.presets import build_model
from gradnet_tf.training.checkpoints import CheckpointStore
from gradnet_tf.training.config import TrainConfig
from gradnet_tf.training.engines.optimizers import Muon, make_optimizer

RATE = 0.03
MUONS_OF_GRADNET_SMALL = {f"dn_cnn/conv_{number}/kernel" for number in (1, 2, 3)} | {
    f"grad_net/body/module_{module}/{part}/kernel"
    for module in (0, 1)
    for part in ("fusion", *(f"unit_{n}/conv{c}" for n in range(3) for c in (1, 2)))
}
SHAPES = {
    "tall": (3, 3, 24, 20),
    "square": (2, 2, 17, 68),
    "first": (3, 3, 12, 32),
    "last": (3, 3, 32, 12),
    "attention": (1, 1, 32, 32),
    "bias": (32,),
}
BY_MUON = {"tall", "square"}


def orthogonalised(matrix):
    """Five Newton–Schulz steps as published (Jordan et al., 2024), on the wide matrix."""
    a, b, c = 3.4445, -4.7750, 2.0315
    turned = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if turned else matrix
    x = x / (np.linalg.norm(x) + 1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if turned else x


class NumpyMuon:
    """One variable's momentum, or both moments of Adam, in double precision."""

    def __init__(self, value, by_muon):
        self.value, self.by_muon, self.steps = value.astype(np.float64), by_muon, 0
        self.first = self.second = np.zeros_like(self.value)

    def step(self, gradient, rate):
        gradient, self.steps = gradient.astype(np.float64), self.steps + 1
        if self.by_muon:
            self.first = 0.95 * self.first + gradient
            nesterov = gradient + 0.95 * self.first
            matrix = nesterov.reshape(-1, nesterov.shape[-1])
            update = orthogonalised(matrix).reshape(nesterov.shape)
            self.value = self.value - rate * 0.2 * np.sqrt(max(matrix.shape)) * update
            return
        self.first = 0.9 * self.first + 0.1 * gradient
        self.second = 0.999 * self.second + 0.001 * gradient**2
        first = self.first / (1 - 0.9**self.steps)
        second = self.second / (1 - 0.999**self.steps)
        # Keras adds epsilon before the bias of the second moment is corrected.
        correction = np.sqrt(1 - 0.999**self.steps)
        self.value = self.value - rate * first / (np.sqrt(second) + 1e-7 / correction)


def test_three_steps_are_those_of_numpy():
    generator = np.random.default_rng(0)
    values = {key: generator.normal(size=shape) * 0.1 for key, shape in SHAPES.items()}
    variables = [keras.Variable(value.astype("float32"), name=key) for key, value in values.items()]
    optimizer = Muon(RATE)
    optimizer.build(variables)
    expected = {key: NumpyMuon(value, key in BY_MUON) for key, value in values.items()}
    for step in range(3):
        rate = RATE / (step + 1)
        optimizer.learning_rate = rate
        gradients = [generator.normal(size=shape).astype("float32") for shape in SHAPES.values()]
        optimizer.apply(list(map(keras.ops.convert_to_tensor, gradients)))
        for reference, gradient in zip(expected.values(), gradients, strict=True):
            reference.step(gradient, rate)
    for variable in variables:
        reference = expected[variable.name]
        moved = np.abs(reference.value - values[variable.name]).max()
        error = np.abs(keras.ops.convert_to_numpy(variable) - reference.value).max()
        assert error < 1e-5 < moved, variable.name


def test_a_kernel_without_gradient_stays():
    variable = keras.Variable(np.ones(SHAPES["tall"], "float32"))
    optimizer = Muon(RATE)
    optimizer.build([variable])
    optimizer.apply([keras.ops.zeros(SHAPES["tall"])])
    # No weight decay either.
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), 1)


def test_an_orthogonalised_kernel_has_the_root_mean_square_of_an_adam_update():
    gradient = np.random.default_rng(1).normal(size=(3, 3, 64, 64)).astype("float32")
    optimizer = Muon()
    update = optimizer.zeropower_via_newtonschulz5(keras.ops.convert_to_tensor(gradient), 5)
    update = keras.ops.convert_to_numpy(optimizer.lr_adjust(update))
    assert np.sqrt(np.mean(update**2)) == pytest.approx(0.2, abs=0.05)
    singular = np.linalg.svd(update.reshape(-1, 64), compute_uv=False) / (0.2 * np.sqrt(576))
    assert 0.6 < singular.min() and singular.max() < 1.3


def test_of_gradnet_small_the_inner_3x3_kernels_are_muons():
    keras.utils.clear_session()  # names count the models of a process
    model = build_model("gradnet_small", joint=True)
    optimizer = Muon()
    optimizer.build(model.trainable_variables)
    paths = {
        variable.path
        for variable, velocity in zip(
            model.trainable_variables, optimizer.adam_velocities, strict=True
        )
        if velocity is None
    }
    shapes = {v.path: tuple(v.shape) for v in model.trainable_variables}
    assert paths == MUONS_OF_GRADNET_SMALL
    assert {shapes[path] for path in paths} == {(3, 3, 64, 64), (3, 3, 128, 64), (3, 3, 32, 32)}
    others = {path: shapes[path] for path in shapes.keys() - paths}
    # What is left: biases, 1×1 kernels, and the first and last convolutions of both networks.
    kernels = {path: shape for path, shape in others.items() if path.endswith("kernel")}
    assert all(len(shape) == 1 for path, shape in others.items() if path not in kernels)
    thin = [path for path, shape in kernels.items() if shape[0] == 3]
    assert len(thin) == 4 and all(12 in kernels[path][2:] for path in thin)


def test_a_kernel_with_more_outputs_than_rows_is_adams():
    for outputs, is_adams in ((9 * 17, False), (9 * 17 + 1, True)):
        kernel = keras.Variable(np.zeros((3, 3, 17, outputs), "float32"))
        assert Muon()._should_use_adamw(kernel) == is_adams


def test_its_config_makes_the_same_optimiser_again():
    optimizer = Muon(0.5)
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, Muon) and again.get_config() == optimizer.get_config()
    assert again.weight_decay is None and again.adam_weight_decay is None


def test_make_optimizer_takes_the_configs():
    config = TrainConfig(preset="gradnet_tiny", optimizer="muon")
    assert type(make_optimizer(config)) is Muon
    assert float(make_optimizer(config).learning_rate) == pytest.approx(2e-3)
    adam = make_optimizer(dataclasses.replace(config, optimizer="adam"))
    assert isinstance(adam, keras.optimizers.Adam) and not adam.wakes
    half = make_optimizer(dataclasses.replace(config, precision="mixed_float16"))
    assert isinstance(half, keras.optimizers.LossScaleOptimizer)
    assert type(half.inner_optimizer) is Muon


@pytest.mark.parametrize("name", ["muon", "adam"])
def test_weight_decay_shrinks_kernels_besides_the_step(name):
    config = TrainConfig(preset="gradnet_tiny", optimizer=name, learning_rate=RATE)
    generator = np.random.default_rng(2)
    shapes = {**SHAPES, "level": (5,)}
    values = [generator.normal(size=shape).astype("float32") for shape in shapes.values()]
    steps = [generator.normal(size=shape).astype("float32") for shape in shapes.values()]

    def after(decay):
        variables = [keras.Variable(v, name=n) for n, v in zip(shapes, values, strict=True)]
        optimizer = make_optimizer(dataclasses.replace(config, weight_decay=decay))
        optimizer.build(variables)
        gradients = list(map(keras.ops.convert_to_tensor, steps))
        optimizer.apply(gradients)
        return map(keras.ops.convert_to_numpy, variables)

    for key, value, plain, decayed in zip(shapes, values, after(0.0), after(0.5), strict=True):
        shrunk = 0 if key in ("bias", "level") else RATE * 0.5 * value
        np.testing.assert_allclose(decayed, plain - shrunk, atol=2e-6, err_msg=key)


@pytest.mark.parametrize("name", ["muon", "adam"])
def test_a_bias_without_any_gradient_rises(name):
    config = TrainConfig(preset="gradnet_tiny", optimizer=name, learning_rate=RATE, warmup_steps=0)
    kernel = np.random.default_rng(3).normal(size=(3, 3, 20, 20)).astype("float32")
    given = [np.float32([0.5, 0, -0.5, 0]), 0 * kernel]

    def after(wake):
        variables = [
            keras.Variable(0 * given[0], name="bias"),
            keras.Variable(kernel, name="kernel"),
        ]
        optimizer = make_optimizer(dataclasses.replace(config, wake=wake))
        optimizer.build(variables)
        for _ in range(3):
            optimizer.apply(list(map(keras.ops.convert_to_tensor, given)))
        return [keras.ops.convert_to_numpy(variable) for variable in variables]

    (plain, _), (woken, moved) = after(False), after(True)
    # Adam's steps of a gradient that stays the same are as long as the rate.
    np.testing.assert_allclose(woken, [-3 * RATE, 3 * RATE, 3 * RATE, 3 * RATE], rtol=5e-3)
    np.testing.assert_allclose(plain, [-3 * RATE, 0, 3 * RATE, 0], rtol=5e-3)
    np.testing.assert_array_equal(moved, kernel)


if keras.backend.backend() != "tensorflow":
    pytest.skip("the TensorFlow engine needs KERAS_BACKEND=tensorflow", allow_module_level=True)

import tensorflow as tf  # noqa: E402

from gradnet_tf.training.engines.engine_tensorflow import TensorFlowEngine  # noqa: E402

GENERATOR = np.random.default_rng(0)
CLEAN = GENERATOR.random((4, 16, 16, 3), dtype=np.float32)
NOISY = CLEAN + GENERATOR.standard_normal(CLEAN.shape).astype("float32") * np.float32(0.1)
BASE = TrainConfig(
    preset="gradnet_tiny",
    batch_size=4,
    crop_size=16,
    warmup_steps=0,
    optimizer="muon",
    joint=True,
    naive_steps=0,
)


def make_engine(**changes):
    config = dataclasses.replace(BASE, **changes)
    keras.utils.set_random_seed(config.seed)
    return TensorFlowEngine(
        config,
        lambda: build_model(config.preset, config.channels, config.precision, joint=config.joint),
    )


def steps(engine, count=3, noisy=NOISY, decay=0.0):
    batch = tf.constant(noisy), tf.constant(CLEAN)
    return [engine.step(batch, 1e-3 / (n + 1), decay) for n in range(count)]


def assert_equal(ours, theirs):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)


def distance(ours, theirs):
    return max(np.abs(one - other).max() for one, other in zip(ours, theirs, strict=True))


def test_the_optimiser_changes_the_weights_and_the_loss_falls():
    losses, weights = {}, {}
    for name in ("adam", "muon"):
        engine = make_engine(optimizer=name)
        losses[name] = [
            engine.step((tf.constant(NOISY), tf.constant(CLEAN)), 2e-3)["loss"] for _ in range(20)
        ]
        weights[name] = engine.model.get_weights()
        assert losses[name][-1] < 0.97 * losses[name][0]
    assert losses["adam"][0] == losses["muon"][0]
    assert distance(weights["adam"], weights["muon"]) > 1e-3


@pytest.mark.slow
def test_parts_of_a_batch_are_the_whole():
    whole, parts = make_engine(), make_engine(accumulate=2)
    for one, other in zip(steps(whole), steps(parts), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-6)
    assert distance(whole.model.get_weights(), parts.model.get_weights()) < 1e-5


@pytest.mark.parametrize("strategy", ["none", pytest.param("mirrored", marks=pytest.mark.slow)])
def test_a_nan_changes_neither_weights_nor_state(strategy):
    engine = make_engine(strategy=strategy, ema=0.9)
    steps(engine, 1, decay=0.5)
    weights, state = engine.model.get_weights(), engine.state()
    bad = NOISY.copy()
    bad[0, 0, 0, 0] = np.nan
    (result,) = steps(engine, 1, bad, 0.5)
    assert not result["finite"]
    assert_equal(weights, engine.model.get_weights())
    for key in ("optimizer", "ema"):
        assert_equal(state[key], engine.state()[key])
    assert steps(engine, 1, decay=0.5)[0]["finite"]
    assert distance(weights, engine.model.get_weights()) > 1e-5


def test_averages_follow_their_definition():
    engine = make_engine(ema=0.5)
    expected = [weight.numpy() for weight in engine.model.trainable_weights]
    for decay in (0.1, 0.5):
        steps(engine, 1, decay=decay)
        weights = [weight.numpy() for weight in engine.model.trainable_weights]
        expected = [decay * e + (1 - decay) * w for e, w in zip(expected, weights, strict=True)]
    with engine.averaged():
        averages = [weight.numpy() for weight in engine.model.trainable_weights]
    assert distance(averages, expected) < 1e-6 < distance(averages, weights)


@pytest.mark.slow
def test_loss_scaling_gives_the_step_and_survives_an_overflow():
    half, single = make_engine(precision="mixed_float16"), make_engine()
    initial = half.model.get_weights()
    assert steps(half, 1)[0]["finite"] and steps(single, 1)[0]["finite"]
    pairs = zip(half.model.get_weights(), single.model.get_weights(), strict=True)
    apart = np.concatenate([np.abs(one - other).ravel() for one, other in pairs])
    moved = distance(initial, single.model.get_weights())
    assert (apart > 0.3 * moved).mean() < 0.05
    half.optimizer.dynamic_scale.assign(3e38)
    weights = half.model.get_weights()
    steps(half, 1, NOISY * np.float32(1e3))
    assert_equal(weights, half.model.get_weights())
    assert float(half.optimizer.dynamic_scale) < 2e38


def test_a_checkpoint_resumes_bit_for_bit(tmp_path):
    engine = make_engine(ema=0.9)
    steps(engine, 2, decay=0.5)
    store = CheckpointStore(tmp_path)
    store.save(engine.model, engine.state(), {"step": 2, "elapsed": 1.0, "best_psnr": None})
    other = make_engine(ema=0.9, seed=5)
    CheckpointStore(tmp_path).restore(other.model, other.set_state)
    assert list(tmp_path.glob("checkpoints/step-*/optimizer-*.npz"))
    for one, two in zip(steps(engine, 2, decay=0.5), steps(other, 2, decay=0.5), strict=True):
        assert one["loss"] == two["loss"]
    assert_equal(engine.model.get_weights(), other.model.get_weights())
    assert_equal(engine.state()["optimizer"], other.state()["optimizer"])
    assert_equal(engine.state()["ema"], other.state()["ema"])


@pytest.mark.slow
def test_two_replicas_are_one_and_a_resumed_run_is_the_uninterrupted_one(tmp_path):
    from test_train_script import finish, log, losses

    flags = "--optimizer=muon --steps=10 --naive_steps=0 --joint --checkpoint_every=5".split()
    finish(tmp_path / "one", *flags)
    finish(tmp_path / "two", *flags, "--strategy=mirrored", "--cpu_replicas=2", "--accumulate=2")
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert log(tmp_path / "two")[0]["replicas"] == 2 and len(one) == 10
    np.testing.assert_allclose(two, one, atol=1e-5, rtol=0)
    recorded = json.loads((tmp_path / "one/config.json").read_text())["train"]
    assert recorded["optimizer"] == "muon" and recorded["learning_rate"] == 2e-3

    def files(name):
        manifest = tmp_path / name / "checkpoints/step-00000010/manifest.json"
        return json.loads(manifest.read_text())["files"]

    shutil.copytree(tmp_path / "one", tmp_path / "resumed")
    shutil.rmtree(tmp_path / "resumed/checkpoints/step-00000010")
    finish(tmp_path / "resumed", *flags)
    resumed = [row["step"] for row in log(tmp_path / "resumed") if row.get("event") == "resume"]
    assert resumed == [5] and losses(tmp_path / "resumed") == one
    assert files("resumed") == files("one") != files("two")


def test_a_channel_that_never_fired_learns_again():
    def trained(wake):
        engine = make_engine(wake=wake, learning_rate=0.05)
        unit = engine.model.body.residual_modules[0].units[0]
        unit.conv1.bias.assign(unit.conv1.bias - 1.0 * (np.arange(unit.filters) == 3))
        unit.conv1.kernel.assign(unit.conv1.kernel * (np.arange(unit.filters) != 3))
        for _ in range(40):
            result = engine.step((tf.constant(NOISY), tf.constant(CLEAN)), 0.05)
        assert result["finite"]
        return np.asarray(unit.conv1.bias)[3], np.abs(np.asarray(unit.conv1.kernel)[..., 3]).max()

    assert trained(False) == (-1.0, 0.0)
    bias, kernel = trained(True)
    assert bias > -0.1 and kernel > 0
