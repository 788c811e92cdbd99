"""The figure of a paper: the whole image with a frame, and beside it the frame's crop per method.

In the manner of figures 2 and 3 of the GradNet supplement: noisy, each
denoiser and clean, zoomed, with the PSNR of the whole image under each.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from gradnet_tf.reporting.figures import FRAME, PAPER, Box, Panel, as_rgb, caption

_GAP = 10
_HEAD, _TITLE, _NOTE = 30, 26, 24


def gallery_figure(
    panels: Sequence[Panel], box: Box, title: str = "", cell: int = 240
) -> np.ndarray:
    """Draws the figure of one image.

    Args:
        panels: pictures of equal size; the last one, the clean image, is shown whole at the left.
        box: the region that is zoomed; its pixels are shown as they are (nearest neighbor).
        title: a line above everything.
        cell: side of a crop in pixels.

    Returns:
        uint8 RGB picture on white: the crops stand in two rows, in one for up to three panels.
    """
    rows = 1 if len(panels) <= 3 else 2
    columns = math.ceil(len(panels) / rows)
    crops = [_crop(panel, box, cell) for panel in panels]
    crops += [np.full_like(crops[0], PAPER)] * (rows * columns - len(crops))
    grid = _stack(
        [_stack(crops[row * columns : (row + 1) * columns], axis=1) for row in range(rows)], axis=0
    )
    whole = _framed(as_rgb(panels[-1].image), box, len(grid) - _NOTE)
    left = np.concatenate([whole, caption(panels[-1].title, whole.shape[1], _NOTE, 0.5)])
    figure = _stack([left, grid], axis=1)
    if title:
        figure = np.concatenate([caption(title, figure.shape[1], _HEAD, 0.6), figure])
    return cv2.copyMakeBorder(figure, *[_GAP] * 4, cv2.BORDER_CONSTANT, value=PAPER)


def _crop(panel: Panel, box: Box, cell: int) -> np.ndarray:
    height = max(1, round(cell * box.height / box.width))
    pixels = cv2.resize(
        as_rgb(box.cut(panel.image)), (cell, height), interpolation=cv2.INTER_NEAREST
    )
    title, note = caption(panel.title, cell, _TITLE, 0.55), caption(panel.note, cell, _NOTE, 0.5)
    return np.concatenate([pixels, title, note])


def _framed(image: np.ndarray, box: Box, height: int) -> np.ndarray:
    """Scales an image to a height and marks the box."""
    factor = height / image.shape[0]
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    small = cv2.resize(
        image, (max(1, round(image.shape[1] * factor)), height), interpolation=method
    )
    corner = (round(box.left * factor), round(box.top * factor))
    far = (
        round((box.left + box.width) * factor) - 1,
        round((box.top + box.height) * factor) - 1,
    )
    return cv2.rectangle(small, corner, far, FRAME, 2)


def _stack(parts: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Joins pictures of one height (axis 1) or width (axis 0) with a gap between them."""
    joined = []
    for part in parts:
        gap = (len(part), _GAP, 3) if axis else (_GAP, part.shape[1], 3)
        joined += [part, np.full(gap, PAPER, np.uint8)]
    return np.concatenate(joined[:-1], axis=axis)
