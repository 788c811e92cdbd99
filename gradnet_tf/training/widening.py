"""Starts a wide GradNet from the weights of a narrower one (Net2Net, arXiv 1511.05641)."""

from typing import Any

import numpy as np


def widened_weights(narrow: Any, wide: Any) -> list[np.ndarray] | None:
    """Returns weights with which `wide` computes what `narrow` does, with channels to spare.

    The channels of `narrow` keep their kernels and read none of the new channels. These have the
    random kernels of `wide`, so that training makes use of them from its first step on.

    Args:
        narrow: a built network.
        wide: a built network with random weights.

    Returns:
        Arrays in the order of `wide.weights`; `None` if the networks are not two GradNets that
        differ in the number of features alone, `wide` with more.
    """
    settings = [_all_but_features(network) for network in (narrow, wide)]
    if None in settings or settings[0] != settings[1] or narrow.filters >= wide.filters:
        return None
    old, new = narrow.filters, wide.filters
    features = np.arange(old)
    gradient = np.arange(narrow.depth)
    fused = np.concatenate([features, new + gradient])  # g0 = f0 ⊕ G(x̂)
    # Sizes of an axis, narrow and wide → where the channels of the former are among the latter's.
    # Those inside the attention have no order of their own and may stay the first ones.
    places = {
        (old, new): features,
        (narrow.width, wide.width): fused,
        (2 * narrow.width, 2 * wide.width): np.concatenate([fused, wide.width + fused]),
    }
    both = zip(narrow.get_weights(), wide.get_weights(), strict=True)
    return [_embedded(values, larger, places) for values, larger in both]


def _all_but_features(network):
    """Returns what two networks must have in common; `None` if it is no GradNet."""
    if not hasattr(network, "body") or getattr(network, "naive_denoiser", None) is None:
        return None
    naive = [tuple(weight.shape) for weight in network.naive_denoiser.weights]
    own = (type(network), network.channels, network.scale, network.global_skip)
    return *own, network.takes_level, network.body.settings(), naive, len(network.weights)


def _embedded(values, larger, places):
    """Returns `larger` with `values` at their places, cut off from the channels around them."""
    if values.shape == larger.shape:
        return values
    result = larger.copy()
    *inputs, outputs = [
        np.arange(old) if old == new else places.get((old, new), np.arange(old))
        for old, new in zip(values.shape, larger.shape, strict=True)
    ]
    result[..., outputs] = 0
    result[np.ix_(*inputs, outputs)] = values
    return result
