"""Files of other people that hold arrays or settings, read with a budget on what is decoded.

A small file can claim, or decompress to, any amount of memory, lead to other files of the machine,
or be no file at all. What is read here therefore

- is a regular file (a pipe would wait for ever, a device never ends) of a bounded size;
- is counted by what it becomes in memory and not by its size on the disk, before it is read;
- is stored in the file itself: links to other files, external and virtual data are refused.

JSON, zip archives and HDF5 are opened here; MATLAB's version 5 has a parser of its own in
`gradnet_tf.utils.matlab_5`, and pickles one in `gradnet_tf.loading.pickle_machine`. Each of these
works under a `Budget`. Errors are `OSError` (the file cannot be read) or `ValueError` (its content
is refused); whoever reads a kind of file makes one message for a person of them.
"""

import contextlib
import errno
import io
import json
import math
import os
import stat
import zipfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # imported where HDF5 is read: most commands never do
    import h5py
    import numpy as np

#: Largest JSON file that is read: the settings of half a million results.
MOST_JSON = 2**25
#: Entries of an archive, members of an HDF5 file: more are no model.
MOST_MEMBERS = 20_000
#: Chunks smaller than this are never a reason to refuse a dataset.
_SMALL_CHUNK = 2**24


class Budget:
    """Bytes that may still be decoded.

    Args:
        num_bytes: what one file may become in memory.
    """

    def __init__(self, num_bytes: int):
        self.total = self.left = num_bytes

    def take(self, num_bytes: int, what: str = "data") -> None:
        """Spends some; called before the memory is allocated.

        Raises:
            ValueError: fewer are left.
        """
        if num_bytes > self.left:
            raise ValueError(f"more than {self.total / 2**20:.4g} MB of {what}")
        self.left -= num_bytes


def read_regular(path: str | os.PathLike, most_bytes: int) -> bytes:
    """Returns the content of a regular file.

    Raises:
        OSError: it cannot be read, or is a folder, a pipe, a socket or a device.
        ValueError: it is larger than `most_bytes`.
    """
    # Without O_NONBLOCK, opening a pipe waits until somebody writes to it.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))
        data = file.read(most_bytes + 1)
    if len(data) > most_bytes:
        raise ValueError(f"larger than {most_bytes / 2**20:.4g} MB")
    return data


def parse_json(data: bytes | str) -> Any:
    """Returns the value of a JSON text.

    Raises:
        ValueError: it is none, or nested too deep.
    """
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("nested too deep") from None


def read_json(path: str | os.PathLike, most_bytes: int = MOST_JSON) -> Any:
    """Returns the value in a JSON file; raises as `read_regular` and `parse_json` do."""
    return parse_json(read_regular(path, most_bytes))


