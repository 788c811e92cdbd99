"""Reads numeric arrays from MATLAB files: version 5 with SciPy, version 7.3 (HDF5) with h5py.

Arrays have MATLAB's order of axes; HDF5 stores them in reverse order.
"""

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from gradnet_tf.utils.errors import UserError

# A version 5 file has a header of this size, then elements that each begin with type and length.
_HEADER = 128
_VERSION_5 = b"MATLAB 5.0"
_TAG = 8
_DTYPES = {"single": "float32", "double": "float64"}


def is_version_5(path: str | os.PathLike) -> bool:
    """Returns whether a MATLAB file is of version 5; otherwise it is of version 7.3.

    Raises:
        OSError: the file cannot be read.
        ValueError: it has neither version.
    """
    with open(path, "rb") as file:
        if file.read(len(_VERSION_5)) == _VERSION_5:
            return True
    if not h5py.is_hdf5(path):
        raise ValueError("neither version 5 nor version 7.3 (HDF5)")
    return False


def require_scipy(path: str | os.PathLike):
    """Returns `scipy.io`, which reads and writes MATLAB files of version 5.

    Args:
        path: the file, for the error message.

    Raises:
        UserError: SciPy is not installed.
    """
    try:
        import scipy.io
    except ModuleNotFoundError as error:
        raise UserError(
            f"{path}: MATLAB files of version 5 need SciPy, which is not installed.\n"
            "Install it (pip install 'gradnet-tf[mat]'), or save the file in MATLAB with -v7.3."
        ) from error
    return scipy.io


def damaged(path: str | os.PathLike, reason: object) -> UserError:
    """Returns the error for a file that cannot be read."""
    text = (str(reason).splitlines() or [type(reason).__name__])[0][:160]
    return UserError(
        f"{path}: damaged, truncated or not a MATLAB file: {text}.\n"
        "Download or copy it again and compare its size with the original's."
    )


@contextlib.contextmanager
def open_hdf5(path: str | os.PathLike) -> Iterator[h5py.File]:
    """Opens a MATLAB file of version 7.3.

    Raises:
        UserError: it is missing, damaged or of another version, also if that is only detected
            while reading inside the block.
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
                f"{path}: expected the published file, of version 7.3 (HDF5). Received: version "
                "5.\nCopy the original, or save it in MATLAB with -v7.3."
            ) from error
        raise damaged(path, error) from error


def array_info(path: Path, name: str) -> tuple[tuple[int, ...], str]:
    """Returns shape (in MATLAB's order) and NumPy dtype of a variable without reading its values.

    Raises:
        UserError: the file is damaged or truncated, or has no such variable.
    """
    if _is_version_5(path):
        reader = require_scipy(path)
        _check_length(path)
        try:
            found = {each: (shape, kind) for each, shape, kind in reader.whosmat(str(path))}
        except Exception as error:  # the reader raises errors of zlib, of struct and its own
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
    """Reads a numeric variable in its own dtype, with MATLAB's order of axes.

    Raises:
        UserError: as `array_info`.
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
    """Compares the sum of the lengths of a version 5 file's elements with the file's size."""
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
        raise damaged(path, f"{size} bytes instead of {max(place, _HEADER)}")


def _no_variable(path: Path, name: str, found) -> UserError:
    return UserError(
        f"{path} has no variable {name}; it has {', '.join(sorted(found)) or 'none'}.\n"
        "Expected the published file under its own name."
    )
