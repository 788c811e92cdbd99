"""Training steps on JAX: one compiled, functional step on one or several devices.

The interface is that of `engine_tensorflow`. Between steps the state is a tuple of arrays on the
devices; each step takes it and returns the next one. Accessing `model`, `optimizer` or their state
copies it into the Keras variables, and the next step reads it from them again. So access `model`
again after every step, and do not keep a reference.

Devices are addressed by `jax.sharding`, because `keras.distribution` distributes the variables of
models that are trained by Keras, and here the step is a function of arrays, with the training set
in device memory.
"""

from contextlib import contextmanager
from typing import NamedTuple

import jax
import jax.numpy as jnp
import keras
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gradnet_tf.training.engines.averages import assign, averages_in_place, make_averages, values_of
from gradnet_tf.training.engines.device_batches import Choices, DeviceBatches, make_batch
from gradnet_tf.training.engines.objective import objective_per_image
from gradnet_tf.training.engines.optimizers import make_optimizer
from gradnet_tf.training.engines.step_result import StepResult
from gradnet_tf.utils.errors import UserError


def start_devices(cpu_replicas: int = 1) -> None:
    """Starts JAX's devices, with the CPU split into `cpu_replicas` of them.

    Raises:
        UserError: JAX is already initialized with another number.
    """
    if cpu_replicas > 1:
        try:
            jax.config.update("jax_num_cpu_devices", cpu_replicas)
        except RuntimeError:
            pass  # JAX is already initialized, maybe with this number; checked below
        found = len(jax.devices("cpu"))
        if found != cpu_replicas:
            raise UserError(
                f"The CPU could not be split into cpu_replicas={cpu_replicas} devices, because JAX "
                f"is already initialized with {found}.\nCall `start_devices` before other JAX "
                "functions."
            )
    jax.devices()


class _State(NamedTuple):
    """Everything that a step changes: the values of Keras' variables, in Keras' order."""

    trainable: list
    non_trainable: list
    optimizer: list
    averages: list


def _position(variables, wanted) -> int:
    """Returns the index of the object `wanted` in a list of variables, by identity."""
    return next(index for index, variable in enumerate(variables) if variable is wanted)


