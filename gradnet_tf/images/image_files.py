"""Reads and writes 8-bit image files, and converts pixels between uint8 and float32.

Training and evaluation read all images through `read_image`, because decoders differ:
TensorFlow's default JPEG decoder is off by up to ten gray levels, so scores and content hashes
would not match. OpenCV uses libjpeg-turbo's accurate integer DCT, as Pillow does, and both give
the same pixels.
"""

import contextlib
import os
from pathlib import Path

import cv2
import numpy as np

from gradnet_tf.images import MAX_MEGAPIXELS, jpeg, pillow_formats, png, tiff
from gradnet_tf.images.photo_files import EXPECTED, format_of, quiet_decoders, read_bytes
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import atomic_write

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp"),
    *(".ppm", ".pgm", ".pnm"),
)
_JPEG_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif")
JPEG_QUALITY = 95

_SUFFIX_LIST = ", ".join(IMAGE_SUFFIXES).replace(".", "")
_EXPECTED = (
    f"Expected an image file ({_SUFFIX_LIST}), whole and of at most {MAX_MEGAPIXELS:g} megapixels."
)
#: What OpenCV would not refuse. Formats that are not listed here it may read in silence if damaged.
#: That of JPEG returns whether libjpeg will print a warning.
_CHECKS = {
    "png": png.check,
    "jpeg": jpeg.check,
    "tiff": tiff.check,
    **dict.fromkeys(("webp", "bmp", "pnm"), pillow_formats.check),
}


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
    with quiet_decoders():
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


def _decode(path: str | os.PathLike, data: bytes) -> np.ndarray:
    reason = ""
    with quiet_decoders():
        try:
            format = format_of(data)
            if format not in _CHECKS:
                raise UserError(f"is {format.upper()}")
            warns = _CHECKS[format](data)
            if format == "png":
                data = png.without_metadata(data)
            # UNCHANGED keeps depth and alpha visible and includes IMREAD_IGNORE_ORIENTATION.
            with jpeg.quiet_decoder() if warns else contextlib.nullcontext():
                pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        except UserError as error:
            reason = str(error).partition(f"; {EXPECTED}")[0]  # Photographs may be of more formats.
            raise UserError(f"image file {path} {reason}.\n{_EXPECTED}") from error
        except MemoryError:
            raise
        except Exception as error:
            # Decoders raise many kinds of errors for damaged files, and so do headers cut short.
            pixels, reason = None, f" ({getattr(error, 'err', None) or error})"
    if pixels is None:
        raise UserError(f"image file {path} is damaged{reason}.\n{_EXPECTED}")
    return pixels
