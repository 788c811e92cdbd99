"""Detects the version of MATLAB files: 5 is read with SciPy, 7.3 (HDF5) with h5py."""

import os

import h5py

from gradnet_tf.utils.errors import UserError

_VERSION_5 = b"MATLAB 5.0"


def is_version_5(path: str | os.PathLike) -> bool:
    """Whether a MATLAB file has version 5; otherwise it has version 7.3.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file has neither version.
    """
    with open(path, "rb") as file:
        if file.read(len(_VERSION_5)) == _VERSION_5:
            return True
    if not h5py.is_hdf5(path):
        raise ValueError("neither the start of version 5 nor of version 7.3 (HDF5)")
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
            f"{path}: a MATLAB file of version 5, which needs SciPy; it is not installed.\n"
            "Install it (pip install 'gradnet-tf[mat]'), or save the file in MATLAB with -v7.3."
        ) from error
    return scipy.io
