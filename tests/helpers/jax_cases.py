"""Run by test_training_engine_jax.py in processes of their own, under one Keras backend each.

Usage: python jax_cases.py CASE FOLDER, with KERAS_BACKEND set. The weights, batches and results of
the cases meet in FOLDER. Under JAX no TensorFlow can be imported.
"""

import dataclasses
import os
import sys
from pathlib import Path

import numpy as np

if os.environ["KERAS_BACKEND"] == "jax":
    sys.modules["tensorflow"] = None  # Any import of it fails.

import keras  # noqa: E402

from gradnet_tf.models.presets import build_model  # noqa: E402
from gradnet_tf.training.config import TrainConfig  # noqa: E402
from gradnet_tf.training.engines.choose_engine import make_engine, start_devices  # noqa: E402

CONFIG = TrainConfig(
    preset="gradnet_tiny",
    batch_size=4,
    crop_size=24,
    warmup_steps=0,
    joint=True,
    clip_norm=0.2,
    optimizer=os.environ.get("CASE_OPTIMIZER", "adam"),
)
STEPS, SPLIT = 50, 8


def batches(count=STEPS):
    """Ready batches that are the same for every backend: smooth pictures and noise."""
    random = np.random.default_rng(1)
    corners = random.random((count, 4, 2, 2, 3))
    weights = np.linspace(0, 1, 24)
    weights = np.stack([1 - weights, weights])
    clean = np.einsum("ky,kx,nbkjc->nbyxc", weights, weights, corners, optimize=False)
    clean = clean.astype("float32")
    noise = random.standard_normal(clean.shape, dtype=np.float32)
    return list(zip(clean + np.float32(0.1) * noise, clean, strict=True))


def engine_for(config, weights=None):
    """An engine, with the weights of a file if there is one, else it writes them."""
    engine = make_engine(
        config,
        lambda: build_model(config.preset, config.channels, config.precision, joint=config.joint),
    )
    if weights is not None and weights.exists():
        engine.model.load_weights(weights)
    elif weights is not None:
        engine.model.save_weights(weights)
    return engine


def train(engine, examples):
    """Trains, with a learning rate that changes every step; returns the losses."""
    losses = []
    for step, (noisy, clean) in enumerate(examples):
        batch = (keras.ops.convert_to_tensor(noisy), keras.ops.convert_to_tensor(clean))
        result = engine.step(batch, 1e-3 * (1 - step / 100))
        assert result["finite"]
        losses.append(result["loss"])
    return losses


def compare(folder):
    """Trains from common weights, leaves all that the other backend must agree with."""
    backend = keras.backend.backend()
    engine = engine_for(CONFIG, folder / "initial.weights.h5")
    losses = train(engine, batches()[:SPLIT])
    # The other backend goes on from here, with the optimiser's state.
    middle = folder / f"{backend}_middle.weights.h5"
    engine.model.save_weights(middle)
    np.savez(folder / f"{backend}_middle.npz", *engine.state()["optimizer"])
    losses += train(engine, batches()[SPLIT:])
    engine.model.save_weights(folder / f"{backend}.weights.h5")
    noisy = batches(1)[0][0]
    results = {"losses": losses, "outputs": engine.predict(noisy), "noisy": noisy}
    for other in {"tensorflow", "jax"} - {backend}:
        if (folder / f"{other}.weights.h5").exists():
            engine.model.load_weights(folder / f"{other}.weights.h5")
            results["outputs_of_other"] = engine.predict(noisy)
            engine.model.load_weights(folder / f"{other}_middle.weights.h5")
            with np.load(folder / f"{other}_middle.npz") as state:
                engine.set_state({"optimizer": [state[name] for name in state.files]})
            results["losses_from_other"] = train(engine, batches()[SPLIT:])
    np.savez(folder / f"{backend}_results.npz", **results)


def load(folder):
    """What this backend makes of the weights that JAX trained."""
    model = build_model(CONFIG.preset, joint=CONFIG.joint)
    model.load_weights(folder / "jax.weights.h5")
    np.save(folder / "loaded.npy", np.asarray(model(batches(1)[0][0])))


def two_devices(folder):
    """One device and two, on the same ready batches and on the same choices."""
    start_devices(2)
    found = {}
    for strategy in ("none", "mirrored"):
        config = dataclasses.replace(CONFIG, strategy=strategy)
        engine = engine_for(config, folder / "initial.weights.h5")
        found[strategy] = train(engine, batches(SPLIT))
        parts = engine_for(dataclasses.replace(config, accumulate=2), folder / "initial.weights.h5")
        found[f"{strategy}_parts"] = train(parts, batches(SPLIT))
        found[f"{strategy}_replicas"] = engine.replicas
        stream = engine.batches(device_batches())
        found[f"{strategy}_stream"] = [engine.step(next(stream), 1e-3)["loss"] for _ in range(4)]
    np.savez(folder / "two_devices.npz", **found)


