"""PNG: pixels are decoded by Pillow and OpenCV, all other chunks are copied byte for byte.

Pillow reads and writes all 8-bit modes, but reduces 16-bit color to 8 bits; OpenCV reads all
16-bit modes. Neither of them writes 16-bit gray with alpha, so this module encodes 16-bit rows
itself: PNG is zlib over filtered rows.
"""

import io
import struct
import zlib
from collections.abc import Sequence

import cv2
import numpy as np
from PIL import Image

from gradnet_tf.images.photo import CREDENTIALS, Photo, require_size, without_provenance
from gradnet_tf.utils.errors import UserError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LAST_BYTES = b"IEND\xaeB\x60\x82"
_COLOR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_PALETTE = 3
_CRITICAL = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
# Chunks that are rewritten, or that describe pixels which no longer exist: iDOT holds the offsets
# of compressed rows.
_NOT_KEPT = (*_CRITICAL, b"tRNS", b"hIST", b"acTL", b"fcTL", b"fdAT", b"iDOT")
# The manifest that names the hash of the old pixels.
_CREDENTIALS = b"caBX"
# Chunks that are valid for one color type and depth only.
_OF_THE_MODE = (b"bKGD", b"sBIT")
_KEPT = (
    *(b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"mDCV", b"mDCv", b"cLLI", b"cLLi", b"pHYs"),
    *(b"sPLT", b"eXIf", b"tIME", b"tEXt", b"zTXt", b"iTXt", b"oFFs", b"pCAL", b"sCAL"),
    *_OF_THE_MODE,
)

_LAST_FILTER = 4
# Passes of interlaced pictures: first column and row, and the steps between columns and rows.
_ADAM7 = (
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)

Chunk = tuple[bytes, bytes]


def read(data: bytes, format: str, max_megapixels: float) -> Photo:
    """Reads a PNG; palettes become RGB, depths below 8 bits become 8, a color key becomes alpha."""
    chunks, wrong, end = _chunks(data)
    if chunks[0][0] != b"IHDR" or len(chunks[0][1]) != 13:
        raise UserError("is damaged: the PNG does not begin with its header")
    width, height, depth, color_type, *methods = struct.unpack(">IIBBBBB", chunks[0][1])
    if methods not in ([0, 0, 0], [0, 0, 1]):  # Compression, filter, interlacing.
        raise UserError("is damaged: its PNG header names unknown methods")
    require_size(width, height, max_megapixels)
    for kind, content in chunks:
        if kind == b"acTL" and int.from_bytes(content[:4], "big") > 1:
            raise UserError("is animated; expected one picture")
    # The decoders get the critical chunks only: compressed text could expand to any size.
    bare = [chunk for chunk in chunks if chunk[0] in _CRITICAL]
    key = next((content for kind, content in chunks if kind == b"tRNS"), None)
    if key is not None and color_type in (0, 2) and len(key) < (2 if color_type == 0 else 6):
        raise UserError("is damaged: the transparent color of the PNG is too short")
    if depth == 16:
        _require_rows(bare, width, height, color_type, interlaced=methods[2] == 1)
        array = _decode_16(_join(bare))
        if color_type == 4:
            array = array[..., [0, 3]]  # OpenCV returns gray with alpha as RGBA.
    else:
        # The transparency of a palette has to precede the pixels. Pillow would compare a color
        # with pixels that it has scaled to 8 bits, so that is done below.
        more = [(b"tRNS", key)] if key is not None and color_type == _PALETTE else []
        first = sum(kind in (b"IHDR", b"PLTE") for kind, _ in bare)
        array = _decode_8(_join([*bare[:first], *more, *bare[first:]]))
    if array.shape[:2] != (height, width):
        raise UserError("is damaged: its header and its pixels disagree")
    array = np.atleast_3d(array)
    if key is not None and color_type in (0, 2):
        array = _with_alpha(array, key, depth)
    # Keep the position of the compressed pixels among the chunks, but not their content.
    rest = [(kind, b"" if kind == b"IDAT" else content) for kind, content in chunks]
    metadata = {"mode": (color_type, depth), "chunks": rest}
    notes = [
        f"the checksum of its {kind.decode()} chunk is wrong, so it is ignored" for kind in wrong
    ]
    return Photo(array, format, data, metadata, tuple(notes), _lost(rest, len(data) - end))


