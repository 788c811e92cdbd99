"""Reads numeric arrays from MATLAB files: version 5 with SciPy, version 7.3 (HDF5) with h5py.

Arrays have MATLAB's axis order; HDF5 stores the axes in reverse.
"""

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.matlab_version import is_version_5, require_scipy

# A version 5 file has a header of this size, then elements that begin with type and length.
_HEADER = 128
_TAG = 8
_DTYPES = {"single": "float32", "double": "float64"}


def damaged(path: str | os.PathLike, reason: object) -> UserError:
    """Returns the error for a file that cannot be read."""
    text = (str(reason).splitlines() or [type(reason).__name__])[0][:160]
    return UserError(
        f"{path}: damaged, cut off or no MATLAB file: {text}.\n"
        "Download or copy it again and compare its size with the original."
    )


@contextlib.contextmanager
def open_hdf5(path: str | os.PathLike) -> Iterator[h5py.File]:
    """Opens a MATLAB file of version 7.3.

    Raises:
        UserError: the file is missing, damaged or has another version; also if that is only
            found while reading inside the block.
    """
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, IndexError) as error:
        if isinstance(error, UserError):
            raise
        version_5 = False
        with contextlib.suppress(OSError, ValueError):
            version_5 = is_version_5(path)
        if version_5:
            raise UserError(
                f"{path}: a MATLAB file of version 5; expected version 7.3 (HDF5), as it is "
                "published.\nCopy the original, or save it in MATLAB with -v7.3."
            ) from error
        raise damaged(path, error) from error


def array_info(path: Path, name: str) -> tuple[tuple[int, ...], str]:
    """Returns shape (MATLAB's axes) and NumPy dtype of a variable, without reading its data.

    Raises:
        UserError: the file is damaged or truncated, or has no such variable.
    """
    if _is_version_5(path):
        reader = require_scipy(path)
        _check_length(path)
        try:
            found = {each: (shape, kind) for each, shape, kind in reader.whosmat(str(path))}
        except Exception as error:  # SciPy raises errors of zlib, of struct and its own.
            raise damaged(path, error) from error
        if name not in found:
            raise _no_variable(path, name, found)
        shape, kind = found[name]
        return tuple(shape), _DTYPES.get(kind, kind)
    with open_hdf5(path) as file:
        if not isinstance(file.get(name), h5py.Dataset):
            raise _no_variable(path, name, [each for each in file if not each.startswith("#")])
        return file[name].shape[::-1], str(file[name].dtype)


def read_array(path: Path, name: str) -> np.ndarray:
    """Reads a numeric variable in its own dtype, with MATLAB's axes.

    Raises:
        UserError: see `array_info`.
    """
    if _is_version_5(path):
        reader = require_scipy(path)
        try:
            return reader.loadmat(str(path), variable_names=[name])[name]
        except Exception as error:
            raise damaged(path, error) from error
    with open_hdf5(path) as file:
        return file[name][()].T


def _is_version_5(path: Path) -> bool:
    try:
        return is_version_5(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise damaged(path, error) from error


def _check_length(path: Path) -> None:
    """Checks that the lengths of a version 5 file's elements add up to the file's size."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        order = ">" if file.read(_HEADER)[126:128] == b"MI" else "<"
        place = _HEADER
        while place < size:
            file.seek(place)
            tag = file.read(_TAG)
            length = struct.unpack(f"{order}2I", tag)[1] if len(tag) == _TAG else 0
            place += _TAG + length
    if place != size or size <= _HEADER:
        raise damaged(path, f"{size} bytes; its elements add up to {max(place, _HEADER)}")


def _no_variable(path: Path, name: str, found) -> UserError:
    return UserError(
        f"{path} has no variable {name}; it has {', '.join(sorted(found)) or 'none'}.\n"
        "Expected the published file under its original name."
    )
