"""Training steps on TensorFlow, on one device or mirrored over several, on one or more machines.

The loop uses only these members of an engine:

- `model`, `optimizer`: Keras objects, built.
- `replicas`: the number of model copies.
- `team` (optional): how the workers communicate, see `team`.
- `batches(dataset)`: an iterator of batches for `step`.
- `step(batch, learning_rate, ema_decay=0.0)`: starts one optimizer step;
  returns a `StepResult`, which waits for it.
- `predict(noisy, intermediates=False, sigma=None)`: NumPy in, NumPy out.
- `needs_sigma` (optional): whether `predict` needs the noise levels.
- `use_l2()` (only with `config.l2_share`): subsequent steps minimize the root mean square.
- `averaged()`: a context in which the model has its averaged weights.
- `state()`, `set_state(state)`: lists of NumPy arrays by name: "optimizer",
  and "ema" with averaged weights.
"""

import functools
from contextlib import AbstractContextManager

import keras
import numpy as np
import tensorflow as tf

from gradnet_tf.training.engines.averages import assign, averages_in_place, make_averages, values_of
from gradnet_tf.training.engines.objective import objective_per_image
from gradnet_tf.training.engines.optimizers import make_optimizer
from gradnet_tf.training.engines.step_result import StepResult
from gradnet_tf.training.workers.cluster import cluster_for
from gradnet_tf.training.workers.team import Team
from gradnet_tf.training.workers.team_tensorflow import (
    TensorFlowTeam,
    connect_workers,
    losses_reported,
)
from gradnet_tf.utils.errors import UserError


