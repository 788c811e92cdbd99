"""The studies' statistics, against SciPy and by hand."""

import numpy as np
import pytest
from scipy import stats

from experiments.study_statistics import estimate, paired_difference, t_quantile

RNG = np.random.default_rng(8)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 9, 30])
def test_t_quantile_is_scipys(degrees):
    assert t_quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-9)


def test_interval_is_scipys():
    values = RNG.normal(30, 0.2, 5)
    ours = estimate(values)
    low, high = stats.t.interval(0.95, 4, loc=values.mean(), scale=stats.sem(values))
    assert (ours.mean - ours.half_width, ours.mean + ours.half_width) == pytest.approx((low, high))
    assert ours.count == 5


def test_interval_by_hand():
    ours = estimate([1.0, 2.0, 3.0])
    assert ours.mean == 2.0
    # Standard deviation 1, three values, t = 4.302653 for two degrees of freedom.
    assert ours.half_width == pytest.approx(4.302653 / 3**0.5, abs=1e-6)


def test_one_value_has_no_interval():
    ours = estimate([31.5])
    assert (ours.mean, ours.half_width) == (31.5, None)
    assert not ours.excludes_zero


def test_pairing_removes_what_a_seed_does_to_both():
    baseline = {0: 30.0, 1: 31.0, 2: 29.0}
    better = {0: 30.1, 1: 31.2, 2: 29.3}
    paired = paired_difference(better, baseline)
    test = stats.ttest_rel(list(better.values()), list(baseline.values()))
    low, high = test.confidence_interval(0.95)
    assert paired.mean == pytest.approx(0.2)
    assert paired.half_width == pytest.approx((high - low) / 2)
    # Between seeds the values differ by whole decibels; paired they do not.
    assert paired.half_width < estimate(list(better.values())).half_width / 5


def test_only_seeds_that_both_have_are_paired():
    assert paired_difference({0: 1.0, 1: 5.0}, {1: 4.0, 2: 9.0}).mean == 1.0
    assert paired_difference({0: 1.0}, {1: 4.0}) is None


def test_an_interval_excludes_zero_on_either_side():
    assert estimate([0.9, 1.0, 1.1]).excludes_zero
    assert estimate([-0.9, -1.0, -1.1]).excludes_zero
    assert not estimate([-0.5, 0.1, 0.6]).excludes_zero


def test_nothing_to_estimate_is_an_error():
    with pytest.raises(ValueError, match="`values` must not be empty"):
        estimate([])
    with pytest.raises(ValueError, match="`degrees` must be at least 1"):
        t_quantile(0)
