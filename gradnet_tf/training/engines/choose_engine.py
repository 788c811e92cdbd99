"""Chooses the training engine for the Keras backend in use."""

import random
from collections.abc import Callable

import numpy as np

from gradnet_tf.utils.backend import backend_name
from gradnet_tf.utils.errors import UserError


def start_devices(
    cpu_replicas: int = 1, strategy: str = "none", worker_timeout: float = 300.0
) -> None:
    """Starts the backend's devices, with the CPU split into `cpu_replicas` of them.

    Only the first call in a process can split the CPU or join a cluster.

    Raises:
        UserError: when the backend cannot train, or is not installed.
    """
    if backend_name() == "jax":
        from gradnet_tf.training.engines.engine_jax import start_devices as start_jax

        if strategy == "multiworker":
            raise UserError(
                "--strategy=multiworker runs on TensorFlow. Received: KERAS_BACKEND=jax.\n"
                "JAX trains on one machine: --strategy=mirrored takes all of its devices."
            )
        start_jax(cpu_replicas)
    else:
        from gradnet_tf.training.engines.engine_tensorflow import start_devices as start_tensorflow

        start_tensorflow(cpu_replicas, strategy, worker_timeout)


def make_engine(config, build: Callable):
    """Returns the engine for a `TrainConfig` with the model that `build()` makes.

    A run's initial values depend only on its seed and its backend.
    """
    backend = backend_name()
    if backend == "jax":
        # Keras' initialisers take their seeds from `random`; its own `set_random_seed` would
        # import TensorFlow where that is installed.
        random.seed(config.seed)
        np.random.seed(config.seed)
        from gradnet_tf.training.engines.engine_jax import JaxEngine as Engine
    else:
        import keras

        keras.utils.set_random_seed(config.seed)
        from gradnet_tf.training.engines.engine_tensorflow import TensorFlowEngine as Engine
    return Engine(config, build)