def is_number(value: Any, low: float, high: float) -> bool:
    """Whether a value of a JSON file is a number in a range; `true` and NaN are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


@contextlib.contextmanager
def open_archive(path: str | os.PathLike, budget: Budget) -> Iterator[zipfile.ZipFile]:
    """Opens a zip archive whose entries are counted before one of them is read.

    Args:
        path: the file.
        budget: spent by the sizes of all entries.

    Raises:
        ValueError: damaged, also when an entry that is read inside the block is found so; two
            entries of one name; more in it than the budget.
    """
    size = os.stat(path).st_size
    budget.take(size, "content")
    data = read_regular(path, size)
    budget.left += size
    # Python's reader makes an object of each entry of the directory, before it can be asked.
    if data.count(b"PK\x01\x02") > MOST_MEMBERS:
        raise ValueError(f"an archive of more than {MOST_MEMBERS} entries")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len({entry.filename for entry in entries}) < len(entries):
                raise ValueError("an archive with two entries of one name")
            for entry in entries:
                budget.take(entry.file_size, "content")
            yield archive
    except (zipfile.BadZipFile, NotImplementedError, EOFError) as error:
        raise ValueError(f"not a readable archive ({str(error)[:80]})") from error


def member(group: "h5py.Group", name: str, kind: type) -> Any:
    """Returns a member of an HDF5 group that is stored in this file.

    Args:
        group: of the file.
        name: of the member, without a path.
        kind: `h5py.Group` or `h5py.Dataset`.

    Raises:
        ValueError: there is none, it is a link to elsewhere, or of another kind.
    """
    import h5py

    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"`{name}` is missing")
    found = group[name]
    if not isinstance(found, kind):
        raise ValueError(f"`{name}` has an unexpected type")
    return found


def require_own_numbers(dataset: "h5py.Dataset") -> None:
    """Raises `ValueError` unless reading a dataset takes what it seems to take, from this file.

    Refused are numbers in other files, texts and lists of any length, and chunks that are much
    larger than the dataset, since a chunk is decompressed whole.
    """
    import h5py

    if dataset.external or dataset.is_virtual:
        raise ValueError("data is stored in another file")
    if dataset.dtype.kind not in "biufcSV" and dataset.dtype != h5py.ref_dtype:
        raise ValueError(f"`{dataset.name[:80]}` holds {dataset.dtype}, which are no numbers")
    if h5py.check_vlen_dtype(dataset.dtype) or (
        dataset.dtype.kind == "V" and dataset.dtype.hasobject
    ):
        raise ValueError(f"`{dataset.name[:80]}` holds values of any length")
    chunk = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    if chunk > max(_SMALL_CHUNK, 2 * dataset.nbytes):
        raise ValueError(f"a chunk of {chunk >> 20} MB for {dataset.nbytes} bytes")


def numbers(
    dataset: "h5py.Dataset", budget: Budget, most: int | None = None, part: Any = ()
) -> "np.ndarray":
    """Reads a dataset, or a part of it, within a budget.

    Args:
        dataset: from `member`, or what a reference in the file leads to.
        budget: spent by what the numbers take in memory; references take more than they seem to.
        most: how many values are expected at most.
        part: slices and whole numbers, none of them negative; all by default.

    Raises:
        ValueError: see `require_own_numbers`; more than `most`; more than the budget.
    """
    require_own_numbers(dataset)
    if dataset.shape is None:
        raise ValueError(f"`{dataset.name[:80]}` is empty")
    part = part if isinstance(part, tuple) else (part,)
    sides = [
        len(range(length)[place]) if isinstance(place, slice) else 1
        for place, length in zip(part, dataset.shape, strict=False)
    ]
    count = math.prod(sides) * math.prod(dataset.shape[len(part) :])
    # A reference becomes an object of Python's.
    each = 200 if dataset.dtype.hasobject else dataset.dtype.itemsize
    budget.take(count * each)
    if most is not None and count > most:
        raise ValueError(f"`{dataset.name[:80]}` has {count} values, expected at most {most}")
    return dataset[part]


def referenced(file: "h5py.File", reference: Any, kind: type) -> Any:
    """Returns what a reference in a file leads to.

    Raises:
        ValueError: nothing, or something of another kind.
    """
    found = file[reference] if reference else None
    if not isinstance(found, kind):
        raise ValueError("a reference to something else")
    return found


def count_numbers(source: str | os.PathLike | bytes) -> int:
    """Returns how many numbers an HDF5 file of weights holds; none is read.

    Args:
        source: the file's path or its content.

    Raises:
        OSError: it cannot be read.
        ValueError: it is damaged, has a link, numbers that lie elsewhere or are none, or more than
            it has bytes for: weights are not compressed.
    """
    try:
        return _count_numbers(source)
    except (RuntimeError, KeyError, OverflowError) as error:  # h5py raises these for damage, too
        raise ValueError(f"damaged HDF5: {error}") from error


def _count_numbers(source: str | os.PathLike | bytes) -> int:
    import h5py

    count, seen = 0, set()
    size = len(source) if isinstance(source, bytes) else os.stat(source).st_size
    with h5py.File(io.BytesIO(source) if isinstance(source, bytes) else source, "r") as file:
        groups = [file]
        while groups:
            group = groups.pop()
            for name in group:
                found = member(group, name, h5py.Group | h5py.Dataset)
                place = h5py.h5o.get_info(found.id).addr
                if place in seen:  # a second name of it, or a circle
                    raise ValueError(f"`{name[:80]}` has two names")
                seen.add(place)
                if len(seen) > MOST_MEMBERS:
                    raise ValueError(f"more than {MOST_MEMBERS} members")
                if isinstance(found, h5py.Group):
                    groups.append(found)
                    continue
                require_own_numbers(found)
                if found.dtype.hasobject:
                    raise ValueError(f"`{found.name[:80]}` holds {found.dtype}")
                if found.shape is not None:
                    size -= found.nbytes
                    count += found.size
                if size < 0:
                    raise ValueError(f"`{found.name[:80]}` is larger than the file")
    return count
