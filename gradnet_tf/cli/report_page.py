"""The page of `--report`: sliders over photographs before and after, and a table of all files."""

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from gradnet_tf.cli.before_after import LARGEST, Comparison, Crop
from gradnet_tf.reporting import page

_SHOWN_WIDTH, _SHOWN_HEIGHT = 1080, 720
_ZOOMS = (100, 200, 300)

_STYLE = """
.pair { border-top: 1px solid var(--line); padding: 1.25rem 0 1.75rem; }
.pair.live .whole { min-height: 2rem; }
.zooms { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
.zoom { max-width: 100%; margin: 0; } .zoom figcaption { font-size: .875rem; margin-top: .3rem; }
.zoom .view { overflow-x: auto; }
.zoom .whole { grid-template-columns: repeat(2, auto); justify-content: start; }
.zoom .whole, .zoom .whole img { image-rendering: pixelated; }
.live .zoom .whole { width: calc(var(--w) * var(--zoom, 2) * 1px); max-width: none;
  height: calc(var(--h) * var(--zoom, 2) * 1px); border-radius: 4px; }
.pair:focus-within .bar { box-shadow: 0 0 0 1px var(--accent); }
.tools button { font: inherit; color: inherit; background: var(--card); padding: .1rem .6rem;
  border: 1px solid var(--line); border-radius: 6px; cursor: pointer; }
td.text { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 12rem; }
"""

_SCRIPT = """
for (const pair of document.querySelectorAll('.pair')) {
  const range = pair.querySelector('input');
  const zoom = pair.querySelector('select');
  const show = () => pair.style.setProperty('--cut', range.value + '%');
  range.addEventListener('input', show);
  for (const button of pair.querySelectorAll('button')) {
    button.addEventListener('click', () => { range.value = button.value; show(); });
  }
  zoom?.addEventListener('change', () => pair.style.setProperty('--zoom', zoom.value / 100));
  for (const area of pair.querySelectorAll('.whole')) {
    const drag = event => {
      const place = area.getBoundingClientRect();
      range.value = 100 * (event.clientX - place.left) / place.width;
      show();
    };
    area.addEventListener('pointerdown', event => {
      area.setPointerCapture(event.pointerId);
      range.focus({preventScroll: true});
      drag(event);
    });
    area.addEventListener('pointermove', event => { if (event.buttons) drag(event); });
  }
  pair.classList.add('live');
  show();
}
"""


@dataclasses.dataclass(frozen=True)
class Row:
    """What became of one file.

    Attributes:
        name: of the file, as it was found.
        state: "written", "skipped" or "failed".
        reason: why it failed.
        model: what denoised it.
        settings: such as "strength 0.7".
        seconds: for denoising, encoding and writing.
        comparison: what is shown of it, if it is shown.
    """

    name: str
    state: str
    reason: str = ""
    model: str = ""
    settings: str = ""
    seconds: float | None = None
    comparison: Comparison | None = None


def settings_text(settings: Mapping[str, Any]) -> str:
    """Writes settings for people, less the models and what is left as it is by default."""
    usual = {"strength": None, "luma": 1.0, "chroma": 1.0, "self_ensemble": False}
    shown = []
    for key, value in settings.items():
        if key in ("model", "sha256", "gray") or value is None or value == usual.get(key):
            continue
        name = key.replace("_", "-")
        shown.append(name if value is True else f"{name} {value:g}")
    return ", ".join(shown)


def report_page(
    rows: Sequence[Row],
    summary: str,
    settings: Mapping[str, Any],
    names: tuple[str, str],
    command: Sequence[str] = (),
) -> str:
    """Returns the page as text; nothing in it comes from elsewhere.

    Args:
        rows: one a file.
        summary: the line that ends the command's output.
        settings: of the run.
        names: models of colour and of grey pictures.
        command: what was typed.
    """
    shown = [row for row in rows if row.comparison]
    counts = {state: sum(row.state == state for row in rows) for state in _STATES}
    more = len(rows) - counts["failed"] - len(shown)
    body = (
        '<header><h1>Denoised photographs</h1><p class="soft">'
        f"{page.text(_models(names))} · {page.text(settings_text(settings))}</p></header>"
        f"{page.tiles([(str(count), state) for state, count in counts.items()])}"
        f'<p class="soft">{page.text(summary)}</p>'
        f"{_hint(len(shown), more)}{''.join(map(_section, shown))}"
        f"<h2>Every file</h2>{_table(rows)}{_origin(settings, names, command)}"
    )
    return page.document("Denoised photographs", body, _STYLE, _SCRIPT)


_STATES = ("written", "skipped", "failed")


def _models(names: tuple[str, str]) -> str:
    colour, grey = names
    return colour if grey == colour else f"{colour}, grey pictures {grey}"


def _hint(shown: int, more: int) -> str:
    if not shown:
        return ""
    rest = f" The first {shown} photographs are shown; {more} more are in the table." * (more > 0)
    return (
        '<h2>Before and after</h2><p class="soft">Drag over a picture, or use the arrow keys on '
        "the slider under it: left of the line is before, right of it after. Whole pictures are "
        f"shrunk to {LARGEST} pixels, which hides noise; the crops are at full resolution.{rest}"
        "</p>"
    )


