"""Hidden channels that never fire get new kernels (`--revive`).

A ReLU whose input is negative at every pixel of every picture passes no gradient: its channel has
no effect, costs its arithmetic, and no further training brings it back. The kernels that make it
are drawn anew, and those that use it are set to zero, so that the network computes the same as
before and the channel can learn (Sokar et al., The Dormant Neuron Phenomenon in Deep Reinforcement
Learning, ICML 2023, who do so during the training).
"""

from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np

# So many crops show which channels fire; a channel for rare content may need more than a few.
_CROPS = 256


def revive(model: Any, batches: Iterable, seed: int) -> tuple[int, int]:
    """Changes a model's dead hidden channels so that they can learn; its outputs stay the same.

    Channels are looked for in `relu_pairs` of the model's layers: convolutions of which the first
    ends in a ReLU and the second alone uses its output.

    Args:
        model: a Keras model, called on noisy crops; it is changed.
        batches: (noisy, clean), float32 [B, H, W, C] in [0, 1]; the first 256 crops are used.
        seed: of the new kernels.

    Returns:
        The numbers of channels that were dead, and of all that were looked at.
    """
    # Methods: layers in attributes, properties too, change the layout of Keras' weight files.
    layers = [layer for layer in model._flatten_layers() if hasattr(layer, "relu_pairs")]
    pairs = [pair for layer in layers for pair in layer.relu_pairs()]
    alive = [np.zeros(first.filters, bool) for first, _ in pairs]
    activations = [first.activation for first, _ in pairs]
    for (first, _), fires in zip(pairs, alive, strict=True):
        first.activation = _watched(first.activation, fires)
    try:
        crops = 0
        for noisy, clean in batches:
            noisy, clean = np.asarray(noisy), np.asarray(clean)
            levels = np.std(noisy - clean, axis=(1, 2, 3)) * 255
            model(noisy, **({"sigma": levels} if model.needs_sigma else {}))
            crops += len(noisy)
            if crops >= _CROPS:
                break
    finally:
        for (first, _), activation in zip(pairs, activations, strict=True):
            first.activation = activation
    random = keras.random.SeedGenerator(seed)
    for (first, second), fires in zip(pairs, alive, strict=True):
        _renew(first, second, ~fires, random)
    return sum(int(np.sum(~fires)) for fires in alive), sum(len(fires) for fires in alive)


def _watched(activation: Callable, fires: np.ndarray) -> Callable:
    """Returns the activation that also notes which channels are above zero somewhere."""

    def watch(values):
        result = activation(values)
        np.logical_or(fires, np.any(np.asarray(result) > 0, axis=(0, 1, 2)), out=fires)
        return result

    return watch


def _renew(first: Any, second: Any, dead: np.ndarray, random: Any) -> None:
    kernel, bias = first.get_weights()
    fresh = keras.initializers.VarianceScaling(2.0, seed=random)(kernel.shape)
    kernel[..., dead] = np.asarray(fresh)[..., dead]
    bias[dead] = 0
    first.set_weights([kernel, bias])
    kernel, *rest = second.get_weights()
    kernel[:, :, dead] = 0
    second.set_weights([kernel, *rest])
