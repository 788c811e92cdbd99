"""A small chart of the scores of all images, drawn as SVG."""

import math
from collections.abc import Sequence
from typing import Any

_WIDTH, _HEIGHT = 1080, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 30, 26
_SERIES = (("noisy", "psnr_noisy"), ("naive", "psnr_naive"), ("denoised", "psnr"))


def score_chart(rows: Sequence[dict[str, Any]]) -> str:
    """Draws the PSNR of every image, ordered by the denoised one: noisy, naive and denoised.

    Args:
        rows: `images` of a result.

    Returns:
        An SVG element; nothing for fewer than four images with scores.
    """
    rows = [row for row in rows if row["psnr"] is not None]
    if len(rows) < 4:
        return ""
    rows.sort(key=lambda row: row["psnr"])
    values = [row[key] for row in rows for _, key in _SERIES if row[key] is not None]
    low, high = math.floor(min(values)), math.ceil(max(values))
    high = max(high, low + 1)
    step = next(step for step in (1, 2, 5, 10, 20, 50) if (high - low) / step <= 8)
    plot_width, plot_height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def x(position: int) -> float:
        return _LEFT + plot_width * (position + 0.5) / len(rows)

    def y(value: float) -> float:
        return _TOP + plot_height * (high - value) / (high - low)

    parts = []
    for level in range(-(-low // step) * step, high + 1, step):
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(level):.1f}" y2="{y(level):.1f}"/>'
            f'<text x="{_LEFT - 8}" y="{y(level) + 4:.1f}" text-anchor="end">{level}</text>'
        )
    radius = max(2.0, min(4.5, 0.3 * plot_width / len(rows)))
    for position, row in enumerate(rows):
        shown = [(name, row[key]) for name, key in _SERIES if row[key] is not None]
        heights = [y(value) for _, value in shown]
        title = ", ".join(f"{name} {value:.2f} dB" for name, value in shown)
        dots = "".join(
            f'<circle class="dot-{name}" cx="{x(position):.1f}" cy="{y(value):.1f}" '
            f'r="{radius:.1f}"/>'
            for name, value in shown
        )
        parts.append(
            f"<g><title>{_text(row['name'])}: {title}</title>"
            f'<line class="span" x1="{x(position):.1f}" x2="{x(position):.1f}" '
            f'y1="{min(heights):.1f}" y2="{max(heights):.1f}"/>{dots}</g>'
        )
    parts.append(_legend(rows))
    label = f"PSNR of {len(rows)} images in dB, from the worst to the best denoised"
    parts.append(
        f'<text x="{_LEFT + plot_width / 2}" y="{_HEIGHT - 6}" text-anchor="middle">{label}</text>'
    )
    return (
        f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">'
        f"{''.join(parts)}</svg>"
    )


def _legend(rows: Sequence[dict[str, Any]]) -> str:
    parts, left = [], _LEFT
    for name, key in _SERIES:
        if any(row[key] is not None for row in rows):
            parts.append(
                f'<circle class="dot-{name}" cx="{left + 6}" cy="12" r="4.5"/>'
                f'<text x="{left + 16}" y="16">{name}</text>'
            )
            left += 96
    return "".join(parts)


def _text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