def _section(row: Row) -> str:
    seen = row.comparison
    name = page.text(row.name)
    # A few pixels are shown large enough to see, and no larger.
    most = min(_SHOWN_WIDTH, _SHOWN_HEIGHT * seen.width / seen.height, max(160, 8 * seen.width))
    width = max(1, round(most))
    pixels = " pixels" if max(seen.size) < 160 else ""
    crops = "".join(_crop(row.name, crop) for crop in seen.crops)
    options = "".join(
        f'<option value="{zoom}"{" selected" if zoom == 200 else ""}>{zoom}%</option>'
        for zoom in _ZOOMS
    )
    zooms = f"<label>crops at <select>{options}</select></label>" if crops else ""
    crops = f'<div class="zooms">{crops}</div>' if crops else ""
    return (
        f'<section class="pair{pixels}"><div class="head"><h3>{name}</h3>'
        f'<span class="badge">{_badge(row)}</span><span class="soft">{_facts(seen)}</span></div>'
        f'<p class="soft">{page.text(_done(row))}</p>'
        f'<div class="whole" style="width:{width}px;aspect-ratio:{seen.size[1]}/{seen.size[0]}">'
        f"{_images(row.name, 'whole picture', seen.before, seen.after, 'jpeg', seen.size)}"
        '<div class="bar"></div><span class="tag l">before</span><span class="tag r">after</span>'
        f"{''.join(_frame(crop, seen) for crop in seen.crops)}</div>"
        '<div class="tools"><button type="button" value="100">before</button>'
        '<input type="range" min="0" max="100" step="any" value="50" '
        f'aria-label="line between before and after, {name}">'
        '<button type="button" value="0">after</button>'
        f"{zooms}</div>{crops}</section>"
    )


def _badge(row: Row) -> str:
    return "made earlier" if row.state == "skipped" else row.state


def _facts(seen: Comparison) -> str:
    text = f"{seen.width}×{seen.height} pixels, {seen.kind}"
    if seen.size != (seen.height, seen.width):
        text += f", shown at {seen.size[1] / seen.width:.0%}"
    return text + (f", shown {seen.gain:.1f} times brighter" if seen.gain > 1 else "")


def _done(row: Row) -> str:
    before, after = row.comparison.sigma
    words = [
        row.model,
        row.settings,
        f"estimated noise level {before:.1f} before, {after:.1f} after",
    ]
    if row.seconds is not None:
        words.append(f"{row.seconds:.1f} s")
    return " · ".join(filter(None, words))


def _images(name: str, part: str, before: bytes, after: bytes, kind: str, size) -> str:
    images = []
    for side, data, style in (("before", before, "on"), ("after", after, "on right")):
        alt = page.text(f"{name}, {part}, {side}")
        images.append(
            f'<img class="{style}" src="{page.data_uri(data, kind)}" alt="{alt}" '
            f'width="{size[1]}" height="{size[0]}" decoding="async" draggable="false">'
        )
    return "".join(images)


def _frame(crop: Crop, seen: Comparison) -> str:
    box = crop.box
    return (
        f'<div class="box" style="left:{100 * box.left / seen.width:.2f}%;'
        f"top:{100 * box.top / seen.height:.2f}%;width:{100 * box.width / seen.width:.2f}%;"
        f'height:{100 * box.height / seen.height:.2f}%"></div>'
    )


def _crop(name: str, crop: Crop) -> str:
    size = crop.box.height, crop.box.width
    return (
        f'<figure class="zoom" style="--w:{size[1]};--h:{size[0]}"><div class="view">'
        f'<div class="whole">{_images(name, crop.title, crop.before, crop.after, "png", size)}'
        f'<div class="bar"></div></div></div><figcaption>{page.text(crop.title)} '
        f'<span class="soft">{size[1]}×{size[0]} pixels</span></figcaption></figure>'
    )


def _table(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        seen = row.comparison
        before, after = seen.sigma if seen else (None, None)
        what = f"{_badge(row)}: {row.reason}" if row.reason else _badge(row)
        mark = ' class="warn"' if row.state == "failed" else ""
        lines.append(
            [
                page.text(row.name),
                f"<span{mark}>{page.text(what)}</span>",
                (f"{seen.width}×{seen.height}", seen.width * seen.height) if seen else ("", None),
                *_numbers(before, after, row.seconds),
                page.text(row.model),
            ]
        )
    head = ["file", "result", "pixels", "noise before", "after", "seconds", "model"]
    return page.table(head, lines)


def _numbers(*values: float | None) -> list[tuple[str, float | None]]:
    return [("" if value is None else f"{value:.1f}", value) for value in values]


def _origin(settings, names, command) -> str:
    items = [("model", _models(names))]
    items += [
        (key.replace("_", "-"), str(value))
        for key, value in settings.items()
        if key != "model" and value is not None
    ]
    typed = f"<pre>{page.text(shlex.join(command))}</pre>" if command else ""
    return (
        "<h2>How this was made</h2><details><summary>Command and settings</summary>"
        f"{typed}{page.facts(items)}"
        '<p class="soft">The noise level is the standard deviation of white noise, estimated '
        "from the finest diagonal details, on the 0–255 scale; fine texture counts as noise. "
        "Before and after are shown as they were before a lossy format stored them, except for "
        "pictures made earlier, which are read from their files.</p></details>"
    )
