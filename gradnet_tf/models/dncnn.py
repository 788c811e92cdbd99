"""DnCNN (Zhang et al., 2017): the paper's naive denoiser."""

from typing import Any

import keras
from keras import ops

from gradnet_tf.layers import ConvNormReLU
from gradnet_tf.layers.residual import conv3x3
from gradnet_tf.models.base import DenoisingModel, reconstruction_conv


def hidden_layers(num_layers, filters, batch_norm, policy):
    """Returns the layers of a chain of `num_layers` convolutions, but for the last.

    Each is a 3×3 convolution and a ReLU; with `batch_norm` those after the
    first normalise between the two.
    """

    def layer(index):
        if batch_norm and index:
            return ConvNormReLU(filters, dtype=policy, name=f"conv_{index}")
        return conv3x3(filters, policy, "relu", f"conv_{index}")

    return [layer(index) for index in range(num_layers - 1)]


@keras.saving.register_keras_serializable(package="gradnet_tf")
class DnCNN(DenoisingModel):
    """A stack of 3×3 convolutions that predicts the noise: `x̂ = y - noise(y)`.

    Args:
        num_layers: convolutions in all, 20 for colour in the DnCNN paper.
        filters: channels of the hidden layers.
        channels: 3 for RGB, 1 for grey.
        scale: 1 works on pixels, 2 on blocks of 2×2 pixels.
        batch_norm: normalise in all layers but the first and the last, as
            published; the presets of GradNet do without.

    Call arguments and output: see `DenoisingModel`.
    """

    maps_alive = 2.5

    def __init__(
        self,
        num_layers: int = 20,
        filters: int = 64,
        channels: int = 3,
        scale: int = 1,
        batch_norm: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(channels, scale, **kwargs)
        if num_layers < 2:
            raise ValueError(f"`num_layers` must be at least 2. Received: num_layers={num_layers}")
        self.num_layers = num_layers
        self.filters = filters
        self.batch_norm = batch_norm
        policy = self.dtype_policy
        self.convs = hidden_layers(num_layers, filters, batch_norm, policy)
        self.reconstruction = reconstruction_conv(self.depth, policy)

    @property
    def receptive_radius(self):
        """See `DenoisingModel`."""
        return self.in_pixels(self.num_layers)

    @property
    def is_plain_chain(self):
        """Whether nothing normalises between the convolutions."""
        return not self.batch_norm

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
        return {
            **super().get_config(),
            "num_layers": self.num_layers,
            "filters": self.filters,
            "batch_norm": self.batch_norm,
        }
