"""CBDNet (Guo et al., CVPR 2019): estimates the noise level map, then denoises with it."""

from typing import Any

import keras
from keras import ops

from gradnet_tf.layers.residual import conv3x3
from gradnet_tf.models.base import DenoisingModel, reconstruction_conv
from gradnet_tf.models.losses import (
    asymmetric_loss_per_image,
    gradnet_loss_per_image,
    noise_level,
    tv_loss_per_image,
)

ESTIMATOR_LAYERS = 5
# Convolutions of the U-Net: on pixels, on blocks of 2×2, of 4×4, and back.
UNET_LAYERS = (2, 3, 6, 3, 2)
# Weights of the losses on the noise level map, from the CBDNet paper.
ASYMMETRIC_WEIGHT, TV_WEIGHT = 0.5, 0.05
# Initial σ̂, near 25/255 everywhere, because ReLU has no gradient below zero.
_INITIAL_LEVEL = 0.1


@keras.saving.register_keras_serializable(package="gradnet_tf")
class CBDNet(DenoisingModel):
    """A noise level estimator followed by a non-blind denoiser; blind as a whole.

    ```
    σ̂ = E(y)            five convolutions of 32 channels, each with ReLU; C channels, as y
    x̂ = y + D(y ⊕ σ̂)    a U-Net of 16 convolutions on three scales; skips are added
    ```

    The U-Net downsamples by average pooling and upsamples by a transposed 2×2 convolution, like the
    PyTorch version by IDKiro; `ReleasedCBDNet` is the network of the authors' files. Sizes that are
    not multiples of 4 are padded symmetrically at the bottom and on the right.

    It has its own training loss, see `loss_per_image`.

    Args:
        estimator_filters: channels of the noise estimation's hidden layers.
        filters: F; the three scales of the U-Net have F, 2F and 4F channels.
        channels: 3 for RGB, 1 for gray.

    Call arguments:
        images: see `DenoisingModel`.
        return_intermediates: return a dict of `denoised` and `noise_level`
            (σ̂: float32, shaped like `images`, on the scale of the images).
    """

    #: Downsampled twice.
    block_side = 4
    maps_alive = 5.0

    def __init__(
        self, estimator_filters: int = 32, filters: int = 64, channels: int = 3, **kwargs: Any
    ) -> None:
        super().__init__(channels, **kwargs)
        self.estimator_filters = estimator_filters
        self.filters = filters
        policy = self.dtype_policy
        self.estimator = [
            conv3x3(estimator_filters, policy, "relu", f"estimator_{index}")
            for index in range(ESTIMATOR_LAYERS - 1)
        ]
        self.estimator.append(_noise_level_conv(channels, policy))
        self.unet_widths = [filters * scale for scale in (1, 2, 4, 2, 1)]
        self.unet = [
            [conv3x3(width, policy, "relu", f"unet_{level}_{index}") for index in range(count)]
            for level, (width, count) in enumerate(zip(self.unet_widths, UNET_LAYERS, strict=True))
        ]
        self.halve = keras.layers.AveragePooling2D(2, padding="valid", dtype=policy, name="halve")
        self.double = [
            keras.layers.Conv2DTranspose(width, 2, strides=2, dtype=policy, name=f"double_{level}")
            for level, width in enumerate(self.unet_widths[3:])
        ]
        self.reconstruction = reconstruction_conv(channels, policy)

    @property
    def published_layers(self):
        """The layers with weights, in the order of published files."""
        unet = list(self.unet)
        up = [layer for pair in zip(self.double, unet[3:], strict=True) for layer in pair]
        parts = [self.estimator, *unet[:3], [up[0]], up[1], [up[2]], up[3], [self.reconstruction]]
        return [layer for part in parts for layer in part]

    @property
    def receptive_radius(self):
        """See `DenoisingModel`; summed from the lowest scale of the U-Net to the pixels."""
        first, second, lowest, third, last = UNET_LAYERS
        # A radius of r blocks of 2×2 pixels is 2r + 1 pixels.
        radius = second + (2 * lowest + 1) + third
        return ESTIMATOR_LAYERS + first + (2 * radius + 1) + last + 1  # and reconstruction

    def build(self, input_shape):
        self._check_input(input_shape)
        # Input channels of each of the five levels.
        level_inputs = [2 * self.channels, *self.unet_widths[:2], *self.unet_widths[3:]]
        inputs = self.channels
        for conv in self.estimator:
            conv.build((None, None, None, inputs))
            inputs = conv.filters
        for convs, inputs in zip(self.unet, level_inputs, strict=True):
            for conv in convs:
                conv.build((None, None, None, inputs))
                inputs = conv.filters
        for conv, inputs in zip(self.double, self.unet_widths[2:], strict=False):
            conv.build((None, None, None, inputs))
        self.reconstruction.build((None, None, None, self.filters))
        self.built = True

    def call(self, images, return_intermediates=False):
        images = ops.cast(images, "float32")
        level = images
        for conv in self.estimator:
            level = conv(level)
        level = ops.cast(level, "float32")
        features = _padded_to_blocks(ops.concatenate([images, level], axis=-1))
        skips = []
        for scale, convs in enumerate(self.unet):
            if scale >= 3:
                features = self.double[scale - 3](features) + skips.pop()
            for conv in convs:
                features = conv(features)
            if scale < 2:
                skips.append(features)
                features = self.halve(features)
        residual = self._to_image(self.reconstruction(features), images)
        shape = ops.shape(images)
        denoised = images + residual[:, : shape[1], : shape[2], :]
        return {"denoised": denoised, "noise_level": level} if return_intermediates else denoised

    def loss_per_image(self, noisy, clean, gradient_loss_weight):
        """Returns the training loss, (N,) float32.

        `L(x̂, x) + 0.5 · asymmetric(σ̂, σ) + 0.05 · TV(σ̂)`, where L is the loss of the other networks
        (the squared error in the CBDNet paper) and σ the root mean square of each image's noise.
        """
        outputs = self(noisy, training=True, return_intermediates=True)
        true_level = ops.reshape(noise_level(noisy, clean), (-1, 1, 1, 1))
        level = outputs["noise_level"]
        return (
            gradnet_loss_per_image(clean, outputs["denoised"], gradient_loss_weight)
            + ASYMMETRIC_WEIGHT * asymmetric_loss_per_image(true_level, level)
            + TV_WEIGHT * tv_loss_per_image(level)
        )

    def get_config(self):
        config = super().get_config()
        del config["scale"]  # always 1
        return {**config, "estimator_filters": self.estimator_filters, "filters": self.filters}


