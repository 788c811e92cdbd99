"""WebP, BMP and PNM, which Pillow reads and writes without losing metadata.

Pillow decodes PNM to 8 bits, so OpenCV handles 16-bit PNM.
"""

import io
import re

import cv2
import numpy as np
from PIL import Image

from gradnet_tf.images.photo import Photo, require_size
from gradnet_tf.utils.errors import UserError

#: Quality of lossy WebP, whose files do not record the quality they were written with.
QUALITY = 90

_PILLOW_NAMES = {"webp": "WEBP", "bmp": "BMP", "pnm": "PPM"}
_METADATA = ("icc_profile", "exif", "xmp", "dpi")
# No quantifier within another, which would try every way to share out blanks: 40 take for ever.
_PNM_HEADER = re.compile(
    rb"P[2356](?:\s|#[^\n]*\n)+(\d{1,10})(?:\s|#[^\n]*\n)+(\d{1,10})"
    rb"(?:\s|#[^\n]*\n)+(\d{1,10})\s"
)


def read(data: bytes, format: str, max_megapixels: float) -> Photo:
    """Reads WebP, BMP or PNM; palettes become RGB."""
    metadata = {"lossless": format in ("bmp", "pnm")}
    if format == "webp":
        metadata["lossless"] = b"VP8L" in _webp_chunks(data)
    elif format == "pnm" and _pnm_is_deep(data, max_megapixels):
        return _read_deep_pnm(data, format, metadata)
    with Image.open(io.BytesIO(data), formats=[_PILLOW_NAMES[format]]) as image:
        require_size(*image.size, max_megapixels)
        if getattr(image, "n_frames", 1) > 1:
            raise UserError(f"is animated ({image.n_frames} pictures); expected one picture")
        image.load()
        metadata["info"] = {key: image.info[key] for key in _METADATA if image.info.get(key)}
        known = {"1": "L", "P": "RGB", "L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA"}
        if image.mode not in known:
            raise UserError(f"is of mode {image.mode}; expected gray or RGB: convert it first")
        array = np.asarray(image.convert(known[image.mode]))
    return Photo(np.atleast_3d(array), format, data, metadata)


def write(photo: Photo, quality: int | None) -> bytes:
    """Writes the input's format; lossless WebP stays lossless, lossy WebP uses `quality`."""
    array = photo.array
    if photo.format == "pnm" and array.dtype == np.uint16:
        return _write_deep_pnm(array)
    options = dict(photo.metadata["info"])
    if photo.format == "webp":
        lossless = photo.metadata["lossless"]
        # `exact` keeps the colors of transparent pixels.
        options |= {"lossless": lossless, "exact": True}
        if not lossless:
            options["quality"] = quality or QUALITY
    target = io.BytesIO()
    flat = array[..., 0] if array.shape[2] == 1 else array
    Image.fromarray(np.ascontiguousarray(flat)).save(target, _PILLOW_NAMES[photo.format], **options)
    return target.getvalue()


def _webp_chunks(data: bytes) -> set[bytes]:
    """Returns the types of the chunks in a RIFF file."""
    found, position = set(), 12
    while position + 8 <= len(data):
        found.add(data[position : position + 4])
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        position += 8 + length + length % 2
    return found


def _pnm_is_deep(data: bytes, max_megapixels: float) -> bool:
    header = _PNM_HEADER.match(data[:4096])
    if not header:
        raise UserError("is damaged: a PNM begins with width, height and its largest value")
    width, height, largest = map(int, header.groups())
    require_size(width, height, max_megapixels)
    if largest not in (255, 65535):
        raise UserError(f"is a PNM with values up to {largest}; expected 255 or 65535")
    return largest == 65535


def _read_deep_pnm(data: bytes, format: str, metadata: dict) -> Photo:
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None or array.dtype != np.uint16:
        raise UserError("is damaged: its 16-bit pixels cannot be decoded")
    # OpenCV returns (H, W) for gray and BGR for color.
    return Photo(np.atleast_3d(array)[..., ::-1], format, data, metadata)


def _write_deep_pnm(array: np.ndarray) -> bytes:
    suffix = ".pgm" if array.shape[2] == 1 else ".ppm"
    return cv2.imencode(suffix, np.ascontiguousarray(array[..., ::-1]))[1].tobytes()
