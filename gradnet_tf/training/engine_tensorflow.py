"""A training step on TensorFlow, on one device or mirrored over several, of one or more machines.

An engine is anything with these members; the loop uses no others:

- `model`, `optimizer`: Keras objects, built.
- `replicas`: the number of model copies.
- `team` (optional): what the workers tell each other, see `team`.
- `batches(dataset)`: an iterator of what `step` takes.
- `step(batch, learning_rate)`: one optimiser step; returns `loss` and
  `finite` as Python values.
- `predict(noisy, intermediates=False)`: NumPy in, NumPy out.
- `optimizer_state()`, `set_optimizer_state(arrays)`: the optimiser's
  variables as a list of NumPy arrays.
"""

import functools

import keras
import numpy as np
import tensorflow as tf

from gradnet_tf.errors import UserError
from gradnet_tf.training.cluster import cluster_for
from gradnet_tf.training.objective import objective_per_image
from gradnet_tf.training.team import Team
from gradnet_tf.training.team_tensorflow import TensorFlowTeam, connect_workers, losses_reported


@functools.cache  # two strategies in one process would mix up the keys of their collectives
def make_strategy(
    name: str, cpu_replicas: int = 1, worker_timeout: float = 300.0
) -> tf.distribute.Strategy:
    """Returns the strategy called `name`.

    Args:
        name: "none", "mirrored" (all GPUs, else all logical CPUs) or
            "multiworker" (all GPUs of every worker, else its CPU).
        cpu_replicas: logical devices that the CPU was split into.
        worker_timeout: seconds after which a silent worker counts as lost.

    Raises:
        UserError: when the CPU can no longer be split into `cpu_replicas`, or
            the environment describes no cluster.
        Interrupted: when a worker does not appear in time.
    """
    if name == "multiworker":
        return connect_workers(worker_timeout)
    if cpu_replicas > 1 and len(tf.config.list_logical_devices("CPU")) != cpu_replicas:
        raise UserError(
            f"The CPU could not be split into cpu_replicas={cpu_replicas} logical devices, since "
            "TensorFlow already runs.\nCall `start_devices` before anything else of TensorFlow."
        )
    if name == "none":
        return tf.distribute.get_strategy()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def start_devices(
    cpu_replicas: int = 1, strategy: str = "none", worker_timeout: float = 300.0
) -> None:
    """Starts TensorFlow's devices, with the CPU split into `cpu_replicas` logical ones.

    Only the first call in a process can split the CPU or join a cluster.
    """
    if strategy == "multiworker":
        make_strategy(strategy, cpu_replicas, worker_timeout)
        return
    if cpu_replicas > 1:
        cpu = tf.config.list_physical_devices("CPU")[0]
        device = tf.config.LogicalDeviceConfiguration()
        tf.config.set_logical_device_configuration(cpu, [device] * cpu_replicas)
    tf.config.list_logical_devices()


