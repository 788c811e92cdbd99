"""Photographs as a page shows them: 8 bits, upright, opaque, sRGB."""

import dataclasses
import io

import cv2
import numpy as np
from PIL import Image, ImageCms

from gradnet_tf.images.photo import Photo
from gradnet_tf.pictures import to_unit

_ORIENTATION = 274
#: Depths beyond 8 bits are brightened where this part of the pixels lies below half of the range.
_BRIGHTEST = 99.9
_SQUARE = 8  # pixels of the chequerboard behind what is transparent


def upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """Returns a view of (H, W, ...) turned as the orientation tag says (1 to 8, as in EXIF)."""
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    rows = slice(None, None, -1 if orientation in (3, 4, 7, 8) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 6, 7) else 1)
    return array[rows, columns]


@dataclasses.dataclass(frozen=True)
class View:
    """How one photograph is looked at; the same for what it was and what it became.

    Attributes:
        orientation: the tag's number, 1 for as stored.
        gain: factor on the values, 1 for 8 bits.
        transform: of its colour profile to sRGB, `None` without a profile that can be used.
    """

    orientation: int = 1
    gain: float = 1.0
    transform: ImageCms.ImageCmsTransform | None = None

    def show(self, pixels: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
        """Returns uint8 RGB (H, W, 3) of stored pixels (H, W, 1 or 3), which stay as they lie."""
        if pixels.dtype == np.uint8:
            shown = np.ascontiguousarray(pixels)
        else:
            bright = np.clip(to_unit(pixels) * np.float32(self.gain), 0.0, 1.0)
            shown = np.rint(bright * np.float32(255)).astype(np.uint8)
        shown = np.repeat(shown, 3, axis=2) if shown.shape[2] == 1 else shown
        if self.transform is not None:
            shown = np.asarray(ImageCms.applyTransform(Image.fromarray(shown), self.transform))
        if alpha is None:
            return shown
        rows, columns = (np.arange(side)[:, None] // _SQUARE for side in shown.shape[:2])
        paper = np.where((rows + columns.T) % 2, 205.0, 245.0)[..., None].astype(np.float32)
        opaque = to_unit(alpha)[..., None]
        return np.rint(shown * opaque + paper * (1 - opaque)).astype(np.uint8)


def view_of(photo: Photo) -> View:
    """Chooses how a photograph is looked at, by its tags, its profile and its brightness."""
    orientation, profile = _tags(photo.encoded)
    return View(orientation, _gain(photo.pixels), _to_srgb(profile))


def shrink(array: np.ndarray, largest: int) -> np.ndarray:
    """Returns (H, W, C) of any depth with a longer side of at most `largest`."""
    height, width = array.shape[:2]
    factor = min(1.0, largest / max(height, width))
    if factor == 1.0:
        return array
    size = max(1, round(width * factor)), max(1, round(height * factor))
    if array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
    return cv2.resize(array, size, interpolation=cv2.INTER_AREA).reshape(size[1], size[0], -1)


def _tags(encoded: bytes) -> tuple[int, bytes | None]:
    """Returns orientation and profile; what cannot be read is left out."""
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            profile = image.info.get("icc_profile")
            orientation = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        return 1, None
    return orientation if orientation in range(1, 9) else 1, profile or None


def _gain(pixels: np.ndarray) -> float:
    """Returns what makes a dark deep picture bright: 12 bits in a file of 16 would look black."""
    if pixels.dtype == np.uint8:
        return 1.0
    some = pixels[:: max(1, pixels.shape[0] // 500), :: max(1, pixels.shape[1] // 500)]
    bright = float(np.percentile(to_unit(some), _BRIGHTEST))
    return 1.0 / bright if 0.0 < bright < 0.5 else 1.0


def _to_srgb(profile: bytes | None) -> ImageCms.ImageCmsTransform | None:
    if profile is None:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), "RGB", "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None  # Of grey, or damaged: the values are shown as they are.
