"""Numeric arrays in MATLAB files: version 5 is read with SciPy, version 7.3 (HDF5) with h5py.

Arrays come with MATLAB's axes: HDF5 stores them in reverse order, which is undone here.
"""

import contextlib
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from gradnet_tf.utils.errors import UserError

# A version 5 file: a header of this size, then elements that each begin with type and length.
_HEADER = 128
_TAG = 8
_DTYPES = {"single": "float32", "double": "float64"}


def require_scipy(path: str | os.PathLike):
    """Returns `scipy.io`, which MATLAB files of version 5 are read and written with.

    Args:
        path: the file, for the message.

    Raises:
        UserError: when SciPy is not installed.
    """
    try:
        import scipy.io
    except ModuleNotFoundError as error:
        raise UserError(
            f"{path}: a MATLAB file of version 5, which needs SciPy; it is not installed.\n"
            "Install it: pip install 'gradnet-tf[mat]'."
        ) from error
    return scipy.io


def damaged(path: str | os.PathLike, reason: object) -> UserError:
    """Builds the error for a file that cannot be read."""
    text = (str(reason).splitlines() or [type(reason).__name__])[0][:160]
    return UserError(
        f"{path}: damaged, cut off or no MATLAB file: {text}.\n"
        "Download or copy it again and compare its size with the original's."
    )


@contextlib.contextmanager
def open_hdf5(path: str | os.PathLike) -> Iterator[h5py.File]:
    """Opens a MATLAB file of version 7.3.

    Raises:
        UserError: when it is missing, damaged, of another version, or when
            reading inside the block finds it so.
    """
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, IndexError) as error:
        if isinstance(error, UserError):
            raise
        with contextlib.suppress(OSError), open(path, "rb") as file:
            if file.read(10) == b"MATLAB 5.0":
                raise UserError(
                    f"{path}: a MATLAB file of version 5; expected version 7.3 (HDF5), as it is "
                    "published.\nCopy the original, or save it in MATLAB with -v7.3."
                ) from error
        raise damaged(path, error) from error


def array_facts(path: Path, name: str) -> tuple[tuple[int, ...], str]:
    """Returns shape (MATLAB's axes) and NumPy dtype of a variable; reads no numbers.

    Raises:
        UserError: when the file is damaged or cut off, or has no such variable.
    """
    if _is_version_5(path):
        reader = require_scipy(path)
        _check_length(path)
        try:
            found = {each: (shape, kind) for each, shape, kind in reader.whosmat(str(path))}
        except Exception as error:  # Its reader raises what it meets: zlib's, struct's, its own.
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
    """Reads a numeric variable whole, in its own dtype, with MATLAB's axes.

    Raises:
        UserError: as `array_facts` does.
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
        with open(path, "rb") as file:
            start = file.read(10)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    if start != b"MATLAB 5.0" and not h5py.is_hdf5(path):
        raise damaged(path, "neither the start of version 5 nor of version 7.3 (HDF5)")
    return start == b"MATLAB 5.0"


def _check_length(path: Path) -> None:
    """Follows the lengths of a version 5 file's elements and compares with the file's size."""
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
        raise damaged(path, f"{size} bytes, where its own lengths ask for {max(place, _HEADER)}")


def _no_variable(path: Path, name: str, found) -> UserError:
    return UserError(
        f"{path} has no variable {name}; it has {', '.join(sorted(found)) or 'none'}.\n"
        "Expected the file as it is published, under its own name."
    )