def check(data: bytes) -> None:
    """Raises `UserError` for a PNG that `image_files.read_image` must not decode.

    The decoder checks the rest; some versions fill what is missing with gray.
    """
    if _LAST_BYTES not in data:
        raise UserError(f"is truncated: its end is missing after {len(data)} bytes")
    require_size(*struct.unpack_from(">II", data, len(_SIGNATURE) + 8))


def without_metadata(data: bytes) -> bytes:
    """Returns a PNG without the chunks about which libpng would print warnings.

    Raises:
        UserError: it is truncated, or the checksum of a chunk of its pixels is wrong.
    """
    return _join([chunk for chunk in _chunks(data)[0] if chunk[0] in (*_CRITICAL, b"tRNS")])


def write(photo: Photo, quality: int | None) -> bytes:
    """Writes a PNG with the ancillary chunks of the input, in their original order."""
    array = photo.array
    encoded = _encode_16(array) if array.dtype == np.uint16 else _encode_8(array)
    mode = (_COLOR_TYPES[array.shape[2]], array.dtype.itemsize * 8)
    before: list[Chunk] = []
    after: list[Chunk] = []
    place = before
    for kind, content in photo.metadata["chunks"]:
        if kind == b"IDAT":
            place = after
        elif _is_kept(kind, mode == photo.metadata["mode"]):
            if kind == b"iTXt" and b":provenance" in content:
                content = without_provenance(content)
            place.append((kind, content))
    pixels = [chunk for chunk in encoded if chunk[0] == b"IDAT"]
    return _join([encoded[0], *before, *pixels, *after, (b"IEND", b"")])


def _is_kept(kind: bytes, same_mode: bool) -> bool:
    if kind in _OF_THE_MODE:
        return same_mode
    # A lower-case last letter marks unknown chunks that do not depend on the pixels.
    return kind not in _NOT_KEPT and (kind in _KEPT or kind[3:].islower())


def _lost(chunks: Sequence[Chunk], behind: int) -> tuple[str, ...]:
    """Names what is not written again: chunks bound to the pixels, and bytes behind the end."""
    unsafe = {
        kind: None
        for kind, _ in chunks
        if not (kind in _NOT_KEPT or kind in _OF_THE_MODE or _is_kept(kind, True))
    }
    names = [CREDENTIALS] if _CREDENTIALS in unsafe else []
    names += [f"the PNG chunk {kind.decode('latin-1')}" for kind in unsafe if kind != _CREDENTIALS]
    if any(kind == b"iTXt" and b":provenance" in content for kind, content in chunks):
        names = [CREDENTIALS, *(name for name in names if name != CREDENTIALS)]
    if behind:
        names.append(f"{behind} bytes behind the end of the PNG")
    return tuple(names)


