"""TIFF: 8 and 16 bits and floats; every tag that does not describe the pixels is carried over."""

import dataclasses
import zlib
from collections.abc import Mapping

import numpy as np

from gradnet_tf.images import tiff_tags
from gradnet_tf.images.photo import CREDENTIALS, Photo, require_size, without_provenance
from gradnet_tf.images.tiff_decoders import decode
from gradnet_tf.images.tiff_tags import Entry, Layout
from gradnet_tf.utils.errors import UserError

_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_ORIENTATION, _SAMPLES, _ROWS, _PLANAR, _PREDICTOR = 274, 277, 278, 284, 317
_EXTRA, _FORMAT = 338, 339
# What an extra channel is: nobody says, or alpha that the colors are multiplied by, or not.
_UNSPECIFIED, _ASSOCIATED, _UNASSOCIATED = 0, 1, 2
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_DEPTHS = (32997, 32998)  # Of the picture and of its tiles, in layers.
# Tags that describe how pixels are stored, which are rewritten or no longer apply: strips,
# tiles, fill order, palette, JPEG tables, YCbCr, ranges of values, further pictures.
_OF_THE_PIXELS = {_BITS, _COMPRESSION, _PHOTOMETRIC, _SAMPLES, _ROWS, _PLANAR, _PREDICTOR, _EXTRA,
                  _FORMAT, 255, 263, 264, 265, 266, 273, 279, 280, 281, 288, 289, 290, 291, 292,
                  293, 320, 322, 323, 324, 325, 326, 327, 328, 330, 336, 340, 341, 347,
                  *range(512, 522), 529, 530, 531, 532}  # fmt: skip
_SUBDIRECTORIES, _GLOBAL_DIRECTORY, _XMP, _RESOURCES = 330, 400, 700, 34377
# Tags with other pictures than the one that is denoised. Photoshop shows its layers and never the
# picture beside them.
_LAYERS, _MANIFEST = 37724, 52545
_PICTURES = {_LAYERS: "Photoshop's layers", 50784: "Alias' layers", _MANIFEST: CREDENTIALS}
# Blocks of Photoshop's resources (34377) that describe the layers: which one is active, groups.
_OF_THE_LAYERS = (1024, 1026, 1069, 1072)
_DIRECTORY_TYPES = (13, 18)  # Offsets of directories, which move.
_WHITE_IS_0, _BLACK_IS_0, _RGB, _COLOR_MAP, _YCBCR = 0, 1, 2, 3, 6
_PHOTOMETRICS = {5: "CMYK", 8: "Lab", 9: "Lab", 32803: "camera raw", 34892: "camera raw"}
_NONE, _DEFLATE = 1, 8
# None, three kinds of fax, LZW, two of JPEG, two of Deflate, PackBits.
_OPENCV_READS = (1, 2, 3, 4, 5, 6, 7, 8, 32946, 32773)
_UINT, _FLOAT = 1, 3
_STRIP_BYTES = 1 << 20
_MOST_DIRECTORIES = 100


