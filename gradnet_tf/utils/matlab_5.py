"""Reads MATLAB files of version 5 within a budget.

The format: a header of 128 bytes, then elements of type and length, each a variable or a variable
behind zlib ("MAT-File Format", The MathWorks). SciPy's reader follows lengths that a file claims:
a damaged file can take all memory or end the process. Here every length is compared with the bytes
that are there, every element of a cell array or a structure is counted, and what zlib gives ends at
the length that the variable has.

Numbers, texts, cell arrays and structures are read. Sparse arrays, complex numbers, objects and
functions are refused, and are `None` within others.
"""

import dataclasses
import math
import os
import struct
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from gradnet_tf.utils.containers import Budget

_HEADER = 128
_TAG = 8
_MATRIX, _COMPRESSED = 14, 15
#: Number types of elements, and the letters that texts are stored in.
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8",
           13: "u8", 16: "u1", 17: "u2", 18: "u4"}  # fmt: skip
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8",
            15: "u8"}  # fmt: skip
_NAMES = {1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 16: "function", 17: "opaque"}
_CELL, _STRUCT, _CHAR = 1, 2, 4
_COMPLEX, _LOGICAL = 0x0800, 0x0200
#: Objects of Python's that one file may become; cell arrays within cell arrays.
_MOST_ELEMENTS, _MOST_DEPTH, _MOST_AXES = 100_000, 20, 32
#: Enough for flags, shape and name of a variable.
_HEAD = 4096
_PIECE = 1 << 20


@dataclasses.dataclass(frozen=True)
class Cells:
    """A cell array.

    Attributes:
        shape: MATLAB's axes.
        items: in MATLAB's order, the first axis fastest: arrays, `Cells`, `Structures`, `None`.
    """

    shape: tuple[int, ...]
    items: list[Any]


@dataclasses.dataclass(frozen=True)
class Structures:
    """An array of structures; most have one.

    Attributes:
        shape: MATLAB's axes.
        items: in MATLAB's order, each a value by the field's name.
    """

    shape: tuple[int, ...]
    items: list[dict[str, Any]]


@dataclasses.dataclass(frozen=True)
class Variable:
    """What the head of a variable says.

    Attributes:
        name: of the variable.
        shape: MATLAB's axes.
        kind: NumPy's name of its dtype, or "char", "cell", "struct", "logical", "sparse", …
    """

    name: str
    shape: tuple[int, ...]
    kind: str


def list_variables(path: str | os.PathLike) -> list[Variable]:
    """Returns the variables of a file; reads their heads alone.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged or cut off.
    """
    with open(path, "rb") as file:
        return [variable for variable, _ in _variables(file)]


def read_variable(path: str | os.PathLike, name: str, budget: Budget) -> Any:
    """Returns a variable: an array with MATLAB's axes (texts as the numbers of their letters,
    uint16 or uint32), `Cells` or `Structures`; `None` where there is no such variable.

    Args:
        path: the file.
        name: of the variable.
        budget: spent by what is decompressed and by each array.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is damaged or cut off, holds what is not read here, or more than the budget.
    """
    with open(path, "rb") as file:
        for variable, element in _variables(file):
            if variable.name == name:
                try:
                    data = element.content(file, budget)
                except zlib.error as error:
                    raise ValueError(str(error)) from error
                return _Parser(data, element.order, budget).matrix(0, len(data), 0)[1]
    return None


