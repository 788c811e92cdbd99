"""What a step minimises and leaves alone, by value: λ, ψ's own loss, a frozen ψ, replicas."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import reference_network as reference
from keras import ops

from gradnet_tf import models
from gradnet_tf.models import losses
from gradnet_tf.models.base import build_model
from gradnet_tf.training.config import TrainConfig
from gradnet_tf.training.engines import objective
from gradnet_tf.training.validation import image_psnrs
from gradnet_tf.training.workers.team import Team

ROOT = Path(__file__).resolve().parents[2]
ON_TENSORFLOW = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="uses TensorFlow's tape or strategies"
)
RNG = np.random.default_rng(3)
CLEAN = RNG.random((2, 9, 7, 3), dtype=np.float32)
NOISY = CLEAN + RNG.normal(0, 0.1, CLEAN.shape).astype(np.float32)


def numpy(values):
    return np.asarray(ops.convert_to_numpy(values), np.float64)


def mean_of(images):
    return np.abs(images).mean(axis=(1, 2, 3))


def sobel(images):
    """Horizontal and vertical responses, float64, the border repeated."""
    padded = np.pad(images.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    x, y = padded[:, :, 2:] - padded[:, :, :-2], padded[:, 2:] - padded[:, :-2]
    return x[:, :-2] + 2 * x[:, 1:-1] + x[:, 2:], y[:, :, :-2] + 2 * y[:, :, 1:-1] + y[:, :, 2:]


def paper_loss(clean, denoised, weight):
    gradients = sum(mean_of(part) for part in sobel(denoised - clean))
    return mean_of(denoised - clean) + weight * gradients


def small_gradnet(trainable=True, scale=1):
    naive = models.DnCNN(3, 4, scale=scale)
    naive.trainable = trainable
    return reference.draw_weights(build_model(models.GradNet(naive, 5, 1, 1, scale=scale)))


def test_lambda_is_a_tenth_unless_said():
    expected = paper_loss(CLEAN, NOISY, 0.1)
    found = numpy(losses.gradnet_loss_per_image(CLEAN, NOISY))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert float(losses.GradNetLoss()(CLEAN, NOISY)) == pytest.approx(expected.mean(), rel=1e-5)
    assert TrainConfig().gradient_loss_weight == 0.1


def test_train_py_has_the_defaults_of_the_configuration():
    code = (
        "import dataclasses, json, train; "
        "made = train.make_config(train.COMMAND_LINE.parse(['train.py'])); "
        "print(json.dumps(dataclasses.asdict(made)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    # The script starts with the small network and a folder of its own.
    assert found.pop("preset") == "gradnet_small" and found.pop("workdir") == "runs/train"
    wanted = json.loads(json.dumps(dataclasses.asdict(TrainConfig(preset="gradnet_small"))))
    assert found == {name: wanted[name] for name in found}
    assert found["gradient_loss_weight"] == 0.1 and found["nan_limit"] == 10


@pytest.mark.parametrize("weight", [0.0, 0.1, 1.5])
@pytest.mark.parametrize("joint", [False, True])
def test_joint_training_adds_the_l1_of_the_naive_estimate(joint, weight):
    model = small_gradnet()
    outputs = model(NOISY, return_intermediates=True)
    expected = paper_loss(CLEAN, numpy(outputs["denoised"]), weight)
    if joint:
        own = mean_of(numpy(outputs["naive"]) - CLEAN)
        assert own.min() > 0.01
        expected = expected + own
    found = numpy(objective.objective_per_image(model, NOISY, CLEAN, weight, joint))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_network_that_needs_it_receives_the_noise_of_each_image():
    model = reference.draw_weights(build_model(models.FFDNet(3, 4)))
    noisy = CLEAN + np.float32([10 / 255, 40 / 255])[:, None, None, None]
    sigma = numpy(objective.realized_sigma(noisy, CLEAN))
    np.testing.assert_allclose(sigma, [10, 40], rtol=1e-4)
    # A frame without noise says nothing of the level of the rest.
    framed = noisy.copy()
    framed[:, :3], framed[:, :, -2:] = CLEAN[:, :3], CLEAN[:, :, -2:]
    np.testing.assert_allclose(numpy(objective.realized_sigma(framed, CLEAN)), sigma, rtol=1e-4)
    np.testing.assert_array_equal(numpy(objective.realized_sigma(CLEAN, CLEAN)), 0)
    denoised = numpy(model(noisy, np.float32([10, 40])))
    found = numpy(objective.objective_per_image(model, noisy, CLEAN, 0.1, False))
    np.testing.assert_allclose(found, paper_loss(CLEAN, denoised, 0.1), rtol=1e-4)


def _derivatives(model, naive, images):
    import tensorflow as tf

    with tf.GradientTape(persistent=True) as tape:
        for variable in naive.variables:
            tape.watch(variable.value)
        total = tf.reduce_sum(model(images) ** 2)
    return [tape.gradient(total, variable.value) for variable in naive.variables]


@ON_TENSORFLOW
@pytest.mark.parametrize("kind", ["gradnet", "skdncnn"])
def test_no_derivative_goes_through_a_frozen_naive_denoiser(kind):
    def make(trainable):
        if kind == "gradnet":
            return small_gradnet(trainable)
        naive = models.DnCNN(3, 4)
        naive.trainable = trainable
        model = models.SKDnCNN("II", "approximate", naive, num_layers=3, filters=4)
        return reference.draw_weights(build_model(model))

    frozen, learning = make(False), make(True)
    # Watched by hand: the variables of a frozen model are not among those that are trained, but
    # without a stop the whole backward pass through it would still be computed.
    assert all(part is None for part in _derivatives(frozen, frozen.naive_denoiser, NOISY))
    assert all(part is not None for part in _derivatives(learning, learning.naive_denoiser, NOISY))
    np.testing.assert_array_equal(numpy(frozen(NOISY)), numpy(learning(NOISY)))


REPLICAS = """
import json, keras, numpy as np, tensorflow as tf
from gradnet_tf.training.config import TrainConfig
from gradnet_tf.models import DnCNN
from gradnet_tf.models.base import build_model
from gradnet_tf.training.engines.choose_engine import make_engine, start_devices
start_devices(2)
clean = np.random.default_rng(0).random((4, 12, 12, 3), dtype="float32")
noisy = np.float32(clean + np.random.default_rng(1).normal(0, 0.1, clean.shape))
found = {}
for clip in (1e-3, 1e3):
    for strategy in ("none", "mirrored"):
        config = TrainConfig(
            preset="dncnn", batch_size=4, strategy=strategy, cpu_replicas=2, clip_norm=clip
        )
        engine = make_engine(config, lambda: build_model(DnCNN(3, 6)))
        with engine.strategy.scope():
            # Its step is the gradient itself; Adam's would be the same at any scale.
            engine.optimizer = keras.optimizers.SGD(1.0)
            engine.optimizer.build(engine.model.trainable_variables)
        before = engine.model.get_weights()
        batches = engine.batches(tf.data.Dataset.from_tensors((noisy, clean)).repeat())
        loss = engine.step(next(batches), 1.0)["loss"]
        moves = [new - old for new, old in zip(engine.model.get_weights(), before)]
        move = np.concatenate([part.ravel() for part in moves]).astype("float64")
        found[f"{strategy} {clip:g}"] = [engine.replicas, loss, *move]
