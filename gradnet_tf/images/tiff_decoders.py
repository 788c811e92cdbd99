"""Decodes the pixels of a TIFF with tifffile, and with Pillow for some 8-bit files.

tifffile has all depths. It decompresses as much as a strip or a tile has in it, though, whatever
the picture's size: 8 MB may become 8 GB. So these are decompressed here, zlib's by Python and
others by OpenCV as rows of bytes, up to their size in the picture; tifffile reads what they hold.
Rare compressions are left to imagecodecs, the extra `tiff`, which is given that size, too.
"""

import importlib.util
import io
import re
import zlib
from collections.abc import Mapping

import cv2
import numpy as np
import tifffile
from PIL import TiffImagePlugin

from gradnet_tf.images import tiff_tags
from gradnet_tf.images.jpeg import decoder_lines, jpeg_warning, require_few_scans
from gradnet_tf.images.tiff_tags import Entry, Layout
from gradnet_tf.utils.errors import UserError, install_command

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_SAMPLES, _ROWS, _PLANAR, _PREDICTOR, _EXTRA, _FORMAT = 277, 278, 284, 317, 338, 339
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_COLORS, _JPEG_TABLES = 320, 347
_STRIPS, _TILES = (273, 279), (324, 325)  # Places and sizes.
_TIFFFILE_DECODES = (1, 8, 32946, 32773)  # Without imagecodecs.
# The same and LZW. OpenCV returns black pictures for compressions that it does not know.
_OPENCV_DECODES = (*_TIFFFILE_DECODES, 5)
_DEFLATE, _JPEG = (8, 32946), (6, 7)
_NONE, _HORIZONTAL, _OF_FLOATS, _SEPARATE = 1, 2, 3, 2
_RGB, _COLOR_MAP, _YCBCR = 2, 3, 6
#: libtiff's complaints, which go to standard error. Pillow raises for those about pixels.
_LIBTIFF = re.compile(
    rb"(?:tempfile\.tif|_?(?:TIFF|JPEG|OJPEG|LZW|Fax|ZIP|Packbits|Pixar|SGILog|LogLuv|Dump)\w*): "
)
_UNDECODED = "is damaged, or a kind of TIFF that cannot be decoded here: save it uncompressed"
_CONTRADICTION = "is damaged: the tags of the TIFF contradict each other"
# Tags that describe the pixels and remain valid after decompression.
_KEPT = {_WIDTH, _HEIGHT, _BITS, _PHOTOMETRIC, _SAMPLES, _ROWS, _PLANAR, _FORMAT,
         _TILE_WIDTH, _TILE_HEIGHT, _EXTRA}  # fmt: skip


def decode(
    data: bytes, layout: Layout, entries: Mapping[int, Entry], num_values: int
) -> tuple[np.ndarray, bool]:
    """Decodes the first picture of a TIFF.

    Args:
        data: the file; its orientation tag, if any, must be 1.
        layout: layout of the file.
        entries: its tags, checked by `tiff.read`.
        num_values: height times width times channels.

    Returns:
        (H, W) or (H, W, C) in the machine's byte order, and whether Pillow decoded it.

    Raises:
        UserError: the file is damaged, or its compression is not supported.
    """

    def number(tag, default):
        return layout.integers(entries[tag])[0] if tag in entries else default

    bits, compression = number(_BITS, 1), number(_COMPRESSION, _NONE)
    photometric, predictor = number(_PHOTOMETRIC, 1), number(_PREDICTOR, _NONE)
    plain = photometric not in (_COLOR_MAP, _YCBCR) and bits >= 8
    simple = compression in _TIFFFILE_DECODES and predictor in (_NONE, _HORIZONTAL)
    _require_whole_jpegs(data, layout, entries, compression)
    # Pillow drops a fourth channel that is not alpha, and empties a second one in its own plane.
    samples = number(_SAMPLES, 1)
    extra = samples == 2 or (photometric == _RGB and samples == 4 and number(_EXTRA, 0) == 0)
    simple = simple or (
        extra and compression in _OPENCV_DECODES and predictor in (_NONE, _HORIZONTAL)
    )
    if bits <= 8 and not (plain and simple):
        if samples == 2 and number(_PLANAR, 1) == _SEPARATE:
            raise UserError(_UNDECODED)
        return _by_pillow(data, layout, entries, photometric), True
    known = compression in _OPENCV_DECODES or not importlib.util.find_spec("imagecodecs")
    if known and (compression, predictor) != (_NONE, _NONE):
        data = _uncompressed(data, layout, entries)
    return _by_tifffile(data, num_values), False