def read(data: bytes, format: str, max_megapixels: float) -> Photo:
    """Reads a TIFF of one picture; reduced versions that follow it are ignored."""
    layout, entries, following = _directory(data, max_megapixels)

    def number(tag, default):
        return layout.integers(entries[tag])[0] if tag in entries else default

    width, height = number(_WIDTH, 0), number(_HEIGHT, 0)
    photometric, samples = number(_PHOTOMETRIC, _BLACK_IS_0), number(_SAMPLES, 1)
    if photometric not in (_WHITE_IS_0, _BLACK_IS_0, _RGB, _COLOR_MAP, _YCBCR):
        name = _PHOTOMETRICS.get(photometric, f"of color space {photometric}")
        raise UserError(f"is a TIFF {name}; expected gray or RGB: convert it first")
    previews = _require_one_page(data, layout, entries, following)
    if any(number(tag, 1) != 1 for tag in _DEPTHS):
        raise UserError("is a TIFF of a volume; expected one picture")
    extra = samples - (3 if photometric in (_RGB, _YCBCR) else 1)
    if extra not in (0, 1):
        raise UserError(f"is a TIFF of {samples} channels; expected gray or RGB, with alpha or not")
    bits, kind = number(_BITS, 1), number(_FORMAT, _UINT)
    if bits not in {_UINT: (1, 2, 4, 8, 16), _FLOAT: (16, 32, 64)}.get(kind, ()):
        name = {1: "unsigned", 2: "signed", 3: "floating point"}.get(kind, "complex")
        raise UserError(f"is a TIFF of {bits}-bit {name} values; expected 8, 16 or float")
    if _ORIENTATION in entries:  # Two of the decoders would apply it.
        place, upright = entries[_ORIENTATION].place, layout.entry("H", 1).value
        decoded = data[:place] + upright + data[place + 2 :]
    else:
        decoded = data
    compression = number(_COMPRESSION, _NONE)
    array, by_pillow = decode(decoded, layout, entries, height * width * samples)
    channels = (3 if photometric in (_RGB, _YCBCR, _COLOR_MAP) else 1) + extra
    shape = (height, width, channels)
    if (*array.shape, 1)[:3] != shape or (bits > 8 and array.itemsize * 8 != bits):
        raise UserError(
            f"is a TIFF of {samples} channels of {bits} bits in compression {compression}, which "
            "cannot be decoded here: save it uncompressed first"
        )
    array = array.reshape(shape)
    kept, lost = _side_data(layout, entries, previews)
    inverted = photometric == _WHITE_IS_0
    if inverted and not by_pillow:  # Pillow inverts the values itself.
        array = _inverted(array)
    extra_kind = number(_EXTRA, _UNSPECIFIED)
    if by_pillow and extra_kind == _ASSOCIATED and samples == 4:
        extra_kind = _UNASSOCIATED  # Pillow has divided the colors of RGBA, not those of gray.
    metadata = {
        "layout": layout,
        "entries": kept,
        "children": tiff_tags.read_children(data, layout, entries),
        "extra": extra_kind,
        "inverted": inverted,
        "compressed": compression != _NONE,
    }
    is_opaque = extra == 1 and extra_kind == _UNSPECIFIED
    return Photo(array, format, data, metadata, lost=lost, is_opaque=is_opaque)


def check(data: bytes) -> None:
    """Raises `UserError` for a TIFF that `image_files.read_image` must not decode with OpenCV.

    OpenCV returns something for damaged strips and for compressions that it does not know.
    """
    layout, entries, _ = _directory(data)
    width, height, samples, compression = (
        layout.integers(entries[tag])[0] if tag in entries else 1
        for tag in (_WIDTH, _HEIGHT, _SAMPLES, _COMPRESSION)
    )
    if compression not in _OPENCV_READS:
        raise UserError(
            f"is a TIFF in compression {compression}; expected none, LZW, Deflate, PackBits or JPEG"
        )
    if compression != _NONE:
        decode(data, layout, entries, height * width * samples)


def _directory(
    data: bytes, max_megapixels: float | None = None
) -> tuple[Layout, dict[int, Entry], int]:
    """Returns the first picture's tags, whose sizes are checked, and the offset of the next."""
    layout, start = tiff_tags.read_layout(data)
    entries, following = tiff_tags.read_directory(data, layout, start)
    if _WIDTH not in entries or _HEIGHT not in entries:
        raise UserError("is damaged: the TIFF has no width or height")
    # Tile sizes can lie as well; small pictures have larger tiles.
    more = None if max_megapixels is None else max_megapixels + 1
    for tags, most in (((_WIDTH, _HEIGHT), max_megapixels), ((_TILE_WIDTH, _TILE_HEIGHT), more)):
        sizes = [layout.integers(entries[tag])[0] if tag in entries else 1 for tag in tags]
        require_size(*sizes, most)
    return layout, entries, following


