"""AVIF: pixels through Pillow, of 8 bits; EXIF, orientation and colour space as they were stored.

An AVIF turns its picture by properties of its own ("irot", "imir"), and the
tag in its EXIF says nothing. Pillow puts the one in the place of the other,
in both directions: a file with a tag alone would lose it, and one that no
program turned would be turned. So the EXIF is read here, and put in the place
of one that Pillow writes.
"""

import io
import struct

import numpy as np
from PIL import Image

from gradnet_tf.images import avif_boxes as boxes
from gradnet_tf.images.photo import Photo, require_size, split_alpha
from gradnet_tf.utils.errors import UserError

#: The files do not tell the quality they were written with.
QUALITY = 90

_ORIENTATION, _DESCRIPTION = 274, 270
_PREFIX = b"Exif\0\0"
_IDENTITY = 0  # Of matrix coefficients: RGB is stored as it is, as lossless files do.
_MODES = {"L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA"}


def read(data: bytes, format: str, max_megapixels: float) -> Photo:
    """Reads an AVIF of one picture, grey or colour, with alpha or not.

    Raises:
        UserError: more than 8 bits, which Pillow would cut down to 8 in silence; several
            pictures.
    """
    facts = {"subsampling": _subsampling(data), "colours": boxes.colours(data)}
    require_size(*boxes.largest_size(data), max_megapixels)
    with Image.open(io.BytesIO(data), formats=["AVIF"]) as image:
        require_size(*image.size, max_megapixels)
        if getattr(image, "n_frames", 1) > 1:
            raise UserError(f"is animated ({image.n_frames} pictures); expected one picture")
        image.load()
        facts["info"] = {k: image.info[k] for k in ("icc_profile", "xmp") if image.info.get(k)}
        # Pillow's is that of the properties, whatever the tag says.
        facts["turned"] = image.getexif().get(_ORIENTATION, 1)
        if image.mode not in _MODES:
            raise UserError(f"is of mode {image.mode}; expected grey or RGB: convert it first")
        array = np.asarray(image)
    facts["exif"] = boxes.exif(data)
    pixels, alpha = split_alpha(array)
    return Photo(pixels, alpha, format, data, facts)


def write(photo: Photo, quality: int | None) -> bytes:
    """Writes an AVIF at `quality`, with the chroma subsampling and the metadata of the input.

    Pillow writes none without loss: of an input that is, the default is quality 100.
    """
    facts = photo.facts
    array = photo.array[..., 0] if photo.array.shape[2] == 1 else photo.array
    lossless = facts["colours"] is not None and facts["colours"][2] == _IDENTITY
    options = {
        **facts["info"],
        "subsampling": facts["subsampling"],
        "quality": quality or (100 if lossless else QUALITY),
    }
    placeholder = _placeholder(len(facts["exif"]))
    if facts["exif"] or facts["turned"] != 1:
        options["exif"] = _placeholder(len(facts["exif"]), facts["turned"])
    target = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(target, "AVIF", **options)
    encoded = target.getvalue()
    if "exif" in options:
        own = facts["exif"] or struct.pack(">2sHIHI", b"MM", 42, 8, 0, 0)  # No tags.
        own = own.ljust(len(placeholder) - len(_PREFIX), b"\0")
        encoded = encoded.replace(placeholder, _PREFIX + own, 1)
    place = encoded.find(b"colrnclx")
    if facts["colours"] is not None and place >= 0:
        # Primaries and transfer say what the numbers mean; matrix and range how they are coded.
        named = struct.pack(">HH", *facts["colours"][:2])
        encoded = encoded[: place + 8] + named + encoded[place + 12 :]
    return encoded


def _placeholder(size: int, turned: int = 1) -> bytes:
    """Returns EXIF of at least `size` bytes beside an orientation, which Pillow takes out."""
    tags = Image.Exif()
    shell = 8 + 2 + 12 + 4 + 1  # Header, count, one entry, end; the text's closing zero.
    tags[_DESCRIPTION] = "x" * max(8, size - shell)
    if turned != 1:
        tags[_ORIENTATION] = turned
    return tags.tobytes()


def _subsampling(data: bytes) -> str:
    """Returns the chroma subsampling from the codec's configuration."""
    all_flags = boxes.codec_flags(data)
    if any(flags & boxes.MORE_THAN_8_BITS for flags in all_flags):
        raise UserError(
            "is an AVIF of 10 or 12 bits; expected 8: convert it to a 16-bit PNG or TIFF first"
        )
    colour = [flags for flags in all_flags if not flags & boxes.GREY]  # Alpha is grey.
    if not colour:
        return "4:0:0" if all_flags else "4:4:4"
    return {0x00: "4:4:4", 0x08: "4:2:2", 0x0C: "4:2:0"}.get(colour[0] & 0x0C, "4:4:4")
