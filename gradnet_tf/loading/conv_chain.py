"""Extracts the chain of 3×3 convolutions from published files of PyTorch and MatConvNet."""

import re
from collections.abc import Sequence

import numpy as np

from gradnet_tf.layers.conv_norm import EPSILON
from gradnet_tf.loading.matlab_file import MatlabLayer
from gradnet_tf.loading.tensor_source import Convolution, Source
from gradnet_tf.utils.errors import UserError


def chain_of_torch(source: Source, prefix: str) -> list[Convolution]:
    """Returns the convolutions `prefix.N.…` of a PyTorch file in numerical order.

    Raises:
        UserError: a module is neither a convolution nor a normalization after one.
    """
    pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.")
    numbers = {int(match[1]) for name in source.names if (match := pattern.match(name))}
    chain: list[Convolution] = []
    for number in sorted(numbers):
        name = f"{prefix}.{number}"
        if source.axes(f"{name}.weight") == 4:
            chain.append(source.convolution(name))
        elif chain and chain[-1].norm is None:
            chain[-1].set_norm(*source.norm(name, chain[-1].kernel.shape[-1]))
        else:
            raise source.error(f"the module {name!r} is neither a convolution nor follows one")
    return chain


def chain_of_matlab(path, layers: Sequence[MatlabLayer]) -> tuple[list[Convolution], bool]:
    """Returns the chain of a MatConvNet network, and whether it processes 2×2 blocks.

    Raises:
        UserError: a layer has an unsupported type, stride, padding or dilation.
    """
    chain: list[Convolution] = []
    frame: list[str] = []

    def error(layer, what):
        return UserError(
            f"{path}: {layer.name} ({layer.kind!r}) {what}.\nExpected 3×3 convolutions (stride, "
            "pad and dilate 1), relu and bnorm; for FFDNet in SubP, concat … SubP."
        )

    for layer in layers:
        shapes = [weight.shape for weight in layer.weights]
        if layer.kind == "conv":
            chain.append(_matlab_convolution(layer, error))
        elif layer.kind == "bnorm" and chain and chain[-1].norm is None:
            chain[-1].set_norm(*_matlab_norm(layer, chain[-1], error))
        elif layer.kind == "relu" and chain:
            if any(layer.numbers.get("leak", ())):
                raise error(layer, "is leaky")
        elif layer.kind in ("SubP", "concat"):
            frame.append(layer.kind)
        else:
            raise error(layer, "is not supported")
        if shapes and layer.kind not in ("conv", "bnorm"):
            raise error(layer, f"has unexpected weights of shapes {shapes}")
    if frame not in ([], ["SubP", "concat", "SubP"]):
        raise error(layers[0], f"begins a network with {', '.join(frame)}")
    return chain, bool(frame)


def _matlab_convolution(layer, error) -> Convolution:
    ones = ("pad", "stride", "dilate")
    if any(set(layer.numbers.get(field, (1.0,))) != {1.0} for field in ones):
        raise error(layer, "has an unsupported stride, pad or dilate")
    if len(layer.weights) != 2:
        raise error(layer, f"has {len(layer.weights)} weights instead of filter and bias")
    kernel, bias = layer.weights
    # MATLAB omits trailing axes of length 1.
    kernel = kernel.reshape(kernel.shape + (1,) * (4 - kernel.ndim))
    if kernel.shape[:2] != (3, 3) or bias.size != kernel.shape[-1]:
        raise error(layer, f"has weights of shapes {kernel.shape} and {bias.shape}")
    return Convolution(layer.name, kernel, bias.ravel())


def _matlab_norm(layer, before, error) -> tuple[np.ndarray, ...]:
    filters = before.kernel.shape[-1]
    if len(layer.weights) != 3 or [w.size for w in layer.weights] != [
        filters,
        filters,
        2 * filters,
    ]:
        raise error(layer, "has other weights than γ, β and moments of its channels")
    gamma, beta, moments = layer.weights
    mean, deviation = moments.reshape((filters, 2)).T
    # MatConvNet stores the square root of variance + ε.
    return gamma.ravel(), beta.ravel(), mean, deviation**2 - EPSILON
