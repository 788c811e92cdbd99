"""Measures the training steps of one configuration in this process.

`train_throughput` and `input_rate` call `measure` in a separate process for each configuration, so
that frameworks do not share the device's memory and a failure affects one configuration only.
`python -m benchmarks.speed --train=adam` calls `time_training`, in which they take turns.
"""

import os
import time

import numpy as np

from gradnet_tf.models.presets import get_preset
from gradnet_tf.training.config import TrainConfig

_WARM_UP = 2


def _ready_batch(config: TrainConfig) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    shape = (config.batch_size, config.crop_size, config.crop_size, config.channels)
    clean = random.random(shape, dtype=np.float32)
    return clean + np.float32(0.1) * random.standard_normal(shape, dtype=np.float32), clean


def _device_batches(config: TrainConfig):
    """Returns batches of random pixels, with the number and size of BSDS500's training images."""
    from gradnet_tf.degradations.sampling import CropSampler
    from gradnet_tf.training.engines.device_batches import DeviceBatches

    sizes = [(321, 481)] * 400
    images = [np.random.default_rng(0).integers(0, 256, (*sizes[0], config.channels), np.uint8)]
    sampler = CropSampler(sizes, config.crop_size, config.sigma_min, config.sigma_max, 0)
    return DeviceBatches(images * len(sizes), sampler, config.batch_size)


def _keras_trainer(config: TrainConfig, with_input: bool):
    """Returns the run's engine, an endless iterator of batches and the device's name."""
    import keras

    from gradnet_tf.models.presets import build_model
    from gradnet_tf.training.engines.choose_engine import make_engine

    engine = make_engine(
        config,
        lambda: build_model(config.preset, config.channels, config.precision, joint=config.joint),
    )
    if keras.backend.backend() == "jax":
        import jax

        device = jax.devices()[0].device_kind
    else:
        device = keras.distribution.list_devices()[0]
    if with_input:
        return engine, engine.batches(_device_batches(config)), device
    # Moved to the device before timing starts.
    batch = tuple(keras.ops.convert_to_tensor(array) for array in _ready_batch(config))
    return engine, iter(lambda: batch, None), device


def _torch_trainer(config: TrainConfig, compiled: bool):
    import torch

    from benchmarks.speed.torch_gradnet import TorchTrainer

    trainer = TorchTrainer(config, compiled)
    batch = tuple(trainer.place(array) for array in _ready_batch(config))
    cuda = trainer.device.type == "cuda"
    device = torch.cuda.get_device_name() if cuda else "cpu"
    return trainer, iter(lambda: batch, None), device


def measure(engine: str, steps: int, **fields) -> dict:
    """Returns `device` and the `seconds` of each step after the warm-up.

    Args:
        engine: a key of `train_throughput.ENGINES`.
        steps: timed steps.
        **fields: fields of `TrainConfig`: preset, precision, batch_size, crop_size.
    """
    recipe = get_preset(fields["preset"])
    # A frozen naive denoiser with random weights costs the same as a trained one.
    config = TrainConfig(**fields, naive_steps=1 if recipe.naive else None, warmup_steps=0)
    if engine.startswith("torch"):
        trainer, batches, device = _torch_trainer(config, engine == "torch_compile")
    else:
        trainer, batches, device = _keras_trainer(config, engine.endswith("with_input"))
    seconds = []
    for _ in range(_WARM_UP + steps):
        started = time.perf_counter()
        # Reading the loss waits until the device has finished the step.
        float(trainer.step(next(batches), 1e-4)["loss"])
        seconds.append(time.perf_counter() - started)
    return {"device": device, "seconds": seconds[_WARM_UP:]}


