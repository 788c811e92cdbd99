"""Writes the table (Markdown and CSV) and the chart of the recipe study."""

import csv
import dataclasses
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.recipe_variants import (
    BASELINE,
    EQUAL_STEPS,
    EQUAL_TIME,
    SAME_COST,
    VARIANTS,
)
from experiments.study_report import draw_bars
from experiments.study_statistics import summarise
from gradnet_tf.utils.errors import UserError
from gradnet_tf.utils.files import atomic_path, atomic_write

MEAN = "mean"
_SHOWN = {"cbsd68": "CBSD68", "free_photos": "photos"}
NOTE = (
    "PSNR in dB: the mean over the images of a set, then over the seeds, ± the standard deviation "
    "from seed to seed. “Mean” is that of the columns before it. Differences are to “{baseline}” "
    "under the same seed, with the number of seeds in which the variant is better. “Step” is the "
    "CPU time of a step relative to the baseline's; at equal time a variant has as many steps as "
    "take the baseline's CPU time, and no run of its own where a step costs the same. “–”: not run."
)


@dataclasses.dataclass(frozen=True)
class Scores:
    """The scores of one variant in one column.

    Attributes:
        by_seed: PSNR in dB.
        baseline: the baseline's, by seed.
    """

    by_seed: Mapping[int, float]
    baseline: Mapping[int, float]

    @property
    def mean(self) -> float:
        """The mean over the seeds, dB."""
        return float(np.mean(list(self.by_seed.values())))

    @property
    def spread(self) -> float | None:
        """The standard deviation from seed to seed, dB; `None` with a single seed."""
        values = list(self.by_seed.values())
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    @property
    def differences(self) -> list[float]:
        """The gain over the baseline for each seed that both have, dB."""
        return [
            value - self.baseline[seed]
            for seed, value in sorted(self.by_seed.items())
            if seed in self.baseline
        ]


def scores_of(rows: Sequence[dict], variant: str, compared: str, column: str) -> Scores | None:
    """Returns the scores of a variant in a column; `None` if it has no run.

    Args:
        rows: of results.jsonl.
        variant: its name.
        compared: "equal steps" or "equal time".
        column: "SET σ = LEVEL", or "mean" for the mean over all of them.
    """

    def by_seed(name: str, kind: str) -> dict[int, float]:
        return {
            row["seed"]: (
                float(np.mean(list(row["psnr"].values())))
                if column == MEAN
                else row["psnr"][column]
            )
            for row in rows
            if (row["variant"], row["compared"]) == (name, kind)
        }

    own = by_seed(variant, compared)
    return Scores(own, by_seed(BASELINE, EQUAL_STEPS)) if own else None


def _number(scores: Scores | None) -> str:
    if scores is None:
        return "–"
    return f"{scores.mean:.2f}" + ("" if scores.spread is None else f" ± {scores.spread:.2f}")


def _difference(scores: Scores | None) -> str:
    if scores is None or not scores.differences:
        return "–"
    found = scores.differences
    text = f"{np.mean(found):+.2f}".replace("-", "−")
    return f"{text} ({sum(value > 0 for value in found)} of {len(found)})"


def _variants(rows: Sequence[dict]) -> list[str]:
    there = {row["variant"] for row in rows}
    return [variant.name for variant in VARIANTS if variant.name in there]


def _columns(rows: Iterable[dict]) -> list[str]:
    return list(dict.fromkeys(column for row in rows for column in row["psnr"]))


def recipe_table(rows: Sequence[dict], step_times: Mapping[str, Mapping[str, float]]) -> str:
    """Returns the table in Markdown, with a note on how to read it.

    Args:
        rows: of results.jsonl.
        step_times: CPU seconds of a step of the variant and of the baseline, by `Variant.cost`.
    """
    columns = _columns(rows)
    head = ["variant", "step"]
    for column in columns:
        name, _, level = column.partition(" ")
        head.append(f"{_SHOWN.get(name, name)}, {level}")
    head += ["mean", "difference", "PSNR at equal time", "difference"]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)]
    costs = {variant.name: variant.cost for variant in VARIANTS}
    for variant in _variants(rows):
        cells = [scores_of(rows, variant, EQUAL_STEPS, column) for column in [*columns, MEAN]]
        times = step_times.get(costs[variant])
        apart = scores_of(rows, variant, EQUAL_TIME, MEAN)
        same_cost = not times or abs(times["variant"] / times["baseline"] - 1) < SAME_COST
        at_time = cells[-1] if same_cost and apart is None else apart
        own = variant == BASELINE
        lines.append(
            [
                variant,
                f"{times['variant'] / times['baseline']:.2f}" if times else "1",
                *(_number(cell) for cell in cells),
                "" if own else _difference(cells[-1]),
                _number(at_time),
                "" if own else _difference(at_time),
            ]
        )
    seeds = len({row["seed"] for row in rows})
    steps = max(row["steps"] for row in rows if row["compared"] == EQUAL_STEPS)
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    note = NOTE.format(baseline=BASELINE)
    return f"{table}\n\n{note} Steps: {steps}. Seeds: {seeds}.\n"


def recipe_csv(rows: Sequence[dict]) -> str:
    """Returns CSV with a line for each variant, comparison and column, numbers unrounded."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        "variant compared column psnr spread difference seeds steps train_seconds".split()
    )
    for variant in _variants(rows):
        for compared in (EQUAL_STEPS, EQUAL_TIME):
            own = [r for r in rows if (r["variant"], r["compared"]) == (variant, compared)]
            for column in [*_columns(own), MEAN] if own else []:
                scores = scores_of(rows, variant, compared, column)
                found = scores.differences
                writer.writerow(
                    [variant, compared, column, scores.mean, scores.spread]
                    + [float(np.mean(found)) if found else None, len(own), own[0]["steps"]]
                    + [round(float(np.mean([row["train_seconds"] for row in own])), 1)]
                )
    return text.getvalue()


def _as_study_rows(rows: Sequence[dict]) -> list[dict]:
    """Returns the rows in the form of the other studies: one for each σ, with scores by set."""
    made = []
    for row in rows:
        by_level: dict[str, dict[str, float]] = {}
        for column, value in row["psnr"].items():
            name, _, level = column.partition(" σ = ")
            by_level.setdefault(level, {})[name] = value
        made += [
            {**row, "gradient": row["compared"], "noise": level, "psnr": psnr}
            for level, psnr in by_level.items()
        ]
    return made


def write_recipe_report(
    rows: Sequence[dict], step_times: Mapping[str, Mapping[str, float]], output: str | Path
) -> str:
    """Writes table.md, table.csv and chart.png into the study's folder; returns the table.

    Args:
        rows: of results.jsonl.
        step_times: see `recipe_table`.
        output: the study's folder.

    Raises:
        UserError: when the baseline has no run.
    """
    if BASELINE not in _variants(rows):
        raise UserError(
            f"--output={output} has no run of the recipe study's baseline ({BASELINE}).\n"
            "Use the folder of a recipe study."
        )
    table = recipe_table(rows, step_times)
    atomic_write(Path(output) / "table.md", table)
    atomic_write(Path(output) / "table.csv", recipe_csv(rows))
    baseline = (BASELINE, EQUAL_STEPS)
    # In the order of the table, not of the runs.
    place = {variant.name: number for number, variant in enumerate(VARIANTS)}
    ordered = sorted(rows, key=lambda row: place[row["variant"]])
    lines = summarise(_as_study_rows(ordered), baseline)
    with atomic_path(Path(output) / "chart.png") as path:
        draw_bars(lines, baseline, "Recipe study").savefig(path, format="png")
    return table