@dataclasses.dataclass(frozen=True)
class _Element:
    """A variable's place in the file."""

    order: str
    place: int
    length: int
    compressed: bool

    def pieces(self, file: BinaryIO, most: int) -> Iterator[bytes]:
        """Yields the bytes of the variable, `most` at the most; zlib's are decompressed."""
        file.seek(self.place)
        left, stream = self.length, zlib.decompressobj()
        while left and most:
            piece = file.read(min(left, _PIECE))
            if not piece:
                return
            left -= len(piece)
            if not self.compressed:
                piece = piece[:most]
                most -= len(piece)
                yield piece
                continue
            while piece and most and not stream.eof:
                found = stream.decompress(piece, min(most, _PIECE))
                piece = stream.unconsumed_tail
                most -= len(found)
                yield found

    def head(self, file: BinaryIO) -> tuple[bytes, int]:
        """Returns the first bytes of the matrix, and how many the whole has."""
        head = b"".join(self.pieces(file, _HEAD + (_TAG if self.compressed else 0)))
        if not self.compressed:
            return head, self.length
        kind, length = struct.unpack_from(f"{self.order}2I", head)
        if kind != _MATRIX:
            raise ValueError(f"a compressed element of type {kind}")
        return head[_TAG:], length

    def content(self, file: BinaryIO, budget: Budget) -> memoryview:
        """Returns the whole matrix."""
        _, length = self.head(file)
        budget.take(length)
        before = _TAG if self.compressed else 0
        data = bytearray()
        for piece in self.pieces(file, length + before):
            data += piece
        if len(data) != length + before:
            raise ValueError(f"a variable of {len(data) - before} bytes instead of {length}")
        return memoryview(data)[before:].toreadonly()


