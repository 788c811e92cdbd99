"""Writing that waits for a full disk instead of giving up."""

import errno
import os
from collections.abc import Callable

from gradnet_tf.utils.files import require_free_space

_FULL = (errno.ENOSPC, errno.EDQUOT)


def write_when_there_is_space(
    folder: str | os.PathLike,
    num_bytes: int,
    what: str,
    write: Callable[[], None],
    wait: Callable[[str], None],
) -> None:
    """Calls `write` when there is enough room, and again if it fails for lack of room.

    Args:
        folder: where `write` writes.
        num_bytes: what it needs at most; some writers crash on a full disk, so
            free space is checked first.
        what: names the write in messages.
        write: leaves nothing half written when it raises.
        wait: called with the reason each time there is no room; returns when
            to try again, or raises to give up.

    Raises:
        OSError: of another kind than a full disk.
    """
    while True:
        try:
            require_free_space(folder, num_bytes, what)
            write()
            return
        except OSError as error:
            if error.errno not in _FULL:
                raise
            wait(error.strerror or str(error))
