"""Means over seeds with their 95% t-intervals, and differences paired by seed (NumPy only)."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

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
        """Whether the interval lies on one side of zero."""
        return self.half_width is not None and abs(self.mean) > self.half_width


def _t_probability(t: float, degrees: int) -> float:
    """Returns P(|T| < t) of Student's distribution, by its finite sums (Abramowitz, 26.7.3-4)."""
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    if degrees % 2 == 0:
        term, total = 1.0, 1.0
        for k in range(1, degrees // 2):
            term *= cosine**2 * (2 * k - 1) / (2 * k)
            total += term
        return sine * total
    if degrees == 1:
        return 2 * angle / math.pi
    term, total = cosine, cosine
    for k in range(1, (degrees - 1) // 2):
        term *= cosine**2 * 2 * k / (2 * k + 1)
        total += term
    return 2 / math.pi * (angle + sine * total)


def t_quantile(degrees: int) -> float:
    """Returns t with P(|T| < t) = 95% for so many degrees of freedom, 1 or more.

    Raises:
        ValueError: for fewer degrees.
    """
    if degrees < 1:
        raise ValueError(f"`degrees` must be at least 1. Received: degrees={degrees}")
    low, high = 0.0, 20.0
    for _ in range(80):
        middle = (low + high) / 2
        if _t_probability(middle, degrees) < CONFIDENCE:
            low = middle
        else:
            high = middle
    return high


def estimate(values: Sequence[float]) -> Estimate:
    """Returns the mean of one value a seed and its interval.

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

    Runs of one seed see the same examples in the same order, so that what a
    seed does to both cancels.

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
