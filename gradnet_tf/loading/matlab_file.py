"""Reads the layers of a MatConvNet network from a MATLAB file, without MATLAB.

`net.layers` is a cell array with a structure for each layer ("simplenn"), or an array of structures
(DagNN, see `dagnn_file`). Files of version 7.3 are HDF5 and are read with h5py; those of version 5
by `utils.matlab_5`.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gradnet_tf.loading.dagnn_file import chain_of_dag, read_dag_5, read_dag_7
from gradnet_tf.loading.torch_file import MAX_BYTES
from gradnet_tf.utils.containers import Budget, member, numbers, referenced
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.matlab_5 import Cells, Structures, read_variable
from gradnet_tf.utils.matlab_arrays import is_version_5

_MAX_LAYERS = 1000
#: Letters of a layer's type, numbers of a field, arrays of a layer.
_MAX_LETTERS, _MAX_NUMBERS, _MAX_WEIGHTS = 100, 4, 16
_NUMBERS = ("pad", "stride", "dilate", "leak", "scale")


@dataclasses.dataclass(frozen=True)
class MatlabLayer:
    """A layer of the file.

    Attributes:
        name: position for error messages, such as "layers{3}", counted from 1 as in MATLAB.
        kind: "conv", "relu", "bnorm", "SubP", "concat", …
        weights: float32 arrays with MATLAB's axes, (height, width, in, out) for a filter.
        numbers: those of the fields `pad`, `stride`, `dilate`, `leak` and `scale` that exist.
    """

    name: str
    kind: str
    weights: tuple[np.ndarray, ...]
    numbers: dict[str, tuple[float, ...]]


def read_matlab(path: Path) -> list[MatlabLayer]:
    """Returns the layers of `net` in a `.mat` file.

    Raises:
        UserError: the file is damaged, holds no such network, or more than `MAX_BYTES` of
            numbers.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise UserError(
            f"{path}: the file has {size / 2**20:.0f} MB; expected at most {MAX_BYTES >> 20} MB."
        )
    try:
        budget = Budget(MAX_BYTES)
        read = _structures_of_5 if is_version_5(path) else _structures_of_7
        structures = read(path, budget)
        return [_layer(number, *found) for number, found in enumerate(structures, start=1)]
    except (OSError, ArithmeticError, ValueError, LookupError, TypeError, RuntimeError) as error:
        if isinstance(error, UserError):
            raise UserError(f"{path}: {error}") from error
        reason = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise UserError(
            f"{path}: damaged, truncated or not a MatConvNet network: {reason}.\n"
            "Expected a structure `net` with the cell array `net.layers`. Download it again."
        ) from error


def _layer(number: int, fields: dict[str, Any], weights: list[np.ndarray]) -> MatlabLayer:
    kind = "".join(map(chr, np.asarray(fields["type"]).ravel().astype(int).tolist()))
    numbers = {
        name: tuple(np.asarray(fields[name], np.float64).ravel().tolist())
        for name in _NUMBERS
        if name in fields
    }
    if not all(np.isfinite(weight).all() for weight in weights):
        raise ValueError(f"layers{{{number}}} holds NaN or infinities")
    return MatlabLayer(f"layers{{{number}}}", kind[:40], tuple(weights), numbers)


def _structures_of_7(path: Path, budget: Budget) -> Iterator[tuple[dict, list]]:
    """Yields the fields and the weights of each layer of an HDF5 file."""
    with h5py.File(path, "r") as file:
        net = member(file, "net", h5py.Group)
        own = isinstance(net.get("layers", getlink=True), h5py.HardLink)
        if own and net.get("layers", getclass=True) is h5py.Group:
            yield from chain_of_dag(*read_dag_7(net, budget))
            return
        layers = member(net, "layers", h5py.Dataset)
        if layers.dtype != h5py.ref_dtype or not 0 < layers.size <= _MAX_LAYERS:
            raise ValueError("`net.layers` is no cell array")
        for reference in numbers(layers, budget).ravel():
            group = referenced(file, reference, h5py.Group)
            fields = {"type": numbers(member(group, "type", h5py.Dataset), budget, _MAX_LETTERS)}
            for name in _NUMBERS:
                found = member(group, name, h5py.Dataset) if name in group else None
                if found is not None and found.size <= _MAX_NUMBERS:
                    fields[name] = numbers(found, budget)
            yield fields, list(_weights_of_7(file, group, budget))


def _weights_of_7(file: h5py.File, group: h5py.Group, budget: Budget) -> Iterator[np.ndarray]:
    if "weights" not in group:
        return
    cell = member(group, "weights", h5py.Dataset)
    # An empty cell array is stored as its shape, in numbers.
    if cell.dtype != h5py.ref_dtype:
        return
    for reference in numbers(cell, budget, _MAX_WEIGHTS).ravel():
        found = referenced(file, reference, h5py.Dataset)
        if found.dtype.kind != "f":
            raise ValueError("weights that are no numbers")
        # MATLAB's first axis is the fastest, HDF5's the last.
        yield numbers(found, budget).astype(np.float32).T


def _structures_of_5(path: Path, budget: Budget) -> Iterator[tuple[dict, list]]:
    """Yields the same of a file of version 5."""
    net = _only(read_variable(path, "net", budget))
    layers = net.get("layers")
    if isinstance(layers, Structures):
        yield from chain_of_dag(*read_dag_5(net))
        return
    if not isinstance(layers, Cells) or not 0 < len(layers.items) <= _MAX_LAYERS:
        raise ValueError("`net.layers` is no cell array")
    for layer in map(_only, layers.items):
        fields = {
            name: layer[name]
            for name, most in [("type", _MAX_LETTERS), *((name, _MAX_NUMBERS) for name in _NUMBERS)]
            if isinstance(layer.get(name), np.ndarray) and layer[name].size <= most
        }
        cell = layer.get("weights")
        weights = cell.items if isinstance(cell, Cells) else []
        if not all(isinstance(each, np.ndarray) for each in weights):
            raise ValueError("weights that are no numbers")
        budget.take(sum(4 * each.size for each in weights))
        yield fields, [each.astype(np.float32) for each in weights]


def _only(value: Any) -> dict[str, Any]:
    """Returns the fields of a single structure."""
    if not isinstance(value, Structures) or len(value.items) != 1:
        raise ValueError("no structure `net`, or a layer that is none")
    return value.items[0]
