"""Starts TensorFlow and Keras quietly and quickly."""

import atexit
import contextlib
import gc
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from gradnet_tf.utils.errors import UserError

# Optional dependencies that TensorFlow and Keras import if they are installed: for plots, for
# scikit-learn's estimators, for converting JAX programs. No program here needs them from Keras.
UNUSED = ("jax", "matplotlib", "pandas", "sklearn")

#: Held while file descriptor 2, which is the whole process's, leads elsewhere: of two redirections
#: that overlap, the last one to end would restore what the other one had made, for good.
STDERR_LOCK = threading.RLock()


def temporary_file() -> BinaryIO:
    """Returns a temporary file, also where no folder may be written to (a read-only container)."""
    try:
        return tempfile.TemporaryFile()
    except OSError:
        if not hasattr(os, "memfd_create"):
            raise
        # Not the first choice: of two threads that write at once, one may replace the other's line.
        return os.fdopen(os.memfd_create("gradnet"), "w+b")


@contextlib.contextmanager
def quiet_native_logs() -> Iterator[None]:
    """Captures everything that is written to standard error inside the block.

    TensorFlow and LiteRT write informational lines (oneDNN, CUDA, XNNPACK) directly to file
    descriptor 2 when they are imported, and `TF_CPP_MIN_LOG_LEVEL` does not prevent that. If the
    block fails, the captured text is printed, except for a `UserError`, whose message is
    sufficient.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    stream = getattr(sys.stderr, "stream", sys.stderr)  # inside of an `OutputStream`
    with STDERR_LOCK:
        stream.flush()
        try:
            screen = os.dup(2)
        except OSError:  # no standard error stream at all
            yield
            return
        with temporary_file() as held:
            os.dup2(held.fileno(), 2)
            failed = True
            try:
                yield
                failed = False
            except UserError:
                failed = False
                raise
            finally:
                stream.flush()
                os.dup2(screen, 2)
                os.close(screen)
                if failed:
                    held.seek(0)
                    sys.stderr.write(held.read().decode("utf-8", "replace"))


@contextlib.contextmanager
def quick_start() -> Iterator[None]:
    """Speeds up the first import of Keras inside the block, and the exit of the process.

    Keras and TensorFlow take seconds to import. Inside the block, (1) their optional
    dependencies (`UNUSED`) appear not to be installed, and (2) the garbage collector is off; it
    would otherwise scan a million objects repeatedly without freeing any. After the block these
    objects are excluded from collection (`gc.freeze`), also at exit, where a last collection
    would take as long as denoising a small picture.

    Use it in programs only, not in the library: afterwards Keras itself cannot plot in this process
    (the hidden packages can be imported again). If Keras is already imported, as in a user's own
    program, nothing is changed.
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
            atexit.register(gc.freeze)  # objects created since
        if collecting:
            gc.enable()


def _backend() -> str:
    """Returns the backend that Keras will choose, from the environment or its settings file."""
    if "KERAS_BACKEND" in os.environ:
        return os.environ["KERAS_BACKEND"]
    folder = os.environ.get("KERAS_HOME") or os.path.expanduser(os.path.join("~", ".keras"))
    try:
        settings = json.loads(Path(folder, "keras.json").read_text(encoding="utf-8"))
        return settings.get("backend", "tensorflow")
    except (OSError, ValueError, AttributeError):
        return "tensorflow"
