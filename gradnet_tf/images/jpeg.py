"""JPEG: pixels are decoded by Pillow, metadata segments are copied byte for byte.

Phones append more to the picture: the gain map that makes it HDR, depth, a film, their own blocks.
XMP and the blocks name their sizes, counted from the end of the file, so they are appended again
as they are. A list of pictures (MPF) counts from its own place, so its offsets are moved.
"""

import io
import re
import struct

import numpy as np
from PIL import Image

from gradnet_tf.images import tiff_tags
from gradnet_tf.images.image_files import (
    JpegSegment,
    jpeg_notes,
    jpeg_segments,
    require_few_scans,
)
from gradnet_tf.images.photo import CREDENTIALS, Photo, require_size, without_provenance
from gradnet_tf.utils.errors import UserError

#: Quantization tables of the input are refined to at least this quality, so that encoding does
#: not degrade the denoised picture.
LEAST_QUALITY = 90

_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = 0xC2
_KINDS = {
    **dict.fromkeys((0xC3, 0xCB), "a lossless JPEG"),
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "a hierarchical JPEG"),
    0xF7: "a JPEG-LS",
}
_APP0, _APP1, _APP2, _APP11, _APP14, _APP15, _COMMENT = 0xE0, 0xE1, 0xE2, 0xEB, 0xEE, 0xEF, 0xFE
# What is carried behind the picture: gain maps, depth and films that XMP announces, the gain maps
# of iPhones, and films and blocks of phones that announce nothing.
_ANNOUNCED = re.compile(
    rb"hdr-gain-map|hdrgainmap|urn:iso:std:iso:ts:21496|GainMap|MotionPhoto|MicroVideo|"
    rb"photos/1\.0/container|SEFT$|ftyp(?:mp4|isom|qt  |avc1|M4V)"
)
_MPF, _MP_ENTRIES = b"MPF\0", 0xB002
# Pillow's codes for the sampling factors of luma.
_SUBSAMPLING = {(1, 1): 0, (2, 1): 1, (2, 2): 2}


def read(data: bytes, format: str, max_megapixels: float) -> Photo:
    """Reads a JPEG, gray or color; of several pictures in one file the first."""
    segments, scan = jpeg_segments(data)
    end, is_whole = require_few_scans(data, scan)
    frames = [(marker, content) for marker, content in segments if marker in _FRAMES | {0xF7}]
    if not frames:
        raise UserError("is truncated: the JPEG ends before its picture begins")
    marker, frame = frames[0]
    precision, height, width, components = struct.unpack_from(">BHHB", frame)
    require_size(width, height, max_megapixels)
    if marker in _KINDS:
        raise UserError(f"is {_KINDS[marker]}; expected baseline or progressive: convert it first")
    if components == 4:
        raise UserError("is a CMYK JPEG; expected gray or RGB: convert it first")
    if precision != 8:
        raise UserError(f"is a JPEG of {precision} bits; expected 8")
    # Without an end mark Pillow would wait for more.
    complete = data if is_whole else data[:end] + b"\xff\xd9"
    with Image.open(io.BytesIO(complete), formats=["JPEG"]) as image:
        tables = image.quantization
        if image.mode not in ("L", "RGB"):
            raise UserError(f"is a JPEG of mode {image.mode}; expected gray or RGB")
        pixels = np.asarray(image)
    parts = [frame[6 + 3 * part : 9 + 3 * part] for part in range(components)]
    if any(part[2] not in tables for part in parts):
        raise UserError("is damaged: the JPEG has no quantization table for its pixels")
    notes = jpeg_notes(complete[: end if is_whole else None], segments, scan, is_whole)
    kept, carried, lost = _side_data(segments, data[end:])
    metadata = {
        "segments": kept,
        "behind": data[end:] if carried else b"",
        "end": end,
        "tables": [list(tables[part[2]]) for part in parts],
        "subsampling": _subsampling([(part[1] >> 4, part[1] & 15) for part in parts]),
        "progressive": marker == _PROGRESSIVE,
    }
    return Photo(pixels.reshape(height, width, -1), format, data, metadata, notes, lost)


