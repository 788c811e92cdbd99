"""What runs a network: Keras, or LiteRT where the package ships a file for it."""

import importlib.util
import os
from pathlib import Path

from gradnet_tf import weights
from gradnet_tf.utils.errors import UserError

RUNTIMES = ("auto", "keras", "litert")


def litert_file(spec: str, runtime: str) -> Path | None:
    """Returns the shipped .tflite file that a model is to run from; `None`: Keras it is.

    "auto" takes LiteRT where there is such a file: it starts in a fraction of
    the time, needs no TensorFlow and computes the same to 1e-5. It takes Keras
    where a GPU could be used, where LiteRT is not installed, and where somebody
    chose a backend by KERAS_BACKEND.

    Args:
        spec: what `--model` takes.
        runtime: one of `RUNTIMES`.

    Raises:
        UserError: another runtime; "litert" for a model without a file.
    """
    if runtime not in RUNTIMES:
        raise UserError(f"`runtime` must be one of {', '.join(RUNTIMES)}. Received: {runtime!r}")
    if runtime == "keras" or (Path(spec).exists() and runtime == "auto"):
        return None
    if Path(spec).suffix == ".tflite" and Path(spec).is_file():
        return None  # Its content tells; it runs in LiteRT in any case.
    found = None if Path(spec).exists() else weights.find_tflite(spec)
    if runtime == "litert":
        if found is None:
            raise UserError(
                f"--runtime=litert: no .tflite file ships for {spec}.\nExport one (python -m "
                "export --formats=tflite_float16) and give its path, or leave the flag out."
            )
        return found
    installed = importlib.util.find_spec("ai_edge_litert") is not None
    chosen = "KERAS_BACKEND" in os.environ
    return found if installed and not chosen and not _has_gpu() else None


def _has_gpu() -> bool:
    """Whether there is a graphics card that TensorFlow or JAX could compute on."""
    return any(Path("/dev").glob("nvidia[0-9]*"))
