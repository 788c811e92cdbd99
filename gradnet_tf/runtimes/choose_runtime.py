"""The choice of what runs weights that ship: Keras, or LiteRT where there is a file for it."""

import importlib.util
import os
from pathlib import Path

#: What may be asked for.
RUNTIMES = ("auto", "keras", "litert")


def litert_is_better() -> bool:
    """Whether "auto" means LiteRT for weights that ship as a .tflite file, too.

    LiteRT starts in a fraction of the time, needs no TensorFlow and computes the same to 1e-5.
    Keras is better where a GPU could be used, where LiteRT is not installed, and where somebody
    chose a backend by KERAS_BACKEND.
    """
    installed = importlib.util.find_spec("ai_edge_litert") is not None
    return installed and "KERAS_BACKEND" not in os.environ and not _has_gpu()


def _has_gpu() -> bool:
    """Whether there is a graphics card that TensorFlow or JAX could compute on."""
    return any(Path("/dev").glob("nvidia[0-9]*"))
