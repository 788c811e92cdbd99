"""Reads and writes photographs: the format is told by the content, never by the suffix."""

import os
from pathlib import Path

from PIL import UnidentifiedImageError

from gradnet_tf.images import MAX_MEGAPIXELS, avif, jpeg, pillow_formats, png, tiff
from gradnet_tf.images.image_files import IMAGE_SUFFIXES, read_bytes
from gradnet_tf.images.photo import (
    Photo,
    quiet_decoders,
    require_floats_in_range,
)
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import atomic_write

#: By which names photographs are found in folders; what they are, their content tells.
PHOTO_SUFFIXES = (*IMAGE_SUFFIXES, ".avif")

#: What files of each format are called.
_SUFFIXES = {
    "png": (".png",),
    "jpeg": (".jpg", ".jpeg"),
    "tiff": (".tif", ".tiff"),
    "webp": (".webp",),
    "avif": (".avif",),
    "bmp": (".bmp",),
    "pnm": (".ppm", ".pgm"),
}
_EXPECTED = "expected JPEG, PNG, TIFF, WebP, AVIF, BMP or PNM"
_MODULES = {
    "png": png,
    "jpeg": jpeg,
    "tiff": tiff,
    "avif": avif,
    **dict.fromkeys(("webp", "bmp", "pnm"), pillow_formats),
}
_STARTS = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
    b"BM": "bmp",
    **dict.fromkeys((b"P2", b"P3", b"P5", b"P6"), "pnm"),
}
_REFUSED = {
    b"GIF8": "GIF",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\xff\x0a": "JPEG XL",
    b"8BPS": "Photoshop",
    b"%PDF": "PDF",
}
_HEIF_BRANDS = (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")


def format_of(data: bytes) -> str:
    """Returns the format of an encoded photograph, from its first bytes.

    Raises:
        UserError: another format, or no image at all.
    """
    if data[4:8] == b"ftyp":
        # The major brand may be the general one (mif1); the compatible brands then tell.
        brands = data[8 : min(64, int.from_bytes(data[:4], "big"))]
        if b"avif" in brands or b"avis" in brands:
            return "avif"
        if data[8:12] in _HEIF_BRANDS:
            raise UserError(f"is HEIC; {_EXPECTED}: convert it first")
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    for start, name in _STARTS.items():
        if data.startswith(start):
            return name
    for start, name in _REFUSED.items():
        if data.startswith(start):
            raise UserError(f"is {name}; {_EXPECTED}")
    raise UserError(f"is not an image: it begins with {data[:12]!r}; {_EXPECTED}")


def decode_photo(data: bytes, name: str, max_megapixels: float = MAX_MEGAPIXELS) -> Photo:
    """Decodes a photograph.

    Args:
        data: the file.
        name: names it in messages.
        max_megapixels: more are refused, before anything is decoded.

    Raises:
        UserError: no photograph that can be denoised and written again; the message
            is one line that begins with `name`.
    """
    if not data:
        raise UserError(f"{name} is empty (0 bytes); copy or download it again")
    try:
        format = format_of(data)
        with quiet_decoders():
            photo = _MODULES[format].read(data, format, max_megapixels)
        require_floats_in_range(photo.pixels)
        return photo
    except UserError as error:
        raise UserError(f"{name} {error}") from error
    except MemoryError:
        raise
    except Exception as error:
        # Damage makes decoders raise nearly anything: OSError, SyntaxError, struct.error...
        raise UserError(f"{name} is damaged or truncated ({_reason(error)})") from error


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):  # Its text is an address in memory.
        return "cannot be identified"
    return (" ".join(str(error).split()) or type(error).__name__)[:150]


def read_photo(path: str | os.PathLike, max_megapixels: float = MAX_MEGAPIXELS) -> Photo:
    """Reads a photograph from a file; see `decode_photo`."""
    return decode_photo(read_bytes(path), str(path), max_megapixels)


def encode_photo(photo: Photo, quality: int | None = None) -> bytes:
    """Encodes a photograph as the format it came in, with the metadata it came with.

    Args:
        photo: from `read_photo`, with pixels changed by `Photo.with_pixels`.
        quality: 1 to 100, of formats that lose; by default at least that of the input
            (JPEG: its tables, and none coarser than quality 90; others: 90).

    Raises:
        UserError: the format cannot hold the picture, or its encoder fails.
    """
    try:
        with quiet_decoders():
            return _MODULES[photo.format].write(photo, quality)
    except (UserError, MemoryError):
        raise
    except Exception as error:
        # One picture must not end the work on a folder of them, whatever an encoder raises.
        reason = _reason(error)
        raise UserError(f"cannot be written as {photo.format.upper()} ({reason})") from error


def write_photo(path: str | os.PathLike, photo: Photo, quality: int | None = None) -> None:
    """Writes a photograph, whole or not at all; folders are made; see `encode_photo`.

    Raises:
        UserError: the file cannot be written, or its suffix is that of another format.
    """
    suffix = Path(path).suffix.lower()
    if suffix in PHOTO_SUFFIXES and suffix not in _SUFFIXES[photo.format]:
        raise UserError(
            f"cannot write {path}: the photograph was read as {photo.format.upper()} and is "
            f"written as such; expected one of {', '.join(_SUFFIXES[photo.format])}."
        )
    write_encoded(path, encode_photo(photo, quality))


def write_encoded(path: str | os.PathLike, data: bytes) -> None:
    """Writes a file, whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    try:
        atomic_write(Path(path), data)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror or error}.") from error