def _by_tifffile(data: bytes, num_values: int) -> np.ndarray:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        if page.size != num_values:
            raise UserError(_CONTRADICTION)
        array = page.asarray()
        separate = page.planarconfig == _SEPARATE and page.samplesperpixel > 1
    array = array.astype(array.dtype.newbyteorder("="))
    return np.moveaxis(array, 0, -1) if separate else array


def _by_pillow(
    data: bytes, layout: Layout, entries: Mapping[int, Entry], photometric: int
) -> np.ndarray:
    try:
        # `Image.open` would have a limit of its own on the number of pixels.
        image = TiffImagePlugin.TiffImageFile(io.BytesIO(data))
    except SyntaxError as error:  # How it says that a file is none of its own.
        raise UserError(_UNDECODED) from error
    with image:
        with decoder_lines(_LIBTIFF):
            image.load()
        if image.mode == "P" and _COLORS in entries:
            return _mapped(np.asarray(image), layout.integers(entries[_COLORS]))
        if photometric in (_COLOR_MAP, _YCBCR):
            return np.asarray(image.convert("RGB"))
        return np.asarray(image.convert("L") if image.mode == "1" else image)


def _mapped(indices: np.ndarray, color_map: tuple[int, ...]) -> np.ndarray:
    """Returns the colors (H, W, 3) of a palette: first all red values, then green, then blue.

    They have 16 bits. Some programs wrote 8 bits, so libtiff takes maps without a value above 255
    for such; Pillow would return a black picture.
    """
    values = np.array(color_map)
    if values.size % 3 or values.size < 3:
        raise UserError("is damaged: the palette of the TIFF is incomplete")
    colors = (values if values.max() < 256 else values >> 8).astype(np.uint8).reshape(3, -1).T
    if int(indices.max()) >= len(colors):
        raise UserError("is damaged: the palette of the TIFF is too short")
    return colors[indices]


