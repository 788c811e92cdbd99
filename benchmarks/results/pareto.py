"""Quality against time of the rows of the results table, as a picture."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.results.table_models import OURS


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
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5))
    line = front(found)
    axes.step([p[0] for p in line], [p[1] for p in line], where="post", color="#d0d0d0", zorder=0)
    for ms, psnr, row in found:
        color = "#1f5f8b" if row["group"] == OURS else "#909090"
        axes.scatter([ms], [psnr], color=color)
        axes.annotate(
            row["model"], (ms, psnr), (5, 4), textcoords="offset points", color=color, fontsize=8
        )
    axes.set_xscale("log")
    axes.margins(x=0.25, y=0.1)
    axes.set_xlabel("milliseconds per megapixel")
    axes.set_ylabel("PSNR, dB")
    axes.set_title(title)
    figure.text(0.01, 0.005, "\n".join(textwrap.wrap(note, 130)), fontsize=6, color="#606060")
    figure.tight_layout(rect=(0, 0.04, 1, 1))
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