def _variables(file: BinaryIO) -> Iterator[tuple[Variable, _Element]]:
    """Yields what the heads of a file's variables say, and their places."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    order = ">" if file.read(_HEADER)[126:128] == b"MI" else "<"
    place, count = _HEADER, 0
    if size <= _HEADER:
        raise ValueError(f"{size} bytes, where its own lengths ask for {_HEADER}")
    while place < size:
        file.seek(place)
        tag = file.read(_TAG)
        kind, length = struct.unpack(f"{order}2I", tag.ljust(_TAG, b"\0"))
        if len(tag) < _TAG or place + _TAG + length > size:
            raise ValueError(f"{size} bytes, where its own lengths ask for {place + _TAG + length}")
        count += 1
        if count > _MOST_ELEMENTS:
            raise ValueError(f"more than {_MOST_ELEMENTS} variables")
        if kind in (_MATRIX, _COMPRESSED):
            element = _Element(order, place + _TAG, length, kind == _COMPRESSED)
            try:
                head, _ = element.head(file)
                head = _Parser(memoryview(head), order, Budget(0)).head(0, len(head))
            except (zlib.error, struct.error) as error:
                raise ValueError(f"a variable that cannot be read ({error})") from error
            yield Variable(head.name, head.shape, head.kind), element
        place += _TAG + length


@dataclasses.dataclass(frozen=True)
class _Head:
    """Flags, shape and name of a matrix, and where its content begins."""

    number: int
    flags: int
    shape: tuple[int, ...]
    name: str
    start: int

    @property
    def kind(self) -> str:
        if self.flags & _LOGICAL:
            return "logical"
        found = _CLASSES.get(self.number)
        return np.dtype(found).name if found else _NAMES.get(self.number, f"class {self.number}")


class _Parser:
    """Reads the elements in the bytes of one variable."""

    def __init__(self, data: memoryview, order: str, budget: Budget):
        self._data, self._order, self._budget = data, order, budget
        self._elements = 0

    def element(self, start: int, stop: int) -> tuple[int, int, int, int]:
        """Returns type, begin and end of the element at a place, and where the next one is."""
        if start + _TAG > stop:
            raise ValueError("an element beyond its variable's end")
        kind, length = struct.unpack_from(f"{self._order}2I", self._data, start)
        if kind >> 16:  # Type, length and up to four bytes in one.
            kind, length, begin, following = kind & 0xFFFF, kind >> 16, start + 4, start + _TAG
            if length > 4:
                raise ValueError(f"a short element of {length} bytes")
        else:
            begin = start + _TAG
            following = begin + length + -length % 8
        if begin + length > stop:
            raise ValueError(f"an element of {length} bytes beyond its variable's end")
        return kind, begin, begin + length, following

    def values(self, start: int, stop: int) -> tuple[np.ndarray, int]:
        """Returns the numbers of the element at a place as they are stored, and the next place."""
        kind, begin, end, following = self.element(start, stop)
        if kind not in _STORED:
            raise ValueError(f"an element of type {kind} where numbers belong")
        dtype = np.dtype(self._order + _STORED[kind])
        if (end - begin) % dtype.itemsize:
            raise ValueError(f"{end - begin} bytes of {dtype}")
        return np.frombuffer(self._data[begin:end], dtype), following

    def head(self, start: int, stop: int) -> _Head:
        """Returns the head of the matrix whose content begins at a place."""
        flags, place = self.values(start, stop)
        sides, place = self.values(place, stop)
        letters, place = self.values(place, stop)
        if flags.size != 2 or not 2 <= sides.size <= _MOST_AXES:
            raise ValueError("a variable without flags or shape")
        shape = tuple(sides.tolist())
        if not all(type(side) is int and side >= 0 for side in shape):
            raise ValueError(f"a variable of shape {shape}")
        first = int(flags[0])
        name = letters.tobytes().decode("latin-1")
        return _Head(first & 0xFF, first & 0xFF00, shape, name, place)

    def matrix(self, start: int, stop: int, depth: int) -> tuple[str, Any]:
        """Returns name and value of the matrix whose content begins at a place."""
        self._elements += 1
        if self._elements > _MOST_ELEMENTS or depth > _MOST_DEPTH:
            raise ValueError(f"more than {_MOST_ELEMENTS} elements, or {_MOST_DEPTH} within others")
        if start == stop:  # How MATLAB writes [] within cells and structures.
            return "", np.zeros((0, 0))
        head = self.head(start, stop)
        count = math.prod(head.shape)
        if head.number == _CELL:
            items, _ = self._matrices(head.start, stop, count, depth)
            return head.name, Cells(head.shape, items)
        if head.number == _STRUCT:
            return head.name, self._structures(head, count, stop, depth)
        if head.flags & _COMPLEX or (head.number != _CHAR and head.number not in _CLASSES):
            if depth:
                return head.name, None
            kind = "complex numbers" if head.flags & _COMPLEX else f"a variable of kind {head.kind}"
            raise ValueError(kind)
        return head.name, self._array(head, count, stop)

    def _array(self, head: _Head, count: int, stop: int) -> np.ndarray:
        stored, _ = self.values(head.start, stop)
        if stored.size != count:
            raise ValueError(f"{stored.size} numbers in an array of shape {head.shape}")
        wanted = np.dtype("u4" if stored.itemsize > 2 else "u2")
        if head.number != _CHAR:
            wanted = np.dtype(_CLASSES[head.number])
        if stored.dtype != wanted:  # else it is a view of what was counted already
            self._budget.take(count * wanted.itemsize)
        return stored.astype(wanted, copy=False).reshape(head.shape, order="F")

    def _matrices(self, place: int, stop: int, count: int, depth: int) -> tuple[list, int]:
        """Returns so many matrices one behind the other, and where the next element is."""
        # Each has a tag, so that a shape of any size is refused before a list is made.
        if count > (stop - place) // _TAG:
            raise ValueError(f"{count} elements in {stop - place} bytes")
        found = []
        for _ in range(count):
            kind, begin, end, place = self.element(place, stop)
            if kind != _MATRIX:
                raise ValueError(f"an element of type {kind} in a cell array or a structure")
            found.append(self.matrix(begin, end, depth + 1)[1])
        return found, place

    def _structures(self, head: _Head, count: int, stop: int, depth: int) -> Structures:
        width, place = self.values(head.start, stop)
        letters, place = self.values(place, stop)
        if width.size != 1 or not 0 < int(width[0]) <= 1024 or letters.dtype.itemsize != 1:
            raise ValueError("a structure without names")
        width, text = int(width[0]), letters.tobytes()
        names = [
            text[at : at + width].split(b"\0")[0].decode("latin-1")
            for at in range(0, len(text), width)
        ]
        values, _ = self._matrices(place, stop, count * len(names), depth)
        rows = [values[at : at + len(names)] for at in range(0, len(values), len(names) or 1)]
        return Structures(head.shape, [dict(zip(names, row, strict=True)) for row in rows])
