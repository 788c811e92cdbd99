"""JPEG: pixels are decoded by Pillow, metadata segments are copied byte for byte."""

import io
import struct

import numpy as np
from PIL import Image

from gradnet_tf.images.image_files import require_few_scans
from gradnet_tf.images.photo import Photo, require_size
from gradnet_tf.utils.errors import UserError

#: Quantization tables of the input are refined to at least this quality, so that encoding does
#: not degrade the denoised picture.
LEAST_QUALITY = 90

_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = 0xC2
_APP0, _APP2, _APP14, _APP15, _COMMENT = 0xE0, 0xE2, 0xEE, 0xEF, 0xFE
# Pillow's codes for the sampling factors of luma.
_SUBSAMPLING = {(1, 1): 0, (2, 1): 1, (2, 2): 2}

Segment = tuple[int, bytes]


def read(data: bytes, format: str, max_megapixels: float) -> Photo:
    """Reads a JPEG, grey or colour; of several pictures in one file (MPF) the first."""
    segments, scan = _segments(data)
    require_few_scans(data, scan)
    frames = [(marker, content) for marker, content in segments if marker in _FRAMES]
    if not frames:
        raise UserError("is truncated: the JPEG ends before its picture begins")
    marker, frame = frames[0]
    precision, height, width, components = struct.unpack_from(">BHHB", frame)
    require_size(width, height, max_megapixels)
    if components == 4:
        raise UserError("is a CMYK JPEG; expected gray or RGB: convert it first")
    if precision != 8:
        raise UserError(f"is a JPEG of {precision} bits; expected 8")
    with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
        tables = image.quantization
        if image.mode not in ("L", "RGB"):
            raise UserError(f"is a JPEG of mode {image.mode}; expected gray or RGB")
        pixels = np.asarray(image)
    parts = [frame[6 + 3 * part : 9 + 3 * part] for part in range(components)]
    metadata = {
        "segments": [segment for segment in segments if _is_kept(*segment)],
        "tables": [list(tables[part[2]]) for part in parts],
        "subsampling": _subsampling([(part[1] >> 4, part[1] & 15) for part in parts]),
        "progressive": marker == _PROGRESSIVE,
    }
    return Photo(pixels.reshape(height, width, -1), format, data, metadata)


def write(photo: Photo, quality: int | None) -> bytes:
    """Writes a JPEG with the metadata, the chroma subsampling and the tables of the input."""
    target = io.BytesIO()
    gray = photo.array.shape[2] == 1
    image = Image.fromarray(np.ascontiguousarray(photo.array[..., 0] if gray else photo.array))
    options = {"quality": quality} if quality else {"qtables": _tables(photo.metadata["tables"])}
    if not gray:
        options["subsampling"] = photo.metadata["subsampling"]
    image.save(target, "JPEG", progressive=photo.metadata["progressive"], **options)
    encoded = target.getvalue()
    segments, scan = _segments(encoded)
    # The JFIF header of the input, if any, replaces the encoder's.
    own = [segment for segment in segments if segment[0] != _APP0]
    parts = [b"\xff\xd8"]
    for marker, content in [*photo.metadata["segments"], *own]:
        parts.append(struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content)
    return b"".join([*parts, encoded[scan:]])


def _is_kept(marker: int, content: bytes) -> bool:
    if marker == _APP14:
        return False  # Adobe: the color transform of the old scan.
    if marker == _APP2 and content.startswith(b"MPF\0"):
        return False  # Offsets of further pictures, which are not written.
    return _APP0 <= marker <= _APP15 or marker == _COMMENT


def _segments(data: bytes) -> tuple[list[Segment], int]:
    """Returns the segments before the first scan as (marker, content), and the scan's position."""
    found, position = [], 2
    while position + 4 <= len(data):
        if data[position] != 0xFF:  # Stray bytes between segments, which decoders pass over.
            position = data.find(b"\xff", position)
            if position < 0:
                break
            continue
        marker = data[position + 1]
        if marker == 0xDA:
            return found, position
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD8:
            position += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if marker == 0xD9 or length < 2 or position + 2 + length > len(data):
            break
        found.append((marker, data[position + 4 : position + 2 + length]))
        position += 2 + length
    raise UserError(f"is truncated: the JPEG's picture is missing after {len(data)} bytes")


def _subsampling(factors: list[tuple[int, int]]) -> int:
    """Returns Pillow's code for the factors; rare ones become 4:4:4, which is lossless."""
    if len(factors) != 3 or factors[1] != (1, 1) or factors[2] != (1, 1):
        return 0
    return _SUBSAMPLING.get(factors[0], 0)


def _tables(tables: list[list[int]]) -> list[list[int]]:
    """Returns the tables to write: for each coefficient the finer of input and minimum quality."""
    target = io.BytesIO()
    Image.new("RGB", (8, 8)).save(target, "JPEG", quality=LEAST_QUALITY)
    with Image.open(target) as image:
        standard = [image.quantization[0], image.quantization[1], image.quantization[1]]
    finer = [
        [min(pair) for pair in zip(table, least, strict=True)]
        for table, least in zip(tables, standard, strict=False)
    ]
    return finer[:2] if len(finer) == 3 and finer[1] == finer[2] else finer
