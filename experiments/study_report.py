"""Writes the report of a study: its table (Markdown and CSV) and its chart."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from experiments.study_statistics import NAIVE, Estimate, Line, noise_name, summarise
from gradnet_tf.curves.curve_figure import PALETTE, STYLE
from gradnet_tf.utils.errors import UserError, install_command
from gradnet_tf.utils.files import atomic_path, atomic_write

_STYLE = {**STYLE, "axes.axisbelow": True, "axes.grid.axis": "y"}
_GRAY = "#444444"
_COLUMNS = 3
# In inches: the least width of a panel, the room that a variant's name needs, the whole page.
_PANEL_WIDTH, _VARIANT_WIDTH, _PAGE_WIDTH = 4.4, 0.42, 15.0
# Shortest scale above the baseline, dB, so that differences of hundredths stay small.
_LEAST_REACH = 0.2


def _limits(lines: Sequence[Line]) -> tuple[float, float]:
    """Returns how far the bars of a panel may reach below and above the baseline, dB.

    One variant that loses much more than the best one gains would flatten all other bars, so such
    bars are cut and labeled with their value.
    """
    tops = [line.difference.mean + (line.difference.half_width or 0) for line in lines]
    feet = [line.difference.mean - (line.difference.half_width or 0) for line in lines]
    reach = max(_LEAST_REACH, *tops)
    lowest = min(-0.05 * reach, *feet)  # the baseline is never on the frame
    return (1.1 * lowest if lowest > -reach else -reach), 1.15 * reach


def _panel(axes, lines: Sequence[Line], base: float, colors: dict) -> None:
    """Draws the bars of one test set on a PSNR scale; lengths are differences."""
    variants = list(dict.fromkeys(line.variant for line in lines))
    low, high = _limits(lines)
    width = 0.8 / max(sum(line.variant == variant for line in lines) for variant in variants)
    for place, variant in enumerate(variants):
        own = [line for line in lines if line.variant == variant]
        for number, line in enumerate(own):
            x = place + (number - (len(own) - 1) / 2) * width
            mean, half_width = line.difference.mean, line.difference.half_width
            shown = max(mean, low)
            color = colors[line.gradient]
            axes.bar(x, shown, 0.92 * width, bottom=base, color=color, gid="bar")
            if mean < low:
                text = f"{base + mean:.1f}"
                style = {"ha": "center", "va": "bottom", "rotation": 90, "color": "white"}
                axes.text(x, base + low * 0.97, text, fontsize=8, gid="cut", **style)
            elif half_width is not None:
                bar = {"fmt": "none", "ecolor": _GRAY, "elinewidth": 1.1, "capsize": 2.5}
                axes.errorbar(x, base + mean, half_width, **bar)
    axes.axhline(base, color=_GRAY, linewidth=1.2, linestyle="--", gid="baseline")
    axes.set_ylim(base + low, base + high)
    long = sum(map(len, variants)) > 30
    axes.set_xticks(
        np.arange(len(variants)),
        variants,
        rotation=40 if long else 0,
        ha="right" if long else "center",
        rotation_mode="anchor" if long else "default",
    )
    axes.grid(axis="x", visible=False)


def draw_bars(lines: Sequence[Line], baseline: tuple[str, str], title: str):
    """Draws a panel for each test set and noise.

    A bar runs from the baseline's PSNR, a dashed line, to its own, so its length is the
    difference, paired by seed. Error bars are 95% t-intervals; colors are sources of the gradient.

    Args:
        lines: see `experiments.study_statistics.summarise`.
        baseline: (variant, gradient) that the bars start from.
        title: of the figure.

    Returns:
        A `matplotlib.figure.Figure`; its axes are labelled "set noise".

    Raises:
        UserError: when matplotlib is not installed.
    """
    try:
        from matplotlib import style as styles
        from matplotlib.figure import Figure
        from matplotlib.lines import Line2D
        from matplotlib.patches import Patch
    except ImportError as error:
        raise UserError(
            "the chart is drawn with matplotlib, which is not installed: "
            f"{install_command('matplotlib')}"
        ) from error
    bars = [line for line in lines if line.difference and line.variant != NAIVE]
    places = list(dict.fromkeys((line.test_set, line.noise) for line in bars))
    gradients = list(dict.fromkeys(line.gradient for line in bars))
    colors = {name: PALETTE[index % len(PALETTE)] for index, name in enumerate(gradients)}
    most = max(
        (len({x.variant for x in bars if x.noise == noise}) for _, noise in places), default=0
    )
    panel_width = max(_PANEL_WIDTH, _VARIANT_WIDTH * most + 1)
    columns = max(1, min(_COLUMNS, len(places), int(_PAGE_WIDTH / panel_width)))
    rows = max(1, math.ceil(len(places) / columns))
    columns = max(1, math.ceil(len(places) / rows))  # two and two rather than three and one
    with styles.context(["default", _STYLE]):
        figure = Figure(
            figsize=(panel_width * columns, 3.7 * rows + 0.7), dpi=110, layout="constrained"
        )
        for number, (test_set, noise) in enumerate(places, 1):
            axes = figure.add_subplot(rows, columns, number)
            axes.set_label(f"{test_set} {noise}")
            own = [line for line in bars if (line.test_set, line.noise) == (test_set, noise)]
            base = next(
                line.psnr.mean
                for line in lines
                if (line.variant, line.gradient, line.test_set, line.noise)
                == (*baseline, test_set, noise)
            )
            _panel(axes, own, base, colors)
            axes.set(title=f"{test_set}, {noise_name(noise)}: PSNR (dB)")
        handles = [Patch(color=colors[name], label=name) for name in gradients]
        name = " ".join(part for part in dict.fromkeys(baseline) if part)
        handles.append(Line2D([], [], color=_GRAY, linestyle="--", label=f"baseline: {name}"))
        # Wrap the legend where it would run into the title, at about eleven letters per inch.
        letters = len(title) + sum(len(handle.get_label()) + 7 for handle in handles)
        in_row = len(handles) if letters < 11 * panel_width * columns else 3
        figure.legend(handles=handles, loc="outside upper right", ncols=in_row, frameon=False)
        figure.suptitle(title, x=0.01, ha="left", fontsize=13)
        note = "Bars start at the baseline; whiskers: 95% interval of the difference, over seeds."
        figure.supxlabel(note, x=0.01, ha="left", fontsize=9, color=_GRAY)
        figure.draw_without_rendering()  # creates the ticks in this style
    return figure


NOTE = (
    "PSNR in dB, mean over the images of a set and then over the seeds, ± half of the 95% "
    "t-interval over the seeds. Below it the difference to “{baseline}” under the same seed, "
    "with the interval of that; bold where it excludes zero."
)


def _number(estimate: Estimate, sign: str = "") -> str:
    text = f"{estimate.mean:{sign}.2f}".replace("-", "−")
    return text if estimate.half_width is None else f"{text} ± {estimate.half_width:.2f}"


def _cell(line: Line | None) -> str:
    if line is None:
        return "–"
    if line.difference is None:
        return _number(line.psnr)
    difference = _number(line.difference, "+")
    mark = "**" if line.difference.excludes_zero else ""
    return f"{_number(line.psnr)}<br>{mark}{difference}{mark}"


def label(variant: str, gradient: str) -> str:
    """Returns the name of a configuration for a single column."""
    return variant if gradient in ("none", variant) else f"{variant}, {gradient}"


def markdown_table(lines: Sequence[Line], baseline: tuple[str, str]) -> str:
    """Returns one table: a row for each configuration, a column for each set and noise.

    A cell has the PSNR and below it the difference to the baseline.

    Args:
        lines: see `summarise`.
        baseline: (variant, gradient) of the comparison.
    """
    places = list(dict.fromkeys((line.noise, line.test_set) for line in lines))
    cells = {(line.variant, line.gradient, line.noise, line.test_set): line for line in lines}
    configurations = list(dict.fromkeys((line.variant, line.gradient) for line in lines))
    head = ["variant", "gradient", "parameters"]
    for noise, test_set in places:
        head.append(f"{test_set}, {noise_name(noise)}")
    rows = [head, ["---", "---", "---:"] + ["---:"] * len(places)]
    for variant, gradient in configurations:
        own = [cells.get((variant, gradient, *place)) for place in places]
        params = next(line.params for line in own if line)
        row = [variant, gradient, f"{params:,}"]
        row += [_cell(line) for line in own]
        rows.append(row)
    seeds = sorted({line.psnr.count for line in lines})
    count = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    table = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    note = NOTE.format(baseline=label(*baseline))
    return f"{table}\n\n{note} Seeds: {count}.\n"


def csv_table(lines: Sequence[Line]) -> str:
    """Returns the lines as CSV, numbers unrounded."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    fields = "psnr psnr_half_width seeds difference difference_half_width params seconds".split()
    writer.writerow(["variant", "gradient", "noise", "test_set", *fields])
    for line in lines:
        difference = line.difference or Estimate(None, None, 0)
        writer.writerow(
            [line.variant, line.gradient, line.noise, line.test_set]
            + [line.psnr.mean, line.psnr.half_width, line.psnr.count]
            + [difference.mean, difference.half_width, line.params, round(line.seconds, 1)]
        )
    return text.getvalue()


def write_report(
    study: str, rows: Sequence[dict], output: str | Path, baseline: tuple[str, str]
) -> str:
    """Writes table.md, table.csv and chart.png into the study's folder; returns the table.

    Args:
        study: name of the study, for the chart's title.
        rows: of results.jsonl, at least one.
        output: the study's folder.
        baseline: (variant, gradient) of the comparison.
    """
    lines = summarise(rows, baseline)
    table = markdown_table(lines, baseline)
    atomic_write(Path(output) / "table.md", table)
    atomic_write(Path(output) / "table.csv", csv_table(lines))
    with atomic_path(Path(output) / "chart.png") as path:
        draw_bars(lines, baseline, f"{study.capitalize()} study").savefig(path, format="png")
    return table
