"""The optimizers: Adam, and Muon for convolutions."""

import math

import keras
from keras import ops

# Kernels with at most so many input or output channels are not orthogonalized: the first and the
# last convolution, and those of very thin networks.
_MOST_THIN_CHANNELS = 16
# What takes the place of a bias's gradient that is zero: about as large as others are, so that the
# first real one is no surprise to Adam's second moment.
_WAKING_GRADIENT = -1e-3


class _Waking:
    """Lets biases rise whose gradient is exactly zero: that of a channel that fires nowhere.

    A ReLU of which every input is negative passes no gradient, neither to its convolution nor to
    the one that reads it, so that the channel is lost for the rest of the training. No gradient of
    another bias is zero in every bit.
    """

    wakes = False

    def update_step(self, gradient, variable, learning_rate):
        # TensorFlow's own variables have other names, and on each replica another one.
        own = self._trainable_variables[self._get_variable_index(variable)]
        if self.wakes and own.name == "bias":
            gradient = ops.where(ops.equal(gradient, 0), _WAKING_GRADIENT, gradient)
        super().update_step(gradient, variable, learning_rate)


@keras.saving.register_keras_serializable(package="gradnet_tf")
class Adam(_Waking, keras.optimizers.Adam):
    """Keras' Adam, in which `wakes` may be set; see `_Waking`."""


@keras.saving.register_keras_serializable(package="gradnet_tf")
class Muon(_Waking, keras.optimizers.Muon):
    """Muon for convolutional networks: each kernel moves along an orthogonalized direction.

    The momentum of a convolution's kernel, flattened to a matrix (height · width · input channels,
    output channels), is replaced by the nearest semi-orthogonal matrix, approximated by five
    Newton–Schulz iterations, and scaled by 0.2·√max(rows, columns), so that its root mean square
    is about that of an Adam update and both share one learning rate. Keras' class does this
    for matrices only and uses Adam for all convolutions.

    Every other variable (biases, 1×1 kernels of the attention, kernels with 16 or fewer input or
    output channels, so also the first and the last convolution) is updated by Adam with the same
    learning rate.

    Sources: Jordan et al., "Muon", 2024; the scale is that of arXiv 2502.16982; on a denoising
    U-Net: arXiv 2510.19376.

    Args:
        learning_rate: a float or a schedule, for both kinds of variables.
        name: the optimizer's name.
        weight_decay: each step also moves a variable towards zero by `learning_rate *
            weight_decay` of itself, whichever rule updates it; `None` for none.
    """

    def __init__(self, learning_rate=2e-3, name="muon", weight_decay=None, **kwargs):
        kwargs = {"adam_weight_decay": weight_decay, **kwargs}
        super().__init__(learning_rate, name=name, weight_decay=weight_decay, **kwargs)

    def _should_use_adamw(self, variable):
        shape = tuple(variable.shape)
        if len(shape) != 4 or math.prod(shape[:2]) == 1:
            return True
        return min(shape[2:]) <= _MOST_THIN_CHANNELS or shape[3] > math.prod(shape[:3])

    def zeropower_via_newtonschulz5(self, x, steps):
        shape = tuple(x.shape)
        matrix = ops.reshape(x, (math.prod(shape[:-1]), shape[-1]))
        matrix = matrix / (ops.sqrt(ops.sum(ops.square(matrix))) + 1e-7)
        # X ← X(a + b·XᵀX + c·(XᵀX)²): all factors commute, so only the small Gram matrix is
        # iterated, and the long matrix is multiplied once, which is twice as fast.
        gram, identity = ops.transpose(matrix) @ matrix, ops.eye(shape[-1])
        total = identity
        for step in range(steps):
            factor = self.muon_a * identity + self.muon_b * gram + self.muon_c * gram @ gram
            total = total @ factor
            if step < steps - 1:
                gram = factor @ gram @ factor
        return ops.reshape(matrix @ total, shape)

    def lr_adjust(self, x):
        shape = tuple(x.shape)
        return x * (self.rms_rate * math.sqrt(max(math.prod(shape[:-1]), shape[-1])))


def make_optimizer(config) -> keras.optimizers.Optimizer:
    """Returns the optimizer of a run, with dynamic loss scaling under "mixed_float16".

    Must be called where the model was built (inside a strategy's scope).

    Args:
        config: a `TrainConfig`.
    """
    kinds = {"adam": Adam, "muon": Muon}
    decay = config.weight_decay or None
    optimizer = kinds[config.optimizer](config.learning_rate, weight_decay=decay)
    optimizer.wakes = config.wake
    # Kernels alone. Decay would also make a network deaf to the level that it is told.
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma", "level"])
    if config.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer
