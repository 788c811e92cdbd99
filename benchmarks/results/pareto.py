"""Quality against time of the rows of the results table, as a picture."""

import math
from collections.abc import Sequence
from pathlib import Path

from benchmarks.results.table_models import OURS

# Height of the picture in dB, and the part of it that a line of text needs.
_SPAN, _LINE = 1.5, 0.05
# Width of a character on the axis of times, and of the gap before a label: natural logarithms.
_CHARACTER, _GAP = 0.04, 0.06


def points(
    rows: Sequence[dict], speed: Sequence[dict], dataset: str, sigma: float
) -> list[tuple[float, float, dict]]:
    """Returns (ms per megapixel, PSNR in dB, row) of the timed rows, the fastest first.

    Args:
        rows: rows of results.jsonl.
        speed: rows of speed.json; a model that was timed in several precisions counts with the
            fastest.
        dataset: name of the set.
        sigma: noise level on the 0-255 scale.
    """
    found = []
    for row in rows:
        if (row["dataset"], row["sigma"]) != (dataset, sigma) or row["psnr"] is None:
            continue
        times = [
            each["ms_per_megapixel"]
            for each in speed
            if (each["name"], each["channels"]) == (row["name"], row["channels"])
        ]
        if times:
            found.append((min(times), row["psnr"], row))
    return sorted(found, key=lambda point: point[:2])


def front(found: Sequence[tuple[float, float, dict]]) -> list[tuple[float, float, dict]]:
    """Returns the points that no other beats in time without being worse, the fastest first."""
    kept: list[tuple[float, float, dict]] = []
    for point in sorted(found, key=lambda each: (each[0], -each[1])):
        if not kept or point[1] > kept[-1][1]:
            kept.append(point)
    return kept


def _end(time: float, label: str) -> float:
    """Returns the logarithm of the time at which the label of a point ends."""
    return math.log(time) + _GAP + _CHARACTER * len(label)


def _apart(heights: Sequence[float], times: Sequence[float], labels: Sequence[str]) -> list[float]:
    """Returns where labels stand: near their points, and neither on each other nor on points."""
    starts = [math.log(time) for time in times]
    ends = [_end(time, label) for time, label in zip(times, labels, strict=True)]
    placed: dict[int, float] = {}
    for index in sorted(range(len(heights)), key=heights.__getitem__):
        others = [each for each in range(len(heights)) if each != index]
        taken = [heights[k] for k in others if starts[index] < starts[k] <= ends[index]]
        taken += [
            placed[k] for k in placed if starts[k] <= ends[index] and starts[index] <= ends[k]
        ]
        height = heights[index]
        for other in sorted(taken):
            if abs(other - height) < _LINE * _SPAN:
                height = other + _LINE * _SPAN
        placed[index] = height
    return [placed[index] for index in range(len(heights))]


def draw(found: Sequence[tuple[float, float, dict]], title: str, note: str, path: Path) -> None:
    """Draws the points of a set, ours dark, with a line through the front.

    Args:
        found: from `points`.
        title: name of the set and the noise level.
        note: how the time was measured, below the picture.
        path: PNG file.
    """
    import textwrap

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    figure, axes = pyplot.subplots(figsize=(8, 5))
    line = front(found)
    # Far worse rows stand at the lower edge, with their score: the others would be one spot.
    floor = max(p[1] for p in found) - _SPAN
    shown = [(ms, max(psnr, floor), psnr, row) for ms, psnr, row in found]
    steps = [max(p[1], floor) for p in line]
    axes.step([p[0] for p in line], steps, where="post", color="#d0d0d0", zorder=0)
    labels = [
        f"{row['model']}, {psnr:.2f} dB" if psnr < floor else row["model"]
        for _, _, psnr, row in shown
    ]
    times = [ms for ms, *_ in shown]
    heights = _apart([height for _, height, *_ in shown], times, labels)
    for (ms, height, psnr, row), text, words in zip(shown, heights, labels, strict=True):
        color = "#1f5f8b" if row["group"] == OURS else "#909090"
        axes.scatter([ms], [height], color=color, marker="v" if psnr < floor else "o")
        label = axes.annotate(
            words,
            (ms, height),
            (ms * math.exp(_GAP), text),
            color=color,
            fontsize=8,
            va="center",
            arrowprops={"arrowstyle": "-", "color": color, "lw": 0.4},
        )
        label.set_in_layout(False)
    axes.set_xscale("log")
    axes.set_xlim(0.6 * min(times), math.exp(max(map(_end, times, labels))))
    axes.set_ylim(min(height for _, height, *_ in shown) - 0.15, max(heights) + 0.15)
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
    axes.set_xlabel("milliseconds per megapixel")
    axes.set_ylabel("PSNR, dB")
    axes.set_title(title)
    figure.text(0.01, 0.005, "\n".join(textwrap.wrap(note, 130)), fontsize=6, color="#606060")
    figure.tight_layout(rect=(0, 0.04, 1, 1))
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
