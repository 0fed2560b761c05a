"""The aggregates of Agarwal et al. 2021 (rliable) of score matrices: descriptive, with a stratified bootstrap.

Points are those of `rliable.metrics`; intervals are percentile intervals of a bootstrap that is vectorized and keyed by the scores
themselves, so that equal results give equal reports. A resample is not a copy of the scores but how often each seed was drawn on
each task: means are then matrix products, and trimmed means need the scores sorted only once. rliable's own resampling loop gives the
same intervals and is some hundred times slower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
import numpy.typing as npt
from rliable import metrics

from reports.statistics.intervals import LEVEL, NO_VARIANCE, TOO_FEW, Array, Estimate, stream

Counts = npt.NDArray[np.signedinteger]

RESAMPLES = 50_000
FEW_SEEDS = 40
"""Seeds up to which they are counted one by one, which is the quicker way."""
CACHED = 2**16
"""Counts at a time where seeds are many: they stay in the cache."""
CHUNK = 4096  # resamples at a time: the working set stays near the cache, and memory does not grow with RESAMPLES

AGGREGATES: dict[str, Callable[[Array], float]] = {
    "IQM": metrics.aggregate_iqm,
    "Median": metrics.aggregate_median,
    "Mean": metrics.aggregate_mean,
    "Optimality gap": metrics.aggregate_optimality_gap,
}
"""Of scores `[n, T]`: the mean of the middle half of all runs; median and mean over tasks of the mean over seeds; the mean shortfall
below a score of 1, for which more than 1 does not make up."""


def aggregates(scores: Array, resamples: int = RESAMPLES) -> dict[str, Estimate]:
    """The four aggregates of `scores [n, T]` with stratified bootstrap percentile intervals."""
    chunks = [resampled_aggregates(scores[None], counts) for counts in draw(scores.shape, resamples, stream(scores))]
    many = {name: np.concatenate([chunk[name][0] for chunk in chunks]) for name in AGGREGATES}
    return {name: _percentile(float(of(scores)), many[name], [scores]) for name, of in AGGREGATES.items()}


def improvement(soft: Array, hard: Array, resamples: int = RESAMPLES) -> Estimate:
    """Probability that a run of `soft [n, T]` beats one of `hard [m, T]`, averaged over tasks; a tie counts one half.

    Agarwal et al. 2021, `rliable.metrics.probability_of_improvement`; both arms are resampled, independently.
    """
    generator = stream(soft, hard)
    pairs = zip(draw(soft.shape, resamples, generator), draw(hard.shape, resamples, generator), strict=True)
    many = np.concatenate([resampled_improvement(soft[None], hard[None], *counts)[0] for counts in pairs])
    return _percentile(float(metrics.probability_of_improvement(soft, hard)), many, [soft, hard])


def profile(scores: Array, thresholds: Array, resamples: int = RESAMPLES) -> tuple[Array, Array, Array]:
    """Share of the runs of `scores [n, T]` above each of `thresholds [K]`, and its pointwise 95 % band: three arrays `[K]`.

    The score distribution of Agarwal et al. 2021 (`rliable.library.create_performance_profile`).
    """
    values = scores.T.ravel()
    order = np.argsort(values, kind="stable")
    reached = np.searchsorted(values[order], thresholds, side="right")  # runs at most at the threshold
    steps, place = np.unique(reached, return_inverse=True)  # between two runs all thresholds have one band
    chunks = []
    for counts in draw(scores.shape, resamples, stream(scores)):
        below = np.concatenate([np.zeros((1, counts.shape[-1]), counts.dtype), _accumulated(counts, order)])
        chunks.append(below[steps])
    many = 1 - np.concatenate(chunks, axis=1) / values.size
    low, high = np.quantile(many, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2], axis=1)
    return 1 - reached / values.size, low[place], high[place]


def draw(shape: Sequence[int], resamples: int, generator: np.random.Generator) -> Iterator[Counts]:
    """Bootstrap samples of seeds within each task, for scores of `shape` (n, T): how often each was drawn, `[T, n, B]` in chunks."""
    n, tasks = shape
    for start in range(0, resamples, CHUNK):
        rows = generator.integers(
            n, size=(n, tasks, min(CHUNK, resamples - start)), dtype=np.min_scalar_type(n - 1).type
        )
        yield _counts(rows)


def _counts(rows: npt.NDArray[np.unsignedinteger]) -> Counts:
    """How often each of n seeds is among `rows [n, T, B]`: `[T, n, B]`, in an integer that holds the sum of all as well."""
    n, tasks, resamples = rows.shape
    counts = np.empty((tasks, n, resamples), np.min_scalar_type(-n * tasks - 1))
    if n <= FEW_SEEDS:
        for seed in range(n):
            np.sum(rows == seed, axis=0, dtype=counts.dtype, out=counts[:, seed])
        return counts
    width = max(1, CACHED // n)
    for task, start in product(range(tasks), range(0, resamples, width)):
        block = rows[:, task, start : start + width]
        many = block.shape[1]
        places = np.multiply(block, many, dtype=np.intp) + np.arange(many)
        counts[task, :, start : start + many] = np.bincount(places.ravel(), minlength=n * many).reshape(n, many)
    return counts


def resampled_aggregates(scores: Array, counts: Counts) -> dict[str, Array]:
    """The four aggregates `[K, B]` of K matrices `scores [K, n, T]`, each resampled with the same `counts [T, n, B]`."""
    by_task, tasks = np.transpose(scores, (2, 0, 1)), scores.shape[2]
    both = np.concatenate([by_task, np.minimum(by_task, 1)], axis=1) @ (counts / scores.shape[1])
    means, capped = np.split(both, 2, axis=1)
    # The median by sorting: np.median is slower along this axis.
    return {
        "IQM": _resampled_iqm(scores, counts),
        "Median": np.sort(means, axis=0)[[(tasks - 1) // 2, tasks // 2]].mean(axis=0),
        "Mean": means.mean(axis=0),
        "Optimality gap": 1 - capped.mean(axis=0),
    }


def resampled_improvement(soft: Array, hard: Array, of_soft: Counts, of_hard: Counts) -> Array:
    """Probability of improvement `[K, B]` of K matrices `soft [K, n, T]` over `hard [K, m, T]`, resampled with the same counts.

    A run of `soft` beats as many of `hard` as lie below it, and half of its equals: with the sums over the sorted runs of `hard`, that is
    one addition a run, not one a pair.
    """
    pairs, tasks = soft.shape[1] * hard.shape[1], soft.shape[2]
    found = np.zeros((len(soft), of_soft.shape[-1]))
    for at, task in np.ndindex(len(soft), tasks):
        theirs = hard[at, :, task]
        order = np.argsort(theirs, kind="stable")
        below = np.zeros((len(theirs) + 1, of_hard.shape[-1]))
        for row, run in enumerate(order):  # numpy's cumsum along this axis is slower
            np.add(below[row], of_hard[task, run], out=below[row + 1])
        first, last = (np.searchsorted(theirs[order], soft[at, :, task], side=side) for side in ("left", "right"))
        for run, counts in enumerate(of_soft[task]):
            found[at] += counts * (below[first[run]] + below[last[run]])
    return np.asarray(found / (2 * pairs * tasks))


def _resampled_iqm(scores: Array, counts: Counts) -> Array:
    """IQM `[K, B]` of `scores [K, n, T]` resampled with `counts [T, n, B]`.

    Number the runs of a resample from the smallest score: run j has a weight where it falls between the cuts. With C(j) runs up to
    the j-th score of the sample, clipped to the cuts, the trimmed sum is, by summation by parts, the largest score times the runs
    kept, less each step between neighbouring scores times C(j) - cut.
    """
    runs = counts.shape[0] * counts.shape[1]
    cut = runs // 4
    found = np.empty((len(scores), counts.shape[-1]))
    for at, values in enumerate(np.transpose(scores, (0, 2, 1)).reshape(len(scores), -1)):
        order = np.argsort(values, kind="stable")
        clipped = np.clip(_accumulated(counts, order), cut, runs - cut)
        steps, top = np.diff(values[order]), values[order[-1]]
        # float32: counts are exact in it, and the steps' rounding is 1e-7 of the interval's width.
        found[at] = top - (steps.astype(np.float32) @ (clipped[:-1] - cut).astype(np.float32)) / (runs - 2 * cut)
    return found


def _accumulated(counts: Counts, order: npt.NDArray[np.int64]) -> Counts:
    """Runs of each resample among the first j of `order`: `[T n, B]`. By rows, as numpy's cumsum along this axis is 50 times slower."""
    total = counts.reshape(-1, counts.shape[-1])[order]
    for row in range(1, len(total)):
        total[row] += total[row - 1]
    return total


def _percentile(value: float, many: Array, samples: list[Array]) -> Estimate:
    """`value` with the percentile interval of `many [B]`; undefined where a bootstrap of `samples` cannot show any spread."""
    if min(map(len, samples)) < 2:
        return Estimate(value, why=TOO_FEW)
    if all(np.ptp(sample, axis=0).max() == 0 for sample in samples):
        return Estimate(value, why=NO_VARIANCE)
    low, high = np.quantile(many, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Estimate(value, float(low), float(high))
