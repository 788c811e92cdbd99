"""Writes files atomically: to a temporary file in the same folder, which is then renamed."""

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gradnet_tf.utils.errors import UserError

# The umask is global to the process and can only be read by setting it.
_UMASK = threading.Lock()


@contextlib.contextmanager
def atomic_path(
    path: str | os.PathLike,
    before_replacing: Callable[[], None] | None = None,
) -> Iterator[Path]:
    """Yields a temporary path in the same folder; it is renamed to `path` if the block succeeds.

    The temporary name keeps the suffix, since many writers derive the format from it. If the
    block fails, the temporary file is removed and an existing `path` is not changed.

    Args:
        path: the file.
        before_replacing: called right before the renaming; if it raises, `path` is not changed.
            See `gradnet_tf.utils.ownership`.
    """
    path = Path(path)
    make_folder(path.parent)
    handle, name = tempfile.mkstemp(prefix=".partial-", suffix=_suffix(path.name), dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        # mkstemp creates private files, but results should be readable by others.
        with _UMASK:
            umask = os.umask(0)
            os.umask(umask)
        # FAT drives and some network drives refuse it; the file is complete nevertheless.
        with contextlib.suppress(OSError):
            os.chmod(temporary, 0o666 & ~umask)
        if before_replacing:
            before_replacing()
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = os.fspath(path)  # `write` does not know it.
        raise


def _suffix(name: str) -> str:
    """Returns the suffix of a temporary name, ".png" or ".weights.h5".

    The whole name would make it longer than the system allows where the name itself just fits.
    """
    parts = Path(name).suffixes
    for suffix in ("".join(parts[-2:]), "".join(parts[-1:])):
        if len(os.fsencode(suffix)) <= _LONGEST_SUFFIX:
            return suffix
    return ""


_LONGEST_SUFFIX = 24


def make_folder(path: str | os.PathLike) -> None:
    """Creates a folder and its parents, at any depth; does nothing if it exists.

    Raises:
        OSError: it cannot be created, or a file has its name. No parent made for it is left.
    """
    missing, path = [], os.path.abspath(path)
    while not os.path.isdir(path):
        missing.append(path)
        parent = os.path.dirname(path)
        if parent == path:
            break
        path = parent
    made = []
    for each in reversed(missing):
        try:
            os.mkdir(each)
            made.append(each)
        except OSError:
            if os.path.isdir(each):  # another process was faster
                continue
            for new in reversed(made):
                with contextlib.suppress(OSError):
                    os.rmdir(new)
            raise


def require_writable(folder: str | os.PathLike, given: str) -> None:
    """Creates an output folder and checks that files can be created in it.

    Args:
        folder: the folder.
        given: the option that named it, such as "--output=out"; begins the message.

    Raises:
        UserError: it cannot be created, or no file in it can.
    """
    try:
        make_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        what = "no file can be created there" if os.path.isdir(folder) else "cannot be created"
        reason = error.strerror or error
        raise UserError(f"{given}: {what}: {reason}. Give another folder.") from error


def atomic_write(
    path: str | os.PathLike,
    data: bytes | str,
    before_replacing: Callable[[], None] | None = None,
    modified: int | None = None,
) -> os.stat_result:
    """Writes `data` (text as UTF-8) to `path` atomically; returns the status of the new file.

    Invalid characters, from file names that are not UTF-8, are escaped so that JSON can restore
    them.

    Args:
        path: the file.
        data: its content.
        before_replacing: see `atomic_path`.
        modified: the file's time of modification in nanoseconds; by default it is now.
    """
    with atomic_path(path, before_replacing) as temporary:
        temporary.write_bytes(
            data.encode("utf-8", "backslashreplace") if isinstance(data, str) else data
        )
        if modified is not None:
            # Some drives keep no such times, and the content matters more.
            with contextlib.suppress(OSError, OverflowError):
                os.utime(temporary, ns=(modified, modified))
        return os.stat(temporary)


def write_file(
    path: str | os.PathLike,
    data: bytes | str,
    before_replacing: Callable[[], None] | None = None,
    modified: int | None = None,
) -> os.stat_result:
    """Writes a user's output file; as `atomic_write`, with a message for users.

    Raises:
        UserError: the file cannot be written.
    """
    try:
        return atomic_write(path, data, before_replacing, modified)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}.") from error


def require_free_space(folder: str | os.PathLike, num_bytes: int, what: str) -> None:
    """Raises if a write would fill the disk, since some writers crash when that happens.

    Args:
        folder: an existing folder.
        num_bytes: size of the file to be written.
        what: its name in the error message.

    Raises:
        OSError: ENOSPC, if less than `num_bytes` plus a megabyte is free.
    """
    free = shutil.disk_usage(folder).free
    if free < num_bytes + 10**6:
        raise OSError(
            errno.ENOSPC,
            f"no space left: {what} needs {num_bytes / 1e6 + 1:.1f} MB, "
            f"{free / 1e6:.1f} MB are free",
            os.fspath(folder),
        )


def jsonable(value: Any) -> Any:
    """Replaces NaN and infinities by `None` and NumPy scalars by Python numbers, recursively."""
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value


def write_json(path: str | os.PathLike, value: Any) -> None:
    """Writes `value` as strict JSON; NaN and infinities become null."""
    text = json.dumps(jsonable(value), indent=2, ensure_ascii=False, allow_nan=False)
    atomic_write(path, text + "\n")


def sha256_of(path: str | os.PathLike) -> str:
    """Returns the hexadecimal sha256 of a regular file.

    Raises:
        OSError: it cannot be read, or is a folder, a pipe, a socket or a device.
    """
    # Without O_NONBLOCK, opening a pipe waits until somebody writes to it.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_folder(folder: Path) -> str:
    """Returns the sha256 of a folder's listing, a line "sha256  path" per file, sorted by path.

    Equal to `cd FOLDER && find . -type f | sed 's|^./||' | LC_ALL=C sort | xargs sha256sum |
    sha256sum`.
    """
    files = [path for path in folder.rglob("*") if path.is_file()]
    names = sorted(path.relative_to(folder).as_posix() for path in files)
    lines = "".join(f"{sha256_of(folder / name)}  {name}\n" for name in names)
    return hashlib.sha256(lines.encode()).hexdigest()


@contextlib.contextmanager
def without_wildcards(folder: Path) -> Iterator[Path]:
    """Yields a path to a folder that cannot be taken for a pattern, while the block runs.

    TensorFlow reads the path of a SavedModel's variables as a pattern, so that it finds nothing
    below a folder such as "models [v2]". There, the path leads through a link in a temporary
    folder.

    Args:
        folder: exists.
    """
    if not set(str(folder)) & set("*?[]\\"):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="gradnet-") as temporary:
        link = Path(temporary) / "folder"
        link.symlink_to(folder.resolve(), target_is_directory=True)
        yield link
