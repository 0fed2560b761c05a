"""The aggregates of Agarwal et al. 2021 (rliable) of score matrices: descriptive, with a stratified bootstrap.

Points equal `rliable.metrics`; intervals are percentile intervals of a bootstrap that is vectorized and keyed by the scores
themselves, so that equal results give equal reports.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from reports.statistics import LEVEL, NO_VARIANCE, TOO_FEW, Array, Estimate, stream

RESAMPLES = 5000

# The aggregates of rliable.metrics; scores [..., n, T] -> [...]


def iqm(scores: Array) -> Array:
    """Interquartile mean of all runs of all tasks: a quarter of the values is dropped at each end (rliable.aggregate_iqm)."""
    flat = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    cut = flat.shape[-1] // 4
    return np.asarray(flat[..., cut : flat.shape[-1] - cut].mean(axis=-1))


def median(scores: Array) -> Array:
    """Median over tasks of the mean over seeds (rliable.aggregate_median)."""
    return np.asarray(np.median(scores.mean(axis=-2), axis=-1))


def mean(scores: Array) -> Array:
    """Mean over tasks of the mean over seeds (rliable.aggregate_mean)."""
    return np.asarray(scores.mean(axis=-2).mean(axis=-1))


def optimality_gap(scores: Array) -> Array:
    """Mean shortfall below a score of 1; more than 1 does not make up for it (rliable.aggregate_optimality_gap, gamma 1)."""
    return np.asarray(1 - np.minimum(scores, 1).mean(axis=(-2, -1)))


AGGREGATES: dict[str, Callable[[Array], Array]] = {"IQM": iqm, "Median": median, "Mean": mean, "Optimality gap": optimality_gap}


def aggregates(scores: Array) -> dict[str, Estimate]:
    """The four aggregates of `scores [n, T]` with stratified bootstrap percentile intervals."""
    resampled = _resample(scores, stream(scores))
    return {name: _percentile(float(of(scores)), of(resampled), [scores]) for name, of in AGGREGATES.items()}


def improvement(soft: Array, hard: Array) -> Estimate:
    """Probability that a run of `soft [n, T]` beats one of `hard [m, T]`, averaged over tasks; a tie counts one half.

    Agarwal et al. 2021, `rliable.metrics.probability_of_improvement`; both arms are resampled, independently.
    """
    generator = stream(soft, hard)
    many = _improvement(_resample(soft, generator), _resample(hard, generator))
    return _percentile(float(_improvement(soft[None], hard[None])[0]), many, [soft, hard])


def _improvement(soft: Array, hard: Array) -> Array:
    """`soft [B, n, T]`, `hard [B, m, T]` -> `[B]`, one task at a time to bound the memory."""
    wins = np.zeros(len(soft))
    for task in range(soft.shape[-1]):
        ours, theirs = soft[:, :, None, task], hard[:, None, :, task]
        wins += (0.5 * (ours > theirs) + 0.5 * (ours >= theirs)).mean(axis=(1, 2))
    return np.asarray(wins / soft.shape[-1])


def profile(scores: Array, thresholds: Array) -> tuple[Array, Array, Array]:
    """Share of the runs of `scores [n, T]` above each of `thresholds [K]`, and its pointwise 95 % band: three arrays `[K]`.

    The score distribution of Agarwal et al. 2021 (`rliable.library.create_performance_profile`).
    """
    flat = _resample(scores, stream(scores)).reshape(RESAMPLES, -1)
    many = np.stack([(flat > threshold).mean(axis=1) for threshold in thresholds], axis=1)
    low, high = np.quantile(many, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2], axis=0)
    return (scores.reshape(-1, 1) > thresholds).mean(axis=0), low, high


def _resample(scores: Array, generator: np.random.Generator) -> Array:
    """`RESAMPLES` bootstrap samples `[B, n, T]` of `scores [n, T]`: seeds drawn with replacement within each task."""
    rows = generator.integers(len(scores), size=(RESAMPLES, *scores.shape))
    return np.take_along_axis(scores[None], rows, axis=1)


def _percentile(value: float, many: Array, samples: list[Array]) -> Estimate:
    """`value` with the percentile interval of `many [B]`; undefined where a bootstrap of `samples` cannot show any spread."""
    if min(map(len, samples)) < 2:
        return Estimate(value, why=TOO_FEW)
    if all(np.ptp(sample, axis=0).max() == 0 for sample in samples):
        return Estimate(value, why=NO_VARIANCE)
    low, high = np.quantile(many, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
    return Estimate(value, float(low), float(high))
