"""Reads and writes photographs; the format is detected from the content, not the suffix."""

import contextlib
import io
import logging
import os
import stat
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from gradnet_tf.images import MAX_MEGAPIXELS, avif, jpeg, pillow_formats, png, tiff
from gradnet_tf.images.photo import Photo
from gradnet_tf.images.raw import raw_photo
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import write_file

_ORIENTATION = 274  # EXIF's tag.
#: Assumed megapixels per megabyte if no header can be read: between JPEG and PNG.
_MEGAPIXELS_PER_MB = 1.0
#: Of a file: the most that one pixel takes (64-bit floats, RGB and alpha), and all besides pixels,
#: such as previews and the film that phones append.
_BYTES_PER_PIXEL, _LARGEST_METADATA = 32, 500_000_000

#: File suffixes of each format.
_SUFFIXES = {
    "png": (".png", ".apng"),
    "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi"),
    "tiff": (".tif", ".tiff"),
    "webp": (".webp",),
    "avif": (".avif",),
    "bmp": (".bmp", ".dib"),
    "pnm": (".ppm", ".pgm", ".pnm", ".pbm", ".pam", ".pfm"),
}
#: Suffixes by which photographs are found in folders.
PHOTO_SUFFIXES = tuple(suffix for suffixes in _SUFFIXES.values() for suffix in suffixes)
EXPECTED = "expected JPEG, PNG, TIFF, WebP, AVIF, BMP or PNM"
_MODULES = {
    "png": png,
    "jpeg": jpeg,
    "tiff": tiff,
    "avif": avif,
    "raw": raw_photo,
    **dict.fromkeys(("webp", "bmp", "pnm"), pillow_formats),
}
# The first bytes of formats that are read. The starts of PNM are followed by a blank.
_STARTS = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
    b"BM": "bmp",
}
_PNM_STARTS = (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"P7", b"PF", b"Pf")
# The names of others.
_REFUSED = {
    b"GIF8": "GIF",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"8BPS": "Photoshop",
    b"%PDF": "PDF",
    b"v/1\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"\x59\xa6\x6a\x95": "Sun raster",
}
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


def format_of(data: bytes) -> str:
    """Returns the format of an encoded photograph, detected from its first bytes.

    Raises:
        UserError: an unsupported format, or not an image.
    """
    if data.startswith(raw_photo.STARTS) and raw_photo.is_raw(data):
        return "raw"
    if data[4:8] == b"ftyp":
        # The major brand may be generic (mif1), so the compatible brands are checked as well.
        brands = data[8 : min(64, int.from_bytes(data[:4], "big"))]
        if b"avif" in brands or b"avis" in brands:
            return "avif"
        if data[8:12] in _HEIF_BRANDS:
            raise UserError(f"is HEIC; {EXPECTED}: convert it first")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    for start, name in _STARTS.items():
        if data.startswith(start):
            return name
    if data.startswith(_PNM_STARTS) and data[2:3] in (b" ", b"\t", b"\r", b"\n", b"#"):
        return "pnm"
    for start, name in _REFUSED.items():
        if data.startswith(start):
            raise UserError(f"is {name}; {EXPECTED}")
    raise UserError(f"is not an image: it begins with {data[:12]!r}; {EXPECTED}")


def decode_photo(data: bytes, name: str, max_megapixels: float = MAX_MEGAPIXELS) -> Photo:
    """Decodes a photograph.

    Args:
        data: the content of the file.
        name: name of the file for error messages.
        max_megapixels: larger pictures are refused before they are decoded.

    Raises:
        UserError: the photograph is damaged or not supported; the message is one line that
            begins with `name`.
    """
    if not data:
        raise UserError(f"{name} is empty (0 bytes); copy or download it again")
    try:
        format = format_of(data)
        with quiet_decoders():
            photo = _MODULES[format].read(data, format, max_megapixels)
        if photo.array.dtype.kind == "f":
            require_floats_in_range(photo.pixels)
            if photo.alpha is not None and not np.isfinite(photo.alpha).all():
                raise UserError("has an alpha channel with NaN or infinite values")
        return photo
    except UserError as error:
        raise UserError(f"{name} {error}") from error
    except MemoryError:
        raise
    except Exception as error:
        # Decoders raise many kinds of errors for damaged files: OSError, SyntaxError, ...
        raise UserError(
            f"{name} cannot be decoded: it is damaged, truncated or of a kind that is not read "
            f"({_reason(error)})"
        ) from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):  # Its message contains only a memory address.
        return "cannot be identified"
    text = " ".join(str(error).split())
    if not text or isinstance(error, KeyError):  # The text of a KeyError is a key alone.
        text = f"{type(error).__name__} {text}".strip()
    return text[:150]


