"""Chooses the training engine for the Keras backend in use."""

import random
from collections.abc import Callable

import numpy as np

from gradnet_tf.utils.backend import backend_name
from gradnet_tf.utils.errors import UserError


def start_devices(
    cpu_replicas: int = 1, strategy: str = "none", worker_timeout: float = 300.0
) -> None:
    """Initializes the backend's devices, with the CPU split into `cpu_replicas` of them.

    Only the first call in a process can split the CPU or join a cluster.

    Raises:
        UserError: the backend does not support training, or is not installed.
    """
    if backend_name() == "jax":
        from gradnet_tf.training.engines.engine_jax import start_devices as start_jax

        if strategy == "multiworker":
            raise UserError(
                "--strategy=multiworker requires TensorFlow. Received: KERAS_BACKEND=jax.\n"
                "JAX trains on one machine: --strategy=mirrored uses all of its devices."
            )
        start_jax(cpu_replicas)
    else:
        from gradnet_tf.training.engines.engine_tensorflow import start_devices as start_tensorflow

        start_tensorflow(cpu_replicas, strategy, worker_timeout)


def make_engine(config, build: Callable):
    """Returns the engine for a `TrainConfig` with the model that `build()` returns.

    A run's initial values depend only on its seed and its backend.
    """
    seed_initial_values(config.seed)
    if backend_name() == "jax":
        from gradnet_tf.training.engines.engine_jax import JaxEngine as Engine
    else:
        from gradnet_tf.training.engines.engine_tensorflow import TensorFlowEngine as Engine
    return Engine(config, build)


def seed_initial_values(seed: int) -> None:
    """Makes the initial values of the networks built from now on depend on `seed` alone."""
    if backend_name() == "jax":
        # Keras' initializers get their seeds from `random`; `keras.utils.set_random_seed` would
        # import TensorFlow if it is installed.
        random.seed(seed)
        np.random.seed(seed)
    else:
        import keras

        keras.utils.set_random_seed(seed)