def convolutions_alone(model, batch_size: int, crop_size: int):
    """Returns a function that runs the convolutions of one training step and nothing else.

    That is each layer's forward pass, and for trainable ones the gradients of kernel and input, in
    bfloat16 on data of their sizes; no biases, activations, attention, loss or update.

    Args:
        model: a Keras network on TensorFlow.
        batch_size: crops in a batch.
        crop_size: their side.
    """
    import keras
    import tensorflow as tf

    side = crop_size // getattr(model, "scale", 1)
    layers = [
        each
        for each in model._flatten_layers()
        if isinstance(each, keras.layers.Conv2D) and each.kernel_size != (1, 1)
    ]

    def data(channels):
        values = tf.random.normal((batch_size, side, side, channels))
        return tf.cast(values, tf.bfloat16)

    shapes = [tuple(each.kernel.shape) for each in layers]
    maps = {each: data(each) for each in {shape[i] for shape in shapes for i in (2, 3)}}
    kernels = [tf.cast(tf.random.normal(shape), tf.bfloat16) for shape in shapes]
    same = {"strides": [1, 1, 1, 1], "padding": "SAME"}

    @tf.function
    def run():
        total, kept = tf.constant(0.0), []

        def used(tensor):
            # TensorFlow leaves out what nothing reads.
            return tf.cast(tf.reshape(tensor, (-1,))[0], tf.float32)

        for layer, kernel in zip(layers, kernels, strict=True):
            inputs, outputs = (maps[each] for each in kernel.shape[2:])
            # One after another, as the layers of a network.
            with tf.control_dependencies(kept):
                made = [tf.raw_ops.Conv2D(input=inputs, filter=kernel, **same)]
            if layer.trainable_weights:
                with tf.control_dependencies(made):
                    made += [
                        tf.raw_ops.Conv2DBackpropInput(
                            input_sizes=inputs.shape, filter=kernel, out_backprop=outputs, **same
                        ),
                        tf.raw_ops.Conv2DBackpropFilter(
                            input=inputs, filter_sizes=kernel.shape, out_backprop=outputs, **same
                        ),
                    ]
            total, kept = total + tf.add_n([used(each) for each in made]), made
        return total

    return lambda: float(run())


def time_training(
    preset: str, optimizer: str, rounds: int, threads: int, seconds: float, size=(8, 80)
) -> dict:
    """Times training steps of TensorFlow and PyTorch in turn, from the same weights and batch.

    Args:
        preset: a GradNet; its naive denoiser is frozen.
        optimizer: "adam" or "muon".
        rounds: times that each is timed.
        threads: number of cores.
        seconds: time after which no further round begins.
        size: crops in a batch, and their side.

    Returns:
        `cases` ({name: {"precision", "ours", "losses", "seconds", "processor"}}). `processor` is
        the time of all cores, which other programs disturb less. `losses` are those of the first
        three steps, which are not timed, and have to agree. "convolutions alone" is the
        bound of both frameworks, which call the same primitives of oneDNN.

    Raises:
        ValueError: the losses differ by more than bfloat16 explains.
    """
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    cases, steps, weights = {}, {}, None
    contenders = [("TensorFlow", "mixed_bfloat16", True)]
    try:
        import torch

        torch.set_num_threads(threads)
        contenders += [("PyTorch", "mixed_bfloat16", False), ("PyTorch", "float32", False)]
    except ImportError:
        pass
    for framework, precision, ours in contenders:
        config = TrainConfig(
            preset=preset,
            precision=precision,
            optimizer=optimizer,
            batch_size=size[0],
            crop_size=size[1],
            naive_steps=1,
            warmup_steps=0,
        )
        if ours:
            trainer, batches, _ = _keras_trainer(config, False)
            weights = trainer.model.get_weights()
            bound = convolutions_alone(trainer.model, *size)
        else:
            from benchmarks.speed.torch_gradnet import load_keras_weights

            trainer, batches, _ = _torch_trainer(config, False)
            load_keras_weights(trainer.module, weights)

        batch = next(batches)

        def step(trainer=trainer, batch=batch):
            return float(trainer.step(batch, 3e-5)["loss"])

        shown = precision.removeprefix("mixed_")
        name = f"{framework} {shown}"
        facts = {"precision": shown, "ours": ours, "seconds": []}
        cases[name], steps[name] = {**facts, "losses": [step() for _ in range(3)]}, step
    first = next(iter(cases.values()))["losses"]
    for name, case in cases.items():
        if not np.allclose(case["losses"], first, rtol=0.03):
            raise ValueError(f"{name} does not train alike: losses {case['losses']}, {first}")
    bound()
    cases["convolutions alone"] = {"precision": "bfloat16", "ours": True, "seconds": []}
    steps["convolutions alone"] = bound
    end = time.perf_counter() + seconds
    for number in range(rounds):
        if number and time.perf_counter() > end:
            break
        for name, step in steps.items():
            started, used = time.perf_counter(), time.process_time()
            step()
            cases[name]["seconds"].append(time.perf_counter() - started)
            cases[name].setdefault("processor", []).append(time.process_time() - used)
    return {"cases": cases}
