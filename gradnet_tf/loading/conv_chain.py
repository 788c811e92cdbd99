"""Extracts the chain of 3×3 convolutions from published files of PyTorch and MatConvNet."""

from collections.abc import Iterable, Sequence

import numpy as np

from gradnet_tf.layers.conv_norm import EPSILON
from gradnet_tf.loading.matlab_file import MatlabLayer
from gradnet_tf.loading.tensor_source import Convolution, Source
from gradnet_tf.utils.errors import UserError

#: A name of more parts is no module's.
_MOST_PARTS = 32


def chain_of_torch(source: Source) -> list[Convolution] | None:
    """Returns the convolutions of a PyTorch file in the order in which they run.

    The modules may have any names. Where all of a module's parts are numbers, they run in
    numerical order, otherwise in the order of the file, which is that of their definition.

    Returns:
        The chain; `None` if the file holds something else, before any tensor was taken.

    Raises:
        UserError: a tensor of a module is missing, or has the wrong shape.
    """
    names = dict.fromkeys(name.rpartition(".")[0] for name in source.names)
    if any(name.count(".") > _MOST_PARTS for name in names):
        return None
    modules = _in_order(names)
    numbered = _is_numbered(modules)
    known = {
        module: source.axes(f"{module}.weight") == 4
        or source.axes(f"{module}.running_mean") is not None
        for module in modules
    }
    # In a plain list of modules, one that is incomplete is named; another network is not.
    if not modules or "" in modules or not (numbered or all(known.values())):
        return None
    chain: list[Convolution] = []
    for name in modules:
        if source.axes(f"{name}.weight") == 4:
            chain.append(source.convolution(name))
        elif chain and chain[-1].norm is None:
            chain[-1].set_norm(*source.norm(name, chain[-1].kernel.shape[-1]))
        else:
            raise source.error(f"the module {name!r} is neither a convolution nor follows one")
    return chain


def common_prefix(names: Iterable[str]) -> str:
    """Returns the longest prefix of whole parts, with its dot, that all dotted names have."""
    split = [name.split(".")[:-1] for name in names]
    shared = []
    for parts in zip(*split, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "".join(f"{part}." for part in shared)


def _is_numbered(modules: Sequence[str]) -> bool:
    """Whether the modules are a list: a common prefix and a number each."""
    parts = [module.rpartition(".") for module in modules]
    return len({prefix for prefix, _, _ in parts}) == 1 and all(
        number.isdecimal() for _, _, number in parts
    )


def _in_order(modules: Iterable[str]) -> list[str]:
    """Orders dotted names part by part: numbers by value, other parts as they appear first."""
    children: dict[str, list[tuple[str, str]]] = {}
    for module in modules:
        children.setdefault(module.split(".")[0], []).append((module, module.partition(".")[2]))
    heads = list(children)
    if all(head.isdecimal() for head in heads):
        heads.sort(key=int)
    found = []
    for head in heads:
        below = [rest for _, rest in children[head]]
        if below == [""]:
            found.append(head)
        elif "" in below:  # A module with tensors of its own beside modules below it.
            found += [module for module, _ in children[head]]
        else:
            found += [f"{head}.{rest}" for rest in _in_order(below)]
    return found


#: What may stand around the convolutions of a MatConvNet network, and the side of its blocks.
FRAMES = {(): 1, ("concat",): 1, ("SubP", "concat", "SubP"): 2}


def chain_of_matlab(
    path, layers: Sequence[MatlabLayer]
) -> tuple[list[Convolution], tuple[str, ...]]:
    """Returns the chain of a MatConvNet network, and its frame, one of `FRAMES`.

    The loss that a training leaves behind the last layer is left out.

    Raises:
        UserError: a layer has an unsupported type, stride, padding or dilation.
    """
    chain: list[Convolution] = []
    frame: list[str] = []

    def error(layer, what):
        return UserError(
            f"{path}: {layer.name} ({layer.kind!r}) {what}.\nExpected 3×3 convolutions (stride 1, "
            "pad as dilate), relu and bnorm; for FFDNet in SubP, concat … SubP."
        )

    if len(layers) > 1 and "loss" in layers[-1].kind.casefold():
        layers = layers[:-1]
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
    if tuple(frame) not in FRAMES:
        raise error(layers[0], f"begins a network with {', '.join(frame)}")
    return chain, tuple(frame)


def _matlab_convolution(layer, error) -> Convolution:
    pad, stride, dilate = (
        set(layer.numbers.get(field, (1.0,))) for field in ("pad", "stride", "dilate")
    )
    if stride != {1.0} or len(dilate) != 1 or pad != dilate or not dilate < set(range(1, 17)):
        raise error(layer, "has an unsupported stride, pad or dilate")
    if len(layer.weights) != 2:
        raise error(layer, f"has {len(layer.weights)} weights instead of filter and bias")
    kernel, bias = layer.weights
    # MATLAB omits trailing axes of length 1.
    kernel = kernel.reshape(kernel.shape + (1,) * (4 - kernel.ndim))
    if kernel.shape[:2] != (3, 3) or bias.size != kernel.shape[-1]:
        raise error(layer, f"has weights of shapes {kernel.shape} and {bias.shape}")
    return Convolution(layer.name, kernel, bias.ravel(), dilation=int(dilate.pop()))


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
