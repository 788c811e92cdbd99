"""Reads and writes 8-bit image files, and converts pixels between uint8 and float32.

Training and evaluation read all images through `read_image`, because decoders differ:
TensorFlow's default JPEG decoder is off by up to ten gray levels, so scores and content hashes
would not match. OpenCV uses libjpeg-turbo's accurate integer DCT, as Pillow does, and both give
the same pixels.
"""

import contextlib
import os
import re
import stat
import struct
import sys
import tempfile
import threading
from pathlib import Path

import cv2
import numpy as np

from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import atomic_write

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pnm"),
)
_JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif")
JPEG_QUALITY = 95

_SUFFIX_LIST = ", ".join(IMAGE_SUFFIXES).replace(".", "")
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB\x60\x82"
_JPEG_START = b"\xff\xd8\xff"
#: Programs write about ten; each one costs as much as decoding the picture once.
_MOST_SCANS = 100
#: A marker among compressed pixels, where bytes of 255 are followed by 0 or a restart mark.
_MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])", re.DOTALL)

#: libjpeg's warnings about pixels.
_WARNING = re.compile(
    rb"(?:Corrupt JPEG data: )?(premature end of data segment|bad Huffman code|bad arithmetic code|"
    rb"Premature end of JPEG file|\d+ extraneous bytes before marker 0x\w\w|"
    rb"found marker 0x\w\w instead of RST\d+|Invalid SOS parameters for sequential JPEG|"
    rb"Inconsistent progression sequence for component \d+ coefficient \d+)\s*$"
)
#: As libjpeg counts them. Some cameras write a few bytes too many.
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0x(\w\w)")
_FEW_BYTES = 4
#: Markers of metadata lie between these two; those of frames that are not progressive.
_JPEG_APP0, _JPEG_COMMENT, _JPEG_SEQUENTIAL = 0xE0, 0xFE, (0xC0, 0xC1)
#: A segment of a JPEG: its marker without the first byte, and its content.
JpegSegment = tuple[int, bytes]
_ONE_AT_A_TIME = threading.Lock()


def to_float(image: np.ndarray) -> np.ndarray:
    """Converts uint8 pixels to float32 in [0, 1]: 0 is 0.0 and 255 is 1.0."""
    return image.astype(np.float32) / np.float32(255)


def to_uint8(image: np.ndarray) -> np.ndarray:
    """Converts float pixels to uint8: clipped to [0, 1], times 255, halves round to even."""
    scaled = np.clip(image, 0.0, 1.0) * np.float32(255)
    return np.rint(scaled).astype(np.uint8)


def to_gray(image: np.ndarray) -> np.ndarray:
    """Converts uint8 RGB [H, W, 3] to luma [H, W, 1], Y = 0.299 R + 0.587 G + 0.114 B.

    These are the weights of ITU-R BT.601 as OpenCV applies them (in integers,
    rounded). A picture whose channels are equal keeps its values exactly.
    """
    return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)[..., np.newaxis]


def require_one_size(name: str, clean: np.ndarray, noisy: np.ndarray) -> None:
    """Checks that the images of a pair have the same size.

    Args:
        name: name of the pair for the error message.
        clean: [H, W, C].
        noisy: expected to have the same shape.

    Raises:
        UserError: the sizes differ.
    """
    if clean.shape != noisy.shape:
        sizes = " and ".join(f"{image.shape[0]}×{image.shape[1]}" for image in (clean, noisy))
        raise UserError(
            f"the clean and the noisy image of {name} have different sizes: {sizes} pixels.\n"
            "Expected aligned images of the same size."
        )


