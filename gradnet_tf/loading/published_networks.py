"""Detects from the tensors of a published file which network it contains, and builds it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from gradnet_tf.loading.conv_chain import chain_of_matlab, chain_of_torch
from gradnet_tf.loading.matlab_file import read_matlab
from gradnet_tf.loading.tensor_source import Convolution, Source
from gradnet_tf.loading.torch_file import read_torch
from gradnet_tf.models import ADNet, DnCNN, FFDNet
from gradnet_tf.models.adnet import NUM_HIDDEN
from gradnet_tf.models.base import build_model
from gradnet_tf.utils.errors import UserError

RECOGNIZED = (
    "Recognized: DnCNN and FFDNet of MatConvNet (.mat), of KAIR (model.N.weight) and of others "
    "(dncnn.N.weight, intermediate_dncnn.itermediate_dncnn.N.weight); ADNet (conv1_N.0.weight)"
)
_CHAINS = ("model", "dncnn", "intermediate_dncnn.itermediate_dncnn")


@dataclasses.dataclass(frozen=True)
class BlockLayout:
    """How an FFDNet arranges blocks of pixels and the noise level in channels.

    Attributes:
        by_columns: the pixels of a block are numbered by columns, not by rows.
        level_first: the noise level comes before the pixels, not after them.
        predicts: "image" or "noise".
    """

    by_columns: bool = False
    level_first: bool = False
    predicts: str = "image"


# MATLAB numbers by columns. The early `model_*.mat` files of FFDNet predict the noise, but cannot
# be distinguished from the published `FFDNet_*.mat`, so they are read in the same way.
_MATLAB_BLOCKS = BlockLayout(by_columns=True)
_TORCH_BLOCKS = {_CHAINS[2]: BlockLayout(level_first=True, predicts="noise")}


def load_published(path: Path, precision: str = "float32"):
    """Builds the network whose weights a `.mat` or `.pth` file holds, and loads them.

    Args:
        path: the file; its type is detected from its first bytes.
        precision: dtype policy to build the network under.

    Returns:
        The Keras model, and a short description.

    Raises:
        UserError: the file is damaged, would run code, or contains an unknown network, or a
            tensor is missing, unexpected or has the wrong shape.
    """
    with open(path, "rb") as file:
        head = file.read(8)
    if head.startswith((b"MATLAB", b"\x89HDF")):
        chain, blocks = chain_of_matlab(path, read_matlab(path))
        model = _from_chain(path, chain, _MATLAB_BLOCKS, precision)
        if blocks != model.needs_sigma:
            raise _unknown(path, "its channels do not fit its layers SubP and concat")
    else:
        source = Source(path, read_torch(path))
        model = _from_torch(source, precision)
        source.finish()
    return model, _describe(model)


def _from_torch(source: Source, precision: str):
    if source.axes("conv1_1.0.weight") == 4:
        return _adnet(source, precision)
    names = source.names
    for prefix in _CHAINS:
        if all(name.startswith(f"{prefix}.") for name in names):
            layout = _TORCH_BLOCKS.get(prefix, BlockLayout())
            return _from_chain(source.path, chain_of_torch(source, prefix), layout, precision)
    raise _unknown(source.path, f"its first tensor is {names[0]!r}")


def _from_chain(path, chain: Sequence[Convolution], layout: BlockLayout, precision):
    """Builds a DnCNN or an FFDNet, depending on the channels of the first and last layer."""
    if len(chain) < 2:
        raise _unknown(path, f"it has {len(chain)} convolutions")
    for before, layer in zip(chain, chain[1:], strict=False):
        if before.kernel.shape[-1] != layer.kernel.shape[2]:
            raise _unknown(path, f"{layer.name!r} does not fit the output of {before.name!r}")
    filters = {layer.kernel.shape[-1] for layer in chain[:-1]}
    normed = [layer.norm is not None for layer in chain]
    inner = set(normed[1:-1]) or {False}
    if len(filters) > 1 or len(inner) > 1 or normed[0] or normed[-1]:
        raise _unknown(path, f"its hidden layers differ: {sorted(filters)} channels, {normed}")
    inputs, outputs = chain[0].kernel.shape[2], chain[-1].kernel.shape[-1]
    arguments = {
        "num_layers": len(chain),
        "filters": filters.pop(),
        "batch_norm": inner.pop(),
        "dtype": precision,
    }
    if inputs == outputs and inputs in (1, 3):
        model = DnCNN(channels=inputs, **arguments)
    elif outputs in (4, 12) and inputs - outputs in (1, outputs // 4):
        model = FFDNet(channels=outputs // 4, predicts=layout.predicts, **arguments)
        _reorder_blocks(chain, outputs // 4, layout)
    else:
        raise _unknown(path, f"it takes {inputs} channels and returns {outputs}")
    build_model(model)
    for layer, convolution in zip([*model.convs, model.reconstruction], chain, strict=True):
        _assign(layer, convolution)
    return model


def _reorder_blocks(chain, channels: int, layout: BlockLayout) -> None:
    """Reorders the channels of the first and last layer: pixel by pixel, then the noise level."""
    order = []
    for row in (0, 1):
        for column in (0, 1):
            pixel = column * 2 + row if layout.by_columns else row * 2 + column
            order += [channel * 4 + pixel for channel in range(channels)]
    first, last = chain[0], chain[-1]
    levels = first.kernel.shape[2] - 4 * channels
    pixels = first.kernel[:, :, levels:] if layout.level_first else first.kernel[:, :, :-levels]
    level = first.kernel[:, :, :levels] if layout.level_first else first.kernel[:, :, -levels:]
    # Level maps of the colors are all equal, so one map with the summed weights is enough.
    level = level.sum(axis=2, keepdims=True)
    first.kernel = np.concatenate([pixels[:, :, order], level], axis=2)
    last.kernel, last.bias = last.kernel[..., order], last.bias[order]


def _adnet(source: Source, precision):
    hidden = []
    inputs = None
    for number in range(1, NUM_HIDDEN + 1):
        layer = source.convolution(f"conv1_{number}.0", inputs=inputs)
        inputs = layer.kernel.shape[-1]
        layer.set_norm(*source.norm(f"conv1_{number}.1", inputs))
        hidden.append(layer)
    last = source.convolution(f"conv1_{NUM_HIDDEN + 1}", inputs=inputs)
    channels = hidden[0].kernel.shape[2]
    attention = source.convolution("conv3", size=1, inputs=2 * channels)
    if channels not in (1, 3) or last.kernel.shape[-1] != channels:
        raise _unknown(source.path, f"it takes {channels} channels")
    _bgr_to_rgb(hidden[0], last, attention)
    model = build_model(ADNet(inputs, channels, dtype=precision))
    layers = [*model.convs, model.reconstruction, model.attention]
    for layer, convolution in zip(layers, [*hidden, last, attention], strict=True):
        _assign(layer, convolution)
    return model


def _bgr_to_rgb(first, last, attention) -> None:
    """Converts an ADNet from BGR, the order of its authors, to RGB; gray is not changed."""
    first.kernel = first.kernel[:, :, ::-1]
    last.kernel, last.bias = last.kernel[..., ::-1], last.bias[::-1]
    image, noise = np.split(attention.kernel, 2, axis=2)
    kernel = np.concatenate([image[:, :, ::-1], noise[:, :, ::-1]], axis=2)
    attention.kernel, attention.bias = kernel[..., ::-1], attention.bias[::-1]


def _assign(layer, convolution: Convolution) -> None:
    if convolution.norm is None:
        layer.set_weights([convolution.kernel, convolution.bias])
    else:
        layer.conv.set_weights([convolution.kernel])
        layer.norm.set_weights(list(convolution.norm))


def _describe(model) -> str:
    color = "color" if model.channels == 3 else "gray"
    normed = ", normalized" if getattr(model, "batch_norm", True) else ""
    count = getattr(model, "num_layers", NUM_HIDDEN + 2)
    return f"{type(model).__name__}, {color}, {count} layers of {model.filters}{normed}"


def _unknown(path, what: str) -> UserError:
    return UserError(f"{path}: the network is not recognized: {what}.\n{RECOGNIZED}.")
