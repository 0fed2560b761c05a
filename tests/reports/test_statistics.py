"""Our statistics against scipy, hand-computed cases and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from reports.statistics import intervals as statistics
from reports.statistics.intervals import NO_VARIANCE, TOO_FEW, Array


def scores(seed: int, n: int = 10, tasks: int = 3) -> Array:
    return np.random.default_rng(seed).normal(0.7, 0.3, (n, tasks))


def test_difference_on_one_task_is_welch() -> None:
    soft, hard = scores(1, 9, 1), scores(2, 6, 1) * 3
    theirs = stats.ttest_ind(soft[:, 0], hard[:, 0], equal_var=False)
    interval = theirs.confidence_interval(0.95)
    found = statistics.difference(soft, hard)
    assert (found.low, found.high, found.df) == pytest.approx((interval.low, interval.high, theirs.df), rel=1e-12)


def test_stratified_difference_by_hand() -> None:
    # Variances by hand: soft 1 and 4 (n = 3), hard 1/2 and 0 (n = 2); a squared standard error is s^2/n, over T^2 = 4.
    soft = np.array([[1.0, 4.0], [2.0, 6.0], [3.0, 8.0]])
    hard = np.array([[0.0, 5.0], [1.0, 5.0]])
    terms = [1 / 12, 1 / 3, 1 / 16, 0.0]
    variance = sum(terms)
    df = variance**2 / (terms[0] ** 2 / 2 + terms[1] ** 2 / 2 + terms[2] ** 2 / 1)  # n - 1 = 2, 2, 1
    half = stats.t.ppf(0.975, df) * variance**0.5
    found = statistics.difference(soft, hard)
    assert (found.value, found.low, found.high, found.df) == pytest.approx(
        (1.25, 1.25 - half, 1.25 + half, df), rel=1e-12
    )


def test_mean_interval_is_students() -> None:
    values = scores(4, 8, 1)[:, 0]
    low, high = stats.t.interval(0.95, 7, values.mean(), stats.sem(values))
    found = statistics.mean_interval(values)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-12)


def test_undefined_intervals_are_named() -> None:
    same, one = np.full((5, 2), 0.1 + 0.2), scores(1, 1, 2)
    assert statistics.difference(same, same).why == NO_VARIANCE
    assert statistics.difference(one, scores(1, 5, 2)).why == TOO_FEW
    assert statistics.mean_interval(same[:, 0]).why == NO_VARIANCE
    assert statistics.mean_interval(one[:, 0]).why == TOO_FEW
    assert statistics.difference(same, scores(1, 5, 2)).low is not None
    with pytest.raises(ValueError, match="no values"):
        statistics.mean_interval(np.zeros(0))
    with pytest.raises(ValueError, match="cannot be compared"):
        statistics.difference(scores(1, 5, 2), scores(1, 5, 3))


@pytest.mark.parametrize("n", [5, 10])
def test_welch_interval_covers_what_it_says(n: int) -> None:
    generator, truth, hits, trials = np.random.default_rng(7), 0.1, 0, 2000
    for _ in range(trials):
        soft = generator.normal([0.6, 0.8, 0.4], [0.05, 0.2, 0.1], (n, 3)) + truth
        hard = generator.normal([0.6, 0.8, 0.4], [0.3, 0.02, 0.1], (n, 3))
        found = statistics.difference(soft, hard)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= truth <= found.high
    assert hits / trials == pytest.approx(0.95, abs=0.015)
