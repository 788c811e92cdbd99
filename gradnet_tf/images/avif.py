"""AVIF: 8-bit pixels are decoded by Pillow; EXIF, orientation and color space are preserved.

An AVIF is oriented by its own properties ("irot", "imir"), and the orientation tag in its EXIF has
no effect. Pillow converts one into the other in both directions: a file that has only the tag
would lose it, and its picture would be rotated. So this module reads the EXIF itself, and writes
it in place of the EXIF that Pillow wrote.
"""

import io
import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

from gradnet_tf.images.photo import CREDENTIALS, Photo, require_size, without_provenance
from gradnet_tf.utils.errors import UserError

#: Bits in the result of `codec_flags`.
MORE_THAN_8_BITS, GRAY = 0x40, 0x10


def codec_flags(data: bytes) -> list[int]:
    """Returns the byte with depth and subsampling of each codec configuration ("av1C")."""
    return [data[begin + 2] for begin, end in _properties(data, b"av1C") if end - begin > 2]


def largest_size(data: bytes) -> tuple[int, int]:
    """Returns the largest (width, height) of any property, without decoding."""
    sizes = [
        struct.unpack_from(">II", data, begin + 4)
        for begin, end in _properties(data, b"ispe")
        if end - begin >= 12
    ]
    return max(sizes, key=lambda size: size[0] * size[1], default=(1, 1))


def colors(data: bytes) -> tuple[int, int, int] | None:
    """Returns primaries, transfer and matrix as numbers of ITU-T H.273, if present."""
    for begin, end in _properties(data, b"colr"):
        if data[begin : begin + 4] == b"nclx" and end - begin >= 10:
            return struct.unpack_from(">HHH", data, begin + 4)
    return None


def exif(data: bytes) -> bytes:
    """Returns the EXIF block from its TIFF header on, as stored; empty if there is none."""
    try:
        number = _item(data, b"Exif")
        block = b"" if number is None else _content(data, number)
        return block[4 + int.from_bytes(block[:4], "big") :]
    except (struct.error, IndexError):
        return b""


