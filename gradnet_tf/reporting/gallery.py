"""Figures for papers: the whole image with a frame, and beside it the framed crop per method.

Like figures 2 and 3 of the GradNet supplement: noisy, each denoiser and clean, zoomed, with the
PSNR of the whole image under each.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from gradnet_tf.reporting.figures import PAPER, Box, Panel, as_rgb, caption

_GAP = 10
_HEAD, _TITLE, _NOTE = 30, 26, 24


def gallery_figure(
    panels: Sequence[Panel], box: Box, title: str = "", cell: int = 240
) -> np.ndarray:
    """Draws the figure of one image.

    Args:
        panels: pictures of equal size; the last, the clean image, is shown whole on the left.
        box: the region that is zoomed by nearest neighbor.
        title: a line at the top.
        cell: side of a crop in pixels.

    Returns:
        uint8 RGB picture on white, with the crops in two rows, or one for up to three panels.
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
    title, note = caption(panel.title, cell, _TITLE, 0.55), caption(panel.note, cell, _NOTE, 0.5)
    return np.concatenate([box.zoomed(panel.image, cell), title, note])


def _framed(image: np.ndarray, box: Box, height: int) -> np.ndarray:
    """Scales an image to a height and draws the frame of the box."""
    factor = height / image.shape[0]
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    small = cv2.resize(
        image, (max(1, round(image.shape[1] * factor)), height), interpolation=method
    )
    return box.draw_on(small, factor, 2)


def _stack(parts: Sequence[np.ndarray], axis: int) -> np.ndarray:
    """Joins pictures of equal height (axis 1) or width (axis 0) with gaps."""
    joined = []
    for part in parts:
        gap = (len(part), _GAP, 3) if axis else (_GAP, part.shape[1], 3)
        joined += [part, np.full(gap, PAPER, np.uint8)]
    return np.concatenate(joined[:-1], axis=axis)
