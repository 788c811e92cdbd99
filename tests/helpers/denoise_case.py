"""What the tests of `gradnet denoise` share: the command in this process, and simple denoisers."""

import cv2
import numpy as np

from gradnet_tf.cli import main as cli


def gradnet(*arguments):
    """Runs the command in this process; returns its exit code."""
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as leave:
        return leave.code


def read(path):
    """Pixels as OpenCV has them: BGR, any depth."""
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def names(folder):
    """The results below a folder; what is hidden are settings, and never half a result."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in found if path.name.startswith(".partial")]
    results = [path for path in found if path.name != ".gradnet.json"]
    return sorted(path.relative_to(folder).as_posix() for path in results)


def negative(pixels):
    """A denoiser that changes every pixel, and undoes itself."""
    top = 1 if pixels.dtype.kind == "f" else np.iinfo(pixels.dtype).max
    return (top - pixels).astype(pixels.dtype)