print(json.dumps(found))
"""


@ON_TENSORFLOW
def test_two_replicas_take_the_same_step_as_one_and_clip_the_same_norm():
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-c", REPLICAS],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    for clip in ("0.001", "1000"):
        one, two = (np.array(found[f"{strategy} {clip}"]) for strategy in ("none", "mirrored"))
        assert (one[0], two[0]) == (1, 2)
        norm = np.linalg.norm(one[2:])
        assert norm == pytest.approx(1e-3, rel=1e-3) if clip == "0.001" else norm > 1e-2
        np.testing.assert_allclose(two[1:], one[1:], rtol=1e-4, atol=1e-4 * norm)


def test_validation_scores_the_clipped_output():
    clean = np.zeros((8, 8, 3), np.float32)
    clean[:4] = 1
    outside = clean + np.where(clean > 0, 0.5, -0.5).astype(np.float32)
    outside[0, 0, 0] = 0.5  # the one value that is wrong once the others are clipped
    engine = SimpleNamespace(predict=lambda images: images)
    expected = -10 * np.log10(0.25 / clean.size)
    assert image_psnrs(engine, [(outside, clean)], Team()) == pytest.approx([expected], abs=1e-3)


def test_validation_tells_a_network_the_level_of_the_draws():
    told = []

    def predict(images, sigma):
        told.append(sigma)
        return images

    engine = SimpleNamespace(predict=predict, needs_sigma=True)
    clean = CLEAN[0]
    # ±20 on the 0-255 scale around an image that varies much more.
    noise = np.where(np.arange(clean.size).reshape(clean.shape) % 2, 20, -20) / 255
    image_psnrs(engine, [(clean + noise.astype(np.float32), clean)], Team())
    (sigma,) = told
    assert sigma.shape == (1,) and sigma.dtype == np.float32
    assert sigma[0] == pytest.approx(20, rel=1e-4)