def write(photo: Photo, quality: int | None) -> bytes:
    """Writes a TIFF in strips: uncompressed if the input was, otherwise with Deflate."""
    layout: Layout = photo.metadata["layout"]
    array = photo.array
    height, width, channels = array.shape
    floating = array.dtype.kind == "f"
    inverted = photo.metadata["inverted"]
    if inverted:
        array = _inverted(array)
    compressed = photo.metadata["compressed"]
    predict = compressed and not floating
    rows = max(1, _STRIP_BYTES // max(1, width * channels * array.itemsize))
    strips = []
    for top in range(0, height, rows):
        strip = array[top : top + rows]
        if predict:  # Horizontal differences per channel, modulo the range.
            strip = np.concatenate([strip[:, :1], strip[:, 1:] - strip[:, :-1]], axis=1)
        content = strip.astype(array.dtype.newbyteorder(layout.order)).tobytes()
        strips.append(zlib.compress(content, 6) if compressed else content)
    gray = channels <= 2
    entries: dict[int, Entry] = {
        **photo.metadata["entries"],
        _WIDTH: layout.entry("I", width),
        _HEIGHT: layout.entry("I", height),
        _BITS: layout.entry("H", *[array.itemsize * 8] * channels),
        _COMPRESSION: layout.entry("H", _DEFLATE if compressed else _NONE),
        _PHOTOMETRIC: layout.entry(
            "H", (_WHITE_IS_0 if inverted else _BLACK_IS_0) if gray else _RGB
        ),
        _SAMPLES: layout.entry("H", channels),
        _ROWS: layout.entry("I", rows),
        _PLANAR: layout.entry("H", 1),
        _FORMAT: layout.entry("H", *[_FLOAT if floating else _UINT] * channels),
    }
    if predict:
        entries[_PREDICTOR] = layout.entry("H", 2)
    if channels % 2 == 0:  # The last channel is alpha.
        entries[_EXTRA] = layout.entry("H", photo.metadata["extra"])
    return tiff_tags.build_file(layout, entries, photo.metadata["children"], strips)


def _inverted(array: np.ndarray) -> np.ndarray:
    """Returns gray integers, with alpha or not, with black and white exchanged.

    Floats stay as they are, since 1 - (1 - x) is not x.
    """
    if array.dtype.kind == "f":
        return array
    array = array.copy()
    array[..., 0] = np.iinfo(array.dtype).max - array[..., 0]
    return array


def _side_data(
    layout: Layout, entries: Mapping[int, Entry], previews: int
) -> tuple[dict[int, Entry], tuple[str, ...]]:
    """Returns the tags that are written again, and what is not: see `Photo.lost`."""
    lost = [name for tag, name in _PICTURES.items() if tag in entries]
    pointers = {_GLOBAL_DIRECTORY} | {
        tag
        for tag, entry in entries.items()
        if entry.kind in _DIRECTORY_TYPES and tag not in (*tiff_tags.POINTERS, _SUBDIRECTORIES)
    }
    lost += [f"the directory of TIFF tag {tag}" for tag in sorted(pointers & entries.keys())]
    if previews or _SUBDIRECTORIES in entries:
        lost.append("the smaller versions of the picture")
    without = _OF_THE_PIXELS | _PICTURES.keys() | pointers
    kept = {tag: entry for tag, entry in entries.items() if tag not in without}
    if _XMP in kept and b":provenance" in kept[_XMP].value:
        value = without_provenance(kept[_XMP].value)
        kept[_XMP] = dataclasses.replace(kept[_XMP], count=len(value), value=value)
        lost += [CREDENTIALS] * (CREDENTIALS not in lost)
    if _LAYERS in entries and _RESOURCES in kept:
        value = _without_layers(kept[_RESOURCES].value)
        kept[_RESOURCES] = dataclasses.replace(kept[_RESOURCES], count=len(value), value=value)
    return kept, tuple(lost)


def _without_layers(resources: bytes) -> bytes:
    """Removes Photoshop's blocks that describe layers; blocks are kept byte for byte."""
    parts, start = [], 0
    while resources[start : start + 4] == b"8BIM" and start + 12 <= len(resources):
        number = int.from_bytes(resources[start + 4 : start + 6], "big")
        place = start + 6 + 2 * (resources[start + 6] // 2 + 1)  # Behind the block's name.
        size = int.from_bytes(resources[place : place + 4], "big")
        end = place + 4 + size + size % 2
        if number not in _OF_THE_LAYERS:
            parts.append(resources[start:end])
        start = end
    return b"".join([*parts, resources[start:]])


def _require_one_page(
    data: bytes, layout: Layout, entries: Mapping[int, Entry], following: int
) -> int:
    """Returns the number of reduced versions that follow the picture."""
    seen: set[int] = set()
    directory = entries
    while True:
        is_reduced = _SUBFILE in directory and layout.integers(directory[_SUBFILE])[0] & 1
        if directory is entries and is_reduced:
            raise UserError(
                "is a TIFF that begins with a preview (camera raw?); expected a picture"
            )
        if directory is not entries and not is_reduced:
            raise UserError("is a TIFF of several pages; expected one picture")
        if not following or following in seen:
            return len(seen)
        if len(seen) == _MOST_DIRECTORIES:
            raise UserError(f"is a TIFF of more than {_MOST_DIRECTORIES} pages; expected one")
        seen.add(following)
        directory, following = tiff_tags.read_directory(data, layout, following)
