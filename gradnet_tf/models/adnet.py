"""ADNet (Tian et al., Neural Networks 2020): dilated convolutions and attention on the noise."""

from typing import Any

import keras
from keras import ops

from gradnet_tf.layers import ConvNormReLU
from gradnet_tf.models.base import DenoisingModel, reconstruction_conv
from gradnet_tf.models.dncnn import require_predicts

#: Dilated hidden layers (from 0) of the sparse block: its 2nd, 5th, 9th and 12th.
DILATED = (1, 4, 8, 11)
NUM_HIDDEN = 15


@keras.saving.register_keras_serializable(package="gradnet_tf")
class ADNet(DenoisingModel):
    """Sparse block, feature enhancement block and attention block of the paper.

    ```
    f = twelve convolutions, four of them dilated, with batch normalization   (sparse block)
    n = c(three more of them)                                                 (enhancement)
    a = c1×1(tanh(y ⊕ n))                                                     (attention)
    x̂ = y - a·n
    ```

    Args:
        filters: channels of the hidden layers.
        channels: 3 for RGB, 1 for gray.
        predicts: "noise": `a·n` is the noise, as in the paper; or "image": it is `x̂`, as in the
            published weights for real noise.

    Call arguments and output: see `DenoisingModel`.
    """

    def __init__(
        self, filters: int = 64, channels: int = 3, predicts: str = "noise", **kwargs: Any
    ) -> None:
        # The scale is always 1, but saved configurations contain it.
        super().__init__(channels, kwargs.pop("scale", 1), **kwargs)
        self.filters = filters
        self.predicts = require_predicts(predicts)
        policy = self.dtype_policy
        self.convs = [
            ConvNormReLU(filters, 2 if index in DILATED else 1, dtype=policy, name=f"conv_{index}")
            for index in range(NUM_HIDDEN)
        ]
        self.reconstruction = reconstruction_conv(channels, policy)
        self.attention = keras.layers.Conv2D(channels, 1, dtype=policy, name="attention")

    @property
    def receptive_radius(self):
        """See `DenoisingModel`; the radius of a 3×3 convolution is its dilation."""
        return sum(conv.dilation for conv in self.convs) + 1  # and the reconstruction

    def build(self, input_shape):
        self._check_input(input_shape)
        self.convs[0].build((None, None, None, self.channels))
        for conv in [*self.convs[1:], self.reconstruction]:
            conv.build((None, None, None, self.filters))
        self.attention.build((None, None, None, 2 * self.channels))
        self.built = True

    def call(self, images):
        images = ops.cast(images, "float32")
        features = images
        for conv in self.convs:
            features = conv(features)
        noise = self.reconstruction(features)
        both = ops.concatenate([ops.cast(images, noise.dtype), noise], axis=-1)
        output = self._to_image(noise * self.attention(ops.tanh(both)), images)
        return output if self.predicts == "image" else images - output

    def get_config(self):
        # Only what differs from the paper, so that earlier versions read the other files.
        more = {} if self.predicts == "noise" else {"predicts": self.predicts}
        return {**super().get_config(), "filters": self.filters, **more}