def read_bytes(path: str | os.PathLike, max_megapixels: float = MAX_MEGAPIXELS) -> bytes:
    """Returns the content of an image file.

    Raises:
        UserError: it cannot be read, or is larger than a picture of `max_megapixels` can be.
    """
    most = _LARGEST_METADATA + max_megapixels * 1e6 * _BYTES_PER_PIXEL
    path = Path(path)
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder; expected an image file.")
        # A pipe would wait, and a device such as /dev/zero never ends.
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{path} is a pipe, a socket or a device; expected an image file.")
        if status.st_size > most:
            raise UserError(
                f"{path} has {status.st_size / 1e9:.1f} GB; expected at most {most / 1e9:.1f} GB "
                f"for {max_megapixels:g} megapixels (see --max-megapixels)."
            )
        data = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"image file {path} does not exist.") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}.") from error
    if not data:
        raise UserError(f"image file {path} is empty (0 bytes).\nCopy or download it again.")
    return data


def read_photo(path: str | os.PathLike, max_megapixels: float = MAX_MEGAPIXELS) -> Photo:
    """Reads a photograph from a file; see `decode_photo`."""
    return decode_photo(read_bytes(path, max_megapixels), str(path), max_megapixels)


def encode_photo(photo: Photo, quality: int | None = None) -> bytes:
    """Encodes a photograph in its original format, with its original metadata.

    What cannot be written again, because it is bound to the old pixels, is in `Photo.lost`.

    Args:
        photo: from `read_photo`, with pixels changed by `Photo.with_pixels`.
        quality: 1 to 100, for lossy formats; by default at least that of the input (JPEG: its
            quantization tables, but at least quality 90; other formats: 90).

    Raises:
        UserError: the format cannot store the picture, or the encoder fails.
    """
    try:
        with quiet_decoders():
            return _MODULES[photo.format].write(photo, quality)
    except (UserError, MemoryError):
        raise
    except Exception as error:
        # One failing picture must not stop a whole folder, whatever the encoder raises.
        reason = _reason(error)
        raise UserError(f"cannot be written as {photo.format.upper()} ({reason})") from error


def encode_result(
    photo: Photo, pixels: np.ndarray, quality: int | None = None
) -> tuple[bytes, Sequence[str]]:
    """Encodes a result: as the photograph's own file if no pixel changed and no quality is asked.

    Encoding a JPEG again would change pixels in which there was nothing to remove.

    Args:
        photo: from `read_photo`.
        pixels: the result, shaped like `photo.pixels` and of its dtype.
        quality: see `encode_photo`.

    Returns:
        The file, and what it lacks of the photograph's; see `Photo.lost`.

    Raises:
        UserError: see `encode_photo`.
    """
    if quality is None and np.array_equal(pixels, photo.pixels):
        return photo.encoded, ()
    return encode_photo(photo.with_pixels(pixels), quality), photo.lost


def write_photo(path: str | os.PathLike, photo: Photo, quality: int | None = None) -> None:
    """Writes a photograph atomically and creates missing folders; see `encode_photo`.

    Raises:
        UserError: the file cannot be written, or its suffix belongs to another format.
    """
    suffix = Path(path).suffix.lower()
    if suffix in PHOTO_SUFFIXES and suffix not in _SUFFIXES[photo.format]:
        raise UserError(
            f"cannot write {path}: the photograph was read as {photo.format.upper()} and is "
            f"written as such; expected one of {', '.join(_SUFFIXES[photo.format])}."
        )
    write_file(path, encode_photo(photo, quality))


