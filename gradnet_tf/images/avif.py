"""AVIF: pixels through Pillow, of 8 bits; EXIF, orientation and colour space as they were stored.

An AVIF turns its picture by properties of its own ("irot", "imir"), and the
tag in its EXIF says nothing. Pillow puts the one in the place of the other,
in both directions: a file with a tag alone would lose it, and one that no
program turned would be turned. So the EXIF is read here, and put in the place
of one that Pillow writes.
"""

import io
import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

from gradnet_tf.images import avif as boxes
from gradnet_tf.images.photo import Photo, require_size
from gradnet_tf.utils.errors import UserError

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


#: The files do not tell the quality they were written with.
QUALITY = 90

_ORIENTATION, _DESCRIPTION = 274, 270
_PREFIX = b"Exif\0\0"
_IDENTITY = 0  # Of matrix coefficients: RGB is stored as it is, as lossless files do.
_MODES = {"L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA"}


def read(data: bytes, format: str, max_megapixels: float) -> Photo:
    """Reads an AVIF of one picture, grey or colour, with alpha or not.

    Raises:
        UserError: more than 8 bits, which Pillow would cut down to 8 in silence; several
            pictures.
    """
    facts = {"subsampling": _subsampling(data), "colours": boxes.colours(data)}
    require_size(*boxes.largest_size(data), max_megapixels)
    with Image.open(io.BytesIO(data), formats=["AVIF"]) as image:
        require_size(*image.size, max_megapixels)
        if getattr(image, "n_frames", 1) > 1:
            raise UserError(f"is animated ({image.n_frames} pictures); expected one picture")
        image.load()
        facts["info"] = {k: image.info[k] for k in ("icc_profile", "xmp") if image.info.get(k)}
        # Pillow's is that of the properties, whatever the tag says.
        facts["turned"] = image.getexif().get(_ORIENTATION, 1)
        if image.mode not in _MODES:
            raise UserError(f"is of mode {image.mode}; expected grey or RGB: convert it first")
        array = np.asarray(image)
    facts["exif"] = boxes.exif(data)
    return Photo(np.atleast_3d(array), format, data, facts)


def write(photo: Photo, quality: int | None) -> bytes:
    """Writes an AVIF at `quality`, with the chroma subsampling and the metadata of the input.

    Pillow writes none without loss: of an input that is, the default is quality 100.
    """
    facts = photo.facts
    array = photo.array[..., 0] if photo.array.shape[2] == 1 else photo.array
    lossless = facts["colours"] is not None and facts["colours"][2] == _IDENTITY
    options = {
        **facts["info"],
        "subsampling": facts["subsampling"],
        "quality": quality or (100 if lossless else QUALITY),
    }
    placeholder = _placeholder(len(facts["exif"]))
    if facts["exif"] or facts["turned"] != 1:
        options["exif"] = _placeholder(len(facts["exif"]), facts["turned"])
    target = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(target, "AVIF", **options)
    encoded = target.getvalue()
    if "exif" in options:
        own = facts["exif"] or struct.pack(">2sHIHI", b"MM", 42, 8, 0, 0)  # No tags.
        own = own.ljust(len(placeholder) - len(_PREFIX), b"\0")
        encoded = encoded.replace(placeholder, _PREFIX + own, 1)
    place = encoded.find(b"colrnclx")
    if facts["colours"] is not None and place >= 0:
        # Primaries and transfer say what the numbers mean; matrix and range how they are coded.
        named = struct.pack(">HH", *facts["colours"][:2])
        encoded = encoded[: place + 8] + named + encoded[place + 12 :]
    return encoded


def _placeholder(size: int, turned: int = 1) -> bytes:
    """Returns EXIF of at least `size` bytes beside an orientation, which Pillow takes out."""
    tags = Image.Exif()
    shell = 8 + 2 + 12 + 4 + 1  # Header, count, one entry, end; the text's closing zero.
    tags[_DESCRIPTION] = "x" * max(8, size - shell)
    if turned != 1:
        tags[_ORIENTATION] = turned
    return tags.tobytes()


def _subsampling(data: bytes) -> str:
    """Returns the chroma subsampling from the codec's configuration."""
    all_flags = boxes.codec_flags(data)
    if any(flags & boxes.MORE_THAN_8_BITS for flags in all_flags):
        raise UserError(
            "is an AVIF of 10 or 12 bits; expected 8: convert it to a 16-bit PNG or TIFF first"
        )
    colour = [flags for flags in all_flags if not flags & boxes.GREY]  # Alpha is grey.
    if not colour:
        return "4:0:0" if all_flags else "4:4:4"
    return {0x00: "4:4:4", 0x08: "4:2:2", 0x0C: "4:2:0"}.get(colour[0] & 0x0C, "4:4:4")
