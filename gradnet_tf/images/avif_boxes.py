"""What the boxes of an AVIF file say, as far as Pillow does not tell it.

ISO/IEC 14496-12 (boxes, items), 23008-12 (properties) and the AV1 binding for
them. What is damaged is passed over: whether there is a picture, the decoder
decides.
"""

import struct
from collections.abc import Iterator

#: Bits of `codec_flags`.
MORE_THAN_8_BITS, GREY = 0x40, 0x10


def codec_flags(data: bytes) -> list[int]:
    """Returns the byte with depth and subsampling of each codec configuration ("av1C")."""
    return [data[begin + 2] for begin, end in _properties(data, b"av1C") if end - begin > 2]


def largest_size(data: bytes) -> tuple[int, int]:
    """Returns the largest (width, height) that a property claims, to be known undecoded."""
    sizes = [
        struct.unpack_from(">II", data, begin + 4)
        for begin, end in _properties(data, b"ispe")
        if end - begin >= 12
    ]
    return max(sizes, key=lambda size: size[0] * size[1], default=(1, 1))


def colours(data: bytes) -> tuple[int, int, int] | None:
    """Returns primaries, transfer and matrix by their numbers in ITU-T H.273, if told."""
    for begin, end in _properties(data, b"colr"):
        if data[begin : begin + 4] == b"nclx" and end - begin >= 10:
            return struct.unpack_from(">HHH", data, begin + 4)
    return None


def exif(data: bytes) -> bytes:
    """Returns the EXIF block from its TIFF header on, as stored; empty where there is none."""
    try:
        number = _item(data, b"Exif")
        block = b"" if number is None else _content(data, number)
        return block[4 + int.from_bytes(block[:4], "big") :]
    except (struct.error, IndexError):
        return b""


def _boxes(data: bytes, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yields the boxes between two places as (type, begin of the content, its end)."""
    while start + 8 <= stop:
        size, kind = struct.unpack_from(">I4s", data, start)
        head = 8
        if size == 1 and start + 16 <= stop:
            size, head = struct.unpack_from(">Q", data, start + 8)[0], 16
        end = stop if size == 0 else start + size
        if end < start + head or end > stop:
            return
        yield kind, start + head, end
        start = end


def _find(data: bytes, *path: bytes) -> Iterator[tuple[int, int]]:
    """Yields (begin, end) of the boxes at a path, such as meta, iprp, ipco, colr."""
    places = [(0, len(data))]
    for name in path:
        skip = 4 if name == b"meta" else 0  # It begins with version and flags.
        found = (box for place in places for box in _boxes(data, *place))
        places = [(begin + skip, end) for kind, begin, end in found if kind == name]
    yield from places


def _properties(data: bytes, name: bytes) -> Iterator[tuple[int, int]]:
    return _find(data, b"meta", b"iprp", b"ipco", name)


def _item(data: bytes, wanted: bytes) -> int | None:
    """Returns the number of the first item of a type."""
    for begin, end in _find(data, b"meta", b"iinf"):
        head = 6 if data[begin] == 0 else 8
        for kind, place, _ in _boxes(data, begin + head, end):
            if kind == b"infe" and data[place] >= 2:
                code = ">HH4s" if data[place] == 2 else ">IH4s"
                number, _, name = struct.unpack_from(code, data, place + 4)
                if name == wanted:
                    return number
    return None


class _Numbers:
    """Reads numbers of given sizes one behind the other."""

    def __init__(self, data: bytes, place: int):
        self._data, self._place = data, place

    def next(self, size: int) -> int:
        self._place += size
        if self._place > len(self._data):
            raise IndexError("the numbers end too early")
        return int.from_bytes(self._data[self._place - size : self._place], "big")


def _content(data: bytes, wanted: int) -> bytes:
    """Returns an item's bytes, which "iloc" places in the file or in "idat"."""
    for begin, end in _find(data, b"meta", b"iloc"):
        version, sizes = data[begin], struct.unpack_from(">H", data, begin + 4)[0]
        offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
        index_size = sizes & 15 if version else 0
        wide = 2 if version < 2 else 4
        numbers = _Numbers(data[:end], begin + 6)
        for _ in range(numbers.next(wide)):
            item = numbers.next(wide)
            method = numbers.next(2) & 15 if version else 0
            numbers.next(2)  # The file that holds it: this one.
            base = numbers.next(base_size)
            extents = []
            for _ in range(numbers.next(2)):
                numbers.next(index_size)
                extents.append((numbers.next(offset_size), numbers.next(length_size)))
            if item == wanted:
                first = next(_find(data, b"meta", b"idat"), (0, 0))[0] if method == 1 else 0
                starts = [(first + base + offset, length) for offset, length in extents]
                return b"".join(data[start : start + length] for start, length in starts)
    return b""
