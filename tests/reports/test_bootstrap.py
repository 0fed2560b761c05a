"""The bootstrap against rliable: points, intervals, bands, speed."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import numpy as np
import pytest
from rliable import library, metrics

from reports.statistics import bootstrap
from reports.statistics.intervals import NO_VARIANCE, TOO_FEW, Array, stream


def scores(seed: int, n: int = 10, tasks: int = 3) -> Array:
    return np.random.default_rng(seed).normal(0.7, 0.3, (n, tasks))


def all_four(x: Array) -> Array:
    return np.array(
        [
            metrics.aggregate_iqm(x),
            metrics.aggregate_median(x),
            metrics.aggregate_mean(x),
            metrics.aggregate_optimality_gap(x),
        ]
    )


def theirs(data: dict, of: Callable, reps: int) -> Array:
    """rliable's intervals `[2, ...]` of one arm or pair. It ignores `random_state`: only numpy's global generator makes it repeat."""
    np.random.seed(0)
    return np.asarray(next(iter(library.get_interval_estimates(data, of, reps=reps)[1].values())))


@pytest.mark.parametrize(("n", "tasks"), [(10, 3), (5, 1), (7, 2), (1, 4), (11, 26)])
def test_points_equal_rliable(n: int, tasks: int) -> None:
    matrix, other = scores(1, n, tasks), scores(2, n, tasks)
    assert [each.value for each in bootstrap.aggregates(matrix).values()] == pytest.approx(all_four(matrix), rel=1e-13)
    chance = metrics.probability_of_improvement(matrix, other)
    assert bootstrap.improvement(matrix, other).value == pytest.approx(chance, rel=1e-13)


def test_ties_count_one_half_as_in_rliable() -> None:
    soft, hard = np.array([[1.0], [1.0], [0.5]]), np.array([[1.0], [0.0]])
    assert (
        bootstrap.improvement(soft, hard).value
        == pytest.approx(metrics.probability_of_improvement(soft, hard))
        == pytest.approx(4 / 6)
    )


@pytest.mark.parametrize(("n", "m", "tasks"), [(10, 10, 3), (7, 4, 1), (32, 8, 4), (300, 5, 2)])
def test_each_resample_is_the_aggregate_of_its_own_scores(n: int, m: int, tasks: int) -> None:
    """The counts, written out as score matrices, give the same numbers: two matrices at once, arms of different size, ties."""
    arms = np.round(np.stack([scores(1, n, tasks), scores(2, n, tasks)]), 1)
    others = np.round(np.stack([scores(3, m, tasks), scores(4, m, tasks)]), 1)
    counts, of_others = (next(bootstrap.draw((rows, tasks), 20, stream(scores(5)))) for rows in (n, m))
    assert counts.sum(axis=1).tolist() == [[n] * 20] * tasks

    def written_out(matrices: Array, counts: Array, b: int) -> Array:
        return np.stack([np.repeat(matrices[:, :, t], counts[t, :, b], axis=1) for t in range(tasks)], axis=2)

    found = bootstrap.resampled_aggregates(arms, counts)
    chance = bootstrap.resampled_improvement(arms, others, counts, of_others)
    for b in range(20):
        resample, against = written_out(arms, counts, b), written_out(others, of_others, b)
        for name, of in bootstrap.AGGREGATES.items():
            assert found[name][:, b] == pytest.approx([of(each) for each in resample], abs=1e-6), name
        for k in range(2):
            assert chance[k, b] == pytest.approx(metrics.probability_of_improvement(resample[k], against[k]), rel=1e-12)


def test_every_seed_is_drawn_equally_often_and_independently() -> None:
    counts = np.concatenate(list(bootstrap.draw((4, 2), 20_000, stream(scores(1)))), axis=2)
    assert counts.mean(axis=2) == pytest.approx(1, abs=0.03)
    assert counts.var(axis=2) == pytest.approx(3 / 4, abs=0.03)  # binomial(4, 1/4)
    assert np.corrcoef(counts[0, 0], counts[0, 1])[0, 1] == pytest.approx(-1 / 3, abs=0.03)  # multinomial within a task
    assert np.corrcoef(counts[0, 0], counts[1, 0])[0, 1] == pytest.approx(0, abs=0.03)  # tasks on their own


def test_intervals_agree_with_rliable() -> None:
    matrix, other = scores(1), scores(2)
    expected = theirs({"arm": matrix}, all_four, 2000)
    ours = [[each.low, each.high] for each in bootstrap.aggregates(matrix).values()]
    width = expected[1] - expected[0]
    assert np.abs(np.array(ours, float).T - expected).max() < 0.05 * width.max()

    chance = theirs({"pair": [matrix, other]}, lambda x, y: np.array([metrics.probability_of_improvement(x, y)]), 500)
    found = bootstrap.improvement(matrix, other)
    assert [found.low, found.high] == pytest.approx(chance[:, 0].tolist(), abs=0.03)


def test_profile_agrees_with_rliable() -> None:
    matrix, thresholds = scores(3), np.linspace(0, 1, 11)
    np.random.seed(0)
    shares, bands = library.create_performance_profile({"arm": matrix}, thresholds, reps=2000)
    share, low, high = bootstrap.profile(matrix, thresholds)
    assert share == pytest.approx(shares["arm"])
    assert np.abs(np.stack([low, high]) - bands["arm"]).mean() < 0.007
    at_a_score = np.array([0.2, 0.5, 0.8])
    assert bootstrap.profile(np.array([[0.5], [0.8]]), at_a_score)[0].tolist() == [1, 0.5, 0]  # strictly above


def test_the_bootstrap_is_keyed_by_the_scores() -> None:
    assert bootstrap.aggregates(scores(1)) == bootstrap.aggregates(scores(1))
    assert bootstrap.aggregates(scores(1))["Mean"] != bootstrap.aggregates(scores(1) + 1e-9)["Mean"]


def test_undefined_intervals_are_named() -> None:
    same, one = np.full((5, 2), 0.1 + 0.2), scores(1, 1, 2)
    assert {each.why for each in bootstrap.aggregates(same).values()} == {NO_VARIANCE}
    assert {each.why for each in bootstrap.aggregates(one).values()} == {TOO_FEW}
    assert bootstrap.improvement(one, same).why == TOO_FEW
    assert bootstrap.improvement(same, same).why == NO_VARIANCE


@pytest.mark.parametrize("n", [99, 100, 101, 300])
def test_many_seeds_are_counted_as_few_are(n: int) -> None:
    rows = np.random.default_rng(0).integers(n, size=(n, 2, 30), dtype=np.min_scalar_type(n - 1).type)
    counts = bootstrap._counts(rows)
    assert counts.shape == (2, n, 30) and counts.dtype == np.min_scalar_type(-n * 2 - 1)
    for seed in range(n):
        assert counts[:, seed].tolist() == (rows == seed).sum(axis=0).tolist()


@pytest.mark.slow
def test_it_grows_in_proportion_to_seeds() -> None:
    def taken(n: int) -> float:
        soft, hard = np.random.default_rng(0).normal(0.7, 0.3, (2, n, 1))
        start = time.process_time()
        for each in (soft, hard):
            bootstrap.aggregates(each)
            bootstrap.profile(each, np.linspace(0, 1, 101))
        bootstrap.improvement(soft, hard)
        return time.process_time() - start

    taken(200)
    few, many = taken(200), taken(1000)
    assert many < 10 * few and many < 30, "of a thousand seeds, in seconds"


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@pytest.mark.slow
def test_it_is_50_times_faster_than_rliable() -> None:
    """2 arms x 10 seeds x 26 tasks, 50,000 resamples, one core; rliable's loop is timed at 60 and 240 resamples and scaled."""
    soft, hard = np.random.default_rng(0).normal(0.7, 0.3, (2, 10, 26))
    arms = {"soft": soft, "hard": hard}

    def chance(x: Array, y: Array) -> Array:
        return np.array([metrics.probability_of_improvement(x, y)])

    ours = seconds(lambda: [*map(bootstrap.aggregates, arms.values()), bootstrap.improvement(soft, hard)])
    few, many = (
        seconds(lambda n=n: theirs(arms, all_four, n)) + seconds(lambda n=n: theirs({"pair": [soft, hard]}, chance, n))  # type: ignore[misc]
        for n in (60, 240)
    )
    assert many == pytest.approx(4 * few, rel=0.4), "linear"
    assert bootstrap.RESAMPLES == 50_000 and many / 240 * 50_000 > 50 * ours
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 1_000_000, "kB"
