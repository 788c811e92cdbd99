"""Which files a pattern stands for and what their results are called, wherever they are stored.

Paths are text with `/` between their parts: of the local file system, or with a
scheme (`gs://bucket/folder/*.jpg`). The rules are those of `gradnet denoise`.
"""

import dataclasses
import fnmatch
import glob
import os
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class Source:
    """What one `--input` stands for.

    Attributes:
        base: the fixed part, up to and with the last `/` before the first wildcard;
            results keep their place below it.
        pattern: the parts behind it; of one file, its name.
        is_file: whether it is one file by its very name, whatever that looks like.
    """

    base: str
    pattern: tuple[str, ...]
    is_file: bool = False


def is_local(path: str) -> bool:
    """Whether a path is one of the local file system."""
    return "://" not in path


def absolute(path: str) -> str:
    """Returns a path that means the same in every process, without a `/` at the end."""
    return os.path.abspath(path) if is_local(path) else path.rstrip("/")


def source_of(text: str) -> Source:
    """Reads an `--input`: a file, a pattern, or a folder, which stands for all below it.

    In an object store, which has no folders, a `/` at the end says that one is meant.
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
    """Returns a pattern in Beam's language for all that `source` can match, and more.

    There, `**` crosses folders, and must find one; `matches` decides as Python's glob does.
    """
    text = source.base + "/".join(source.pattern)
    first = next(place for place, letter in enumerate(text) if letter in "*?[")
    return text[:first] + "**"


def matches(name: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the parts of a name below `base` match the parts of a pattern.

    `*`, `?` and `[…]` stay within a part; `**` as a whole part stands for any
    number of them. Hidden parts (a leading dot) match what is as explicit only.
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


def place_of(path: str) -> str:
    """Returns what is equal for two paths of one file."""
    return os.path.realpath(path) if is_local(path) else path
