"""Writes the table (Markdown and CSV) and the chart of a study's results."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from experiments.tables.statistics import Estimate
from experiments.tables.study_chart import draw_bars
from experiments.tables.summary import Line, noise_name, summarise
from gradnet_tf.utils.files import atomic_path, atomic_write

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
    """Returns how a configuration is written in one column."""
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
        study: names it in the chart.
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
