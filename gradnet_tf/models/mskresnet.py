"""MSKResnet as a denoiser: the naive denoiser of the authors' script, and a baseline."""

from typing import Any

import keras
from keras import ops

from gradnet_tf.layers.residual import MSKResnetBody, conv3x3
from gradnet_tf.models.base import DenoisingModel, reconstruction_conv


@keras.saving.register_keras_serializable(package="gradnet_tf")
class MSKResnet(DenoisingModel):
    """`x̃ = c(body(τ(c(y)))) + y`: GradNet's main branch without the image gradient.

    Args:
        filters: F, channels of the features.
        num_modules: N, residual modules.
        num_units: m, ResUnits in each.
        reduction: r of the attention.
        channels: 3 for RGB, 1 for gray.
        scale: 1 works on pixels, 2 on blocks of 2×2 pixels.
        attention_position: see `ResidualModule`.

    Call arguments:
        images: see `DenoisingModel`.
        attention: optional list with the channel weights of each module.
        return_intermediates: return a dict of `denoised` and `attention`.
    """

    maps_alive = 8.0

    def __init__(
        self,
        filters: int = 64,
        num_modules: int = 4,
        num_units: int = 4,
        reduction: int = 2,
        channels: int = 3,
        scale: int = 1,
        attention_position: str = "before_fusion",
        **kwargs: Any,
    ) -> None:
        super().__init__(channels, scale, **kwargs)
        policy = self.dtype_policy
        self.features = conv3x3(filters, policy, "relu", "features")
        self.body = MSKResnetBody(
            filters,
            num_modules,
            num_units,
            reduction,
            attention_position,
            dtype=policy,
            name="body",
        )
        self.reconstruction = reconstruction_conv(self.depth, policy)

    @property
    def width(self):
        """Channels of the residual modules."""
        return self.body.filters

    @property
    def receptive_radius(self):
        """See `DenoisingModel`: the first features, the modules and the reconstruction."""
        return self.in_pixels(1 + self.body.receptive_radius + 1)

    @property
    def attention_widths(self):
        """Channels of each attention vector."""
        return self.body.attention_widths

    def build(self, input_shape):
        self._check_input(input_shape)
        self.features.build((None, None, None, self.depth))
        self.body.build((None, None, None, self.body.filters))
        self.reconstruction.build((None, None, None, self.body.filters))
        self.built = True

    def call(self, images, attention=None, return_intermediates=False):
        images = ops.cast(images, "float32")
        features = self.features(self.to_depth(images))
        features, used = self.body(features, attention=attention, return_attention=True)
        denoised = images + self._to_image(self.reconstruction(features), images)
        return {"denoised": denoised, "attention": used} if return_intermediates else denoised

    def get_config(self):
        return {**super().get_config(), "filters": self.body.filters, **self.body.settings()}
