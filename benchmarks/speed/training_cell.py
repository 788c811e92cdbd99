"""Measures the training steps of one configuration in this process.

`train_throughput` and `input_rate` call `measure` in a separate process for each configuration, so
that frameworks do not share the device's memory and a failure affects one configuration only.
"""

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
