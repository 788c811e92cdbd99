"""The pictures of the HTML report: a wiper over the whole image, zoomed crops, error maps."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from gradnet_tf.reporting import page
from gradnet_tf.reporting.figures import (
    Box,
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

_LARGEST = 1200  # pixels of the longer side in the report; the files beside it are whole
_SHOWN_WIDTH = 900


@dataclasses.dataclass(frozen=True)
class Picture:
    """An image of the report: pictures of it in equal size, uint8, the clean one if there is one.

    Attributes:
        name: file name of the image.
        badge: why it is shown, such as "worst".
        panels: keys "noisy", "clean" and those of the estimates.
        estimates: keys of the panels whose error map is shown.
    """

    name: str
    badge: str
    panels: Sequence[Panel]
    estimates: Sequence[str]

    def panel(self, key: str) -> Panel:
        """Returns the panel of that key."""
        return next(panel for panel in self.panels if panel.key == key)

    @property
    def base(self) -> Panel:
        """The panel that the zoomed crop is chosen on: the clean one, else the noisy one."""
        return self.panel("clean" if any(p.key == "clean" for p in self.panels) else "noisy")

    def errors(self) -> dict[str, np.ndarray]:
        """Returns the absolute error of each estimate, float32 H×W in grey levels."""
        clean = self.base.image
        return {key: absolute_error(clean, self.panel(key).image) for key in self.estimates}


def with_error_maps(picture: Picture, scale: int) -> list[Panel]:
    """Returns the picture's panels and, after them, the error map of each estimate."""
    maps = []
    for key, error in picture.errors().items():
        title = "error" if len(picture.estimates) == 1 else f"error of {picture.panel(key).title}"
        note = f"mean {error.mean():.2f} levels"
        maps.append(Panel(f"error-{key}", title, error_map(error, scale), note))
    return [*picture.panels, *maps]


def common_scale(pictures: Sequence[Picture]) -> int:
    """Chooses the scale of all error maps of a report."""
    return error_scale([error for picture in pictures for error in picture.errors().values()])


def picture_section(picture: Picture, scale: int, right: str) -> str:
    """Shows one picture: the wiper over the whole image, and the zoomed crops under it.

    Args:
        picture: what to show.
        scale: end of the error map's scale in grey levels.
        right: key of the panel on the wiper's right side at first; noisy is on its left.
    """
    panels = with_error_maps(picture, scale)
    base = picture.base.image
    box = busiest_box(base)
    height, width = base.shape[:2]
    _, factor = fit(base, _LARGEST)
    name = page.text(picture.name)
    whole, crops = [], []
    for panel in panels:
        small, _ = fit(as_rgb(panel.image), _LARGEST)
        uri = page.data_uri(encode(small, ".jpg"), "jpeg")
        alt = page.text(f"{picture.name}, {panel.title}, whole image")
        whole.append(
            f'<img data-key="{panel.key}" src="{uri}" alt="{alt}"'
            f' width="{small.shape[1]}" height="{small.shape[0]}">'
        )
        # PNG and nearest neighbour: the zoomed pixels are the real ones.
        uri = page.data_uri(encode(box.cut(as_rgb(panel.image)), ".png"), "png")
        alt = page.text(f"{picture.name}, {panel.title}, zoomed crop")
        crops.append(
            f'<button type="button" class="crop" data-key="{panel.key}">'
            f'<img src="{uri}" alt="{alt}" width="{box.width}" height="{box.height}">'
            f"<b>{page.text(panel.title)}</b><span>{page.text(panel.note)}</span></button>"
        )
    size = f"{width}×{height} pixels"
    if factor < 1:
        size += f", shown at {factor:.0%}; the crops are at full resolution"
    pixels = " pixels" if max(height, width) < 160 else ""
    return (
        f'<section class="picture{pixels}" data-width="{_shown_width(height, width)}">'
        f'<div class="head"><h3>{name}</h3><span class="badge">{page.text(picture.badge)}</span>'
        f'<span class="soft">{size}</span></div>'
        f'<div class="views"><div class="viewer"><div class="whole">{"".join(whole)}'
        '<div class="bar"></div>'
        f'<div class="box" style="{_box_style(box, height, width)}"></div>'
        '<span class="tag l"></span><span class="tag r"></span></div>'
        f'<div class="tools">{_select("left", panels, "noisy")}'
        '<input type="range" min="0" max="100" value="50" '
        'aria-label="wipe between left and right">'
        f"{_select('right', panels, right)}</div></div>"
        f'<div class="crops">{"".join(crops)}</div></div></section>'
    )


def _shown_width(height: int, width: int) -> int:
    """Width on the page: large enough to see, never taller than a screen."""
    return max(1, round(min(_SHOWN_WIDTH, 640 * width / height)))


def _box_style(box: Box, height: int, width: int) -> str:
    return (
        f"left:{100 * box.left / width:.2f}%;top:{100 * box.top / height:.2f}%;"
        f"width:{100 * box.width / width:.2f}%;height:{100 * box.height / height:.2f}%"
    )


def _select(side: str, panels: Sequence[Panel], chosen: str) -> str:
    options = "".join(
        f'<option value="{panel.key}"{" selected" if panel.key == chosen else ""}>'
        f"{page.text(panel.title)}</option>"
        for panel in panels
    )
    return f"<label>{side} <select>{options}</select></label>"


def gallery(pictures: Sequence[Picture], right: str) -> str:
    """Shows pictures one under the other, with the scale that their error maps share."""
    if not pictures:
        return ""
    scale = common_scale(pictures)
    bar = page.data_uri(encode(scale_bar(), ".png"), "png")
    legend = (
        f'<div class="scale">error: 0 <img src="{bar}" alt="colours from black over red to pale '
        f'yellow"> {scale} or more of 255 grey levels, |denoised − clean|, mean of the channels'
        "</div>"
    )
    if not any(picture.estimates for picture in pictures):
        legend = ""
    hint = (
        '<p class="soft">Move the pointer over a picture to wipe between two versions of it; click '
        "a crop to put that version on the right. The yellow frame marks the crop, the square with "
        "the most texture.</p>"
    )
    sections = "".join(picture_section(picture, scale, right) for picture in pictures)
    return f"<h2>Pictures</h2>{hint}{legend}{sections}"
