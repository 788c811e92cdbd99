"""DnCNN (Zhang et al., 2017) without batch normalisation: the paper's naive denoiser."""

import keras
from keras import ops

from gradnet_tf.layers.residual import conv3x3
from gradnet_tf.models.base import DenoisingModel, reconstruction_conv


@keras.saving.register_keras_serializable(package="gradnet_tf")
class DnCNN(DenoisingModel):
    """A stack of 3×3 convolutions that predicts the noise: `x̂ = y - noise(y)`.

    Args:
        num_layers: convolutions in all, 20 for colour in the DnCNN paper.
        filters: channels of the hidden layers.
        channels: 3 for RGB, 1 for grey.
        scale: 1 works on pixels, 2 on blocks of 2×2 pixels.

    Call arguments and output: see `DenoisingModel`.
    """

    def __init__(self, num_layers=20, filters=64, channels=3, scale=1, **kwargs):
        super().__init__(channels, scale, **kwargs)
        if num_layers < 2:
            raise ValueError(f"`num_layers` must be at least 2. Received: num_layers={num_layers}")
        self.num_layers = num_layers
        self.filters = filters
        policy = self.dtype_policy
        self.convs = [
            conv3x3(filters, policy, "relu", f"conv_{index}") for index in range(num_layers - 1)
        ]
        self.reconstruction = reconstruction_conv(self.depth, policy)

    def build(self, input_shape):
        self._check_input(input_shape)
        self.convs[0].build((None, None, None, self.depth))
        for conv in [*self.convs[1:], self.reconstruction]:
            conv.build((None, None, None, self.filters))
        self.built = True

    def call(self, images):
        images = ops.cast(images, "float32")
        features = self.to_depth(images)
        for conv in self.convs:
            features = conv(features)
        return images - self._to_image(self.reconstruction(features), images)

    def get_config(self):
        return {**super().get_config(), "num_layers": self.num_layers, "filters": self.filters}
