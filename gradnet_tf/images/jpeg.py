"""JPEG: pixels are decoded by Pillow, metadata segments are copied byte for byte.

Phones append more to the picture: the gain map that makes it HDR, depth, a film, their own blocks.
XMP and the blocks name their sizes, counted from the end of the file, so they are appended again
as they are. A list of pictures (MPF) counts from its own place, so its offsets are moved.
"""

import contextlib
import io
import os
import re
import struct
import sys
import threading
from collections.abc import Iterator

import cv2
import numpy as np
from PIL import Image, ImageFile

from gradnet_tf.images import tiff_tags
from gradnet_tf.images.photo import CREDENTIALS, Photo, require_size, without_provenance
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.framework_start import STDERR_LOCK, temporary_file

#: Quantization tables of the input are refined to at least this quality, so that encoding does
#: not degrade the denoised picture.
LEAST_QUALITY = 90

#: Programs write about ten; each one costs as much as decoding the picture once.
_MOST_SCANS = 100
#: A marker among compressed pixels, where bytes of 255 are followed by 0 or a restart mark.
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)

#: libjpeg's warnings about metadata, and about pixels.
_ABOUT_METADATA = rb"Warning: unknown JFIF revision|Unknown Adobe color transform code"
_WARNING = re.compile(
    rb"(?:Corrupt JPEG data: )?(premature end of data segment|bad Huffman code|bad arithmetic code|"
    rb"Premature end of JPEG file|\d+ extraneous bytes before marker 0x\w\w|"
    rb"found marker 0x\w\w instead of RST\d+|Invalid SOS parameters for sequential JPEG|"
    rb"Inconsistent progression sequence for component \d+ coefficient \d+)\s*$"
)
#: As libjpeg counts them. Some cameras write a few bytes too many.
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0x(\w\w)")
_FEW_BYTES = 4
#: A segment of a JPEG: its marker without the first byte, and its content.
JpegSegment = tuple[int, bytes]

_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL, _PROGRESSIVE = (0xC0, 0xC1), 0xC2
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
_END = b"\xff\xd9"
_MPF, _MP_ENTRIES = b"MPF\0", 0xB002
# Pillow's codes for the sampling factors of luma.
_SUBSAMPLING = {(1, 1): 0, (2, 1): 1, (2, 2): 2}


def read(data: bytes, format: str, max_megapixels: float) -> Photo:
    """Reads a JPEG, gray or color; of several pictures in one file the first."""
    segments, scan = jpeg_segments(data)
    end, is_whole = require_few_scans(data, scan)
    marker, frame = _frame(segments, max_megapixels)
    _, height, width, components = struct.unpack_from(">BHHB", frame)
    if components == 4:
        raise UserError("is a CMYK JPEG; expected gray or RGB: convert it first")
    # Without an end mark Pillow would wait for more.
    complete = data if is_whole else data[:end] + _END
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


def check(data: bytes) -> bool:
    """Raises `UserError` for a JPEG that `image_files.read_image` must not decode.

    Decoders continue after damage, fill what is missing, and would take minutes for some.

    Returns:
        Whether libjpeg writes a warning to standard error when the JPEG is decoded.
    """
    segments, scan = jpeg_segments(data)
    if data.find(_END, scan) < 0:
        raise UserError(f"is truncated: its end is missing after {len(data)} bytes")
    end, is_whole = require_few_scans(data, scan)
    _frame(segments)
    notes = jpeg_notes(data[:end] + _END * (not is_whole), segments, scan, is_whole)
    odd = (_is_odd(*segment) for segment in segments)
    return bool(notes) or any(odd)


def _is_odd(kind: int, content: bytes) -> bool:
    """Whether libjpeg warns about a segment of metadata."""
    if content[:5] == b"JFIF\0":
        return kind == _APP0 and content[5:6] != b"\x01"
    return kind == _APP14 and content[:5] == b"Adobe" and content[11:12] > b"\x01"


def _frame(segments: list[JpegSegment], max_megapixels: float | None = None) -> JpegSegment:
    """Returns the header of the picture, whose size and kind are checked."""
    found = next((each for each in segments if each[0] in _FRAMES | {0xF7}), None)
    if found is None:
        raise UserError("is truncated: the JPEG ends before its picture begins")
    marker, frame = found
    precision, height, width, _ = struct.unpack_from(">BHHB", frame)
    require_size(width, height, max_megapixels)
    if marker in _KINDS:
        raise UserError(f"is {_KINDS[marker]}; expected baseline or progressive: convert it first")
    if precision != 8:
        raise UserError(f"is a JPEG of {precision} bits; expected 8")
    return found


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
    progressive = photo.metadata["progressive"]
    with _room_for(photo.array) if progressive else contextlib.nullcontext():
        image.save(target, "JPEG", progressive=progressive, **options)
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


@contextlib.contextmanager
def _room_for(array: np.ndarray) -> Iterator[None]:
    """Lets Pillow write a progressive picture of noise.

    It gives libjpeg one buffer for the whole of such a picture, of a byte or two per pixel, and
    noise at a high quality takes more. A limit of the whole process makes the buffer larger.
    """
    with _room_lock:
        before = ImageFile.MAXBLOCK
        ImageFile.MAXBLOCK = max(before, 2 * array.size + 2**16)
        try:
            yield
        finally:
            ImageFile.MAXBLOCK = before


