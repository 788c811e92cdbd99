"""The pictures of the HTML report: comparison slider, zoomed crops, error maps."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from gradnet_tf.reporting.figures import (
    Panel,
    absolute_error,
    as_rgb,
    busiest_box,
    encode,
    error_map,
    error_scale,
    fit,
    scale_bar,
)
from gradnet_tf.reporting.page import embedded, frame_style, picture_style

_LARGEST = 1200  # pixels of the longer side in the report
_SHOWN_WIDTH = 900


@dataclasses.dataclass(frozen=True)
class Picture:
    """The versions of an image in a report, uint8 of equal size.

    Attributes:
        name: file name of the image.
        badge: why it is shown, such as "worst".
        panels: with the keys "noisy", "clean" (if it exists) and those of the estimates.
        estimates: keys of the panels whose error map is shown.
    """

    name: str
    badge: str
    panels: Sequence[Panel]
    estimates: Sequence[str]

    def panel(self, key: str) -> Panel:
        """Returns the panel with a key."""
        return next(panel for panel in self.panels if panel.key == key)

    @property
    def base(self) -> Panel:
        """The panel that determines the zoomed crop: the clean one, else the noisy one."""
        return self.panel("clean" if any(p.key == "clean" for p in self.panels) else "noisy")

    def errors(self) -> dict[str, np.ndarray]:
        """Returns the absolute error of each estimate, float32 H×W in gray levels."""
        clean = self.base.image
        return {key: absolute_error(clean, self.panel(key).image) for key in self.estimates}


def with_error_maps(picture: Picture, scale: int) -> list[Panel]:
    """Returns the panels of a picture, followed by the error map of each estimate."""
    maps = []
    for key, error in picture.errors().items():
        title = "error" if len(picture.estimates) == 1 else f"error of {picture.panel(key).title}"
        note = f"mean {error.mean():.2f} levels"
        maps.append(Panel(f"error-{key}", title, error_map(error, scale), note))
    return [*picture.panels, *maps]


def common_scale(pictures: Sequence[Picture]) -> int:
    """Returns the scale of all error maps of a report."""
    return error_scale([error for picture in pictures for error in picture.errors().values()])


def error_legend(pictures: Sequence[Picture]) -> dict[str, Any]:
    """Returns the legend of all error maps of a report: the color bar and the end of the scale."""
    bar = scale_bar()
    alt = "colors from black over red to pale yellow"
    return {
        "bar": embedded(encode(bar, ".png"), "png", bar.shape[:2], alt),
        "end": common_scale(pictures),
    }


def picture_values(picture: Picture, scale: int) -> dict[str, Any]:
    """Returns the template's values for a picture: every panel whole, and its zoomed crop.

    `scale` is the end of the scale of error maps in gray levels.
    """
    base = picture.base.image
    box = busiest_box(base)
    height, width = base.shape[:2]
    _, factor = fit(base, _LARGEST)
    wholes, panels = [], []
    for panel in with_error_maps(picture, scale):
        small, _ = fit(as_rgb(panel.image), _LARGEST)
        alt = f"{picture.name}, {panel.title}, whole image"
        wholes.append(embedded(encode(small, ".jpg"), "jpeg", small.shape[:2], alt, panel.key))
        # PNG, enlarged by nearest neighbor, shows the exact pixels.
        data = encode(box.cut(as_rgb(panel.image)), ".png")
        alt = f"{picture.name}, {panel.title}, zoomed crop"
        crop = embedded(data, "png", (box.height, box.width), alt)
        panels.append({"key": panel.key, "title": panel.title, "note": panel.note, "crop": crop})
    size = f"{width}×{height} pixels"
    if factor < 1:
        size += f", shown at {factor:.0%}; the crops are at full resolution"
    return {
        "name": picture.name,
        "badge": picture.badge,
        "size": size,
        "small": max(height, width) < 160,
        # At most as tall as a screen.
        "style": picture_style(min(_SHOWN_WIDTH, 640 * width / height), height, width),
        "wholes": wholes,
        "panels": panels,
        "box": frame_style(box, height, width),
    }
