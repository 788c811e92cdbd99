"""Measures one training configuration in this process; train_throughput.py starts it.

Usage: python -m benchmarks.speed.training_cell JSON, with engine, preset, precision,
batch_size, crop_size and steps; prints one line of JSON with the device and
the seconds of each step. A process for each, so that frameworks do not share
the device's memory and a failure empties one cell only.
"""

import json
import sys
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
    """A set of the size and shape of BSDS500's training images, of random pixels."""
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
        config, lambda: build_model(config.preset, config.channels, config.precision)
    )
    if keras.backend.backend() == "jax":
        import jax

        device = jax.devices()[0].device_kind
    else:
        device = keras.distribution.list_devices()[0]
    if with_input:
        return engine, engine.batches(_device_batches(config)), device
    # On the device before the clock runs.
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
    """Returns `device` and `seconds`, those of each step after the warm-up."""
    recipe = get_preset(fields["preset"])
    # A frozen naive denoiser of random weights costs what a trained one does.
    config = TrainConfig(**fields, naive_steps=1 if recipe.naive else None, warmup_steps=0)
    if engine.startswith("torch"):
        trainer, batches, device = _torch_trainer(config, engine == "torch_compile")
    else:
        trainer, batches, device = _keras_trainer(config, engine.endswith("with_input"))
    seconds = []
    for _ in range(_WARM_UP + steps):
        started = time.perf_counter()
        # Reading the loss waits until the device has done the step.
        float(trainer.step(next(batches), 1e-4)["loss"])
        seconds.append(time.perf_counter() - started)
    return {"device": device, "seconds": seconds[_WARM_UP:]}


if __name__ == "__main__":
    print(json.dumps(measure(**json.loads(sys.argv[1]))))
