"""Reads MatConvNet's other kind of network, DagNN: layers that name their inputs and parameters.

`net.layers` and `net.params` are arrays of structures. A chain of layers is turned into the form of
a "simplenn" network, which `matlab_file` reads. Of a network with transposed convolutions, which
CBDNet is, only the convolutions are taken, in the order of the file; anything else is refused.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np

from gradnet_tf.utils.containers import Budget, member, numbers, referenced
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.matlab_5 import Cells, Structures

_MOST_LAYERS, _MOST_LETTERS, _MOST_NAMES, _MOST_NUMBERS = 1000, 200, 16, 4
_TRANSPOSED = "dagnn.ConvTranspose"
_KINDS = {"Conv": "conv", "ReLU": "relu", "BatchNorm": "bnorm", "Concat": "concat"}


@dataclasses.dataclass(frozen=True)
class DagLayer:
    """A layer of the graph.

    Attributes:
        kind: its class, such as "dagnn.Conv".
        inputs: names of the variables that it takes.
        outputs: names of the variables that it makes.
        params: names of its parameters.
        block: its numbers by name, such as `pad` and `stride`.
    """

    kind: str
    inputs: list[str]
    outputs: list[str]
    params: list[str]
    block: dict[str, np.ndarray]


def chain_of_dag(
    layers: list[DagLayer], params: dict[str, np.ndarray]
) -> Iterator[tuple[dict[str, np.ndarray], list[np.ndarray]]]:
    """Yields the fields and the weights of each layer, as a "simplenn" network has them.

    Raises:
        UserError: the layers are no chain.
        ValueError: a parameter is missing.
    """
    if not layers:
        raise ValueError("a DagNN network without layers")
    if any(layer.kind == _TRANSPOSED for layer in layers):
        yield from _convolutions(layers, params)
        return
    before = None
    for number, layer in enumerate(layers, start=1):
        kind = layer.kind.removeprefix("dagnn.")
        is_loss = "loss" in kind.casefold()
        fits = len(layer.inputs) == 1 and layer.inputs[0] == (before or layer.inputs[0])
        if not fits and not (is_loss and before in layer.inputs):
            raise UserError(
                f"a network of MatConvNet's kind DagNN whose layer {number} ({layer.kind[:40]}) "
                f"takes {', '.join(layer.inputs)[:80] or 'nothing'}.\nExpected a chain, in which "
                "each layer takes the output of the one before."
            )
        before = layer.outputs[0] if layer.outputs else None
        missing = [name for name in layer.params if name not in params]
        if missing:
            raise ValueError(f"the parameter {missing[0][:80]!r} is missing")
        weights = [params[name] for name in layer.params]
        kind = "loss" if is_loss else _KINDS.get(kind, layer.kind)
        if kind == "conv" and len(weights) == 1:  # hasBias is false
            weights.append(np.zeros(weights[0].shape[3:] or 1, np.float32))
        letters = np.array([ord(letter) for letter in kind[:_MOST_LETTERS]])
        yield {**layer.block, "type": letters}, weights


def _convolutions(
    layers: list[DagLayer], params: dict[str, np.ndarray]
) -> Iterator[tuple[dict[str, np.ndarray], list[np.ndarray]]]:
    """Yields the convolutions alone, of the types "conv" and "convt"; see `chain_of_dag`."""
    types = {"dagnn.Conv": "conv", _TRANSPOSED: "convt"}
    for layer in layers:
        if layer.kind not in types:
            continue
        missing = [name for name in layer.params if name not in params]
        if missing:
            raise ValueError(f"the parameter {missing[0][:80]!r} is missing")
        letters = np.array([ord(letter) for letter in types[layer.kind]])
        yield {**layer.block, "type": letters}, [params[name] for name in layer.params]


def read_dag_5(net: dict[str, Any]) -> tuple[list[DagLayer], dict[str, np.ndarray]]:
    """Returns the layers and the parameters of a file of version 5; `net` is the structure."""
    layers, params = net["layers"], net.get("params")
    if not isinstance(layers, Structures) or not isinstance(params, Structures):
        raise ValueError("a DagNN network without `params`")
    _require_few(len(layers.items), len(params.items))
    found = []
    for item in layers.items:
        block = item.get("block")
        fields = block.items[0] if isinstance(block, Structures) and block.items else {}
        few = {
            name: value
            for name, value in fields.items()
            if isinstance(value, np.ndarray) and value.size <= _MOST_NUMBERS
        }
        names = (_texts_5(item.get(field)) for field in ("inputs", "outputs", "params"))
        found.append(DagLayer(_text(item.get("type")), *names, few))
    arrays = {}
    for item in params.items:
        value = item.get("value")
        if not isinstance(value, np.ndarray):
            raise ValueError("a parameter that is no numbers")
        arrays[_text(item.get("name"))] = value.astype(np.float32)
    return found, arrays


def read_dag_7(net: h5py.Group, budget: Budget) -> tuple[list[DagLayer], dict[str, np.ndarray]]:
    """Returns the same of a file of version 7.3; `net` is the group."""
    file = net.file
    layers, params = (member(net, name, h5py.Group) for name in ("layers", "params"))

    def column(group, name):
        found = numbers(member(group, name, h5py.Dataset), budget, _MOST_LAYERS * 4)
        if found.dtype != h5py.ref_dtype:
            raise ValueError(f"`{name}` is no array of structures")
        return [file[reference] if reference else None for reference in found.ravel()]

    def text(found):
        if not isinstance(found, h5py.Dataset):
            raise ValueError("a name that is no text")
        return _text(numbers(found, budget, _MOST_LETTERS).T)

    def texts(found):
        if not isinstance(found, h5py.Dataset):
            raise ValueError("names that are no texts")
        if found.attrs.get("MATLAB_empty"):
            return []
        if found.dtype != h5py.ref_dtype:
            # An empty cell array is stored as its shape, in numbers; a text as its letters.
            return [text(found)] if found.dtype.kind == "u" and found.dtype.itemsize == 2 else []
        references = numbers(found, budget, _MOST_NAMES).ravel()
        return [text(referenced(file, reference, h5py.Dataset)) for reference in references]

    def block(found):
        fields = {}
        for name in ("pad", "stride", "dilate", "leak"):
            if isinstance(found, h5py.Group) and name in found:
                value = member(found, name, h5py.Dataset)
                if value.size is not None and value.size <= _MOST_NUMBERS:
                    fields[name] = numbers(value, budget)
        return fields

    kinds = column(layers, "type")
    _require_few(len(kinds), 0)
    columns = [column(layers, name) for name in ("inputs", "outputs", "params", "block")]
    rows = zip(kinds, *columns, strict=True)
    found = [DagLayer(text(kind), *map(texts, names), block(last)) for kind, *names, last in rows]
    arrays = {}
    for name, value in zip(column(params, "name"), column(params, "value"), strict=True):
        if not isinstance(value, h5py.Dataset) or value.dtype.kind != "f":
            raise ValueError("a parameter that is no numbers")
        # MATLAB's first axis is the fastest, HDF5's the last.
        arrays[text(name)] = numbers(value, budget).astype(np.float32).T
    return found, arrays


def _require_few(layers: int, params: int) -> None:
    if layers > _MOST_LAYERS or params > 4 * _MOST_LAYERS:
        raise ValueError(f"more than {_MOST_LAYERS} layers")


def _texts_5(value: Any) -> list[str]:
    if isinstance(value, Cells):
        return [_text(item) for item in value.items[:_MOST_NAMES]]
    return [_text(value)] if isinstance(value, np.ndarray) and value.size else []


def _text(value: Any) -> str:
    if not isinstance(value, np.ndarray) or value.size > _MOST_LETTERS:
        raise ValueError("a name that is no text")
    return "".join(map(chr, value.ravel(order="F").astype(int).tolist()))