def _with_alpha(array: np.ndarray, key: bytes, depth: int) -> np.ndarray:
    """Returns gray or RGB with alpha: pixels of exactly one color are transparent.

    Args:
        array: (H, W, 1 or 3), values of `depth` bits scaled to 8 bits, or of 16 bits.
        key: the content of tRNS, whose values are not scaled.
        depth: bits of the file.
    """
    values = np.frombuffer(key, ">u2", array.shape[2]) & (2**depth - 1)  # Other bits are unused.
    if depth < 8:
        values = values * (255 // (2**depth - 1))
    alpha = (array != values).any(axis=2, keepdims=True)
    return np.concatenate([array, alpha * array.dtype.type(np.iinfo(array.dtype).max)], axis=2)


def _chunks(data: bytes) -> tuple[list[Chunk], list[bytes], int]:
    """Splits a PNG file into (type, content).

    Returns:
        The chunks; the types of those left out because their checksum is wrong, although the
        pixels do not depend on them; and where the file ends.
    """
    found, wrong, position = [], [], len(_SIGNATURE)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        content = data[position + 8 : position + 8 + length]
        end = position + 12 + length
        if end > len(data):
            break
        if struct.unpack_from(">I", data, end - 4)[0] == zlib.crc32(kind + content):
            found.append((kind, content))
        elif kind.isalpha() and kind[:1].islower() and kind != b"tRNS":
            wrong.append(kind)
        else:
            raise UserError(f"is damaged: the checksum of its {kind!r} chunk is wrong")
        if kind == b"IEND":
            return found, wrong, end
        position = end
    raise UserError(f"is truncated: the end of the PNG is missing after {len(data)} bytes")


def _join(chunks: Sequence[Chunk]) -> bytes:
    parts = [_SIGNATURE]
    for kind, content in chunks:
        check = struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
        parts += [struct.pack(">I", len(content)), kind, content, check]
    return b"".join(parts)


def _decode_8(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
        has_key = "transparency" in image.info  # Of a palette.
        colors = "L" if image.mode in ("1", "L", "LA") else "RGB"
        mode = {"L": "LA", "RGB": "RGBA"}[colors] if has_key else colors
        if image.mode in ("LA", "RGBA"):
            mode = image.mode
        return np.asarray(image.convert(mode))


def _decode_16(data: bytes) -> np.ndarray:
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint16:
        raise UserError("is damaged: its 16-bit pixels cannot be decoded")
    return array[..., np.newaxis] if array.ndim == 2 else array[..., [2, 1, 0, 3][: array.shape[2]]]


def _require_rows(
    chunks: Sequence[Chunk], width: int, height: int, color_type: int, interlaced: bool
) -> None:
    """Raises if 16-bit pixels are damaged; OpenCV would return wrong pixels without an error.

    Checks that all rows are present and that each begins with one of the five filter types. The
    rows are decompressed piece by piece to save memory.
    """
    channels = {0: 1, 2: 3, 4: 2, 6: 4}.get(color_type)
    if channels is None:
        raise UserError("is damaged: its PNG header names a color type without 16 bits")
    starts, position = [], 0
    for left, top, across, down in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -((left - width) // across), -((top - height) // down)
        if columns > 0 and rows > 0:
            step = 1 + 2 * channels * columns
            starts.append(position + step * np.arange(rows))
            position += step * rows
    places = np.concatenate(starts)
    stream, done = zlib.decompressobj(), 0
    for kind, content in chunks:
        while kind == b"IDAT" and content and not stream.eof:
            piece = np.frombuffer(stream.decompress(content, 1 << 20), np.uint8)
            first, last = np.searchsorted(places, (done, done + len(piece)))
            if (piece[places[first:last] - done] > _LAST_FILTER).any():
                raise UserError("is damaged: a row of its pixels has an unknown filter")
            done += len(piece)
            # libpng warns and keeps the first rows; the rest may be gigabytes.
            if done > position:
                raise UserError("is damaged: it holds more compressed pixels than its size has")
            content = stream.unconsumed_tail
    if not stream.eof or done < position:
        raise UserError("is truncated: its compressed pixels end too early")


def _encode_8(array: np.ndarray) -> list[Chunk]:
    target = io.BytesIO()
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[array.shape[2]]
    flat = array[..., 0] if mode == "L" else array
    image = Image.fromarray(np.ascontiguousarray(flat))
    image.save(target, "PNG")
    return _chunks(target.getvalue())[0]


def _encode_16(array: np.ndarray) -> list[Chunk]:
    height, width, channels = array.shape
    rows = np.ascontiguousarray(array, ">u2").reshape(height, -1).view(np.uint8)
    filtered = np.full((height, 1 + rows.shape[1]), 2, np.uint8)  # Filter "up".
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 16, _COLOR_TYPES[channels], 0, 0, 0)
    return [(b"IHDR", header), (b"IDAT", zlib.compress(filtered.data, 6))]