_room_lock = threading.Lock()


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


def require_few_scans(data: bytes, start: int) -> tuple[int, bool]:
    """Raises `UserError` for a JPEG of so many scans that decoding would take minutes.

    Args:
        data: the file.
        start: where the first scan begins, or a segment before it.

    Returns:
        Where the picture ends in the file, and whether there is an end mark.
    """
    count, position = 0, start
    while found := _MARKER.search(data, position):
        marker = found[1][0]
        if marker == 0xD9:
            return found.end(), True
        if marker == 0xD8:  # Another picture begins here.
            return found.start(), False
        count += marker == 0xDA
        if count > _MOST_SCANS:
            raise UserError(f"is a JPEG of more than {_MOST_SCANS} scans; expected about ten")
        position = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    return len(data), False


def jpeg_warning(data: bytes) -> str:
    """Returns the decoder's first warning about a JPEG's pixels, "" if there is none.

    libjpeg continues after damage and fills the rest with gray, or with pixels at wrong places.
    Pillow discards its warnings, and OpenCV lets it write them to standard error. OpenCV decodes at
    an eighth of the size here, which needs a fraction of the time.

    Args:
        data: a JPEG without the segments of metadata, which it may warn about as well.
    """
    with decoder_lines(_WARNING) as found, contextlib.suppress(cv2.error):
        cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
    return found[0][1].decode() if found else ""


def quiet_decoder() -> contextlib.AbstractContextManager[list]:
    """Takes libjpeg's warnings from standard error, of JPEGs that `check` has accepted."""
    return decoder_lines(re.compile(_WARNING.pattern + b"|" + _ABOUT_METADATA))


@contextlib.contextmanager
def decoder_lines(pattern: re.Pattern[bytes]) -> Iterator[list[re.Match[bytes]]]:
    """Takes lines of a decoder written in C from standard error (file descriptor 2).

    Whatever other threads write meanwhile is passed on at the end.

    Yields:
        A list, which at the end gets the matches of the lines that match `pattern`.
    """
    found: list[re.Match[bytes]] = []
    with STDERR_LOCK, temporary_file() as held:
        try:
            screen = os.dup(2)
        except OSError:
            screen = None  # No standard error stream.
        else:
            if sys.__stderr__ is None:  # The number belongs to another file.
                os.close(screen)
                yield found
                return
        try:
            os.dup2(held.fileno(), 2)
            yield found
        finally:
            if screen is None:
                os.close(2)
            else:
                os.dup2(screen, 2)
                os.close(screen)
            if held.tell():
                held.seek(0)
                lines = held.read().splitlines(keepends=True)
                found += filter(None, map(pattern.match, lines))
                with contextlib.suppress(OSError):
                    os.write(2, b"".join(line for line in lines if not pattern.match(line)))


def jpeg_notes(
    data: bytes, segments: list[JpegSegment], scan: int, is_whole: bool
) -> tuple[str, ...]:
    """Returns what is wrong with a JPEG whose pixels are in order.

    Args:
        data: the picture, with an end mark.
        segments: from `jpeg_segments`.
        scan: from `jpeg_segments`.
        is_whole: whether the end mark was in the file.

    Raises:
        UserError: part of its pixels are destroyed or missing.
    """
    # The decoder prints its first warning only, and metadata may be odd as well.
    bare = [(kind, content) for kind, content in segments if not _APP0 <= kind <= _COMMENT]
    heads = [struct.pack(">BBH", 0xFF, kind, len(content) + 2) + content for kind, content in bare]
    pixels = data[scan:]
    if any(kind in _SEQUENTIAL for kind, _ in segments):
        # The range of coefficients: some programs write it wrongly, and decoders ignore it.
        place = 2 + int.from_bytes(pixels[2:4], "big")
        pixels = pixels[: place - 3] + b"\0\x3f\0" + pixels[place:]
    warning = jpeg_warning(b"".join([b"\xff\xd8", *heads, pixels]))
    found = _EXTRANEOUS.fullmatch(warning)
    if found:
        count = int(found[1])
        # Fill bytes before the end mark are no pixels.
        padding = data[-2 - count : -2] if found[2] == "d9" else b""
        if count <= _FEW_BYTES or (padding and not padding.strip(padding[:1])):
            return (f"has {count} unnecessary bytes before a mark of the JPEG",)
    if warning.startswith(("Inconsistent", "Invalid")):
        return (f"an odd order of its JPEG scans ({warning}); check the result",)
    if warning and is_whole:
        raise UserError(f"is damaged: part of its picture is destroyed ({warning})")
    if warning:
        raise UserError(f"is truncated: part of its picture is missing ({warning})")
    return () if is_whole else ("the end mark of the JPEG is missing; its pixels are complete",)


def jpeg_segments(data: bytes) -> tuple[list[JpegSegment], int]:
    """Returns the segments before the first scan as (marker, content), and the scan's position.

    Raises:
        UserError: there is no scan.
    """
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