def list_images(folder: str | os.PathLike, recursive: bool = False) -> list[Path]:
    """Lists the image files in a folder by suffix, in byte order of their names.

    Args:
        folder: folder to list; hidden files (with a leading dot) are skipped.
        recursive: list subfolders as well, except hidden ones.

    Returns:
        Paths that start with `folder`, sorted by the bytes of the path relative to it (with
        `/`); empty if there are none.

    Raises:
        UserError: when `folder` is missing or not a folder.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise UserError(f"folder {folder} {what}.\nExpected a folder of images ({_SUFFIX_LIST}).")
    found = []
    for path in folder.rglob("*") if recursive else folder.iterdir():
        relative = path.relative_to(folder)
        if path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_file():
            continue
        if not any(part.startswith(".") for part in relative.parts):
            found.append((os.fsencode(relative.as_posix()), path))
    return [path for _, path in sorted(found)]


def read_image(path: str | os.PathLike, channels: int | None = 3) -> np.ndarray:
    """Reads an 8-bit image file; the format is detected from the content, not the suffix.

    Pixels are returned as stored: an EXIF orientation tag is ignored (but OpenCV applies the
    orientation tag of TIFF files). Gray is replicated for `channels=3`; color becomes luma for
    `channels=1` (see `to_gray`). An alpha channel is dropped if it is opaque everywhere and
    refused otherwise, since the color of transparent pixels is undefined. If a file holds
    several pictures, the first one is read.

    Damage is reported if the decoder fails or warns, or if the end of a PNG or JPEG is missing.
    Some damage inside a JPEG is noticed by no decoder.

    Args:
        path: file to read.
        channels: 3 for RGB, 1 for gray, None for the channels of the file.

    Returns:
        uint8 array [H, W, C], channels in RGB order.

    Raises:
        UserError: the file is missing, empty, not an image, truncated, deeper than 8 bits or
            partly transparent.
    """
    if channels not in (1, 3, None):
        raise ValueError(f"`channels` must be 1, 3 or None. Received: channels={channels}")
    pixels = _decode(path, read_bytes(path))
    if pixels.dtype != np.uint8:
        depth = "floating point" if pixels.dtype.kind == "f" else f"{pixels.itemsize * 8}-bit"
        raise UserError(
            f"image {path} is {depth}; expected 8 bits per channel.\n"
            "Convert it to 8 bits first; the conversion loses precision, so it is left to you."
        )
    if pixels.ndim == 2:
        gray = pixels[..., np.newaxis]
        return np.repeat(gray, 3, axis=2) if channels == 3 else gray
    if pixels.shape[2] == 4 and not (pixels[..., 3] == 255).all():
        raise UserError(
            f"image {path} has transparent pixels; expected opaque RGB or gray.\n"
            "Flatten it onto a background first."
        )
    image = np.ascontiguousarray(pixels[..., 2::-1])
    return to_gray(image) if channels == 1 else image


def write_image(path: str | os.PathLike, image: np.ndarray) -> None:
    """Writes an image atomically; the suffix determines the format.

    JPEG is written at quality 95 and WebP losslessly; missing folders are created.

    Args:
        path: file to write; its suffix is one of `IMAGE_SUFFIXES`.
        image: uint8 array [H, W, 3] in RGB order or [H, W, 1] gray.

    Raises:
        UserError: the suffix is not supported, or the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in IMAGE_SUFFIXES:
        raise UserError(
            f"cannot write {path}: unknown image suffix {path.suffix!r}.\n"
            f"Expected one of {_SUFFIX_LIST}."
        )
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (1, 3):
        raise ValueError(
            "`image` must be uint8 [H, W, 3] or [H, W, 1]. "
            f"Received: dtype={image.dtype}, shape={image.shape}"
        )
    if suffix == ".pgm" and image.shape[2] == 3:
        raise UserError(f"cannot write {path}: pgm stores gray images only.\nUse ppm or png.")
    # OpenCV writes lossless WebP if no quality is given.
    is_jpeg = suffix in _JPEG_SUFFIXES
    options = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY] if is_jpeg else []
    pixels = np.ascontiguousarray(image[..., ::-1])
    with silent_opencv():
        try:
            done, encoded = cv2.imencode(".jpg" if is_jpeg else suffix, pixels, options)
        except cv2.error as error:
            raise UserError(f"cannot write {path}: {error.err}.\nUse png.") from error
    if not done:
        raise UserError(f"cannot write {path}: OpenCV has no encoder for {suffix} here.\nUse png.")
    try:
        atomic_write(path, encoded.tobytes())
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}.") from error


def read_bytes(path: str | os.PathLike) -> bytes:
    """Returns the content of an image file; raises `UserError` if it cannot be read."""
    path = Path(path)
    if path.is_dir():
        raise UserError(f"{path} is a folder; expected an image file.")
    try:
        # A pipe would wait, and a device such as /dev/zero never ends.
        if not stat.S_ISREG(path.stat().st_mode):
            raise UserError(f"{path} is a pipe, a socket or a device; expected an image file.")
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"image file {path} does not exist.") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}.") from error
    if not data:
        raise UserError(f"image file {path} is empty (0 bytes).\nCopy or download it again.")
    return data