def write(photo: Photo, quality: int | None) -> bytes:
    """Writes a JPEG with the metadata, the chroma subsampling and the tables of the input.

    What is behind the picture follows again, unless it was bound to the old pixels.
    """
    target = io.BytesIO()
    gray = photo.array.shape[2] == 1
    image = Image.fromarray(np.ascontiguousarray(photo.array[..., 0] if gray else photo.array))
    options = {"quality": quality} if quality else {"qtables": _tables(photo.metadata["tables"])}
    if not gray:
        options["subsampling"] = photo.metadata["subsampling"]
    image.save(target, "JPEG", progressive=photo.metadata["progressive"], **options)
    encoded = target.getvalue()
    segments, scan = jpeg_segments(encoded)
    # The JFIF header of the input, if any, replaces the encoder's.
    own = [segment for segment in segments if segment[0] != _APP0]
    written = [*photo.metadata["segments"], *own]
    size = 2 + sum(4 + len(content) for _, content in written) + len(encoded) - scan
    parts, position = [b"\xff\xd8"], 2
    for marker, content in written:
        if marker == _APP2 and content.startswith(_MPF):
            content = _moved_pictures(photo, content, position + 8, size)
        if content is not None:
            parts.append(struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content)
            position += len(parts[-1])
    return b"".join([*parts, encoded[scan:], photo.metadata["behind"]])


def _side_data(
    segments: list[JpegSegment], behind: bytes
) -> tuple[list[JpegSegment], bool, tuple[str, ...]]:
    """Sorts out what is bound to the old pixels, or to offsets in the old file.

    Returns:
        The segments to write again, whether to append again what is behind the picture, and what
        is lost; see `Photo.lost`.
    """
    texts = [content for marker, content in segments if marker in (_APP1, _APP2)]
    carried = bool(behind) and any(_ANNOUNCED.search(part) for part in (*texts, behind))
    lost, kept = [], []
    manifests = {
        content[2:4]
        for marker, content in segments
        if marker == _APP11 and content[:2] == b"JP" and b"c2pa" in content[:64]
    }
    for marker, content in segments:
        if not _APP0 <= marker <= _APP15 and marker != _COMMENT:
            continue
        if marker == _APP14:
            continue  # Adobe: the color transform of the old scan.
        if marker == _APP2 and content.startswith(_MPF) and not carried:
            continue
        if marker == _APP11 and content[:2] == b"JP" and content[2:4] in manifests:
            lost.append(CREDENTIALS)
            continue
        if marker == _APP11 and (content[:6] == b"HDR_RI" or _is_residual(content)):
            lost.append("the difference to an HDR picture (JPEG XT)")
            continue
        if marker == _APP1 and b":provenance" in content:
            lost.append(CREDENTIALS)
            content = without_provenance(content)
        kept.append((marker, content))
    if not carried and any(content.startswith(_MPF) for content in texts):
        lost.append("the further pictures in the file (previews)")
    elif not carried and behind.strip(b"\0\xff"):
        lost.append(f"{len(behind)} bytes behind the picture")
    return kept, carried, tuple(dict.fromkeys(lost))


def _is_residual(content: bytes) -> bool:
    """Whether an APP11 segment is a box of JPEG XT; "jumb" boxes describe, and are no pixels."""
    return content[:2] == b"JP" and content[12:16] != b"jumb"


def _moved_pictures(photo: Photo, content: bytes, base: int, size: int) -> bytes | None:
    """Returns the list of pictures (MPF) with the new offsets, `None` if it cannot be read.

    Args:
        photo: the photograph.
        content: the segment: "MPF" and a zero, then a TIFF header and a directory.
        base: offset of that TIFF header in the new file, from which offsets are counted.
        size: bytes of the first picture in the new file; the others follow.
    """
    old_base, old_size = photo.encoded.index(content) + 4, photo.metadata["end"]
    try:
        layout, start = tiff_tags.read_layout(content[4:])
        entries, _ = tiff_tags.read_directory(content[4:], layout, start)
        entry = entries[_MP_ENTRIES]
        value = bytearray(entry.value)
        for place in range(0, len(value), 16):
            old = struct.unpack_from(layout.order + "I", value, place + 8)[0]
            if old == 0:
                struct.pack_into(layout.order + "I", value, place + 4, size)
            elif old + old_base < old_size:
                return None
            else:
                new = old + old_base - old_size + size - base
                struct.pack_into(layout.order + "I", value, place + 8, new)
    except (UserError, KeyError, struct.error):
        return None
    place = 4 + entry.place
    return content[:place] + bytes(value) + content[place + len(value) :]


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
