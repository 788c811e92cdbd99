"""A shorter way to the first picture, for a process that does nothing but denoise."""

import atexit
import contextlib
import gc
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

# What TensorFlow and Keras import where it is installed, and do without where it is not: for
# plots, for scikit-learn's estimators, for converting JAX programs. None of it denoises.
UNUSED = ("jax", "matplotlib", "pandas", "sklearn")


@contextlib.contextmanager
def quick_start() -> Iterator[None]:
    """Makes the first import of Keras inside the block, and the exit of the process, faster.

    Keras and TensorFlow take seconds to import. Inside the block, (1) packages
    that they import only to find out whether they are there count as not
    installed (`UNUSED`); (2) the garbage collector is off, which would go again
    and again through a million objects that all stay. After the block those
    objects are out of its sight for good (`gc.freeze`), also when the process
    ends, where a last collection would take as long as a small picture.

    For commands alone: Keras stays without its plots in this process. Where Keras is
    imported already, as in somebody's own program, nothing is done at all.
    """
    if "keras" in sys.modules or "tensorflow" in sys.modules:
        yield
        return
    hidden = [name for name in UNUSED if name not in sys.modules and name != _backend()]
    collecting = gc.isenabled()
    gc.disable()
    sys.modules.update(dict.fromkeys(hidden))  # None: an import says "not found"
    try:
        yield
    finally:
        for name in hidden:
            if sys.modules.get(name, "") is None:
                del sys.modules[name]
        if "keras" in sys.modules:
            gc.freeze()
            atexit.register(gc.freeze)  # what came since
        if collecting:
            gc.enable()


def _backend() -> str:
    """Returns the backend that Keras will choose: by the environment, or by its own file."""
    if "KERAS_BACKEND" in os.environ:
        return os.environ["KERAS_BACKEND"]
    folder = os.environ.get("KERAS_HOME") or Path("~", ".keras").expanduser()
    try:
        settings = json.loads(Path(folder, "keras.json").read_text(encoding="utf-8"))
        return settings.get("backend", "tensorflow")
    except (OSError, ValueError, AttributeError):
        return "tensorflow"
