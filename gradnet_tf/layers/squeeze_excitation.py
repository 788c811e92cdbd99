"""Squeeze-and-excitation attention (figure 5 of the paper, equations 3 and 4)."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="gradnet_tf")
class SqueezeExcitation(keras.layers.Layer):
    """Scales each channel by a weight computed from all channels' means.

    Average pool over H×W, 1×1 convolution to C/r, ReLU, 1×1 convolution back to C, sigmoid,
    multiply. `attention(features)` computes the weights, and `call` accepts given ones, so that the
    tiles of a large image can share the statistics of the whole image.

    Args:
        reduction: r; C/r is rounded down, and is at least 1.

    Call arguments:
        features: (N, H, W, C).
        attention: optional (N, 1, 1, C) in (0, 1), used instead of the
            weights computed from `features`.

    Output shape:
        (N, H, W, C), in the layer's compute dtype.
    """

    def __init__(self, reduction=2, **kwargs):
        super().__init__(**kwargs)
        if reduction < 1:
            raise ValueError(f"`reduction` must be at least 1. Received: reduction={reduction}")
        self.reduction = reduction
        self.kernel_initializer = "glorot_uniform"

    def build(self, input_shape):
        channels = input_shape[-1]
        squeezed = max(1, channels // self.reduction)
        both = {"kernel_initializer": self.kernel_initializer, "dtype": self.dtype_policy}
        self.shrink = keras.layers.Conv2D(squeezed, 1, activation="relu", name="shrink", **both)
        self.expand = keras.layers.Conv2D(channels, 1, activation="sigmoid", name="expand", **both)
        self.shrink.build((None, 1, 1, channels))
        self.expand.build((None, 1, 1, squeezed))
        self.built = True

    def attention(self, features):
        """Returns the channel weights (N, 1, 1, C) of `features` (N, H, W, C)."""
        # keras.ops.mean accumulates in float32 whatever the features' dtype.
        pooled = ops.mean(features, axis=(1, 2), keepdims=True)  # eq. 3
        return self.expand(self.shrink(pooled))  # eq. 4

    def call(self, features, attention=None):
        if attention is None:
            attention = self.attention(features)
        return features * ops.cast(attention, features.dtype)

    def compute_output_shape(self, input_shape, attention=None):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "reduction": self.reduction}