def _boxes(data: bytes, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Yields the boxes between two offsets as (type, begin and end of the content)."""
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
        skip = 4 if name == b"meta" else 0  # Version and flags come first.
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
    """Reads consecutive integers of given sizes."""

    def __init__(self, data: bytes, place: int):
        self._data, self._place = data, place

    def next(self, size: int) -> int:
        self._place += size
        if self._place > len(self._data):
            raise IndexError("the numbers end too early")
        return int.from_bytes(self._data[self._place - size : self._place], "big")


def _content(data: bytes, wanted: int) -> bytes:
    """Returns an item's bytes, which "iloc" locates in the file or in "idat"."""
    for begin, end in _find(data, b"meta", b"iloc"):
        version, sizes = data[begin], struct.unpack_from(">H", data, begin + 4)[0]
        offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
        index_size = sizes & 15 if version else 0
        wide = 2 if version < 2 else 4
        numbers = _Numbers(data[:end], begin + 6)
        for _ in range(numbers.next(wide)):
            item = numbers.next(wide)
            method = numbers.next(2) & 15 if version else 0
            numbers.next(2)  # Data reference: this file.
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


#: Default quality; the files do not record the quality they were written with.
QUALITY = 90

_ORIENTATION, _DESCRIPTION = 274, 270
_PREFIX = b"Exif\0\0"
# The box with a manifest of content credentials.
_MANIFEST = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")
_ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
_IDENTITY = 0  # Matrix coefficients of files that store RGB directly, as lossless ones do.
_MODES = {"L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA"}


def read(data: bytes, format: str, max_megapixels: float) -> Photo:
    """Reads an AVIF of one picture, gray or color, with alpha or not.

    Raises:
        UserError: more than 8 bits, which Pillow would silently reduce to 8, or several
            pictures.
    """
    metadata = {"subsampling": _subsampling(data), "colors": colors(data)}
    require_size(*largest_size(data), max_megapixels)
    with Image.open(io.BytesIO(data), formats=["AVIF"]) as image:
        require_size(*image.size, max_megapixels)
        if getattr(image, "n_frames", 1) > 1:
            raise UserError(f"is animated ({image.n_frames} pictures); expected one picture")
        image.load()
        metadata["info"] = {k: image.info[k] for k in ("icc_profile", "xmp") if image.info.get(k)}
        # Pillow derives this from the properties, whatever the tag says.
        metadata["turned"] = image.getexif().get(_ORIENTATION, 1)
        if image.mode not in _MODES:
            raise UserError(f"is of mode {image.mode}; expected gray or RGB: convert it first")
        array = np.asarray(image)
    metadata["exif"] = exif(data)
    lost = _lost(data)
    if b":provenance" in metadata["info"].get("xmp", b""):
        metadata["info"]["xmp"] = without_provenance(metadata["info"]["xmp"])
        lost = tuple(dict.fromkeys((CREDENTIALS, *lost)))
    return Photo(np.atleast_3d(array), format, data, metadata, lost=lost)


def write(photo: Photo, quality: int | None) -> bytes:
    """Writes an AVIF at `quality`, with the chroma subsampling and the metadata of the input.

    Pillow cannot write lossless AVIF; for lossless inputs the default is quality 100.
    """
    metadata = photo.metadata
    array = photo.array[..., 0] if photo.array.shape[2] == 1 else photo.array
    lossless = metadata["colors"] is not None and metadata["colors"][2] == _IDENTITY
    options = {
        **metadata["info"],
        "subsampling": metadata["subsampling"],
        "quality": quality or (100 if lossless else QUALITY),
    }
    placeholder = _placeholder(len(metadata["exif"]))
    if metadata["exif"] or metadata["turned"] != 1:
        options["exif"] = _placeholder(len(metadata["exif"]), metadata["turned"])
    target = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(target, "AVIF", **options)
    encoded = target.getvalue()
    if "exif" in options:
        own = metadata["exif"] or struct.pack(">2sHIHI", b"MM", 42, 8, 0, 0)  # No tags.
        own = own.ljust(len(placeholder) - len(_PREFIX), b"\0")
        encoded = encoded.replace(placeholder, _PREFIX + own, 1)
    place = encoded.find(b"colrnclx")
    if metadata["colors"] is not None and place >= 0:
        # Keep primaries and transfer of the input; matrix and range are those of the encoder.
        named = struct.pack(">HH", *metadata["colors"][:2])
        encoded = encoded[: place + 8] + named + encoded[place + 12 :]
    return encoded


def _lost(data: bytes) -> tuple[str, ...]:
    """Names what an AVIF holds besides the picture and is not written again."""
    lost = []
    if any(data[begin : begin + 16] == _MANIFEST for begin, _ in _find(data, b"uuid")):
        lost.append(CREDENTIALS)
    if _item(data, b"tmap") is not None:
        lost.append("the gain map (HDR)")
    others = (data[begin + 4 : end] for begin, end in _properties(data, b"auxC"))
    if any(not kind.startswith(_ALPHA) for kind in others):
        lost.append("the auxiliary pictures (depth)")
    return tuple(lost)


def _placeholder(size: int, turned: int = 1) -> bytes:
    """Returns EXIF of at least `size` bytes plus an orientation tag, which Pillow removes."""
    tags = Image.Exif()
    shell = 8 + 2 + 12 + 4 + 1  # Header, count, one entry, end; the text's final zero.
    tags[_DESCRIPTION] = "x" * max(8, size - shell)
    if turned != 1:
        tags[_ORIENTATION] = turned
    return tags.tobytes()


def _subsampling(data: bytes) -> str:
    """Returns the chroma subsampling from the codec's configuration."""
    all_flags = codec_flags(data)
    if any(flags & MORE_THAN_8_BITS for flags in all_flags):
        raise UserError(
            "is an AVIF of 10 or 12 bits; expected 8: convert it to a 16-bit PNG or TIFF first"
        )
    color = [flags for flags in all_flags if not flags & GRAY]  # Alpha counts as gray.
    if not color:
        return "4:0:0" if all_flags else "4:4:4"
    return {0x00: "4:4:4", 0x08: "4:2:2", 0x0C: "4:2:0"}.get(color[0] & 0x0C, "4:4:4")
