"""FFDNet (Zhang, Zuo, Zhang, 2018): one network for all noise levels, which are an input."""

from typing import Any

import keras
from keras import ops

from gradnet_tf.degradations import sigma_to_unit
from gradnet_tf.models.dncnn import ConvChain, require_predicts

#: Layers and channels of the published networks, by color channels of the image.
PUBLISHED = {3: (12, 96), 1: (15, 64)}


@keras.saving.register_keras_serializable(package="gradnet_tf")
class FFDNet(ConvChain):
    """A chain of convolutions on 2×2 blocks of pixels and a map of the noise level.

    ```
    d = blocks(y) ⊕ map(σ / 255)      4·C + 1 channels at half resolution
    x̂ = pixels(c(τ(c(… d))))          or y minus that, if it predicts the noise
    ```

    Odd sizes are padded by repeating the last row or column.

    Args:
        num_layers: total number of convolutions; the default is as published, 12 for color and 15
            for gray.
        filters: channels of the hidden layers; the default is as published, 96 and 64.
        channels: 3 for RGB, 1 for gray.
        batch_norm: normalize in all layers except the first and the last.
        predicts: "image", as published, or "noise".
        scale: side of the blocks, 2 as published; with 1 it is a DnCNN with a map of the noise
            level (FDnCNN).

    Call arguments:
        images: see `DenoisingModel`.
        sigma: (N,) float, noise level of each image on the 0-255 scale.

    Output: see `DenoisingModel`.
    """

    needs_sigma = True
    extra_channels = 1
    maps_alive = 3.0

    def __init__(
        self,
        num_layers: int | None = None,
        filters: int | None = None,
        channels: int = 3,
        batch_norm: bool = False,
        predicts: str = "image",
        scale: int = 2,
        **kwargs: Any,
    ) -> None:
        # The base class rejects other numbers of channels.
        published_layers, published_filters = PUBLISHED.get(channels, (2, 1))
        super().__init__(
            num_layers or published_layers,
            filters or published_filters,
            channels,
            scale,
            batch_norm,
            **kwargs,
        )
        self.predicts = require_predicts(predicts)

    def call(self, images, sigma=None):
        if sigma is None:
            raise ValueError("FFDNet needs the noise level: call it as `model(images, sigma)`.")
        images = ops.cast(images, "float32")
        features = self.to_depth(images)
        level = sigma_to_unit(ops.reshape(ops.cast(sigma, "float32"), (-1, 1, 1, 1)))
        level_map = ops.ones_like(features[..., :1]) * ops.cast(level, features.dtype)
        features = ops.concatenate([features, level_map], axis=-1)
        output = self._run_chain(features, images)
        return output if self.predicts == "image" else images - output

    def get_config(self):
        return {**super().get_config(), "predicts": self.predicts}
