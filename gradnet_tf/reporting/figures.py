"""Pictures of an evaluation: the most textured crop, error maps, side-by-side panels.

All images are uint8 RGB or gray, H×W×C.
"""

import dataclasses
from collections.abc import Sequence

import cv2
import numpy as np

# Candidate ends of the scale of error maps, in gray levels.
ERROR_SCALES = (5, 10, 20, 30, 40, 60, 100, 255)
CROP_SIZE = 96
_FONT = cv2.FONT_HERSHEY_DUPLEX
_INK, PAPER, FRAME = (32, 33, 36), (255, 255, 255), (255, 196, 0)


@dataclasses.dataclass(frozen=True)
class Panel:
    """One picture of a row: its key, title, pixels (uint8 H×W×C) and a note such as its PSNR."""

    key: str
    title: str
    image: np.ndarray
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Box:
    """A rectangle of an image in pixels."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, image: np.ndarray) -> np.ndarray:
        """Returns the rectangle of `image`."""
        return image[self.top : self.top + self.height, self.left : self.left + self.width]

    def draw_on(self, image: np.ndarray, factor: float, thickness: int) -> np.ndarray:
        """Draws the frame on a copy of the image that was scaled by `factor`, and returns it."""
        ends = self.left + self.width, self.top + self.height
        corner = (round(self.left * factor), round(self.top * factor))
        far = tuple(round(end * factor) - 1 for end in ends)
        return cv2.rectangle(image, corner, far, FRAME, thickness)

    def zoomed(self, image: np.ndarray, width: int) -> np.ndarray:
        """Returns the rectangle as RGB, scaled to a width by nearest neighbor."""
        height = max(1, round(width * self.height / self.width))
        size = (width, height)
        return cv2.resize(as_rgb(self.cut(image)), size, interpolation=cv2.INTER_NEAREST)


def as_rgb(image: np.ndarray) -> np.ndarray:
    """Returns H×W×3; gray is replicated."""
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image


def busiest_box(clean: np.ndarray, size: int = CROP_SIZE) -> Box:
    """Finds the square, or smaller box in small images, with the largest mean gradient."""
    height, width = clean.shape[:2]
    box_height, box_width = min(size, height), min(size, width)
    gray = clean.astype(np.float32).mean(axis=-1)
    gradient = np.abs(cv2.Sobel(gray, cv2.CV_32F, 1, 0)) + np.abs(cv2.Sobel(gray, cv2.CV_32F, 0, 1))
    # The root keeps a single hard edge from outweighing fine texture.
    total = cv2.integral(np.sqrt(gradient))
    sums = (
        total[box_height:, box_width:]
        - total[:-box_height, box_width:]
        - total[box_height:, :-box_width]
        + total[:-box_height, :-box_width]
    )
    top, left = np.unravel_index(int(np.argmax(sums)), sums.shape)
    return Box(int(top), int(left), box_height, box_width)


def absolute_error(clean: np.ndarray, denoised: np.ndarray) -> np.ndarray:
    """|denoised - clean| in gray levels, mean over the channels: float32 H×W."""
    return np.abs(denoised.astype(np.float32) - clean.astype(np.float32)).mean(axis=-1)


def error_scale(errors: Sequence[np.ndarray]) -> int:
    """Returns the smallest of `ERROR_SCALES` that covers 95% of the values of every map."""
    needed = max((float(np.percentile(error, 95)) for error in errors), default=0.0)
    return next(scale for scale in ERROR_SCALES if needed <= scale)


def error_map(error: np.ndarray, scale: int) -> np.ndarray:
    """Colors an error, float32 H×W in gray levels, from black (0) to pale yellow (`scale`).

    Returns:
        uint8 H×W×3 RGB.
    """
    level = np.rint(np.clip(error / scale, 0, 1) * 255).astype(np.uint8)
    return cv2.cvtColor(cv2.applyColorMap(level, cv2.COLORMAP_INFERNO), cv2.COLOR_BGR2RGB)


def scale_bar(width: int = 256, height: int = 12) -> np.ndarray:
    """Draws the colors of `error_map` from 0 to the end of the scale: uint8 RGB."""
    ramp = np.linspace(0, 1, width, dtype=np.float32)
    return error_map(np.repeat(ramp[None], height, axis=0), 1)


def fit(image: np.ndarray, largest: int) -> tuple[np.ndarray, float]:
    """Downscales an image to a longer side of at most `largest`; returns it and the factor."""
    longest = max(image.shape[:2])
    if longest <= largest:
        return image, 1.0
    factor = largest / longest
    size = (max(1, round(image.shape[1] * factor)), max(1, round(image.shape[0] * factor)))
    shrunk = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    return shrunk.reshape(size[1], size[0], image.shape[-1]), factor


def encode(image: np.ndarray, suffix: str, quality: int = 90) -> bytes:
    """Encodes a uint8 image as `.png` (exact) or `.jpg` (full color resolution)."""
    options = {
        ".png": [cv2.IMWRITE_PNG_COMPRESSION, 9],
        ".jpg": [
            *(cv2.IMWRITE_JPEG_QUALITY, quality),
            *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
        ],
    }
    pixels = image if image.shape[-1] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(suffix, pixels, options[suffix])
    return data.tobytes()


def caption(text: str, width: int, height: int, scale: float) -> np.ndarray:
    """Draws one line of text, shrunk if it is wider than `width`: uint8 RGB."""
    # OpenCV's fonts are ASCII only.
    text = text.replace("σ", "sigma").encode("ascii", "replace").decode()
    strip = np.full((height, width, 3), PAPER, np.uint8)
    needed = cv2.getTextSize(text, _FONT, scale, 1)[0][0]
    scale = min(scale, scale * (width - 4) / max(needed, 1))
    cv2.putText(strip, text, (2, height - 7), _FONT, scale, _INK, 1, cv2.LINE_AA)
    return strip


def side_by_side(panels: Sequence[Panel], box: Box, title: str = "", cell: int = 320) -> np.ndarray:
    """Arranges panels in a row: each whole image above its zoomed crop, with title and note.

    Args:
        panels: pictures of equal size.
        box: the region that is zoomed and framed in the whole images.
        title: a line at the top.
        cell: width of a panel in pixels, less for tall images.

    Returns:
        uint8 RGB picture on white.
    """
    gap = 8
    height, width = panels[0].image.shape[:2]
    # Tall images get narrower panels, so that they are at most twice as high as `cell`.
    cell = max(60, min(cell, round(2 * cell * width / height)))
    columns = []
    for panel in panels:
        whole = as_rgb(panel.image)
        factor = cell / whole.shape[1]
        height = max(1, round(whole.shape[0] * factor))
        method = cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST
        small = cv2.resize(whole, (cell, height), interpolation=method)
        parts = [
            caption(panel.title, cell, 26, 0.6),
            box.draw_on(small, factor, 1),
            np.full((gap, cell, 3), PAPER, np.uint8),
            box.zoomed(panel.image, cell),
            caption(panel.note, cell, 24, 0.5),
        ]
        columns += [
            np.concatenate(parts),
            np.full((sum(map(len, parts)), gap, 3), PAPER, np.uint8),
        ]
    picture = np.concatenate(columns[:-1], axis=1)
    if title:
        picture = np.concatenate([caption(title, picture.shape[1], 30, 0.7), picture])
    return cv2.copyMakeBorder(picture, gap, gap, gap, gap, cv2.BORDER_CONSTANT, value=PAPER)
