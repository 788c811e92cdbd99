"""Counts the multiply-accumulates (MACs) of a network's convolutions per pixel."""

import contextlib
import math
from collections.abc import Iterator

import numpy as np

# A multiple of every block side, large enough that no feature map shrinks to one position.
_SIDE = 64


def macs_per_pixel(model) -> float:
    """Counts the multiply-accumulates of a Keras model's convolutions for each pixel of an image.

    The model runs once on a blank image, and each call of a convolution is counted at its
    resolution: layers on blocks of 2×2 pixels count a quarter. A GradNet's naive denoiser is
    included. Not included are operations without weights (space to depth, the Sobel filter, sums),
    operations once per image (the attention's 1×1 convolutions), biases and activations.

    Args:
        model: a network of `gradnet_tf.models`.

    Returns:
        MACs per pixel; the number of operations (FLOPs) is twice that.

    Example:

    >>> macs_per_pixel(build_model("dncnn"))
    667008.0
    """
    channels = getattr(model, "input_channels", model.channels)
    images = np.zeros((1, _SIDE, _SIDE, channels), np.float32)
    kwargs = {"sigma": np.full(1, 25, np.float32)} if getattr(model, "needs_sigma", False) else {}
    with _counted(model) as counts:
        model(images, training=False, **kwargs)
    return sum(counts) / _SIDE**2


@contextlib.contextmanager
def _counted(model) -> Iterator[list[int]]:
    """Yields a list to which every convolution called inside the block adds its MACs."""
    import keras

    counts: list[int] = []

    def watch(layer):
        # A transposed convolution applies its kernel at every position of its input.
        transposed = isinstance(layer, keras.layers.Conv2DTranspose)
        call = layer.call

        def counting(features, *args, **kwargs):
            outputs = call(features, *args, **kwargs)
            positions = math.prod((features if transposed else outputs).shape[1:3])
            if positions > 1:  # a single position belongs to a pooled image
                counts.append(positions * math.prod(layer.kernel.shape))
            return outputs

        layer.call = counting

    layers = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Conv2DTranspose)
    ]
    try:
        for layer in layers:
            watch(layer)
        yield counts
    finally:
        for layer in layers:
            vars(layer).pop("call", None)