def _uncompressed(data: bytes, layout: Layout, entries: Mapping[int, Entry]) -> bytes:
    """Returns the same picture as a TIFF whose strips or tiles are not compressed."""

    def number(tag, default):
        return layout.integers(entries[tag])[0] if tag in entries else default

    width, height, samples = number(_WIDTH, 0), number(_HEIGHT, 0), number(_SAMPLES, 1)
    planes = samples if number(_PLANAR, 1) == _SEPARATE else 1
    tiled = _TILE_WIDTH in entries
    across = number(_TILE_WIDTH, 0) if tiled else width
    down = number(_TILE_HEIGHT, 0) if tiled else min(number(_ROWS, height), height)
    tags = next((tags for tags in (_TILES, _STRIPS) if all(tag in entries for tag in tags)), None)
    if tags is None or across < 1 or down < 1:
        raise UserError("is damaged: the TIFF has no valid offsets of its pixels")
    places, sizes = (layout.integers(entries[tag]) for tag in tags)
    each = -(-height // down) * -(-width // across)
    # A tiny file could claim any number of tiles.
    if not len(places) == len(sizes) == each * planes:
        raise UserError(_CONTRADICTION)
    # All strips may share one offset, and decompressing empty data can take forever.
    if sum(sizes) > 2 * len(data):
        raise UserError(_CONTRADICTION)
    depth, channels = number(_BITS, 1) // 8, samples // planes
    compression, order = number(_COMPRESSION, _NONE), number(_FILL_ORDER, 1)
    predictor = number(_PREDICTOR, _NONE)
    if compression not in _OPENCV_DECODES:
        raise UserError(
            f"is a TIFF in compression {compression}, which needs imagecodecs: "
            f"{install_command('imagecodecs')}, or save it uncompressed"
        )
    segments = []
    for index, (place, size) in enumerate(zip(places, sizes, strict=True)):
        rows = down if tiled else min(down, height - index % each * down)
        shape = rows, across * channels * depth
        part = data[place : place + size]
        if not size:  # A part that was never written, as geographers' programs leave them out.
            part = bytes(shape[0] * shape[1])
        elif compression in _DEFLATE and order == 1:
            part = _inflated(part, shape)
        elif compression != _NONE:
            part = _decompress(part, shape, compression, order)
        if predictor != _NONE:
            undo = _sum_floats if predictor == _OF_FLOATS else _sum_integers
            part = undo(part, shape, channels, f"{layout.order}u{depth}")
        segments.append(part)
    own = {tag: entry for tag, entry in entries.items() if tag in _KEPT}
    own[_COMPRESSION] = layout.entry("H", _NONE)
    return tiff_tags.build_file(layout, own, {}, segments)


def _inflated(part: bytes, shape: tuple[int, int]) -> bytes:
    """Decompresses a strip or tile of (rows, bytes of a row); what is behind these is left."""
    size = shape[0] * shape[1]
    try:
        found = zlib.decompressobj().decompress(part, size)
    except zlib.error as error:
        raise UserError(_UNDECODED) from error
    if len(found) < size:
        raise UserError(_UNDECODED)
    return found


def _require_whole_jpegs(
    data: bytes, layout: Layout, entries: Mapping[int, Entry], compression: int
) -> None:
    """Raises for strips or tiles in JPEG that are damaged, or that take minutes to decode."""
    tables = entries[_JPEG_TABLES].value if _JPEG_TABLES in entries else b"\xff\xd8\xff\xd9"
    for places, sizes in (_STRIPS, _TILES):
        if compression in _JPEG and places in entries and sizes in entries:
            pairs = map(layout.integers, (entries[places], entries[sizes]))
            for place, size in zip(*pairs, strict=False):
                part = data[place : place + size]
                require_few_scans(part, 2)
                warning = jpeg_warning(tables[:-2] + part[2:]) if compression == 7 else ""
                if warning:
                    raise UserError(f"is damaged: part of its picture is destroyed ({warning})")


def _decompress(part: bytes, shape: tuple[int, int], compression: int, order: int) -> bytes:
    """Decompresses a strip or tile as an 8-bit gray picture of (rows, bytes of a row)."""
    rows, width = shape
    # Any shape with that many bytes works, and OpenCV is limited to 2**20 columns.
    split = next(n for n in range(1, width + 1) if width % n == 0 and width // n <= 2**20)
    rows, width = rows * split, width // split
    layout = Layout("<", False)
    numbers = {
        _WIDTH: width,
        _HEIGHT: rows,
        _BITS: 8,
        _COMPRESSION: compression,
        _PHOTOMETRIC: 1,
        _FILL_ORDER: order,
        _SAMPLES: 1,
        _ROWS: rows,
    }
    entries = {tag: layout.entry("I", value) for tag, value in numbers.items()}
    file = tiff_tags.build_file(layout, entries, {}, [part])
    pixels = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.shape != (rows, width):
        raise UserError(_UNDECODED)
    return pixels.tobytes()


def _sum_integers(part: bytes, shape: tuple[int, int], channels: int, kind: str) -> bytes:
    """Undoes horizontal differencing within each channel."""
    values = np.frombuffer(part, kind).reshape(shape[0], -1, channels)
    return np.cumsum(values, axis=1, dtype=values.dtype.newbyteorder("=")).astype(kind).tobytes()


def _sum_floats(part: bytes, shape: tuple[int, int], channels: int, kind: str) -> bytes:
    """Undoes the floating-point predictor: differences of bytes that are sorted by significance."""
    rows = np.frombuffer(part, np.uint8).reshape(shape[0], -1, channels)
    rows = np.cumsum(rows, axis=1, dtype=np.uint8).reshape(shape[0], np.dtype(kind).itemsize, -1)
    values = rows.transpose(0, 2, 1)  # The most significant byte first.
    return (values if kind[0] == ">" else values[..., ::-1]).tobytes()
