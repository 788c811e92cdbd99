"""The rows of a study's table: means over seeds with 95% t-intervals, differences by seed."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: of the values.
        half_width: of the 95% t-interval; `None` with a single value.
        count: number of values.
    """

    mean: float
    half_width: float | None
    count: int

    @property
    def excludes_zero(self) -> bool:
        """Whether zero is outside the interval."""
        return self.half_width is not None and abs(self.mean) > self.half_width


def t_quantile(degrees: int) -> float:
    """Returns t with P(|T| < t) = 95% of Student's distribution.

    Raises:
        ValueError: for fewer than one degree of freedom.
    """
    if degrees < 1:
        raise ValueError(f"`degrees` must be at least 1. Received: degrees={degrees}")
    return float(stats.t.ppf((1 + CONFIDENCE) / 2, degrees))


def estimate(values: Sequence[float]) -> Estimate:
    """Returns the mean of the values, one per seed, and its interval.

    Raises:
        ValueError: when there are no values.
    """
    values = np.asarray(values, np.float64)
    if not values.size:
        raise ValueError("`values` must not be empty.")
    if values.size == 1:
        return Estimate(float(values[0]), None, 1)
    error = values.std(ddof=1) / math.sqrt(values.size)
    half_width = t_quantile(values.size - 1) * float(error)
    return Estimate(float(values.mean()), half_width, values.size)


def paired_difference(
    values: Mapping[int, float], baseline: Mapping[int, float]
) -> Estimate | None:
    """Returns the mean difference to a baseline over the seeds that both have.

    Runs of one seed see the same examples in the same order, so that the effect of the seed
    cancels.

    Args:
        values: by seed.
        baseline: by seed.

    Returns:
        The estimate, or `None` without a seed in common.
    """
    seeds = sorted(set(values) & set(baseline))
    if not seeds:
        return None
    return estimate([values[seed] - baseline[seed] for seed in seeds])


#: The variant under which a study's naive denoisers are trained and scored.
NAIVE = "naive denoiser"


def noise_name(noise: str) -> str:
    """Returns the name of a kind of noise for tables: its level, or "real noise"."""
    return f"σ = {noise}" if noise.replace(".", "", 1).isdigit() else "real noise"


@dataclasses.dataclass(frozen=True)
class Line:
    """One configuration on one test set under one noise.

    Attributes:
        noise: σ as text, or the name of a set with real noise.
        test_set: name of the test set.
        variant, gradient: the configuration.
        psnr: mean over the images, then over the seeds, dB.
        difference: to the baseline, paired by seed; `None` for the baseline itself.
        params: parameters of the model.
        seconds: computing time, mean over the seeds.
    """

    noise: str
    test_set: str
    variant: str
    gradient: str
    psnr: Estimate
    difference: Estimate | None
    params: int
    seconds: float


def summarise(rows: Sequence[dict], baseline: tuple[str, str]) -> list[Line]:
    """Summarises finished runs, in the order in which noises, sets and variants first appear.

    Args:
        rows: of results.jsonl.
        baseline: (variant, gradient) that the others are compared with.

    Returns:
        A line for each noise, test set and configuration that has a run.
    """
    runs: dict = {}
    for row in rows:
        for test_set, psnr in row["psnr"].items():
            place = (row["noise"], test_set)
            label = (row["variant"], row["gradient"])
            runs.setdefault(place, {}).setdefault(label, {})[row["seed"]] = (psnr, row)
    lines = []
    for (noise, test_set), labels in runs.items():
        scores = {
            label: {seed: psnr for seed, (psnr, _) in by_seed.items()}
            for label, by_seed in labels.items()
        }
        for (variant, gradient), by_seed in labels.items():
            label = (variant, gradient)
            own = scores[label]
            made = [row for _, row in by_seed.values()]
            lines.append(
                Line(
                    noise,
                    test_set,
                    variant,
                    gradient,
                    estimate([own[seed] for seed in sorted(own)]),
                    None if label == baseline else paired_difference(own, scores.get(baseline, {})),
                    made[0]["params"],
                    sum(row["seconds"] for row in made) / len(made),
                )
            )
    return lines
