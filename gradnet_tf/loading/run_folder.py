"""The folder of a run: its best weights, and that one process at a time works in it."""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from gradnet_tf.utils.errors import Interrupted, UserError
from gradnet_tf.utils.files import sha256_of

_TRAINED = ("checkpoints/step-*", "best/manifest.json")


@contextlib.contextmanager
def held(workdir: str | os.PathLike) -> Iterator[None]:
    """Makes a run's folder and keeps other trainings out; the system frees what a killed one held.

    Raises:
        UserError: when the folder cannot be made or written.
        Interrupted: when another process works there, for instance one that a
            scheduler has restarted too early.
    """
    import fcntl  # absent on Windows, where others of this file are of use

    try:
        Path(workdir).mkdir(parents=True, exist_ok=True)
        file = open(Path(workdir) / ".lock", "a+", encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"--workdir={workdir} cannot be written: {error.strerror}.\n"
            "Give a folder that can be created."
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            raise Interrupted(
                f"--workdir={workdir} is in use by another training (process {file.read().strip()})"
                ".\nWait until it has ended, or give another --workdir."
            ) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def has_weights(workdir: str | os.PathLike) -> bool:
    """Whether anything was trained in a run's folder that could be lost."""
    found = (Path(workdir).glob(f"{stage}{name}") for stage in ("", "naive/") for name in _TRAINED)
    return any(True for paths in found for _ in paths)


def best_weights(workdir: str | os.PathLike) -> Path | None:
    """Returns the file with a run's best weights, or `None` where the run has none yet.

    Raises:
        ValueError: when the file is missing or its sha256 differs.
    """
    folder = Path(workdir) / "best"
    if not (folder / "manifest.json").exists():
        return None
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    path = folder / manifest["file"]
    if not path.exists() or sha256_of(path) != manifest["sha256"]:
        raise ValueError(f"{path} is missing or damaged (its sha256 differs from manifest.json)")
    return path