def _decode(path: str | os.PathLike, data: bytes) -> np.ndarray:
    if _is_cut_short(data):
        raise UserError(
            f"image file {path} is truncated: its end is missing after {len(data)} bytes.\n"
            "Copy or download it again."
        )
    if data.startswith(_JPEG_START):
        try:
            end, is_whole = require_few_scans(data, 2)
        except UserError as error:
            raise UserError(f"image file {path} {error}.\nSave it again as a JPEG.") from error
    reason = ""
    with silent_opencv():
        try:
            # UNCHANGED keeps depth and alpha visible and includes IMREAD_IGNORE_ORIENTATION.
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except cv2.error as error:
            pixels, reason = None, f" (OpenCV: {error.err})"
    if pixels is None:
        known = data.startswith((_PNG_START, _JPEG_START, b"BM", b"II*\0", b"MM\0*", b"RIFF"))
        what = "is damaged" if known else f"is not an image: it begins with {data[:12]!r}"
        raise UserError(f"{path} {what}{reason}.\nExpected an image file ({_SUFFIX_LIST}).")
    if data.startswith(_JPEG_START):
        try:
            segments, scan = jpeg_segments(data)
            jpeg_notes(data[:end] + b"\xff\xd9" * (not is_whole), segments, scan, is_whole)
        except UserError as error:
            raise UserError(f"image file {path} {error}.\nCopy or download it again.") from error
    return pixels


def _is_cut_short(data: bytes) -> bool:
    """Whether the end marker of a PNG or JPEG is missing.

    OpenCV before version 5 returns the part it could read and fills the rest with gray.
    """
    if data.startswith(_PNG_START):
        return _PNG_END not in data
    if not data.startswith(_JPEG_START):
        return False
    # Skip the segments before the scan: a thumbnail in one of them has its own end marker.
    position = 2
    while data[position : position + 1] == b"\xff":
        marker = data[position + 1 : position + 2]
        if marker == b"\xff":  # Fill byte.
            position += 1
            continue
        if marker == b"\xda":  # Start of scan.
            return b"\xff\xd9" not in data[position:]
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return position >= len(data)


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
    Pillow discards its warnings, and OpenCV lets it write them to standard error (file descriptor
    2), so that is redirected while OpenCV decodes at an eighth of the size, which needs a fraction
    of the time. Whatever other threads write meanwhile is passed on.

    Args:
        data: a JPEG without the segments of metadata, which it may warn about as well.
    """
    with _ONE_AT_A_TIME, tempfile.TemporaryFile() as held:
        try:
            screen = os.dup(2)
        except OSError:
            screen = None  # No standard error stream.
        else:
            if sys.__stderr__ is None:  # The number belongs to another file.
                os.close(screen)
                return ""
        try:
            os.dup2(held.fileno(), 2)
            with contextlib.suppress(cv2.error):
                cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
        finally:
            if screen is None:
                os.close(2)
            else:
                os.dup2(screen, 2)
                os.close(screen)
        if not held.tell():
            return ""
        held.seek(0)
        lines = held.read().splitlines(keepends=True)
    warnings = [line for line in lines if _WARNING.match(line)]
    with contextlib.suppress(OSError):
        os.write(2, b"".join(line for line in lines if line not in warnings))
    return _WARNING.match(warnings[0])[1].decode() if warnings else ""


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
    bare = [
        (kind, content) for kind, content in segments if not _JPEG_APP0 <= kind <= _JPEG_COMMENT
    ]
    heads = [struct.pack(">BBH", 0xFF, kind, len(content) + 2) + content for kind, content in bare]
    pixels = data[scan:]
    if any(kind in _JPEG_SEQUENTIAL for kind, _ in segments):
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


@contextlib.contextmanager
def silent_opencv():
    """Silences OpenCV's log lines on standard error; errors are reported by exceptions."""
    logging = cv2.utils.logging
    level = logging.getLogLevel()
    logging.setLogLevel(logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        logging.setLogLevel(level)