class TensorFlowEngine:
    """Gradients are reduced over the replicas, then clipped, then applied once."""

    def __init__(self, config, build):
        """Args:
        config: a `TrainConfig`.
        build: makes the model; called inside the strategy's scope.
        """
        self.config = config
        self.strategy = make_strategy(config.strategy, config.cpu_replicas, config.worker_timeout)
        self.team = Team()
        if config.strategy == "multiworker":
            self.team = TensorFlowTeam(self.strategy, cluster_for(config.strategy))
            self._check_cluster()
        with self.strategy.scope(), losses_reported():
            self.model = build()
            optimizer = keras.optimizers.Adam(config.learning_rate)
            if config.precision == "mixed_float16":
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
            optimizer.build(self.model.trainable_variables)
        self.optimizer = optimizer
        channels = self.model.channels
        image = tf.TensorSpec((None, None, None, channels), tf.float32)
        self._predict = tf.function(self.model, input_signature=[image])
        self._intermediates = tf.function(
            lambda images: self.model(images, return_intermediates=True), input_signature=[image]
        )
        self._distributed_step = tf.function(self._step_all_replicas)

    @property
    def replicas(self) -> int:
        """The number of model copies that share a batch."""
        return self.strategy.num_replicas_in_sync

    def _check_cluster(self) -> None:
        if self.config.batch_size % self.replicas:
            raise UserError(
                f"`batch_size` must be a multiple of the {self.replicas} replicas of all workers. "
                f"Received: batch_size={self.config.batch_size}"
            )
        # Where a checkpoint goes may differ from worker to worker; what is trained may not.
        fields = self.config.to_dict()
        self.team.check_equal("configuration", {**fields, "workdir": "", "workers": 0})

    def batches(self, dataset):
        """Iterates over `dataset`, split over the replicas.

        Args:
            dataset: an endless tf.data.Dataset of global batches; with several
                workers, of this worker's part of each.
        """
        if self.team.size > 1:
            return iter(
                self.strategy.distribute_datasets_from_function(lambda _: self._own(dataset))
            )
        return iter(self.strategy.experimental_distribute_dataset(dataset))

    def _own(self, dataset):
        if self.team.local_replicas > 1:
            each = self.config.batch_size // self.replicas
            dataset = dataset.unbatch().batch(each, drop_remainder=True)
        # Said to be endless, or else the workers ask each other before every batch for an end.
        return dataset.apply(
            tf.data.experimental.assert_cardinality(tf.data.experimental.INFINITE_CARDINALITY)
        )

    def _replica_step(self, noisy, clean):
        config, variables = self.config, self.model.trainable_variables
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        with tf.GradientTape() as tape:
            per_image = objective_per_image(
                self.model, noisy, clean, config.gradient_loss_weight, config.joint
            )
            # Divided by the global batch, so that the sum over replicas is the mean.
            loss = tf.reduce_sum(per_image) / config.batch_size
            target = self.optimizer.scale_loss(loss) if scaled else loss
        gradients = tape.gradient(target, variables)
        replica = tf.distribute.get_replica_context()
        gradients = replica.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        norm = tf.linalg.global_norm(gradients)
        bound = self.optimizer.scale_loss(config.clip_norm) if scaled else config.clip_norm
        factor = tf.minimum(1.0, bound / tf.maximum(norm, 1e-30))
        # A Keras optimiser in a replica context sums over the replicas once more.
        gradients = [gradient * (factor / self.replicas) for gradient in gradients]
        self.optimizer.apply(gradients, variables)
        # Under loss scaling an overflowing gradient is expected: that step was skipped.
        finite = tf.math.is_finite(loss) & (scaled | tf.math.is_finite(norm))
        return loss, tf.cast(finite, tf.float32)

    def _step_all_replicas(self, noisy, clean):
        losses, finite = self.strategy.run(self._replica_step, args=(noisy, clean))
        loss = self.strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)
        return loss, self.strategy.reduce(tf.distribute.ReduceOp.SUM, finite, axis=None)

    def step(self, batch, learning_rate: float) -> dict:
        """Runs one optimiser step on a batch from `batches`."""
        self.optimizer.learning_rate.assign(learning_rate)
        with losses_reported():
            loss, finite = self._distributed_step(*batch)
            return {"loss": float(loss), "finite": float(finite) == self.replicas}

    def predict(self, noisy: np.ndarray, intermediates: bool = False):
        """Denoises (N, H, W, C) float32; unclipped, or a dict of all intermediate images."""
        if not intermediates:
            return self._predict(noisy).numpy()
        outputs = self._intermediates(noisy)
        return {key: outputs[key].numpy() for key in ("denoised", "naive", "gradient")}

    def optimizer_state(self) -> list[np.ndarray]:
        """Returns the optimiser's variables in their fixed order."""
        return [np.asarray(keras.ops.convert_to_numpy(value)) for value in self.optimizer.variables]

    def set_optimizer_state(self, arrays: list[np.ndarray]) -> None:
        """Puts back what `optimizer_state` returned."""
        for variable, array in zip(self.optimizer.variables, arrays, strict=True):
            variable.assign(array)
