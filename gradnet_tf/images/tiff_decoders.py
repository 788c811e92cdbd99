"""Decodes the pixels of a TIFF; three libraries, because none does everything.

tifffile has all depths, but LZW and others only with a further package;
Pillow all compressions at 8 bits; OpenCV LZW and others at 16 bits and for
floats. What OpenCV takes for something else is described to it anew, as grey
pictures whose encoded pixels are those of the file.
"""

import io
from collections.abc import Mapping

import cv2
import numpy as np
import tifffile
from PIL import Image, UnidentifiedImageError

from gradnet_tf.images import tiff_tags
from gradnet_tf.images.tiff_tags import Entry, Layout
from gradnet_tf.utils.errors import UserError

_WIDTH, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 258, 259, 262
_SAMPLES, _PLANAR, _PREDICTOR, _TILE_WIDTH, _FORMAT = 277, 284, 317, 322, 339
_STRIPS, _TILES = (273, 279), (324, 325)  # Places and sizes.
_TIFFFILE_DECODES = (1, 8, 32946, 32773)  # Without a further package.
_NONE, _HORIZONTAL, _SEPARATE, _UINT, _FLOAT = 1, 2, 2, 1, 3
_COLOUR_MAP, _YCBCR = 3, 6
_UNDECODED = "is damaged, or a kind of TIFF that cannot be decoded here: save it uncompressed"
# What a decoder has to know of a grey picture: size, depth, compression, places; fill order.
_OF_GREY = {256, 257, 258, 259, 262, 266, 277, 278, 284, 317, 322, 323, 339, *_STRIPS, *_TILES}


def decode(
    data: bytes, layout: Layout, entries: Mapping[int, Entry], num_values: int
) -> tuple[np.ndarray, bool]:
    """Decodes the first picture of a TIFF.

    Args:
        data: the file, with an orientation, if any, of 1.
        layout: of the file.
        entries: its tags, as far as they are checked by `tiff.read`.
        num_values: height times width times channels.

    Returns:
        (H, W) or (H, W, C) in the machine's byte order, and whether Pillow decoded it.

    Raises:
        UserError: damage, or a compression that no library here knows.
    """

    def number(tag, default):
        return layout.integers(entries[tag])[0] if tag in entries else default

    bits, samples = number(_BITS, 1), number(_SAMPLES, 1)
    photometric, predictor = number(_PHOTOMETRIC, 1), number(_PREDICTOR, _NONE)
    plain = photometric not in (_COLOUR_MAP, _YCBCR) and bits >= 8
    if plain and number(_COMPRESSION, 1) in _TIFFFILE_DECODES and predictor in (1, _HORIZONTAL):
        return _by_tifffile(data, num_values), False
    if bits <= 8:
        return _by_pillow(data, photometric), True
    if number(_PLANAR, 1) == _SEPARATE and samples > 1:
        planes = (_plane(layout, entries, plane, samples) for plane in range(samples))
        return np.stack([_grey(data, layout, tags) for tags in planes], axis=-1), False
    if samples == 2 or (bits == 16 and number(_FORMAT, _UINT) == _FLOAT):
        return _grey(data, layout, entries), False
    return _by_opencv(data), False


def _by_tifffile(data: bytes, num_values: int) -> np.ndarray:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        if page.size != num_values:
            raise UserError("is damaged: the tags of the TIFF contradict each other")
        array = page.asarray()
        separate = page.planarconfig == _SEPARATE and page.samplesperpixel > 1
    array = array.astype(array.dtype.newbyteorder("="))
    return np.moveaxis(array, 0, -1) if separate else array


def _by_pillow(data: bytes, photometric: int) -> np.ndarray:
    try:
        image = Image.open(io.BytesIO(data), formats=["TIFF"])
    except UnidentifiedImageError as error:
        raise UserError(_UNDECODED) from error
    with image:
        image.load()
        if photometric in (_COLOUR_MAP, _YCBCR):
            return np.asarray(image.convert("RGB"))
        return np.asarray(image.convert("L") if image.mode == "1" else image)


def _by_opencv(data: bytes) -> np.ndarray:
    array = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if array is None:
        raise UserError(_UNDECODED)
    return array if array.ndim == 2 else array[..., [2, 1, 0, 3][: array.shape[2]]]


def _plane(
    layout: Layout, entries: Mapping[int, Entry], plane: int, samples: int
) -> dict[int, Entry]:
    """Returns the tags of one channel of a picture that stores channel after channel."""
    own = {tag: entry for tag, entry in entries.items() if tag in _OF_GREY}
    own |= dict.fromkeys((_PHOTOMETRIC, _SAMPLES, _PLANAR), layout.entry("H", 1))
    for tag in (_BITS, _FORMAT):  # Told of each channel.
        if tag in entries:
            own[tag] = layout.entry("H", layout.integers(entries[tag])[0])
    places = [tags for tags in (_STRIPS, _TILES) if all(tag in entries for tag in tags)]
    if not places:
        raise UserError("is damaged: the TIFF does not tell where its pixels are")
    for tag in places[0]:
        numbers = layout.integers(entries[tag])
        each = len(numbers) // samples
        own[tag] = layout.entry(layout.word, *numbers[plane * each : (plane + 1) * each])
    return own


def _grey(data: bytes, layout: Layout, entries: Mapping[int, Entry]) -> np.ndarray:
    """Decodes through OpenCV what it does not know: two channels, and half floats.

    It sees grey, with the channels side by side; half floats are integers to it. Differences
    between neighbours are added up here, since they are between pixels of one channel.
    """

    def number(tag, default):
        return layout.integers(entries[tag])[0] if tag in entries else default

    samples, predictor = number(_SAMPLES, 1), number(_PREDICTOR, _NONE)
    half = number(_BITS, 1) == 16 and number(_FORMAT, _UINT) == _FLOAT
    own = {tag: entry for tag, entry in entries.items() if tag in _OF_GREY}
    if samples == 1 and not half:
        return _by_opencv(tiff_tags.with_directory(data, layout, own))
    if predictor not in (_NONE, _HORIZONTAL):
        raise UserError("has differences of floats that cannot be decoded here: save it without")
    own.pop(_PREDICTOR, None)
    own |= dict.fromkeys((_PHOTOMETRIC, _SAMPLES, _PLANAR), layout.entry("H", 1))
    own[_BITS] = layout.entry("H", number(_BITS, 1))
    own[_FORMAT] = layout.entry("H", _UINT if half else number(_FORMAT, _UINT))
    for tag in (_WIDTH, _TILE_WIDTH):
        if tag in entries:
            own[tag] = layout.entry("I", number(tag, 1) * samples)
    array = _by_opencv(tiff_tags.with_directory(data, layout, own))
    if array.ndim != 2 or array.shape[1] % samples:
        raise UserError("is damaged: the tags of the TIFF contradict each other")
    array = array.reshape(len(array), -1, samples)
    if predictor == _HORIZONTAL:
        across = number(_TILE_WIDTH, 0) or array.shape[1]
        for left in range(0, array.shape[1], across):
            part = array[:, left : left + across]
            part[...] = np.cumsum(part, axis=1, dtype=part.dtype)
    return array.view(np.float16) if half else array
