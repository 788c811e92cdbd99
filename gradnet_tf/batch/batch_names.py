"""Matches files against patterns and names their results, for local and remote storage.

Paths are strings with `/` between their parts: local paths, or URLs with a scheme
(`gs://bucket/folder/*.jpg`). The rules are those of `gradnet denoise`.
"""

import dataclasses
import fnmatch
import glob
import os
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Source:
    """The meaning of one `--input`.

    Attributes:
        base: the fixed part, up to and including the last `/` before the first wildcard;
            results keep their path relative to it.
        pattern: the remaining parts; the file name for a single file.
        is_file: whether it names a single file, even if the name looks like a pattern.
    """

    base: str
    pattern: tuple[str, ...]
    is_file: bool = False


def is_local(path: str) -> bool:
    """Whether a path is in the local file system."""
    return "://" not in path


def absolute(path: str) -> str:
    """Returns an absolute path without a trailing `/`."""
    return os.path.abspath(path) if is_local(path) else path.rstrip("/")


def source_of(text: str) -> Source:
    """Parses an `--input`: a file, a pattern, or a folder, which means all files below it.

    Object stores have no folders, so there a trailing `/` marks a folder.
    """
    path = absolute(text)
    folder = os.path.isdir(path) if is_local(path) else text.endswith("/")
    if folder:
        return Source(path.rstrip("/") + "/", ("**",))
    base, _, name = path.rpartition("/")
    if not glob.has_magic(path) or (is_local(path) and os.path.exists(path)):
        return Source(base + "/", (name,), is_file=True)
    parts = path.split("/")
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    return Source("/".join(parts[:fixed]) + "/", tuple(parts[fixed:]))


def listing_of(source: Source) -> str:
    """Returns a Beam pattern that matches at least the files of `source`.

    In Beam, `**` crosses folders and must match at least one; the exact rules of Python's glob
    are applied by `matches`.
    """
    text = source.base + "/".join(source.pattern)
    first = next(place for place, letter in enumerate(text) if letter in "*?[")
    return text[:first] + "**"


def matches(name: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the parts of a name below `base` match the parts of a pattern.

    `*`, `?` and `[…]` match within a part; the part `**` matches any number of parts. Hidden
    parts (with a leading dot) only match patterns that begin with a dot.
    """
    if not pattern:
        return not name
    first, rest = pattern[0], pattern[1:]
    if first == "**":
        visible = next((i for i, part in enumerate(name) if part.startswith(".")), len(name))
        return any(matches(name[count:], rest) for count in range(visible + 1))
    if not name or (name[0].startswith(".") and not first.startswith(".")):
        return False
    return fnmatch.fnmatchcase(name[0], first) and matches(name[1:], rest)


def may_hold(folder: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the pattern can match anything below a folder, given by its parts below `base`."""
    if not folder or not pattern:
        return bool(pattern)
    first, rest = pattern[0], pattern[1:]
    if first == "**":
        is_hidden = folder[0].startswith(".")
        return may_hold(folder, rest) or (not is_hidden and may_hold(folder[1:], pattern))
    return matches(folder[:1], [first]) and may_hold(folder[1:], rest)


def place_of(path: str) -> str:
    """Returns a canonical path, equal for all paths of one file."""
    return os.path.realpath(path) if is_local(path) else path
