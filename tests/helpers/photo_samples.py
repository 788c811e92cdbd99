"""Photograph files made by other libraries, or byte by byte, and what reads them back."""

import io
import struct
import zlib

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ORIENTATION, MAKE, EXIF, EXPOSURE, GPS = 274, 271, 34665, 33434, 34853
XMP = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>"


def noise(*shape, dtype=np.uint8, seed=0):
    """Random pixels of the whole range of a dtype; floats in [0, 1)."""
    random = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return random.random(shape).astype(dtype)
    return random.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def exif():
    """EXIF with a turned orientation, a maker, an exposure time and a place."""
    tags = Image.Exif()
    tags[ORIENTATION], tags[MAKE] = 6, "Maker"
    tags.get_ifd(EXIF)[EXPOSURE] = 0.25
    tags.get_ifd(GPS)[1] = "N"
    return tags.tobytes()


def exif_facts(image):
    """The values of `exif` as Pillow finds them in an opened file."""
    tags = image.getexif()
    return (
        tags.get(ORIENTATION),
        tags.get(MAKE),
        float(tags.get_ifd(EXIF).get(EXPOSURE, 0)),
        tags.get_ifd(GPS).get(1),
    )


EXIF_FACTS = (6, "Maker", 0.25, "N")


def png_text():
    """Text chunks: plain, compressed and international."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "A cat")
    text.add_text("Comment", "long " * 99, zip=True)
    text.add_itxt("Author", "Åse", "nb", "Forfatter")
    return text


def chunk(kind, content):
    check = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + check


def raw_png(array, colour_type, depth, *chunks):
    """A PNG put together byte by byte, every row with filter 0."""
    height, width = array.shape[:2]
    values = array.astype(">u2" if depth == 16 else "u1").reshape(height, -1)
    rows = values.view(np.uint8).reshape(height, -1)
    rows = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1)
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *chunks, chunk(b"IDAT", zlib.compress(rows.tobytes()))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b"")


def by_pillow(array, format, **options):
    target = io.BytesIO()
    Image.fromarray(array).save(target, format, **options)
    return target.getvalue()


def by_tifffile(array, **options):
    target = io.BytesIO()
    colour = array.ndim == 3 and array.shape[2] > 2
    options = {"photometric": "rgb" if colour else "minisblack", "metadata": None, **options}
    if array.ndim == 3:
        options = {"planarconfig": "contig", **options}
    tifffile.imwrite(target, array, **options)
    return target.getvalue()


def by_opencv(array, suffix, options=()):
    """Encodes RGB order, as the rest of the tests have it."""
    order = array if array.ndim == 2 else array[..., [2, 1, 0, 3][: array.shape[2]]]
    return cv2.imencode(suffix, np.ascontiguousarray(order), list(options))[1].tobytes()


def read_opencv(data):
    """Decodes to RGB order."""
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return array if array.ndim == 2 else array[..., [2, 1, 0, 3][: array.shape[2]]]


def read_pillow(data):
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image)


def read_tifffile(data):
    return tifffile.imread(io.BytesIO(data))
