"""The frame of the HTML pages: style, script and small building blocks, nothing from outside."""

import base64
import html
from collections.abc import Sequence

STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --soft: #5d646d; --paper: #ffffff;
  --card: #f5f6f8; --line: #dcdfe4; --accent: #0b66c3; --noisy: #8a929c; --naive: #b26a00;
  --denoised: #0b66c3; --warn: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e8eb; --soft: #9aa3ad; --paper: #14171a;
  --card: #1e2226; --line: #363c43; --accent: #6cb2ff; --noisy: #8f98a3; --naive: #e8a33d;
  --denoised: #6cb2ff; --warn: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 2rem 1.25rem 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 1.25rem; margin: 2.75rem 0 .75rem; }
h3 { font-size: 1.05rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .4rem 0; } .soft { color: var(--soft); } .warn { color: var(--warn); }
a { color: var(--accent); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: .75rem;
  margin: 1.5rem 0; }
.tile { background: var(--card); border-radius: 10px; padding: .8rem .9rem; }
.tile b { display: block; font-size: 1.5rem; line-height: 1.3; white-space: nowrap;
  font-weight: 650; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: .875rem; }
.tile.lead b { color: var(--accent); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
  font-size: .925rem; }
th, td { padding: .35rem .7rem; text-align: right; border-bottom: 1px solid var(--line);
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
thead th { color: var(--soft); font-weight: 600; vertical-align: bottom; }
thead button { all: unset; cursor: pointer; } thead button:focus-visible { outline: 2px solid; }
thead th[aria-sort=ascending] button::after { content: " \\2191"; }
thead th[aria-sort=descending] button::after { content: " \\2193"; }
tfoot td { font-weight: 650; border-bottom: 0; } tbody tr:hover { background: var(--card); }
.picture { border-top: 1px solid var(--line); padding: 1.25rem 0 1.75rem; }
.head { display: flex; flex-wrap: wrap; gap: .25rem .75rem; align-items: baseline;
  margin-bottom: .6rem; }
.badge { background: var(--card); border: 1px solid var(--line); border-radius: 99px;
  padding: 0 .6rem; font-size: .8rem; color: var(--soft); }
.whole { display: grid; grid-template-columns: repeat(auto-fit, minmax(240px, 1fr)); gap: .5rem; }
.whole img { width: 100%; display: block; }
.live .whole { display: block; position: relative; overflow: hidden; border-radius: 8px;
  max-width: 100%; touch-action: pan-y; cursor: ew-resize; background: var(--card); }
.live .whole img { position: absolute; inset: 0; height: 100%; visibility: hidden;
  user-select: none; -webkit-user-drag: none; }
.live .whole img.on { visibility: visible; }
.live .whole img.right { clip-path: inset(0 0 0 var(--cut)); }
.pixels img { image-rendering: pixelated; }
.whole .bar, .whole .box, .whole .tag { display: none; }
.live .whole .bar { display: block; position: absolute; top: 0; bottom: 0; left: var(--cut);
  width: 2px; margin-left: -1px; background: #fff; box-shadow: 0 0 4px #000a; }
.live .whole .box { display: block; position: absolute; border: 1.5px solid #ffc400;
  box-shadow: 0 0 2px #000; pointer-events: none; }
.live .whole .tag { display: block; position: absolute; bottom: .6rem; padding: .1rem .55rem;
  border-radius: 6px; background: #000a; color: #fff; font-size: .8rem; pointer-events: none; }
.tag.l { left: .6rem; } .tag.r { right: .6rem; }
.tools { display: none; } .live .tools { display: flex; flex-wrap: wrap; gap: .4rem 1rem;
  align-items: center; margin: .5rem 0 .9rem; font-size: .875rem; color: var(--soft);
  width: 0; min-width: 100%; }
.tools input { flex: 1 1 6rem; max-width: 22rem; accent-color: var(--accent); }
select { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line);
  border-radius: 6px; padding: .1rem .3rem; }
.views { display: flex; flex-wrap: wrap; gap: .75rem 1.25rem; align-items: flex-start; }
.viewer { flex: 0 1 auto; min-width: 0; max-width: 100%; }
.crops { flex: 1 1 320px; display: grid; gap: .9rem .75rem; align-items: start;
  grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); }
.crop { all: unset; display: block; font-size: .875rem; } .live .crop { cursor: pointer; }
.crop img { display: block; width: 100%; height: auto; border-radius: 6px;
  image-rendering: pixelated; }
.live .crop:hover img, .crop:focus-visible img { outline: 2px solid var(--accent);
  outline-offset: 2px; }
.crop b { display: block; margin-top: .3rem; overflow-wrap: anywhere; }
.crop span { color: var(--soft); font-variant-numeric: tabular-nums; }
.scale { display: flex; align-items: center; gap: .5rem; font-size: .8rem; color: var(--soft);
  margin: .8rem 0 1.25rem; } .scale img { width: 160px; height: 10px; border-radius: 3px; }
.chart { width: 100%; height: auto; display: block; margin-bottom: 1rem; }
.chart text { fill: var(--soft);
  font-size: 12px; } .chart line { stroke: var(--line); }
.dot-noisy { fill: var(--noisy); } .dot-naive { fill: var(--naive); }
.dot-denoised { fill: var(--denoised); } .chart .span { stroke: var(--line); stroke-width: 2; }
details { background: var(--card); border-radius: 10px; padding: .7rem 1rem; }
summary { cursor: pointer; font-weight: 600; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; margin: .6rem 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .6rem 0 0;
  font-size: .875rem; } dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
"""

SCRIPT = """
for (const viewer of document.querySelectorAll('.picture')) {
  const whole = viewer.querySelector('.whole');
  const range = viewer.querySelector('input');
  const [left, right] = viewer.querySelectorAll('select');
  const images = [...whole.querySelectorAll('img')];
  const first = images[0];
  whole.style.aspectRatio = first.getAttribute('width') + '/' + first.getAttribute('height');
  whole.style.width = viewer.dataset.width + 'px';
  const show = () => {
    for (const image of images) {
      image.className = '';
      if (image.dataset.key === left.value) image.classList.add('on');
      if (image.dataset.key === right.value) image.classList.add('on', 'right');
    }
    const onTop = images.find(image => image.dataset.key === right.value);
    whole.insertBefore(onTop, whole.querySelector('.bar'));
    whole.style.setProperty('--cut', range.value + '%');
    const name = select => select.options[select.selectedIndex].text;
    viewer.querySelector('.tag.l').textContent = name(left);
    viewer.querySelector('.tag.r').textContent = name(right);
  };
  const drag = event => {
    const area = whole.getBoundingClientRect();
    range.value = 100 * (event.clientX - area.left) / area.width;
    show();
  };
  range.addEventListener('input', show);
  left.addEventListener('change', show);
  right.addEventListener('change', show);
  whole.addEventListener('pointerdown', event => {
    whole.setPointerCapture(event.pointerId);
    drag(event);
  });
  whole.addEventListener('pointermove', event => {
    if (event.pointerType === 'mouse' || event.buttons) drag(event);
  });
  for (const crop of viewer.querySelectorAll('.crop')) {
    crop.addEventListener('click', () => {
      right.value = crop.dataset.key;
      if (+range.value > 90) range.value = 50;
      show();
    });
  }
  viewer.classList.add('live');
  show();
}
for (const table of document.querySelectorAll('table.sortable')) {
  table.querySelectorAll('thead th').forEach((head, column) => {
    head.querySelector('button').addEventListener('click', () => {
      const up = head.getAttribute('aria-sort') === 'descending';
      for (const other of table.querySelectorAll('thead th')) other.removeAttribute('aria-sort');
      head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      const value = row => {
        const text = row.cells[column].dataset.value ?? row.cells[column].textContent;
        return column ? (text === '' ? -Infinity : +text) : text;
      };
      const rows = [...table.tBodies[0].rows].sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        return (x < y ? -1 : x > y ? 1 : 0) * (up ? 1 : -1);
      });
      table.tBodies[0].append(...rows);
    });
  });
}
"""

#: Tells our pages from other people's, within their first bytes.
MADE_BY = '<meta name="generator" content="GradNet-TF">'

text = html.escape


def data_uri(data: bytes, kind: str) -> str:
    """Embeds an encoded image (`kind` is `png` or `jpeg`) in an address."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def document(title: str, body: str, style: str = "", script: str = "") -> str:
    """Returns a whole page, with more style and script than all have where they are given."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{MADE_BY}\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}{style}</style>\n</head>\n<body>\n{body}\n"
        f"<script>{SCRIPT}{script}</script>\n</body>\n</html>\n"
    )


def tiles(items: Sequence[tuple[str, str]]) -> str:
    """Shows numbers large, each with what it is; the first one stands out."""
    cells = [
        f'<div class="tile{" lead" if position == 0 else ""}"><b>{text(value)}</b>'
        f"<span>{text(label)}</span></div>"
        for position, (value, label) in enumerate(items)
    ]
    return f'<div class="tiles">{"".join(cells)}</div>'


def table(head: Sequence[str], rows: Sequence[Sequence], foot: Sequence | None = None) -> str:
    """Makes a table that a click on a column's title sorts.

    Args:
        head: column titles.
        rows: cells; a tuple is (shown text, sort value), a string is both. Cells hold HTML.
        foot: a last row that stays at the bottom.
    """

    def cell(item) -> str:
        if isinstance(item, tuple):
            shown, value = item
            value = "" if value is None else value
            return f'<td data-value="{value}">{shown}</td>'
        return f"<td>{item}</td>"

    titles = "".join(
        f'<th scope="col"><button type="button">{text(title)}</button></th>' for title in head
    )
    lines = "".join(f"<tr>{''.join(map(cell, row))}</tr>\n" for row in rows)
    last = f"<tfoot><tr>{''.join(map(cell, foot))}</tr></tfoot>" if foot else ""
    return (
        f'<div class="scroll"><table class="sortable"><thead><tr>{titles}</tr></thead>\n'
        f"<tbody>{lines}</tbody>{last}</table></div>"
    )


def facts(items: Sequence[tuple[str, str]]) -> str:
    """Makes a list of names and values."""
    return (
        "<dl>"
        + "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in items)
        + "</dl>"
    )
