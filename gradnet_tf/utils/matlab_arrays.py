"""Numeric arrays in MATLAB files: version 5 is read by `matlab_5`, version 7.3 (HDF5) with h5py.

Arrays come with MATLAB's axes: HDF5 stores them in reverse order, which is undone here. The files
are other people's: see `gradnet_tf.utils.containers`.
"""

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import h5py
import numpy as np

from gradnet_tf.utils.containers import Budget, member, numbers, require_own_numbers
from gradnet_tf.utils.errors import UserError, install_command
from gradnet_tf.utils.matlab_5 import list_variables, read_variable

#: What an array of a data set may take in memory: SIDD's blocks take 0.25 GB.
MOST_BYTES = 2**31
_VERSION_5 = b"MATLAB 5.0"


def is_version_5(path: str | os.PathLike) -> bool:
    """Whether a MATLAB file is of version 5; otherwise it is of version 7.3.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is of neither version.
    """
    with open(path, "rb") as file:
        if file.read(len(_VERSION_5)) == _VERSION_5:
            return True
    if not h5py.is_hdf5(path):
        raise ValueError("neither the start of version 5 nor of version 7.3 (HDF5)")
    return False


def require_scipy(path: str | os.PathLike):
    """Returns `scipy.io`, which writes MATLAB files of version 5.

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
            f"Install it ({install_command('scipy')}), or save it in MATLAB with -v7.3."
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
    """Opens a MATLAB file of version 7.3; its content is read through `containers`.

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
    """Returns shape (MATLAB's axes) and NumPy dtype of a variable; reads no numbers.

    Raises:
        UserError: when the file is damaged or cut off, or has no such variable.
    """
    if _is_version_5(path):
        try:
            found = {each.name: each for each in list_variables(path)}
        except (OSError, ValueError) as error:
            raise damaged(path, error) from error
        if name not in found:
            raise _no_variable(path, name, found)
        return found[name].shape, found[name].kind
    with open_hdf5(path) as file:
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            names = itertools.islice((each for each in file if not each.startswith("#")), 20)
            raise _no_variable(path, name, names)
        dataset = member(file, name, h5py.Dataset)
        require_own_numbers(dataset)
        return dataset.shape[::-1], str(dataset.dtype)


def read_array(path: Path, name: str) -> np.ndarray:
    """Reads a numeric variable whole, in its own dtype, with MATLAB's axes.

    Raises:
        UserError: as `array_info` does; the array takes more than `MOST_BYTES`.
    """
    budget = Budget(MOST_BYTES)
    if _is_version_5(path):
        try:
            found = read_variable(path, name, budget)
        except (OSError, ValueError) as error:
            raise damaged(path, error) from error
        if not isinstance(found, np.ndarray):
            raise _no_variable(path, name, [])
        return found
    with open_hdf5(path) as file:
        return numbers(member(file, name, h5py.Dataset), budget).T


def _is_version_5(path: Path) -> bool:
    try:
        return is_version_5(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise damaged(path, error) from error


def _no_variable(path: Path, name: str, found: Iterable[str]) -> UserError:
    names = ", ".join(sorted(each[:80] for each in itertools.islice(found, 20)))
    return UserError(
        f"{path} has no variable {name}; it has {names or 'none'}.\n"
        "Expected the published file under its own name."
    )
