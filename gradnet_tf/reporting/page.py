"""Renders self-contained HTML reports from `templates/`.

All reports extend `templates/base.html`, which needs `title`, `subtitle` and `numbers`, and uses
report.css and report.js. Jinja escapes the values.
"""

import base64
import functools
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2

#: Identifies our pages by their first bytes.
MADE_BY = '<meta name="generator" content="GradNet-TF">'


def render(template: str, **values: Any) -> str:
    """Renders a file of `templates/`; missing values are an error."""
    return _environment().get_template(template).render(made_by=MADE_BY, **values)


def embedded(
    data: bytes, kind: str, size: tuple[int, int], alt: str, key: str = "", shown: str = ""
) -> dict[str, Any]:
    """Describes an image for the macro `img`.

    Args:
        data: the encoded image.
        kind: `png` or `jpeg`.
        size: height and width in pixels.
        alt: what it shows, in words.
        key: its key in report.js.
        shown: CSS classes: "on" if it is visible, "on right" on the right of the divider.
    """
    source = f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"
    return dict(key=key, shown=shown, src=source, alt=alt, height=size[0], width=size[1])


def frame_style(box, height: int, width: int) -> str:
    """Returns the CSS of the frame of a `figures.Box` on a picture of the given size."""
    return (
        f"left:{100 * box.left / width:.2f}%;top:{100 * box.top / height:.2f}%;"
        f"width:{100 * box.width / width:.2f}%;height:{100 * box.height / height:.2f}%"
    )


def picture_style(shown_width: float, height: int, width: int) -> str:
    """Returns the CSS variables of a picture: its width on the page and its aspect ratio."""
    return f"--width:{max(1, round(shown_width))}px;--ratio:{width}/{height}"


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates", encoding="utf-8"),
        autoescape=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["fixed"] = _fixed
    environment.filters["address"] = quote
    return environment


def _fixed(value: float | None, decimals: int, missing: str) -> str:
    return missing if value is None else f"{value:.{decimals}f}"
