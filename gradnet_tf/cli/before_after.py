"""A photograph before and after, made small enough for a page: whole, and three crops."""

import dataclasses
import itertools

import cv2
import numpy as np

from gradnet_tf.cli.viewing import shrink, upright, view_of
from gradnet_tf.degradations.noise_level import estimate_sigma
from gradnet_tf.images.photo import Photo
from gradnet_tf.pictures import to_unit
from gradnet_tf.reporting.figures import Box, encode

#: Longer side of the whole picture on the page, and side of a crop, in pixels.
LARGEST, CROP = 1600, 160
_QUALITY = 85
_MOST_PIXELS = 4_000_000  # for the estimate of the noise level


@dataclasses.dataclass(frozen=True)
class Crop:
    """A part at full resolution: its title, where it lies, and PNG files before and after."""

    title: str
    box: Box
    before: bytes
    after: bytes


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What a page shows of a photograph, upright.

    Attributes:
        height: of the photograph in pixels.
        width: of the photograph in pixels.
        kind: such as "16-bit RGB with alpha".
        gain: how much brighter than stored it is shown.
        sigma: estimated noise levels before and after, 0-255 scale.
        size: (height, width) of the small ones.
        before: the small one before, a JPEG file.
        after: the small one after.
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
        """What it takes of a page, encoded as text."""
        files = [self.before, self.after]
        files += [data for crop in self.crops for data in (crop.before, crop.after)]
        return sum(map(len, files)) * 4 // 3


def compare(photo: Photo, after: np.ndarray) -> Comparison:
    """Compares a photograph with its denoised pixels, which are shaped like its own."""
    view = view_of(photo)
    alpha = photo.alpha
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
        noise_levels(photo.pixels, after),
        small[0].shape[:2],
        *(encode(np.ascontiguousarray(image), ".jpg", _QUALITY) for image in small),
        tuple(crops),
    )


def kind_of(photo: Photo) -> str:
    """Says depth and colours, such as "8-bit grey"."""
    bits = photo.pixels.dtype.itemsize * 8
    depth = f"{bits}-bit" + (" float" if photo.pixels.dtype.kind == "f" else "")
    colours = "grey" if photo.pixels.shape[2] == 1 else "RGB"
    return f"{depth} {colours}" + ("" if photo.alpha is None else " with alpha")


def noise_levels(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """Estimates the noise of both; of a large picture, of pairs of rows all over it."""
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
    """Chooses what to look at: where most was changed, as much as usual, and the most detail.

    Args:
        before: (H, W, C), any depth.
        after: the same, denoised.
        alpha: (H, W); what is transparent is of no interest.
        side: of the squares, cut down to the picture where that is smaller.

    Returns:
        Titles and up to three squares of a grid that do not overlap; none of a picture
        that is no larger than one.
    """
    height, width = min(side, before.shape[0]), min(side, before.shape[1])
    boxes, changes, details = [], [], []
    for top in _places(before.shape[0], height):
        band = slice(top, top + height)
        old, new = (to_unit(pixels[band]).mean(axis=2) for pixels in (before, after))
        weight = 1.0 if alpha is None else to_unit(alpha[band])
        change = weight * (new - old) ** 2
        # The root keeps one hard edge from outweighing a field of fine texture.
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
    """Returns where squares of a grid begin; the last one ends where the picture ends."""
    return sorted({*range(0, length - side + 1, side), length - side})
