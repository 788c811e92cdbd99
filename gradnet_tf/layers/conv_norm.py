"""Convolution, batch normalization and ReLU: the hidden layer of DnCNN, FFDNet and ADNet."""

import keras
from keras import ops

# ε of PyTorch and MatConvNet, with which published weights were trained.
EPSILON = 1e-5


@keras.saving.register_keras_serializable(package="gradnet_tf")
class ConvNormReLU(keras.layers.Layer):
    """`τ(BN(c(f)))` with a 3×3 convolution without bias, because β follows (Zhang et al., 2017).

    Training uses the statistics of the batch over all replicas, inference the moving averages.

    Args:
        filters: channels of the output.
        dilation: distance between the taps of the kernel; 2 has the reach of a 5×5 kernel.

    Call arguments:
        features: (N, H, W, C).

    Output shape:
        (N, H, W, filters), in the layer's compute dtype.
    """

    def __init__(self, filters, dilation=1, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters
        self.dilation = dilation
        self.conv = keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            dilation_rate=dilation,
            use_bias=False,
            kernel_initializer=keras.initializers.VarianceScaling(2.0),
            dtype=self.dtype_policy,
            name="conv",
        )
        self.norm = keras.layers.BatchNormalization(
            momentum=0.9,
            epsilon=EPSILON,
            # On JAX a batch is one array over all devices, and its mean is the global one.
            synchronized=keras.backend.backend() == "tensorflow",
            dtype=self.dtype_policy,
            name="norm",
        )

    def build(self, input_shape):
        self.conv.build(input_shape)
        self.norm.build((*input_shape[:-1], self.filters))
        self.built = True

    def call(self, features):
        return ops.relu(self.norm(self.conv(features)))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.filters)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "dilation": self.dilation}
