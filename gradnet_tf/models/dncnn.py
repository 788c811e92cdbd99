"""DnCNN (Zhang et al., 2017): the paper's naive denoiser; and the base that FFDNet shares."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from gradnet_tf.layers import ConvNormReLU
from gradnet_tf.layers.residual import conv3x3
from gradnet_tf.models.base import DenoisingModel, reconstruction_conv

#: What the output of a network's last layer may be.
PREDICTS = ("image", "noise")


def require_predicts(predicts: str) -> str:
    """Returns `predicts`; raises `ValueError` unless it is one of `PREDICTS`."""
    if predicts not in PREDICTS:
        raise ValueError(f"`predicts` must be one of {PREDICTS}. Received: {predicts!r}")
    return predicts


class ConvChain(DenoisingModel):
    """Base of networks that are a chain of 3×3 convolutions with ReLU.

    Args:
        num_layers: total number of convolutions, at least 2.
        filters: channels of the hidden layers.
        channels: 3 for RGB, 1 for gray.
        scale: 1 works on pixels, 2 on blocks of 2×2 pixels.
        batch_norm: normalize in all layers except the first and the last.
    """

    #: Channels of the chain's input in addition to the image's.
    extra_channels = 0

    def __init__(
        self,
        num_layers: int,
        filters: int,
        channels: int,
        scale: int,
        batch_norm: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(channels, scale, **kwargs)
        if num_layers < 2:
            raise ValueError(f"`num_layers` must be at least 2. Received: num_layers={num_layers}")
        self.num_layers = num_layers
        self.filters = filters
        self.batch_norm = batch_norm
        self.convs = [self._hidden_layer(index) for index in range(num_layers - 1)]
        self.reconstruction = reconstruction_conv(self.depth, self.dtype_policy)

    def _hidden_layer(self, index):
        if self.batch_norm and index:
            return ConvNormReLU(self.filters, dtype=self.dtype_policy, name=f"conv_{index}")
        return conv3x3(self.filters, self.dtype_policy, "relu", f"conv_{index}")

    @property
    def receptive_radius(self):
        """See `DenoisingModel`."""
        return self.in_pixels(self.num_layers)

    def build(self, input_shape):
        self._check_input(input_shape)
        self.convs[0].build((None, None, None, self.depth + self.extra_channels))
        for conv in [*self.convs[1:], self.reconstruction]:
            conv.build((None, None, None, self.filters))
        self.built = True

    def _run_chain(self, features, images):
        """Returns the chain's output for `features`, float32, shaped like `images`."""
        for conv in self.convs:
            features = conv(features)
        return self._to_image(self.reconstruction(features), images)

    def get_config(self):
        names = ("num_layers", "filters", "batch_norm")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@keras.saving.register_keras_serializable(package="gradnet_tf")
class DnCNN(ConvChain):
    """A stack of 3×3 convolutions that predicts the noise: `x̂ = y - noise(y)`.

    Args:
        num_layers: total number of convolutions, 20 for color in the DnCNN paper.
        filters: channels of the hidden layers.
        channels: 3 for RGB, 1 for gray.
        scale: 1 works on pixels, 2 on blocks of 2×2 pixels.
        batch_norm: normalize in all layers except the first and the last, as published; GradNet's
            presets do not.
        predicts: "noise", as published, or "image": the chain's output is `x̂`.
        dilations: distance between the taps of each layer's kernels, 1 by default; those of IRCNN
            are 1, 2, 3, 4, 3, 2, 1.

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
        predicts: str = "noise",
        dilations: Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_layers, filters, channels, scale, batch_norm, **kwargs)
        self.predicts = require_predicts(predicts)
        self.dilations = (1,) * num_layers if dilations is None else tuple(map(int, dilations))
        if len(self.dilations) != num_layers or min(self.dilations) < 1:
            raise ValueError(
                f"`dilations` must be {num_layers} integers from 1. Received: {dilations}"
            )
        layers = [*self.convs, self.reconstruction]
        for layer, dilation in zip(layers, self.dilations, strict=True):
            _dilate(layer, dilation)

    @property
    def is_plain_chain(self):
        """Whether it is as published, without normalization between the convolutions."""
        return not self.batch_norm and self.predicts == "noise" and max(self.dilations) == 1

    @property
    def receptive_radius(self):
        """See `DenoisingModel`; the radius of a 3×3 convolution is its dilation."""
        return self.in_pixels(sum(self.dilations))

    def call(self, images):
        images = ops.cast(images, "float32")
        output = self._run_chain(self.to_depth(images), images)
        return output if self.predicts == "image" else images - output

    def get_config(self):
        # Only what differs from the paper, so that earlier versions read the other files.
        more: dict[str, Any] = {} if self.predicts == "noise" else {"predicts": self.predicts}
        if max(self.dilations) > 1:
            more["dilations"] = list(self.dilations)
        return {**super().get_config(), **more}


def _dilate(layer, dilation: int) -> None:
    """Sets the dilation of a layer that is not built yet."""
    if isinstance(layer, ConvNormReLU):
        layer.dilation = dilation
        layer = layer.conv
    layer.dilation_rate = (dilation, dilation)
