"""Converts between pixels and blocks of pixels, as in FFDNet, to work at a lower resolution.

`SpaceToDepth` is a convolution with a constant 0/1 kernel, because the backend's operation requires
sizes that are multiples of the block, and graphs for any size should not do arithmetic on sizes.
Both directions are exact.
"""

import keras
import numpy as np
from keras import ops


def _block_kernel(channels, block_size):
    """Kernel (b, b, C, C·b²) that puts pixel (i, j) of a block in channel (i·b + j)·C + c."""
    kernel = np.zeros((block_size, block_size, channels, channels * block_size**2), "float32")
    for row in range(block_size):
        for column in range(block_size):
            for channel in range(channels):
                target = (row * block_size + column) * channels + channel
                kernel[row, column, channel, target] = 1.0
    return kernel


class _BlockLayer(keras.layers.Layer):
    """Base of the two layers: their argument."""

    def __init__(self, block_size=2, **kwargs):
        super().__init__(**kwargs)
        if block_size < 1:
            raise ValueError(f"`block_size` must be at least 1. Received: block_size={block_size}")
        self.block_size = block_size

    def get_config(self):
        return {**super().get_config(), "block_size": self.block_size}


@keras.saving.register_keras_serializable(package="gradnet_tf")
class SpaceToDepth(_BlockLayer):
    """Turns blocks of b×b pixels into channels: (N, H, W, C) → (N, ⌈H/b⌉, ⌈W/b⌉, C·b²).

    Sizes that are not multiples of b are padded symmetrically at the bottom and on the right.

    Args:
        block_size: b, 1 (the identity) or 2 (padding needs one pixel only).

    Call arguments:
        images: (N, H, W, C), H and W from 1.
    """

    def __init__(self, block_size=2, **kwargs):
        super().__init__(block_size, **kwargs)
        if block_size > 2:
            raise ValueError(f"`block_size` must be 1 or 2. Received: block_size={block_size}")

    def call(self, images):
        if self.block_size == 1:
            return images
        # Always pad one row and column: the valid convolution drops incomplete blocks, so the
        # graph needs no arithmetic on sizes.
        padded = ops.concatenate([images, images[:, -1:]], axis=1)
        padded = ops.concatenate([padded, padded[:, :, -1:]], axis=2)
        kernel = ops.cast(_block_kernel(images.shape[-1], self.block_size), padded.dtype)
        return ops.conv(padded, kernel, strides=self.block_size, padding="valid")

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        block = self.block_size
        height, width = (None if side is None else -(-side // block) for side in (height, width))
        return (batch, height, width, channels * block**2)


@keras.saving.register_keras_serializable(package="gradnet_tf")
class DepthToSpace(_BlockLayer):
    """Turns channels back into blocks of pixels: (N, h, w, C·b²) → (N, h·b, w·b, C).

    Args:
        block_size: b.

    Call arguments:
        features: (N, h, w, C·b²).
    """

    def build(self, input_shape):
        if input_shape[-1] % self.block_size**2:
            raise ValueError(
                f"The number of channels must be a multiple of block_size² = "
                f"{self.block_size**2}. Received: input_shape={input_shape}"
            )
        self.built = True

    def call(self, features):
        if self.block_size == 1:
            return features
        return ops.depth_to_space(features, self.block_size)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        block = self.block_size
        height, width = (None if side is None else side * block for side in (height, width))
        return (batch, height, width, channels // block**2)
