"""Reads and writes TIFF directories as raw entries, so that unknown tags survive as well.

Supports TIFF 6.0 (Adobe, 1992) and BigTIFF. Values keep the byte order of the file.
"""

import dataclasses
import struct
from collections.abc import Mapping, Sequence

from gradnet_tf.utils.errors import UserError

EXIF, GPS, INTEROPERABILITY = 34665, 34853, 40965
#: Tags whose value is the offset of another directory.
POINTERS = (EXIF, GPS, INTEROPERABILITY)

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
          16: 8, 17: 8, 18: 8}  # fmt: skip
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}


@dataclasses.dataclass(frozen=True)
class Entry:
    """One tag: TIFF type and count, and the value as bytes in the file's byte order."""

    kind: int
    count: int
    value: bytes
    place: int = 0


@dataclasses.dataclass(frozen=True)
class Layout:
    """Byte order ("<" or ">") and whether the file is a BigTIFF."""

    order: str
    big: bool

    @property
    def word(self) -> str:
        """The struct letter of an offset."""
        return "Q" if self.big else "I"

    @property
    def word_size(self) -> int:
        """Bytes of an offset, and the largest size of a value stored inside its entry."""
        return 8 if self.big else 4

    def pack(self, code: str, *values: int) -> bytes:
        """Packs numbers in the file's byte order."""
        return struct.pack(self.order + code, *values)

    def entry(self, kind: str, *values: int) -> Entry:
        """Makes an entry of integers; `kind` is "H" (SHORT) or "I" (LONG)."""
        number = {"H": 3, "I": 4, "Q": 16}[kind]
        return Entry(number, len(values), self.pack(f"{len(values)}{kind}", *values))

    def integers(self, entry: Entry) -> tuple[int, ...]:
        """Returns the numbers of an entry of an unsigned integer type."""
        if entry.kind not in _INTEGERS:
            raise UserError(f"is damaged: a TIFF tag has type {entry.kind}; expected integers")
        return struct.unpack(f"{self.order}{entry.count}{_INTEGERS[entry.kind]}", entry.value)


def read_layout(data: bytes) -> tuple[Layout, int]:
    """Returns the layout of a TIFF file and the offset of its first directory."""
    order = "<" if data[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", data, 2)[0] == 43
    layout = Layout(order, big)
    return layout, struct.unpack_from(order + layout.word, data, 8 if big else 4)[0]


def read_directory(data: bytes, layout: Layout, start: int) -> tuple[dict[int, Entry], int]:
    """Returns the entries of a directory by tag, and the offset of the next one (0: none)."""
    counter, entry_code = ("Q", "HHQ") if layout.big else ("H", "HHI")
    head = struct.calcsize("<" + counter)
    step = struct.calcsize("<" + entry_code) + layout.word_size
    try:
        count = struct.unpack_from(layout.order + counter, data, start)[0]
        entries, left = {}, 2 * len(data)
        if start + head + step * count > len(data):
            raise struct.error
        for number in range(count):
            place = start + head + step * number
            tag, kind, values = struct.unpack_from(layout.order + entry_code, data, place)
            place += step - layout.word_size
            size = _SIZES.get(kind, 0) * values
            if size > layout.word_size:
                place = struct.unpack_from(layout.order + layout.word, data, place)[0]
            if size and place + size <= len(data):
                left -= size
                if left < 0:  # Each value is copied, and many tags may share one offset.
                    raise UserError("is damaged: the tags of the TIFF hold more than the file")
                entries[tag] = Entry(kind, values, data[place : place + size], place)
        following = struct.unpack_from(
            layout.order + layout.word, data, start + head + step * count
        )
    except struct.error:
        raise UserError(
            f"is truncated: a directory of the TIFF begins after its {len(data)} bytes"
        ) from None
    return entries, following[0]


def read_children(
    data: bytes,
    layout: Layout,
    entries: Mapping[int, Entry],
    depth: int = 0,
    seen: set[int] | None = None,
) -> dict[int, tuple]:
    """Returns the directories that a directory points to, as {tag: (entries, children)}.

    Invalid pointers are ignored, since decoding the pixels does not need them. So are further
    pointers to the same directory, with which a small file could become a large one.
    """
    found: dict[int, tuple] = {}
    seen = set() if seen is None else seen
    for tag in POINTERS:
        if tag not in entries or depth > 2:
            continue
        try:
            start = layout.integers(entries[tag])[0]
            if start in seen:
                continue
            seen.add(start)
            child, _ = read_directory(data, layout, start)
        except UserError:
            continue
        found[tag] = (child, read_children(data, layout, child, depth + 1, seen))
    return found


def build_file(
    layout: Layout,
    entries: Mapping[int, Entry],
    children: Mapping[int, tuple],
    strips: Sequence[bytes],
) -> bytes:
    """Builds a TIFF file of one picture.

    Args:
        layout: layout of the file.
        entries: all tags except the offsets and sizes of the strips.
        children: from `read_children`.
        strips: encoded pixels.

    Raises:
        UserError: a file of 4 GB or more that is not a BigTIFF.
    """
    head = 16 if layout.big else 8
    places, position = [], head
    for strip in strips:
        places.append(position)
        position += len(strip)
    if position >= 2**32 - 2**24 and not layout.big:
        raise UserError("becomes a TIFF of more than 4 GB; expected less, or a BigTIFF")
    padding = b"\0" * (-position % 8)
    position += len(padding)
    entries = {
        **entries,
        273: layout.entry(layout.word, *places),
        279: layout.entry(layout.word, *map(len, strips)),
    }
    start = b"II" if layout.order == "<" else b"MM"
    if layout.big:
        header = start + layout.pack("HHHQ", 43, 8, 0, position)
    else:
        header = start + layout.pack("HI", 42, position)
    return b"".join([header, *strips, padding, _directory(layout, entries, children, position)])


def _directory(
    layout: Layout, entries: Mapping[int, Entry], children: Mapping[int, tuple], start: int
) -> bytes:
    """Encodes a directory at offset `start`, followed by its values and children."""
    kept = {tag: e for tag, e in entries.items() if tag not in POINTERS or tag in children}
    counter, entry_code = ("Q", "HHQ") if layout.big else ("H", "HHI")
    step = struct.calcsize("<" + entry_code) + layout.word_size
    table = layout.pack(counter, len(kept))
    behind = b""
    free = start + len(table) + step * len(kept) + layout.word_size
    for tag in sorted(kept):
        entry = kept[tag]
        kind, count, value = entry.kind, entry.count, entry.value
        if tag in children:
            kind, count = (16, 1) if layout.big else (4, 1)
            value = layout.pack(layout.word, free + len(behind))
            behind += _directory(layout, *children[tag], free + len(behind))
        elif len(value) > layout.word_size:
            place = layout.pack(layout.word, free + len(behind))
            behind += value
            value = place
        behind += b"\0" * (-len(behind) % 2)  # Values begin at even offsets.
        table += layout.pack(entry_code, tag, kind, count) + value.ljust(layout.word_size, b"\0")
    return table + layout.pack(layout.word, 0) + behind
