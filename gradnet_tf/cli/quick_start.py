"""A shorter way to the first picture, for a process that does nothing but denoise."""

import atexit
import contextlib
import functools
import gc
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from gradnet_tf.utils.errors import UserError

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


def picture_function(
    model: str, sigma: float | None, runtime: str = "auto", **options
) -> Callable[[np.ndarray], np.ndarray]:
    """Loads a model and returns the function from a photograph's pixels to denoised ones.

    For commands alone, see `quick_start`.

    Args:
        model: see `gradnet_tf.denoiser.load_denoiser`.
        sigma: noise level on the 0-255 scale, for a model that takes one.
        runtime: see `load_denoiser`.
        options: further arguments of `Denoiser.__call__`.

    Raises:
        UserError: no such model, or a noise level for a model that takes none.
    """
    from gradnet_tf.denoiser import load_denoiser

    with quick_start():
        denoiser = load_denoiser(model, runtime=runtime)
    if sigma is not None and not denoiser.needs_sigma:
        refuse_sigma(sigma, denoiser.name)
    return functools.partial(denoiser, sigma=sigma, **options)


def refuse_sigma(sigma: float, name: str) -> None:
    """Raises the error for a noise level that the model `name` does not take."""
    raise UserError(f"--sigma={sigma:g}: {name} takes no noise level. Leave the flag out.")