class JaxEngine:
    """Splits the batch over the devices, with a copy of the variables on each; XLA reduces."""

    def __init__(self, config, build):
        """Args:
        config: a `TrainConfig`.
        build: builds the model.

        Raises:
            UserError: the batch cannot be split evenly over the devices.
        """
        self.config = config
        # Without a strategy only the first device is used.
        devices = jax.devices() if config.strategy == "mirrored" else jax.devices()[:1]
        if config.batch_size % (len(devices) * config.accumulate):
            raise UserError(
                f"`batch_size` must be a multiple of the {len(devices)} devices × "
                f"accumulate={config.accumulate}.\nReceived: batch_size={config.batch_size}"
            )
        mesh = Mesh(np.array(devices), ("batch",))
        self._everywhere = NamedSharding(mesh, PartitionSpec())
        self._split = NamedSharding(mesh, PartitionSpec("batch"))
        self.replicas = len(devices)
        self._model = build()
        self.needs_sigma = getattr(self._model, "needs_sigma", False)
        self._optimizer = make_optimizer(config)
        self._optimizer.build(self._model.trainable_variables)
        self._averages = make_averages(self._model, config.ema)
        self._state: _State | None = None  # None: the Keras variables are up to date
        self._planes = ()
        self._crop_size = None
        self._l2 = False
        self._step_on_arrays = jax.jit(self._one_step, donate_argnums=0, static_argnames="l2")
        self._step_on_choices = jax.jit(
            self._choices_step, donate_argnums=0, static_argnames=("crop_size", "l2")
        )
        self._predict = jax.jit(self._call, static_argnames="return_intermediates")

    @property
    def model(self) -> keras.Model:
        """The Keras model, up to date until the next step."""
        self._write_back()
        return self._model

    @property
    def optimizer(self) -> keras.optimizers.Optimizer:
        """The Keras optimizer, up to date until the next step."""
        self._write_back()
        return self._optimizer

    def _variables(self) -> _State:
        model = self._model
        return _State(
            model.trainable_variables,
            model.non_trainable_variables,
            self._optimizer.variables,
            self._averages,
        )

    def _write_back(self) -> None:
        if self._state is not None:
            for variables, values in zip(self._variables(), self._state, strict=True):
                for variable, value in zip(variables, values, strict=True):
                    variable.assign(value)
            self._state = None

    def _read(self) -> _State:
        """Copies the variables to the devices."""
        values = jax.tree.map(lambda variable: variable.value, self._variables())
        # A copy, because the step donates its arguments and would free the variables' memory.
        return jax.tree.map(jnp.copy, jax.device_put(values, self._everywhere))

    def batches(self, dataset):
        """Iterates over batches for `step`.

        Args:
            dataset: `DeviceBatches`, whose images are copied to the devices here, or an iterable of
                (noisy, clean).
        """
        if not isinstance(dataset, DeviceBatches):
            return iter(dataset)
        self._planes = jax.device_put(dataset.planes, self._everywhere)
        self._crop_size = dataset.crop_size
        return iter(dataset)

    def _scope(self, trainable, non_trainable) -> keras.StatelessScope:
        """Runs the model with these values; `stateless_call` would bypass `__call__`."""
        model = self._model
        mapping = [
            *zip(model.trainable_variables, trainable, strict=True),
            *zip(model.non_trainable_variables, non_trainable, strict=True),
        ]
        return keras.StatelessScope(state_mapping=mapping)

    def _gradients(self, state, noisy, clean, scale, l2):
        """Loss, gradients of the scaled loss and new non-trainable values for some images."""
        config = self.config

        def target(trainable):
            with self._scope(trainable, state.non_trainable) as scope:
                per_image = objective_per_image(
                    self._model, noisy, clean, config.gradient_loss_weight, config.joint, l2
                )
            # Divided by the global batch, so that the sum over its parts is the mean.
            loss = jnp.sum(per_image) / config.batch_size
            variables = self._model.non_trainable_variables
            updated = [scope.get_current_value(variable) for variable in variables]
            return loss * scale, (loss, updated)

        (_, (loss, non_trainable)), gradients = jax.value_and_grad(target, has_aux=True)(
            state.trainable
        )
        return loss, gradients, non_trainable

    def _accumulated(self, state, noisy, clean, scale, l2):
        """Like `_gradients`, with the batch in `accumulate` sequential parts."""
        count = self.config.accumulate
        if count == 1:
            return self._gradients(state, noisy, clean, scale, l2)

        def parts(images):
            # Each device splits its own part; no image moves between devices.
            cut = images.reshape(self.replicas, count, -1, *images.shape[1:])
            return cut.swapaxes(0, 1).reshape(count, -1, *images.shape[1:])

        def add_part(total, part):
            loss, gradients, non_trainable = total
            state_now = state._replace(non_trainable=non_trainable)
            part_loss, new, non_trainable = self._gradients(state_now, *part, scale, l2)
            return (loss + part_loss, jax.tree.map(jnp.add, gradients, new), non_trainable), None

        zeros = jax.tree.map(jnp.zeros_like, state.trainable)
        start = (jnp.float32(0), zeros, state.non_trainable)
        return jax.lax.scan(add_part, start, (parts(noisy), parts(clean)))[0]

    def _one_step(self, state, noisy, clean, rates, *, l2):
        learning_rate, ema_decay = rates
        optimizer = self._optimizer
        places = optimizer.variables
        optimizer_values = list(state.optimizer)
        # An argument of the compiled step, so that a change does not recompile it.
        optimizer_values[_position(places, optimizer.learning_rate)] = learning_rate
        scaled = isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
        scale = optimizer_values[_position(places, optimizer.dynamic_scale)] if scaled else 1.0
        loss, gradients, non_trainable = self._accumulated(state, noisy, clean, scale, l2)
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(gradient)) for gradient in gradients))
        if self.config.clip_norm:
            factor = jnp.minimum(1.0, self.config.clip_norm * scale / jnp.maximum(norm, 1e-30))
            gradients = [gradient * factor for gradient in gradients]
        trainable, optimizer_values = optimizer.stateless_apply(
            optimizer_values, gradients, state.trainable
        )
        averages = [
            average + (1.0 - ema_decay) * (weight - average)
            for average, weight in zip(state.averages, trainable, strict=False)  # none or all
        ]
        new = _State(trainable, non_trainable, optimizer_values, averages)
        # Under loss scaling overflowing gradients are expected, and the optimizer skips such steps
        # and halves the scale. At a scale of 1 or less it is not the scale that makes them.
        finite = jnp.isfinite(loss) & ((scaled and scale > 1.0) | jnp.isfinite(norm))

        def kept(now, before):
            return jax.tree.map(lambda one, other: jnp.where(finite, one, other), now, before)

        if not scaled:
            return kept(new, state), loss, finite
        # The scale moves in any case; the statistics of a batch that is not finite do not.
        new = new._replace(non_trainable=kept(non_trainable, state.non_trainable))
        return new, loss, finite

    def _choices_step(self, state, planes, choices, rates, *, crop_size, l2):
        noisy, clean = make_batch(planes, choices, crop_size)
        noisy, clean = jax.lax.with_sharding_constraint((noisy, clean), self._split)
        return self._one_step(state, noisy, clean, rates, l2=l2)

    def step(self, batch, learning_rate: float, ema_decay: float = 0.0) -> StepResult:
        """Starts one step on a batch from `batches`, or on (noisy, clean) arrays.

        A step whose loss or gradient is not finite changes neither weights nor optimizer state.
        """
        state, rates = self._state or self._read(), np.float32([learning_rate, ema_decay])
        self._state = None
        batch = jax.device_put(batch, self._split)
        if isinstance(batch, Choices):
            state, loss, finite = self._step_on_choices(
                state, self._planes, batch, rates, crop_size=self._crop_size, l2=self._l2
            )
        else:
            state, loss, finite = self._step_on_arrays(state, *batch, rates, l2=self._l2)
        self._state = state
        return StepResult(lambda: (float(loss), bool(finite)))

    def use_l2(self) -> None:
        """Makes subsequent steps minimize the root mean square instead of L1."""
        self._l2 = True

    def _call(self, trainable, non_trainable, noisy, sigma, *, return_intermediates=False):
        # Only some models take these arguments.
        kwargs = {"return_intermediates": True} if return_intermediates else {}
        if sigma is not None:
            kwargs["sigma"] = sigma
        with self._scope(trainable, non_trainable):
            return self._model(noisy, **kwargs)

    def predict(self, noisy: np.ndarray, intermediates: bool = False, sigma=None):
        """Denoises (N, H, W, C) float32; unclipped, or a dict of all intermediate images.

        With `needs_sigma`, `sigma` is float32 (N,) on the 0-255 scale.
        """
        if self._state is None:
            self._state = self._read()
        trainable, non_trainable = self._state.trainable, self._state.non_trainable
        outputs = self._predict(
            trainable,
            non_trainable,
            np.asarray(noisy),
            sigma,
            return_intermediates=intermediates,
        )
        if not intermediates:
            return np.asarray(outputs)
        return {key: np.asarray(outputs[key]) for key in ("denoised", "naive", "gradient")}

    @contextmanager
    def averaged(self):
        """Context in which the model has its averaged weights."""
        with averages_in_place(self.model, self._averages):
            try:
                yield
            finally:
                self._state = None  # `predict` copied the averages to the devices

    def state(self) -> dict[str, list[np.ndarray]]:
        """Returns the optimizer's variables and the averages, each in a fixed order."""
        self._write_back()
        state = {"optimizer": values_of(self._optimizer.variables)}
        return {**state, "ema": values_of(self._averages)} if self._averages else state

    def set_state(self, state: dict[str, list[np.ndarray]]) -> None:
        """Restores the result of `state`."""
        self._write_back()
        assign(self._optimizer.variables, state["optimizer"])
        assign(self._averages, state.get("ema", []))
