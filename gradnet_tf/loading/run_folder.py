"""The folder of a run: its lock, which admits one process at a time, and its best weights."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from gradnet_tf.utils.containers import read_json
from gradnet_tf.utils.errors import Interrupted, UserError
from gradnet_tf.utils.files import sha256_of

#: Largest JSON file of a run that is read: config.json with a network in it has 10 kB.
MOST_CONFIG = 2**20
_TRAINED = ("checkpoints/step-*", "best/manifest.json")


@contextlib.contextmanager
def held(workdir: str | os.PathLike) -> Iterator[None]:
    """Creates a run's folder and locks it; the system releases the lock of a killed process.

    Raises:
        UserError: the folder cannot be created or written.
        Interrupted: another process uses the folder, for instance because a scheduler restarted
            the training too early.
    """
    path = Path(workdir) / ".lock"
    lock = FileLock(path, blocking=False, preserve_lock_file=True, on_acquired=_write_process)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise Interrupted(
            f"--workdir={workdir} is in use by another training (process {_process(path)}).\n"
            "Wait until it has ended, or give another --workdir."
        ) from error
    except OSError as error:
        raise UserError(
            f"--workdir={workdir} cannot be written: {error.strerror}.\n"
            "Give a folder that can be created."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _write_process(descriptor: int) -> None:
    # A file with other content than a process number is not ours, so it is not changed.
    content = os.read(descriptor, 32)
    if not content or content.isdigit():
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode("ascii"))


def _process(path: Path) -> str:
    try:
        return path.read_text("utf-8")[:32].strip()
    except (OSError, UnicodeDecodeError):
        return "unknown"


def has_weights(workdir: str | os.PathLike) -> bool:
    """Whether a run's folder contains trained weights that could be lost.

    A naive denoiser that was given (`--naive`) is a copy, and has no score.
    """
    found = (Path(workdir).glob(f"{stage}{name}") for stage in ("", "naive/") for name in _TRAINED)
    return any(not _is_copy(path) for paths in found for path in paths)


def _is_copy(path: Path) -> bool:
    if path.name != "manifest.json":
        return False
    try:
        manifest = read_json(path, MOST_CONFIG)
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and manifest.get("psnr", 0) is None


def best_weights(workdir: str | os.PathLike) -> Path | None:
    """Returns the file with a run's best weights, or `None` if the run has none yet.

    Raises:
        OSError: the manifest cannot be read.
        ValueError: it is no manifest, or the file is missing or its sha256 differs.
    """
    folder = Path(workdir) / "best"
    if not (folder / "manifest.json").exists():
        return None
    manifest = read_json(folder / "manifest.json", MOST_CONFIG)
    known = manifest if isinstance(manifest, dict) else {}
    name, sha256 = known.get("file"), known.get("sha256")
    # A name alone: nothing leads out of the folder.
    if not isinstance(name, str) or Path(name).name != name or not isinstance(sha256, str):
        raise ValueError(f"{folder / 'manifest.json'} names no file and its sha256")
    path = folder / name
    if not path.is_file() or sha256_of(path) != sha256:
        raise ValueError(f"{path} is missing or damaged (its sha256 differs from manifest.json)")
    return path
