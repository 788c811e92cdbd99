"""Ensures that commands replace or delete only their own earlier results.

An existing file may be replaced or removed only if it carries a mark of the current command, and
never if it is one of the command's inputs. The mark is either in the file (a report's generator,
the fields of a card or of a run's config.json) or in a manifest: `MANIFEST` in the same folder
holds the sha256 of the written files, so that files which a user has replaced or edited since are
recognized as the user's own.

Commands check twice: before the work, so that a mistake does not cost hours, and right before
writing, since the folder may have changed in the meantime. A refusal is a `UserError` of two
lines: the file, and what to do.
"""

import contextlib
import json
import os
import stat
from collections.abc import Callable, Iterable
from pathlib import Path

from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import sha256_of, write_json

#: Names of the files that commands wrote into a folder, with their sha256.
MANIFEST = ".gradnet-files.json"
#: How the software is named in pictures that commands draw, followed by what they show.
DRAWN_BY = "GradNet-TF"
#: Larger files are not manifests; one of a million files is smaller.
_MOST_BYTES = 2**28


class Inputs:
    """The input files of a command, compared by identity and not by the spelling of their paths.

    Other spellings of a path, and paths through links, lead to the same file. Hard links do not
    count as the same file: replacing one of them leaves the other one unchanged.

    Args:
        paths: files; those that do not exist are ignored.
    """

    def __init__(self, paths: Iterable[str | os.PathLike] = ()):
        self._places, self._files = set(), set()
        for path in paths:
            for each in (path, os.path.realpath(path)):
                self._places.add(_place(each))
            with contextlib.suppress(OSError):
                status = os.stat(path)
                self._files.add((status.st_dev, status.st_ino))
        self._places.discard(None)

    def __contains__(self, path: str | os.PathLike) -> bool:
        if _place(path) in self._places:
            return True
        with contextlib.suppress(OSError):
            status = os.lstat(path)
            return status.st_nlink == 1 and (status.st_dev, status.st_ino) in self._files
        return False


def is_drawn_by(path: str | os.PathLike, software: str) -> bool:
    """Whether a file is a PNG whose text names a software, or begins with its name.

    matplotlib writes it into `savefig(…, metadata={"Software": …})`.
    """
    with contextlib.suppress(OSError):
        if os.path.isfile(path):  # A pipe would block.
            with open(path, "rb") as file:
                return b"tEXtSoftware\0" + software.encode() in file.read(1000)
    return False


def require_replaceable(
    path: str | os.PathLike,
    given: str,
    is_own: Callable[[Path], bool],
    inputs: Inputs | tuple[()] = (),
) -> None:
    """Raises unless a path does not exist, or is one of our own files that may be replaced.

    Args:
        path: the path to be written, replaced or removed.
        given: the option that determined the path, such as "--output=out"; begins the message.
        is_own: whether an existing file or folder carries the command's mark.
        inputs: files that are never replaced, whatever mark they carry; see `Inputs`.

    Raises:
        UserError: names the path and what to do.
    """
    path = Path(path)
    if not os.path.lexists(path):
        return
    if path in inputs:
        raise UserError(
            f"{given}: {path} is one of the inputs, and inputs are never overwritten.\n"
            "Give another path."
        )
    # Writing through a link would change another file than the one that was checked.
    if path.is_symlink() or not is_own(path):
        what = "a link" if path.is_symlink() else "not a result of this command, or changed since"
        raise UserError(
            f"{given}: {path} exists and is {what}, so it is not replaced.\n"
            "Give another path, or move it away first."
        )


def require_no_input(path: str | os.PathLike, inputs: Inputs) -> None:
    """Raises `UserError` if writing a file would replace one of the inputs."""
    if path in inputs:
        raise UserError(f"{path} is one of the inputs now, and inputs are never overwritten")


def is_recorded(path: str | os.PathLike) -> bool:
    """Whether the manifest in a file's folder lists it and its content has not changed."""
    path = Path(path)
    known = _read(path.parent / MANIFEST).get(path.name)
    try:
        return known is not None and stat.S_ISREG(path.lstat().st_mode) and sha256_of(path) == known
    except OSError:
        return False


def record(*paths: str | os.PathLike) -> None:
    """Adds files of one folder to its manifest.

    Raises:
        OSError: the manifest cannot be written.
    """
    folder = Path(paths[0]).parent
    files = _read(folder / MANIFEST) | {Path(path).name: sha256_of(path) for path in paths}
    there = {name: sha for name, sha in sorted(files.items()) if (folder / name).is_file()}
    write_json(folder / MANIFEST, {"files": there})


def record_folder(folder: str | os.PathLike) -> None:
    """Writes the manifest of a folder with all files in it and in its subfolders."""
    folder = Path(folder)
    names = sorted(_names(folder) - {MANIFEST})
    write_json(folder / MANIFEST, {"files": {name: sha256_of(folder / name) for name in names}})


def foreign_in(folder: str | os.PathLike) -> list[str]:
    """Returns the names in a folder that are not covered by its manifest, sorted.

    Changed files, links and everything that is not a regular file count as foreign; without a
    manifest, everything does.
    """
    folder = Path(folder)
    known = _read(folder / MANIFEST)
    return sorted(
        name
        for name in _names(folder) - ({MANIFEST} if known else set())
        if not _is_same(folder / name, known.get(name))
    )


def is_json_with(path: str | os.PathLike, *keys: str) -> bool:
    """Whether a file contains a JSON object with all of these keys."""
    return set(keys) <= read_object(path).keys()


def read_object(path: str | os.PathLike) -> dict:
    """Returns the JSON object in a regular file; empty if there is none."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST_BYTES:
            return {}
        value = json.loads(Path(path).read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_same(path: Path, sha256: str | None) -> bool:
    with contextlib.suppress(OSError):
        regular = stat.S_ISREG(path.lstat().st_mode)
        return sha256 is not None and regular and sha256_of(path) == sha256
    return False


def _names(folder: Path) -> set[str]:
    """Returns the relative paths of everything in and below a folder except plain folders."""
    found = set()
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        found |= {os.path.relpath(os.path.join(place, name), folder) for name in [*files, *links]}
    return found


def _read(path: Path) -> dict[str, str]:
    files = read_object(path).get("files")
    return files if isinstance(files, dict) else {}


def _place(path: str | os.PathLike) -> tuple[int, int, str] | None:
    """Returns the folder entry that is replaced when a file is renamed to a path."""
    folder, name = os.path.split(os.path.abspath(path))
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino, name