def details(folder):
    """What one step does to the weights: clipped, under loss scaling, after an overflow, NaN."""
    (noisy, clean), rate, found = batches(1)[0], 1e-3, {}
    base = dataclasses.replace(CONFIG, preset="dncnn_tiny", joint=False, clip_norm=1.0)

    def move(engine, noisy=noisy):
        before = engine.model.get_weights()
        result = engine.step((noisy, clean), rate)
        pairs = zip(engine.model.get_weights(), before, strict=True)
        return result, np.concatenate([(new - old).ravel() for new, old in pairs]) / rate

    engine = engine_for(base)
    _, found["single"] = move(engine)
    result, found["nan_move"] = move(engine, noisy * np.float32(np.nan))
    found["nan"] = result["finite"]
    found["after_nan"] = move(engine)[1]
    engine = engine_for(dataclasses.replace(base, ema=0.9))
    average = [np.array(weight) for weight in engine.model.trainable_variables]
    for decay in (0.1, 0.5, 0.9):
        engine.step((noisy, clean), 1e-2, decay)
        weights = [np.array(weight) for weight in engine.model.trainable_variables]
        pairs = zip(average, weights, strict=True)
        average = [decay * old + (1 - decay) * new for old, new in pairs]
    plain = engine.predict(noisy)
    with engine.averaged():
        pairs = zip(average, engine.model.trainable_variables, strict=True)
        found["ema_error"] = max(np.abs(one - np.array(two)).max() for one, two in pairs)
        found["ema_effect"] = np.abs(engine.predict(noisy) - plain).max()
    found["ema_left"] = np.abs(engine.predict(noisy) - plain).max()
    state = engine.state()
    engine.step((noisy * np.float32(np.nan), clean), 1e-2, 0.5)
    pairs = zip(state["ema"], engine.state()["ema"], strict=True)
    found["ema_nan"] = max(np.abs(one - two).max() for one, two in pairs)
    # Far below Adam's epsilon of 1e-7: the step shrinks with the gradient.
    _, found["clipped"] = move(engine_for(dataclasses.replace(base, clip_norm=1e-9)))
    engine = engine_for(dataclasses.replace(base, precision="mixed_float16"))
    result, found["half"] = move(engine)
    found["half_finite"] = result["finite"]
    engine.optimizer.dynamic_scale.assign(3e38)
    _, found["overflow"] = move(engine, noisy * np.float32(1e3))
    found["scale"] = np.array(engine.optimizer.dynamic_scale)
    np.savez(folder / "details.npz", **found)


def survives(folder):
    """What a NaN leaves, what a checkpoint restores, and a step under loss scaling."""
    from gradnet_tf.training.checkpoints import CheckpointStore

    (noisy, clean), *others = batches(4)

    def flat(engine):
        arrays = [*engine.model.get_weights(), *sum(engine.state().values(), [])]
        return np.concatenate([np.asarray(array, np.float64).ravel() for array in arrays])

    engine = engine_for(dataclasses.replace(CONFIG, ema=0.9))
    engine.step((noisy, clean), 1e-3, 0.5)
    found = {"before": flat(engine)}
    found["nan"] = engine.step((noisy * np.float32(np.nan), clean), 1e-3, 0.5)["finite"]
    found["after"] = flat(engine)
    CheckpointStore(folder).save(
        engine.model, engine.state(), {"step": 1, "elapsed": 1.0, "best_psnr": None}
    )
    other = engine_for(dataclasses.replace(CONFIG, ema=0.9, seed=5))
    CheckpointStore(folder).restore(other.model, other.set_state)
    for name, each in (("whole", engine), ("resumed", other)):
        found[f"{name}_losses"] = [each.step(batch, 1e-3, 0.5)["loss"] for batch in others]
        found[name] = flat(each)
    half = engine_for(dataclasses.replace(CONFIG, precision="mixed_float16"))
    weights = half.model.get_weights()
    found["half"] = half.step((noisy, clean), 1e-3)["finite"]
    pairs = zip(weights, half.model.get_weights(), strict=True)
    found["half_moved"] = max(np.abs(one - two).max() for one, two in pairs)
    np.savez(folder / "survives.npz", **found)


def float16(folder):
    """Under loss scaling: gradients that are never finite, and a batch that ruins statistics."""
    from gradnet_tf.models import DnCNN
    from gradnet_tf.models.base import build_model as build_variables

    class Broken(DnCNN):
        def loss_per_image(self, noisy, clean, gradient_loss_weight):
            denoised = self(noisy, training=True)
            zero = 0 * keras.ops.sum(keras.ops.square(denoised), axis=(1, 2, 3))
            error = keras.ops.mean(keras.ops.abs(denoised - clean), axis=(1, 2, 3))
            return error + keras.ops.sqrt(zero)

    (noisy, clean), found = batches(1)[0], {}
    config = dataclasses.replace(
        CONFIG, preset="dncnn_tiny", joint=False, precision="mixed_float16"
    )
    engine = make_engine(config, lambda: build_variables(Broken(3, 4, dtype="mixed_float16")))
    found["finite"] = [engine.step((noisy, clean), 1e-3)["finite"] for _ in range(20)]
    found["weights"] = np.concatenate([each.ravel() for each in engine.model.get_weights()])
    normalized = DnCNN(3, 4, batch_norm=True, dtype="mixed_float16")
    engine = make_engine(config, lambda: build_variables(normalized))
    ruined = noisy.copy()
    ruined[0, 0, 0, 0] = 1e9  # infinite in 16 bits
    found["ruined"] = engine.step((ruined, clean), 1e-3)["finite"]
    engine.step((noisy, clean), 1e-3)
    found["after"] = engine.predict(noisy)
    np.savez(folder / "float16.npz", **found)


def device_batches(batch_size=4, start_step=0):
    """A training set of three random pictures of different sizes, crop 24, blind."""
    from gradnet_tf.degradations.sampling import CropSampler
    from gradnet_tf.training.engines.device_batches import DeviceBatches

    random = np.random.default_rng(2)
    sizes = [(24, 31), (40, 24), (33, 29)]
    images = [random.integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    return DeviceBatches(images, CropSampler(sizes, 24, 5, 50, seed=7), batch_size, start_step)


if __name__ == "__main__":
    cases = (compare, load, two_devices, details, survives, float16)
    cases = {case.__name__: case for case in cases}
    cases[sys.argv[1]](Path(sys.argv[2]))
