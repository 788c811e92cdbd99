"""FFDNet (Zhang, Zuo, Zhang, 2018): one network for all noise levels, told which one it is."""

from typing import Any

import keras
from keras import ops

from gradnet_tf.degradations import sigma_to_unit
from gradnet_tf.models.base import DenoisingModel, reconstruction_conv
from gradnet_tf.models.dncnn import hidden_layers

PREDICTS = ("image", "noise")
#: Layers and channels of the published networks, by colour channels of the image.
PUBLISHED = {3: (12, 96), 1: (15, 64)}


@keras.saving.register_keras_serializable(package="gradnet_tf")
class FFDNet(DenoisingModel):
    """A chain of convolutions on 2×2 blocks of pixels beside a map of the noise level.

    ```
    d = blocks(y) ⊕ map(σ / 255)      4·C + 1 channels at half resolution
    x̂ = pixels(c(τ(c(… d))))          or y less that, where it predicts the noise
    ```

    An odd height or width is completed by its last row or column, and cut off
    again.

    Args:
        num_layers: convolutions in all; as published by default, 12 for
            colour and 15 for grey.
        filters: channels of the hidden layers; as published by default, 96
            and 64.
        channels: 3 for RGB, 1 for grey.
        batch_norm: normalise in all layers but the first and the last.
        predicts: "image", as published, or "noise".

    Call arguments:
        images: see `DenoisingModel`.
        sigma: (N,) float, noise level of each image on the 0-255 scale.

    Output: see `DenoisingModel`.
    """

    needs_sigma = True
    maps_alive = 3.0

    def __init__(
        self,
        num_layers: int | None = None,
        filters: int | None = None,
        channels: int = 3,
        batch_norm: bool = False,
        predicts: str = "image",
        **kwargs: Any,
    ) -> None:
        # Always 2: accepted so that a saved configuration, which has it, comes back.
        super().__init__(channels, kwargs.pop("scale", 2), **kwargs)
        published_layers, published_filters = PUBLISHED[channels]
        num_layers, filters = num_layers or published_layers, filters or published_filters
        if num_layers < 2:
            raise ValueError(f"`num_layers` must be at least 2. Received: num_layers={num_layers}")
        if predicts not in PREDICTS:
            raise ValueError(f"`predicts` must be one of {PREDICTS}. Received: {predicts!r}")
        self.num_layers = num_layers
        self.filters = filters
        self.batch_norm = batch_norm
        self.predicts = predicts
        policy = self.dtype_policy
        self.convs = hidden_layers(num_layers, filters, batch_norm, policy)
        self.reconstruction = reconstruction_conv(self.depth, policy)

    @property
    def receptive_radius(self):
        """See `DenoisingModel`."""
        return self.in_pixels(self.num_layers)

    def build(self, input_shape):
        self._check_input(input_shape)
        self.convs[0].build((None, None, None, self.depth + 1))
        for conv in [*self.convs[1:], self.reconstruction]:
            conv.build((None, None, None, self.filters))
        self.built = True

    def call(self, images, sigma=None):
        if sigma is None:
            raise ValueError("FFDNet needs the noise level: call it as `model(images, sigma)`.")
        images = ops.cast(images, "float32")
        features = self.to_depth(images)
        level = sigma_to_unit(ops.reshape(ops.cast(sigma, "float32"), (-1, 1, 1, 1)))
        level_map = ops.ones_like(features[..., :1]) * ops.cast(level, features.dtype)
        features = ops.concatenate([features, level_map], axis=-1)
        for conv in self.convs:
            features = conv(features)
        output = self._to_image(self.reconstruction(features), images)
        return output if self.predicts == "image" else images - output

    def get_config(self):
        return {
            **super().get_config(),
            "num_layers": self.num_layers,
            "filters": self.filters,
            "batch_norm": self.batch_norm,
            "predicts": self.predicts,
        }
