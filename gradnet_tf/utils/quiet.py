"""Suppresses start-up messages of native libraries."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

from gradnet_tf.utils.errors import UserError


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
    stream.flush()
    try:
        screen = os.dup(2)
    except OSError:  # no standard error stream at all
        yield
        return
    with tempfile.TemporaryFile() as held:
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