@keras.saving.register_keras_serializable(package="gradnet_tf")
class ReleasedCBDNet(DenoisingModel):
    """CBDNet as in its authors' files: strided convolutions instead of pooling, and more layers.

    ```
    σ̂ = E(y)            as in `CBDNet`
    x̂ = y + D(y ⊕ σ̂)    a U-Net of 23 convolutions on three scales; skips are added
    ```

    A scale is left by a 2×2 convolution with stride 2 and a 1×1 convolution, without ReLU, and
    reached again by a transposed 2×2 convolution without bias. For reading published weights; it
    trains like any other network.

    Args:
        estimator_filters: channels of the noise estimation's hidden layers.
        filters: F; the three scales of the U-Net have F, 2F and 4F channels.
        channels: 3 for RGB, 1 for gray.

    Call arguments:
        images: see `DenoisingModel`.
    """

    block_side = 4
    maps_alive = 7.0

    def __init__(
        self, estimator_filters: int = 32, filters: int = 64, channels: int = 3, **kwargs: Any
    ) -> None:
        super().__init__(channels, **kwargs)
        self.estimator_filters = estimator_filters
        self.filters = filters
        policy = self.dtype_policy

        def convs(name, scales):
            return [
                conv3x3(filters * scale, policy, "relu", f"{name}_{index}")
                for index, scale in enumerate(scales)
            ]

        self.estimator = [
            conv3x3(estimator_filters, policy, "relu", f"estimator_{index}")
            for index in range(ESTIMATOR_LAYERS - 1)
        ]
        self.estimator.append(_noise_level_conv(channels, policy))
        self.fine, self.middle = convs("fine", [1] * 4), convs("middle", [2] * 3)
        self.coarse = convs("coarse", [4] * 6 + [8])
        self.middle_up, self.fine_up = convs("middle_up", [2, 2, 4]), convs("fine_up", [1, 1])
        conv, transposed = keras.layers.Conv2D, keras.layers.Conv2DTranspose
        self.halve = [
            conv(filters * scale, 2, strides=2, dtype=policy, name=f"halve_{index}")
            for index, scale in enumerate((4, 8))
        ]
        self.mix = [
            conv(filters * scale, 1, dtype=policy, name=f"mix_{index}")
            for index, scale in enumerate((2, 4))
        ]
        self.double = [
            transposed(
                filters * scale, 2, strides=2, use_bias=False, dtype=policy, name=f"double_{index}"
            )
            for index, scale in enumerate((2, 1))
        ]
        self.reconstruction = reconstruction_conv(channels, policy)

    @property
    def published_layers(self):
        """The layers with weights, in the order of published files."""
        down = [self.halve[0], self.mix[0], *self.middle, self.halve[1], self.mix[1], *self.coarse]
        up = [self.double[0], *self.middle_up, self.double[1], *self.fine_up, self.reconstruction]
        return [*self.estimator, *self.fine, *down, *up]

    @property
    def receptive_radius(self):
        """See `DenoisingModel`; summed from the lowest scale of the U-Net to the pixels."""
        coarse = 2 * len(self.coarse) + 1
        middle = 2 * (len(self.middle) + coarse + len(self.middle_up)) + 1
        return ESTIMATOR_LAYERS + len(self.fine) + middle + len(self.fine_up) + 1

    def build(self, input_shape):
        self._check_input(input_shape)
        # In U-Net order; every layer takes the output of the one before, except these.
        inputs = {self.estimator[0]: self.channels, self.fine[0]: 2 * self.channels}
        before = None
        for layer in self.published_layers:
            before = inputs.get(layer, before)
            layer.build((None, None, None, before))
            before = layer.filters
        self.built = True

    def call(self, images, return_intermediates=False):
        images = ops.cast(images, "float32")
        level = images
        for conv in self.estimator:
            level = conv(level)
        level = ops.cast(level, "float32")

        def through(layers, features):
            for layer in layers:
                features = layer(features)
            return features

        fine = through(self.fine, _padded_to_blocks(ops.concatenate([images, level], axis=-1)))
        middle = through([self.halve[0], self.mix[0], *self.middle], fine)
        coarse = through([self.halve[1], self.mix[1], *self.coarse], middle)
        middle = through(self.middle_up, self.double[0](coarse) + middle)
        fine = through(self.fine_up, self.double[1](middle) + fine)
        residual = self._to_image(self.reconstruction(fine), images)
        shape = ops.shape(images)
        denoised = images + residual[:, : shape[1], : shape[2], :]
        return {"denoised": denoised, "noise_level": level} if return_intermediates else denoised

    def get_config(self):
        config = super().get_config()
        del config["scale"]  # always 1
        return {**config, "estimator_filters": self.estimator_filters, "filters": self.filters}


def _noise_level_conv(channels, policy):
    return keras.layers.Conv2D(
        channels,
        3,
        padding="same",
        activation="relu",
        kernel_initializer=keras.initializers.VarianceScaling(1e-3),
        bias_initializer=keras.initializers.Constant(_INITIAL_LEVEL),
        dtype=policy,
        name="noise_level",
    )


def _padded_to_blocks(features):
    """Pads height and width symmetrically to multiples of 4.

    Three rows and columns are appended in two steps, because symmetric padding cannot be wider than
    the image, which may have a single pixel; then incomplete blocks are cropped.
    """
    shape = ops.shape(features)
    height, width = (-(-side // 4) * 4 for side in shape[1:3])
    for count in (1, 2):
        features = ops.pad(features, [[0, 0], [0, count], [0, count], [0, 0]], mode="symmetric")
    return features[:, :height, :width, :]
