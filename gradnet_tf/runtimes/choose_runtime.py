"""Chooses what runs shipped weights: `--runtime`."""

import importlib.util
import os
from pathlib import Path

from gradnet_tf.utils.errors import UserError

#: The values of `--runtime`.
RUNTIMES = ("auto", "keras", "litert")


def runs_on_litert(runtime: str, precision: str) -> bool:
    """Whether LiteRT runs weights that are also shipped as a .tflite file.

    LiteRT starts in a fraction of the time, needs no TensorFlow and computes the same to 1e-5.
    Keras is better where there is a GPU, where LiteRT is not installed, and where KERAS_BACKEND
    is set.

    Args:
        runtime: one of `RUNTIMES`.
        precision: dtype policy; the shipped .tflite files are float32 only.

    Raises:
        UserError: another runtime.
    """
    if runtime not in RUNTIMES:
        raise UserError(f"`runtime` must be one of {', '.join(RUNTIMES)}. Received: {runtime!r}")
    if runtime != "auto" or precision != "float32":
        return runtime == "litert"
    installed = importlib.util.find_spec("ai_edge_litert") is not None
    return installed and "KERAS_BACKEND" not in os.environ and not _has_gpu()


def _has_gpu() -> bool:
    """Whether there is a graphics card that TensorFlow or JAX could compute on."""
    return any(Path("/dev").glob("nvidia[0-9]*"))
