"""ResUnit, residual module and the MSKResnet denoising block (figure 5, equations 1-5)."""

import keras
from keras import ops

from gradnet_tf.layers.conv_norm import ConvNormReLU
from gradnet_tf.layers.squeeze_excitation import SqueezeExcitation

ATTENTION_POSITIONS = ("before_fusion", "after_fusion")


def conv3x3(filters, policy, activation=None, name=None, variance=2.0):
    """A 3×3 convolution; `variance` 2 is the initialization of He et al. for ReLU networks."""
    return keras.layers.Conv2D(
        filters,
        3,
        padding="same",
        activation=activation,
        kernel_initializer=keras.initializers.VarianceScaling(variance),
        dtype=policy,
        name=name,
    )


def _require_channels(input_shape, filters):
    if input_shape[-1] != filters:
        raise ValueError(
            f"The input must have `filters`={filters} channels, because it is added to the "
            f"output. Received: input_shape={input_shape}"
        )


@keras.saving.register_keras_serializable(package="gradnet_tf")
class ResUnit(keras.layers.Layer):
    """Two convolutions and a short skip: `τ(c(τ(c(f))) + f)` (equation 1), no normalization.

    Args:
        filters: channels of the input and of the output.
        batch_norm: normalize after the first convolution, as the authors' code does and the
            supplement does not.

    Call arguments:
        features: (N, H, W, filters).
    """

    def __init__(self, filters, batch_norm=False, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.batch_norm = batch_norm
        if batch_norm:
            self.conv1 = ConvNormReLU(filters, dtype=self.dtype_policy, name="conv1")
        else:
            self.conv1 = conv3x3(filters, self.dtype_policy, "relu", "conv1")
        # With full variance, skip and branch would double the signal in every unit, and the initial
        # outputs of a deep chain would be far from an image.
        self.conv2 = conv3x3(filters, self.dtype_policy, None, "conv2", variance=0.2)

    def build(self, input_shape):
        _require_channels(input_shape, self.filters)
        self.conv1.build(input_shape)
        self.conv2.build(input_shape)
        self.built = True

    def call(self, features):
        return ops.relu(self.conv2(self.conv1(features)) + features)  # eq. 1

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        # Only what differs from the paper, so that earlier versions read the other files.
        more = {"batch_norm": True} if self.batch_norm else {}
        return {**super().get_config(), "filters": self.filters, **more}


@keras.saving.register_keras_serializable(package="gradnet_tf")
class ResidualModule(keras.layers.Layer):
    """ResUnits, a medium skip by concatenation, attention, and a fusion back to C channels.

    The supplement specifies the concatenation and the attention, but not how 2C channels become C
    again. Here a 3×3 convolution ("fusion") does that, after the attention by default; see
    docs/decisions.md.

    Args:
        filters: C, channels of the input and of the output.
        num_units: m, the number of ResUnits.
        reduction: r of the attention.
        attention_position: "before_fusion" (on 2C channels) or "after_fusion" (on C).
        batch_norm: see `ResUnit`.

    Call arguments:
        features: (N, H, W, C).
        attention: optional channel weights to use instead of computing them,
            (N, 1, 1, `attention_channels`).
        return_attention: also return the channel weights that were used.
    """

    def __init__(
        self,
        filters,
        num_units=4,
        reduction=2,
        attention_position="before_fusion",
        batch_norm=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if attention_position not in ATTENTION_POSITIONS:
            raise ValueError(
                f"`attention_position` must be one of {ATTENTION_POSITIONS}. "
                f"Received: attention_position={attention_position!r}"
            )
        self.filters = filters
        self.num_units = num_units
        self.reduction = reduction
        self.attention_position = attention_position
        self.batch_norm = batch_norm
        policy = self.dtype_policy
        self.units = [
            ResUnit(filters, batch_norm, dtype=policy, name=f"unit_{index}")
            for index in range(num_units)
        ]
        self.squeeze_excitation = SqueezeExcitation(
            reduction, dtype=policy, name="squeeze_excitation"
        )
        self.fusion = conv3x3(filters, policy, None, "fusion")

    @property
    def attention_channels(self):
        """Number of channels of the attention."""
        return self.filters * (2 if self.attention_position == "before_fusion" else 1)

    def build(self, input_shape):
        _require_channels(input_shape, self.filters)
        for unit in self.units:
            unit.build(input_shape)
        self.squeeze_excitation.build((*input_shape[:-1], self.attention_channels))
        self.fusion.build((*input_shape[:-1], 2 * self.filters))
        self.built = True

    def call(self, features, attention=None, return_attention=False):
        output = features
        for unit in self.units:  # eq. 2
            output = unit(output)
        output = ops.concatenate([features, output], axis=-1)
        if self.attention_position == "after_fusion":
            output = self.fusion(output)
        if attention is None:
            attention = self.squeeze_excitation.attention(output)
        output = self.squeeze_excitation(output, attention)
        if self.attention_position == "before_fusion":
            output = self.fusion(output)
        return (output, attention) if return_attention else output

    def compute_output_shape(self, input_shape, *args, **kwargs):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "num_units": self.num_units,
            "reduction": self.reduction,
            "attention_position": self.attention_position,
            **({"batch_norm": True} if self.batch_norm else {}),
        }


@keras.saving.register_keras_serializable(package="gradnet_tf")
class MSKResnetBody(keras.layers.Layer):
    """The denoising block MSKResnet: residual modules and a long skip (equation 5).

    Args:
        filters: C, channels of the input and of the output.
        num_modules: N, the number of residual modules.
        num_units: m, ResUnits in each.
        reduction: r of the attention.
        attention_position: see `ResidualModule`.
        batch_norm: see `ResUnit`.

    Call arguments:
        features: (N, H, W, C).
        attention: optional list with the channel weights of each module.
        return_attention: also return that list.
    """

    def __init__(
        self,
        filters,
        num_modules=4,
        num_units=4,
        reduction=2,
        attention_position="before_fusion",
        batch_norm=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.batch_norm = batch_norm
        self.filters = filters
        self.num_modules = num_modules
        self.num_units = num_units
        self.reduction = reduction
        self.attention_position = attention_position
        self.residual_modules = [
            ResidualModule(
                filters,
                num_units,
                reduction,
                attention_position,
                batch_norm,
                dtype=self.dtype_policy,
                name=f"module_{index}",
            )
            for index in range(num_modules)
        ]

    @property
    def attention_widths(self):
        """Channels of each module's attention vector."""
        return tuple(module.attention_channels for module in self.residual_modules)

    @property
    def receptive_radius(self):
        """Distance up to which an input affects an output, except through the attention."""
        # Each ResUnit has two 3×3 convolutions, each module one more for the fusion.
        return self.num_modules * (2 * self.num_units + 1)

    def build(self, input_shape):
        for module in self.residual_modules:
            module.build(input_shape)
        self.built = True

    def call(self, features, attention=None, return_attention=False):
        if attention is None:
            attention = [None] * self.num_modules
        output, used = features, []
        for module, weights in zip(self.residual_modules, attention, strict=True):  # eq. 5
            output, weights = module(output, attention=weights, return_attention=True)
            used.append(weights)
        output = output + features
        return (output, used) if return_attention else output

    def compute_output_shape(self, input_shape, *args, **kwargs):
        return input_shape

    def settings(self):
        """Returns the arguments of the constructor except `filters`."""
        names = ("num_modules", "num_units", "reduction", "attention_position")
        more = {"batch_norm": True} if self.batch_norm else {}
        return {**{name: getattr(self, name) for name in names}, **more}

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, **self.settings()}
