"""Compares a photograph before and after: reduced whole pictures, and three crops."""

import dataclasses
import io
import itertools

import cv2
import numpy as np
from PIL import Image, ImageCms

from gradnet_tf.degradations.noise_level import estimate_sigma
from gradnet_tf.denoiser import to_unit
from gradnet_tf.images.photo import Photo
from gradnet_tf.images.photo_files import orientation_of, quiet_decoders, upright
from gradnet_tf.reporting.figures import Box, encode

#: Pictures of more than 8 bits are brightened if this percentile is below half of the range.
_BRIGHTEST = 99.9
_SQUARE = 8  # side of the checkerboard's squares behind transparent pixels


@dataclasses.dataclass(frozen=True)
class View:
    """How a photograph is displayed; the same before and after.

    Attributes:
        orientation: value of the orientation tag, 1 for as stored.
        gain: factor on the values, 1 for 8 bits.
        transform: from its color profile to sRGB, `None` without a usable profile.
    """

    orientation: int = 1
    gain: float = 1.0
    transform: ImageCms.ImageCmsTransform | None = None

    def show(self, pixels: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
        """Returns uint8 RGB (H, W, 3) of pixels (H, W, 1 or 3), not turned upright."""
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
    """Chooses how to display a photograph, from its tags, its profile and its brightness."""
    profile = _profile(photo.encoded)
    return View(orientation_of(photo.encoded), _gain(photo.pixels), _to_srgb(profile))


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


def _profile(encoded: bytes) -> bytes | None:
    """Returns the color profile; `None` if there is none, or if it cannot be read."""
    try:
        with quiet_decoders(), Image.open(io.BytesIO(encoded)) as image:
            return image.info.get("icc_profile") or None
    except Exception:
        return None


def _gain(pixels: np.ndarray) -> float:
    """Returns the gain that makes 12-bit data in a 16-bit file visible."""
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
        return None  # A gray or damaged profile: the values are shown unchanged.


#: Longer side of the whole picture on the page, and side of a crop, in pixels.
LARGEST, CROP = 1600, 160
_QUALITY = 85
_MOST_PIXELS = 4_000_000  # for the estimate of the noise level


@dataclasses.dataclass(frozen=True)
class Crop:
    """A part at full resolution: its title, its position, and PNG files before and after."""

    title: str
    box: Box
    before: bytes
    after: bytes


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The upright pictures that a page shows of a photograph.

    Attributes:
        height: height of the photograph in pixels.
        width: width of the photograph in pixels.
        kind: such as "16-bit RGB with alpha".
        gain: brightness factor of the display.
        sigma: estimated noise levels before and after, 0-255 scale.
        size: (height, width) of the reduced pictures.
        before: the reduced picture before, a JPEG file.
        after: the reduced picture after, a JPEG file.
        crops: parts at full resolution.
    """

    height: int
    width: int
    kind: str
    gain: float
    sigma: tuple[float, float]
    size: tuple[int, int]
    before: bytes
    after: bytes
    crops: tuple[Crop, ...]

    @property
    def num_bytes(self) -> int:
        """Size of the pictures in the page, as Base64."""
        files = [self.before, self.after]
        files += [data for crop in self.crops for data in (crop.before, crop.after)]
        return sum(map(len, files)) * 4 // 3


def compare(photo: Photo, after: np.ndarray) -> Comparison:
    """Compares a photograph with its denoised pixels, which are shaped like its own."""
    view = view_of(photo)
    alpha = None if photo.is_opaque else photo.alpha
    small_alpha = None if alpha is None else shrink(alpha[..., None], LARGEST)[..., 0]
    small = [
        upright(view.show(shrink(pixels, LARGEST), small_alpha), view.orientation)
        for pixels in (photo.pixels, after)
    ]
    pair = [upright(pixels, view.orientation) for pixels in (photo.pixels, after)]
    turned = None if alpha is None else upright(alpha, view.orientation)
    crops = []
    for title, box in interesting_boxes(*pair, turned):
        own = None if turned is None else box.cut(turned)
        files = [encode(view.show(box.cut(pixels), own), ".png") for pixels in pair]
        crops.append(Crop(title, box, *files))
    return Comparison(
        *pair[0].shape[:2],
        kind_of(photo),
        view.gain,
        noise_levels(photo.visible(photo.pixels), photo.visible(after)),
        small[0].shape[:2],
        *(encode(np.ascontiguousarray(image), ".jpg", _QUALITY) for image in small),
        tuple(crops),
    )


def kind_of(photo: Photo) -> str:
    """Returns a description of depth and channels, such as "8-bit gray"."""
    bits = photo.pixels.dtype.itemsize * 8
    depth = f"{bits}-bit" + (" float" if photo.pixels.dtype.kind == "f" else "")
    colors = "gray" if photo.pixels.shape[2] == 1 else "RGB"
    if photo.alpha is None:
        return f"{depth} {colors}"
    return f"{depth} {colors} with {'a further channel' if photo.is_opaque else 'alpha'}"


def noise_levels(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Estimates the noise level of both, from evenly spaced pairs of rows if they are large."""
    height, width = before.shape[:2]
    step = max(1, height * width // _MOST_PIXELS)
    levels = []
    for pixels in (before, after):
        pairs = pixels[: height - height % 2].reshape(-1, 2, *pixels.shape[1:])[::step]
        levels.append(estimate_sigma(to_unit(pairs.reshape(-1, *pixels.shape[1:]))))
    return levels[0], levels[1]


def interesting_boxes(
    before: np.ndarray, after: np.ndarray, alpha: np.ndarray | None = None, side: int = CROP
) -> list[tuple[str, Box]]:
    """Chooses crops: the largest change, a typical change, and the most detail.

    Args:
        before: (H, W, C), any depth.
        after: the same, denoised.
        alpha: (H, W); transparent parts are not chosen.
        side: side of the squares, limited to the picture's size.

    Returns:
        Titles and up to three non-overlapping squares of a grid; none if the picture is no
        larger than one square.
    """
    height, width = min(side, before.shape[0]), min(side, before.shape[1])
    boxes, changes, details = [], [], []
    for top in _places(before.shape[0], height):
        band = slice(top, top + height)
        old, new = (to_unit(pixels[band]).mean(axis=2) for pixels in (before, after))
        weight = 1.0 if alpha is None else to_unit(alpha[band])
        change = weight * (new - old) ** 2
        # The square root keeps a single hard edge from outweighing fine texture.
        edges = (np.abs(cv2.Sobel(new, cv2.CV_32F, *way)) for way in ((1, 0), (0, 1)))
        detail = weight * np.sqrt(sum(edges))
        for left in _places(before.shape[1], width):
            part = slice(left, left + width)
            boxes.append(Box(top, left, height, width))
            changes.append(float(change[:, part].mean()))
            details.append(float(detail[:, part].mean()))
    if len(boxes) == 1:
        return []
    usual = float(np.median(changes))
    orders = {
        "largest change": np.argsort(changes)[::-1],
        "usual change": np.argsort(np.abs(np.array(changes) - usual)),
        "most detail": np.argsort(details)[::-1],
    }
    chosen: list[tuple[str, Box]] = []
    for title, order in orders.items():
        apart = (
            boxes[place]
            for place in order
            if not any(_overlap(boxes[place], box) for _, box in chosen)
        )
        chosen += [(title, box) for box in itertools.islice(apart, 1)]
    return chosen


def _overlap(one: Box, other: Box) -> bool:
    rows = abs(one.top - other.top) < one.height
    return rows and abs(one.left - other.left) < one.width


def _places(length: int, side: int) -> list[int]:
    """Returns the positions of a grid's squares; the last square ends at the border."""
    return sorted({*range(0, length - side + 1, side), length - side})
