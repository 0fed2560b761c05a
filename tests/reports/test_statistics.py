"""Our statistics against rliable, scipy, hand-computed cases and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from rliable import library, metrics
from scipy import stats

from reports import bootstrap, statistics
from reports.statistics import NO_VARIANCE, TOO_FEW, Array


def scores(seed: int, n: int = 10, tasks: int = 3) -> Array:
    return np.random.default_rng(seed).normal(0.7, 0.3, (n, tasks))


@pytest.mark.parametrize(("n", "tasks"), [(10, 3), (5, 1), (7, 2), (1, 4), (11, 26)])
def test_points_equal_rliable(n: int, tasks: int) -> None:
    matrix, other = scores(1, n, tasks), scores(2, n, tasks)
    theirs = [
        metrics.aggregate_iqm(matrix),
        metrics.aggregate_median(matrix),
        metrics.aggregate_mean(matrix),
        metrics.aggregate_optimality_gap(matrix),
    ]
    assert [each.value for each in bootstrap.aggregates(matrix).values()] == pytest.approx(theirs, rel=1e-13)
    chance = metrics.probability_of_improvement(matrix, other)
    assert bootstrap.improvement(matrix, other).value == pytest.approx(chance, rel=1e-13)


def test_ties_count_one_half_as_in_rliable() -> None:
    soft, hard = np.array([[1.0], [1.0], [0.5]]), np.array([[1.0], [0.0]])
    assert bootstrap.improvement(soft, hard).value == pytest.approx(metrics.probability_of_improvement(soft, hard)) == pytest.approx(4 / 6)


def test_bootstrap_intervals_agree_with_rliable() -> None:
    matrix, other = scores(1), scores(2)

    def all_four(x: Array) -> Array:
        return np.array(
            [metrics.aggregate_iqm(x), metrics.aggregate_median(x), metrics.aggregate_mean(x), metrics.aggregate_optimality_gap(x)]
        )

    np.random.seed(0)
    _, theirs = library.get_interval_estimates({"arm": matrix}, all_four, reps=5000)
    ours = [[each.low, each.high] for each in bootstrap.aggregates(matrix).values()]
    width = theirs["arm"][1] - theirs["arm"][0]
    assert np.abs(np.array(ours, float).T - theirs["arm"]).max() < 0.05 * width.max()

    _, chance = library.get_interval_estimates(
        {"pair": [matrix, other]}, lambda x, y: np.array([metrics.probability_of_improvement(x, y)]), reps=1000
    )
    found = bootstrap.improvement(matrix, other)
    assert [found.low, found.high] == pytest.approx(chance["pair"][:, 0].tolist(), abs=0.03)


def test_profile_agrees_with_rliable() -> None:
    matrix, thresholds = scores(3), np.linspace(0, 1, 11)
    np.random.seed(0)
    shares, bands = library.create_performance_profile({"arm": matrix}, thresholds, reps=2000)
    share, low, high = bootstrap.profile(matrix, thresholds)
    assert share == pytest.approx(shares["arm"])
    assert np.abs(np.stack([low, high]) - bands["arm"]).mean() < 0.007


def test_bootstrap_is_keyed_by_the_scores() -> None:
    assert bootstrap.aggregates(scores(1)) == bootstrap.aggregates(scores(1))
    assert bootstrap.aggregates(scores(1))["Mean"] != bootstrap.aggregates(scores(1) + 1e-9)["Mean"]


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
    assert (found.value, found.low, found.high, found.df) == pytest.approx((1.25, 1.25 - half, 1.25 + half, df), rel=1e-12)


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
    assert {each.why for each in bootstrap.aggregates(same).values()} == {NO_VARIANCE}
    assert {each.why for each in bootstrap.aggregates(one).values()} == {TOO_FEW}
    assert bootstrap.improvement(one, same).why == TOO_FEW
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
