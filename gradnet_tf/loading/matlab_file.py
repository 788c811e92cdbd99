"""Reads the layers of a MatConvNet network from a MATLAB file, without MATLAB.

`net.layers` is a cell array with a structure for each layer ("simplenn"). Files of version 7.3 are
HDF5 and are read with h5py; files of version 5 are read with SciPy.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from gradnet_tf.loading.torch_file import MAX_BYTES
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.matlab_arrays import is_version_5, require_scipy

_MAX_LAYERS = 1000
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
        UserError: the file is damaged or does not contain such a network, or it has version 5
            and SciPy is not installed.
    """
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise UserError(
            f"{path}: the file has {size / 2**20:.0f} MB; expected at most {MAX_BYTES >> 20} MB."
        )
    try:
        structures = _structures_of_5(path) if is_version_5(path) else _structures_of_7(path)
        return [_layer(number, *found) for number, found in enumerate(structures, start=1)]
    except (OSError, ValueError, KeyError, IndexError, TypeError, RuntimeError) as error:
        if isinstance(error, UserError):
            raise
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
        if name in fields and np.size(fields[name]) <= 4
    }
    if not all(np.isfinite(weight).all() for weight in weights):
        raise ValueError(f"layers{{{number}}} holds NaN or infinities")
    return MatlabLayer(f"layers{{{number}}}", kind[:40], tuple(weights), numbers)


def _structures_of_7(path: Path) -> Iterator[tuple[dict, list]]:
    """Yields the fields and the weights of each layer of an HDF5 file."""
    with h5py.File(path, "r") as file:
        budget = [MAX_BYTES]
        layers = _inside(_inside(file, "net", h5py.Group), "layers", h5py.Dataset)
        references = _values(layers, budget).ravel()
        if layers.dtype != h5py.ref_dtype or not 0 < len(references) <= _MAX_LAYERS:
            raise ValueError("`net.layers` is not a cell array")
        for reference in references:
            group = file[reference]
            if not isinstance(group, h5py.Group):
                raise ValueError("a layer is not a structure")
            names = [name for name in ("type", *_NUMBERS) if name in group]
            fields = {name: _values(_inside(group, name, h5py.Dataset), budget) for name in names}
            yield fields, list(_weights_of_7(file, group, budget))


def _weights_of_7(file, group, budget) -> Iterator[np.ndarray]:
    if "weights" not in group:
        return
    cell = _inside(group, "weights", h5py.Dataset)
    # An empty cell array is stored as a numeric array with its shape.
    if cell.dtype != h5py.ref_dtype:
        return
    for reference in _values(cell, budget).ravel():
        found = file[reference]
        if not isinstance(found, h5py.Dataset) or found.dtype.kind != "f":
            raise ValueError("weights are not numeric")
        # MATLAB's first axis is the fastest, HDF5's the last.
        yield _values(found, budget).astype(np.float32).T


def _inside(group, name: str, kind: type):
    """Returns a member of a group; links to other files are refused."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"`{name}` is missing")
    found = group[name]
    if not isinstance(found, kind):
        raise ValueError(f"`{name}` has an unexpected type")
    return found


def _values(dataset: h5py.Dataset, budget: list[int]) -> np.ndarray:
    """Reads a dataset that is stored in this file and fits into the remaining budget."""
    if dataset.external or dataset.is_virtual:
        raise ValueError("data is stored in another file")
    budget[0] -= dataset.nbytes
    if budget[0] < 0:
        raise ValueError(f"more than {MAX_BYTES >> 20} MB of data")
    return dataset[()]


def _structures_of_5(path: Path) -> Iterator[tuple[dict, list]]:
    """Yields the fields and the weights of each layer of a version 5 file."""
    reader = require_scipy(path)
    try:
        net = reader.loadmat(path, variable_names=["net"])["net"]
    except Exception as error:  # SciPy raises many kinds: zlib's, struct's and its own.
        raise ValueError(f"SciPy cannot read it ({str(error)[:80]})") from error
    for layer in net[0, 0]["layers"].ravel():
        structure = layer[0, 0]
        names = structure.dtype.names
        fields = {name: structure[name] for name in _NUMBERS if name in names}
        fields["type"] = np.array([ord(letter) for letter in str(structure["type"][0])])
        cell = structure["weights"].ravel() if "weights" in names else []
        yield fields, [np.asarray(weight, np.float32) for weight in cell]
