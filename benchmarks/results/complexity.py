"""What a network costs: multiply-accumulates (MACs) of its convolutions for a pixel."""

import contextlib
import math
from collections.abc import Iterator

import numpy as np

# Large enough that no feature map of ours shrinks to one position, a multiple of every block.
_SIDE = 64


def macs_per_pixel(model) -> float:
    """Counts the multiply-accumulates of a Keras model's convolutions for each pixel of an image.

    The model runs once on a blank image, and each convolution is counted as
    often as it is called, at the resolution it is called at: layers on blocks
    of 2×2 pixels count a quarter, the naive denoiser of a GradNet counts.
    What has no weights does not (moving pixels to blocks, the Sobel filter,
    sums), nor what is done once per image, like the attention's 1×1
    convolutions. Biases and activations are no MACs.

    Args:
        model: a network of `gradnet_tf.models`.

    Returns:
        MACs per pixel; twice as many operations (FLOPs).

    Example:

    >>> macs_per_pixel(build_model("dncnn"))
    667008.0
    """
    channels = getattr(model, "input_channels", model.channels)
    images = np.zeros((1, _SIDE, _SIDE, channels), np.float32)
    more = {"sigma": np.full(1, 25, np.float32)} if getattr(model, "needs_sigma", False) else {}
    with _counted(model) as counts:
        model(images, training=False, **more)
    return sum(counts) / _SIDE**2


@contextlib.contextmanager
def _counted(model) -> Iterator[list[int]]:
    """Yields a list that gets the MACs of every convolution called inside the block."""
    import keras

    counts: list[int] = []

    def watch(layer):
        # A transposed convolution applies its kernel at every position of its input.
        transposed = isinstance(layer, keras.layers.Conv2DTranspose)
        call = layer.call

        def counting(features, *args, **kwargs):
            outputs = call(features, *args, **kwargs)
            positions = math.prod((features if transposed else outputs).shape[1:3])
            if positions > 1:  # one position is a mean over the image
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
