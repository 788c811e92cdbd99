"""Develops raw files with LibRaw (rawpy, the extra `[raw]`) into 16-bit TIFFs.

The picture is developed with the camera's white balance and color matrix, into sRGB, without
brightening and without a contrast curve: the only curve is sRGB's own, one fixed function of the
linear light. The networks are trained on pictures encoded so, not on linear light, where the same
noise would be ten times stronger in highlights than in shadows; a curve of contrast or a preset can
be applied to the result, and then acts on light without noise.
"""

import io
import struct

import numpy as np

from gradnet_tf.images import tiff
from gradnet_tf.images.photo import Photo
from gradnet_tf.images.tiff_tags import read_directory, read_layout
from gradnet_tf.utils.errors import UserError, install_command

#: Suffixes of raw files; results of these have the suffix .tif.
RAW_SUFFIXES = tuple(".dng .cr2 .cr3 .nef .arw .raf .orf .rw2 .pef .srw".split())

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"IIRO", b"IIU\0")
#: The first bytes that a raw file may have; other files need not be asked.
STARTS = (*_TIFF_STARTS, b"FUJIFILMCCD-RAW", b"\0\0\0")  # .cr3: a box of some size
_PHOTOMETRIC, _SUB_DIRECTORIES, _DNG_VERSION = 262, 330, 50706
#: Photometric interpretations: a mosaic of colors, and linear raw.
_MOSAIC, _LINEAR = 32803, 34892
# The sRGB curve, as LibRaw takes it: the power and the slope near black.
_SRGB = 2.4, 12.92
#: Maker and model.
_TAGS = 271, 272


def is_raw(data: bytes) -> bool:
    """Whether the first bytes, and in TIFFs the directories, are those of a raw file."""
    if data.startswith(b"FUJIFILMCCD-RAW") or data[4:12] == b"ftypcrx ":
        return True
    if not data.startswith(_TIFF_STARTS):
        return False
    if data[:4] in (b"IIRO", b"IIU\0") or data[8:10] == b"CR":
        return True
    try:
        layout, start = read_layout(data)
        entries = read_directory(data, layout, start)[0]
        if _DNG_VERSION in entries:
            return True
        places = [start]
        if _SUB_DIRECTORIES in entries:
            places += layout.integers(entries[_SUB_DIRECTORIES])[:8]
        for place in places:
            found = read_directory(data, layout, place)[0].get(_PHOTOMETRIC)
            if found is not None and layout.integers(found)[0] in (_MOSAIC, _LINEAR):
                return True
    except (UserError, struct.error, IndexError, ValueError, OverflowError):
        pass  # A damaged TIFF: the reader of TIFFs says how.
    return False


def read(data: bytes, format: str, max_megapixels: float) -> Photo:
    """Develops a raw file.

    Returns:
        The photograph as a 16-bit TIFF, sRGB, upright; it is written as TIFF.

    Raises:
        UserError: rawpy is not installed, the picture is too large, or it cannot be developed.
    """
    try:
        import rawpy
    except ImportError as error:
        raise UserError(
            f"is a raw file, which needs rawpy: {install_command('rawpy')}, or convert it to TIFF "
            "first"
        ) from error
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            megapixels = raw.sizes.raw_width * raw.sizes.raw_height / 1e6
            if megapixels > max_megapixels:
                raise UserError(
                    f"has {megapixels:.0f} megapixels, more than {max_megapixels:g}; "
                    "--max-megapixels sets the limit"
                )
            colors = raw.postprocess(
                use_camera_wb=True,
                output_bps=16,
                no_auto_bright=True,
                gamma=_SRGB,
                output_color=rawpy.ColorSpace.sRGB,
            )
    except rawpy.LibRawError as error:
        reason = error.args[0] if error.args else error
        reason = reason.decode("ascii", "replace") if isinstance(reason, bytes) else str(reason)
        raise UserError(f"is a raw file that LibRaw cannot develop: {reason}") from error
    photo = tiff.read(_as_tiff(colors, data), "tiff", max_megapixels)
    note = "a raw file was developed: camera white balance, sRGB, 16 bits, no brightening"
    return Photo(
        photo.array,
        photo.format,
        photo.encoded,
        photo.metadata,
        (*photo.notes, note),
        (*photo.lost, "the metadata of the raw file except maker and model"),
    )


def _as_tiff(colors: np.ndarray, data: bytes) -> bytes:
    """Returns a TIFF of developed colors, with the raw file's maker, model and an sRGB profile."""
    import tifffile
    from PIL import ImageCms

    texts = []
    if data.startswith(_TIFF_STARTS[:2]):
        try:
            layout, start = read_layout(data)
            entries = read_directory(data, layout, start)[0]
            texts = [(tag, entries[tag].value) for tag in _TAGS if tag in entries]
        except (UserError, struct.error):
            texts = []
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    file = io.BytesIO()
    tifffile.imwrite(
        file,
        colors,
        photometric="rgb",
        compression="zlib",
        predictor=True,
        metadata=None,
        software="gradnet",
        extratags=[
            *(
                (tag, 2, 0, text.split(b"\0")[0].decode("ascii", "ignore"), True)
                for tag, text in texts
            ),
            (34675, 7, len(profile), profile, True),
        ],
    )
    return file.getvalue()