@functools.cache  # two strategies in one process would confuse their collective keys
def make_strategy(
    name: str, cpu_replicas: int = 1, worker_timeout: float = 300.0
) -> tf.distribute.Strategy:
    """Returns the strategy called `name`.

    Args:
        name: "none", "mirrored" (all GPUs, else all logical CPUs) or
            "multiworker" (all GPUs of every worker, else its CPU).
        cpu_replicas: logical devices that the CPU was split into.
        worker_timeout: seconds after which an unresponsive worker counts as lost.

    Raises:
        UserError: the CPU can no longer be split into `cpu_replicas`, or the environment does not
            describe a cluster.
        Interrupted: a worker does not appear in time.
    """
    if name == "multiworker":
        return connect_workers(worker_timeout)
    if cpu_replicas > 1 and len(tf.config.list_logical_devices("CPU")) != cpu_replicas:
        raise UserError(
            f"The CPU could not be split into cpu_replicas={cpu_replicas} logical devices, "
            "because TensorFlow is already initialized.\n"
            "Call `start_devices` before other TensorFlow functions."
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
    """Sums gradients over a batch's parts and the replicas, then clips, then applies them."""

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
        self._check_batch_size()
        if self.team.size > 1:
            # Workers must have the same configuration, except for these fields.
            fields = {**config.to_dict(), "workdir": "", "workers": 0}
            self.team.check_equal("configuration", fields)
        with self.strategy.scope(), losses_reported():
            self.model = build()
            optimizer = make_optimizer(config)
            optimizer.build(self.model.trainable_variables)
            self._averages = make_averages(self.model, config.ema)
        self.optimizer = optimizer
        # The forward pass updates these moving averages of batch normalization before it is known
        # whether the step is finite, so a skipped step has to restore them.
        self._moving = [
            variable
            for variable in self.model.non_trainable_variables
            if variable.name in ("moving_mean", "moving_variance")
        ]
        if self._moving and config.accumulate > 1 and self.replicas > 1:
            raise UserError(
                "Batch normalization over several devices needs the whole batch at once: "
                f"`accumulate` must be 1 here. Received: accumulate={config.accumulate}"
            )
        channels = getattr(self.model, "input_channels", self.model.channels)
        inputs = [tf.TensorSpec((None, None, None, channels), tf.float32)]
        self.needs_sigma = getattr(self.model, "needs_sigma", False)
        if self.needs_sigma:
            inputs.append(tf.TensorSpec((None,), tf.float32))
        self._predict = tf.function(self._call, input_signature=inputs)
        self._intermediates = tf.function(
            lambda *inputs: self._call(*inputs, return_intermediates=True), input_signature=inputs
        )
        self._l2 = False
        self._distributed_step = tf.function(self._step_all_replicas)

    def _call(self, images, *sigma, **kwargs):
        if sigma:
            kwargs["sigma"] = sigma[0]
        return self.model(images, **kwargs)

    @property
    def replicas(self) -> int:
        """The number of model copies that share a batch."""
        return self.strategy.num_replicas_in_sync

    def _check_batch_size(self) -> None:
        config = self.config
        parts = self.replicas * config.accumulate
        if config.batch_size % parts:
            raise UserError(
                f"`batch_size` must be a multiple of {parts}: {self.replicas} replicas of all "
                f"workers × accumulate={config.accumulate}.\n"
                f"Received: batch_size={config.batch_size}"
            )

    def batches(self, dataset):
        """Iterates over `dataset`, split over the replicas.

        Args:
            dataset: an endless tf.data.Dataset of global batches; with several workers, of this
                worker's part of each.
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
        # Otherwise the workers exchange messages before every batch about the end of the data.
        return dataset.apply(
            tf.data.experimental.assert_cardinality(tf.data.experimental.INFINITE_CARDINALITY)
        )

    def _part_gradients(self, noisy, clean):
        config, optimizer = self.config, self.optimizer
        scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        with tf.GradientTape() as tape:
            per_image = objective_per_image(
                self.model, noisy, clean, config.gradient_loss_weight, config.joint, self._l2
            )
            # Divided by the global batch, so that the sum over parts and replicas is the mean.
            loss = tf.reduce_sum(per_image) / config.batch_size
            target = optimizer.scale_loss(loss) if scaled else loss
        return loss, tape.gradient(target, self.model.trainable_variables)

    def _own_gradients(self, noisy, clean):
        """Loss and gradients of this replica's part of the batch."""
        count = self.config.accumulate
        if count == 1:
            return self._part_gradients(noisy, clean)
        noisy, clean = (
            tf.reshape(images, tf.concat([[count, -1], tf.shape(images)[1:]], 0))
            for images in (noisy, clean)
        )

        def add_part(index, loss, gradients):
            part_loss, new = self._part_gradients(noisy[index], clean[index])
            return index + 1, loss + part_loss, [a + b for a, b in zip(gradients, new, strict=True)]

        zeros = [tf.zeros(variable.shape) for variable in self.model.trainable_variables]
        _, loss, gradients = tf.while_loop(
            lambda index, *_: index < count,
            add_part,
            (0, 0.0, zeros),
            parallel_iterations=1,  # one part at a time, to save memory
        )
        return loss, gradients

    def _reduced_gradients(self, noisy, clean):
        """Loss, clipped gradients and finiteness of the global batch, equal on all replicas."""
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        loss, gradients = self._own_gradients(noisy, clean)
        replica = tf.distribute.get_replica_context()
        loss, *gradients = replica.all_reduce(tf.distribute.ReduceOp.SUM, [loss, *gradients])
        norm = tf.linalg.global_norm(gradients)
        bound = self.config.clip_norm
        bound = self.optimizer.scale_loss(bound) if scaled else bound
        # A Keras optimizer in a replica context sums over the replicas again.
        factor = tf.minimum(1.0, bound / tf.maximum(norm, 1e-30)) if self.config.clip_norm else 1.0
        factor = factor / self.replicas
        # Under loss scaling overflowing gradients are expected, and the optimizer skips such steps
        # and halves the scale. At a scale of 1 or less it is not the scale that makes them.
        expected = scaled and self.optimizer.dynamic_scale > 1.0
        finite = tf.math.is_finite(loss) & (expected | tf.math.is_finite(norm))
        return loss, [gradient * factor for gradient in gradients], finite

    def _apply(self, gradients):
        self.optimizer.apply(gradients, self.model.trainable_variables)

    def _update_averages(self, ema_decay):
        def move(average, weight):
            average.assign_add((1.0 - ema_decay) * (weight - average))

        for average, weight in zip(self._averages, self.model.trainable_variables, strict=True):
            self.strategy.extended.update(average.value, move, args=(weight.value,), group=False)

    def _restore_moving(self, moving):
        self.strategy.run(assign, args=(self._moving, moving))
        return False

    def _step_all_replicas(self, noisy, clean, ema_decay):
        scaled = isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer)
        moving = self.strategy.run(lambda: [tf.identity(value) for value in self._moving])
        losses, gradients, finite = self.strategy.run(self._reduced_gradients, args=(noisy, clean))
        loss, finite = (self.strategy.experimental_local_results(v)[0] for v in (losses, finite))

        def update():
            self.strategy.run(self._apply, args=(gradients,))
            if self._averages:
                self._update_averages(ema_decay)
            return True

        if scaled:
            update()
        else:
            tf.cond(finite, update, lambda: False)
        if moving:
            tf.cond(finite, lambda: True, lambda: self._restore_moving(moving))
        return loss, finite

    def step(self, batch, learning_rate: float, ema_decay: float = 0.0) -> StepResult:
        """Starts one optimizer step on a batch from `batches`.

        A step whose loss or gradient is not finite changes neither weights nor optimizer state.
        """
        self.optimizer.learning_rate.assign(learning_rate)
        with losses_reported():
            loss, finite = self._distributed_step(*batch, tf.constant(ema_decay, tf.float32))

        def read():
            with losses_reported():
                return loss.numpy(), finite.numpy()

        return StepResult(read)

    def use_l2(self) -> None:
        """Makes subsequent steps minimize the root mean square instead of L1."""
        self._l2 = True
        self._distributed_step = tf.function(self._step_all_replicas)  # traced again

    def predict(self, noisy: np.ndarray, intermediates: bool = False, sigma=None):
        """Denoises (N, H, W, C) float32; unclipped, or a dict of all intermediate images.

        With `needs_sigma`, `sigma` is float32 (N,) on the 0-255 scale.
        """
        inputs = [noisy] if sigma is None else [noisy, sigma]
        if not intermediates:
            return self._predict(*inputs).numpy()
        outputs = self._intermediates(*inputs)
        return {key: outputs[key].numpy() for key in ("denoised", "naive", "gradient")}

    def averaged(self) -> AbstractContextManager[None]:
        """Context in which the model has its averaged weights."""
        return averages_in_place(self.model, self._averages)

    def state(self) -> dict[str, list[np.ndarray]]:
        """Returns the optimizer's variables and the averages, each in a fixed order."""
        state = {"optimizer": values_of(self.optimizer.variables)}
        return {**state, "ema": values_of(self._averages)} if self._averages else state

    def set_state(self, state: dict[str, list[np.ndarray]]) -> None:
        """Restores the result of `state`."""
        assign(self.optimizer.variables, state["optimizer"])
        assign(self._averages, state.get("ema", []))