def orientation_of(encoded: bytes) -> int:
    """Returns the orientation tag of a file's content, 1 to 8 as in EXIF; 1 if it has none."""
    try:
        with quiet_decoders(), Image.open(io.BytesIO(encoded)) as image:
            found = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # Formats without tags, and damaged ones.
        return 1
    return found if found in range(1, 9) else 1


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Returns a view of (H, W, ...) turned as the orientation tag says (1 to 8, as in EXIF)."""
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    return array[rows, columns]


def megapixels_of(path: str | os.PathLike) -> float | None:
    """Returns the megapixels according to a file's header, `None` if it cannot be read."""
    try:
        if not os.path.isfile(path):
            return None  # A pipe would wait for somebody who writes to it.
        with quiet_decoders(), Image.open(path) as image:
            return image.size[0] * image.size[1] / 1e6
    except Exception:
        return None  # The problem is reported when the file is read.


def estimate_megapixels(
    paths: Sequence[Path], sizes: Sequence[int], seconds: float = 1.0
) -> list[float]:
    """Estimates the megapixels of files, from their headers or from their sizes in bytes.

    Args:
        paths: the files.
        sizes: their sizes in bytes.
        seconds: time limit for reading headers, since a remote folder may hold many files; the
            remaining files are estimated from their sizes.
    """
    end = time.monotonic() + seconds
    found: list[float | None] = []
    for path in paths:
        if time.monotonic() > end:
            break
        found.append(megapixels_of(path))
    known = [(pixels, size) for pixels, size in zip(found, sizes, strict=False) if pixels and size]
    # Median, because headers can lie.
    rates = sorted(pixels / size for pixels, size in known)
    rate = rates[len(rates) // 2] if rates else _MEGAPIXELS_PER_MB / 1e6
    found += [None] * (len(paths) - len(found))
    return [
        size * rate if pixels is None else pixels for pixels, size in zip(found, sizes, strict=True)
    ]


def require_floats_in_range(pixels: np.ndarray) -> None:
    """Raises `UserError` for float pixels that are not finite, or far outside [0, 1]."""
    strange = int(pixels.size - np.count_nonzero(np.isfinite(pixels)))
    if strange:
        raise UserError(f"has {strange} values that are NaN or infinite; expected finite floats")
    low, high = float(pixels.min()), float(pixels.max())
    # Noise may exceed [0, 1] to some extent. Values beyond that mean another scale.
    if low < -1.0 or high > 2.0:
        raise UserError(
            f"has float values from {low:.4g} to {high:.4g}; expected [0, 1]: scale them first"
        )


@contextlib.contextmanager
def quiet_decoders() -> Iterator[None]:
    """Silences the decoders' warnings and disables Pillow's own limit on the number of pixels.

    Damaged files still raise; warnings about odd metadata do not help the user. The settings are
    global to the process: with several threads, the first one to enter changes them and the last
    one to leave restores them.
    """
    with _lock:
        _inside.append(None)
        if len(_inside) == 1:
            _changed.enter_context(_quiet())
    try:
        yield
    finally:
        with _lock:
            _inside.pop()
            if not _inside:
                _changed.close()


_lock = threading.Lock()
_inside: list[None] = []
_changed = contextlib.ExitStack()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logs = [logging.getLogger(name) for name in ("tifffile", "PIL")]
    levels, limit = [log.level for log in logs], Image.MAX_IMAGE_PIXELS
    opencv, opencv_level = cv2.utils.logging, cv2.utils.logging.getLogLevel()
    for log in logs:
        log.setLevel(logging.CRITICAL + 1)
    Image.MAX_IMAGE_PIXELS = None
    opencv.setLogLevel(opencv.LOG_LEVEL_SILENT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        opencv.setLogLevel(opencv_level)
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
        Image.MAX_IMAGE_PIXELS = limit
