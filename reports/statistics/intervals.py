"""Statistics of score matrices: numbers in, numbers out. The replication unit is the training seed.

A score matrix is float64 `[n, T]`: row = seed, column = task, normalized so that 0 and 1 are the task's declared references. It is a
masked array where seeds are not the same on every task (runs of others, `stack`): then every task has its own number of them.
The registered comparison is `difference` (Welch, Satterthwaite degrees of freedom).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtrit

Array = npt.NDArray[np.float64]

LEVEL = 0.95
TOO_FEW = "undefined: n < 2"
NO_VARIANCE = "undefined: no variance"


@dataclass(frozen=True)
class Estimate:
    """A point with its 95 % interval. Where the interval is undefined, `low` and `high` are None and `why` says why."""

    value: float
    low: float | None = None
    high: float | None = None
    why: str = ""
    df: float | None = None


def mean_interval(values: Array) -> Estimate:
    """Mean of `values [n]` with its Student t interval (n - 1 degrees of freedom). Raises ValueError where n = 0."""
    if not len(values):
        raise ValueError("no values")
    return _t_interval(float(values.mean()), [values[:, None]])


def difference(soft: Array, hard: Array) -> Estimate:
    """Mean score of `soft [n, T]` minus that of `hard [m, T]`, tasks weighted equally, with a stratified Welch interval.

    With T = 1 this is `scipy.stats.ttest_ind(soft, hard, equal_var=False)`.
    Raises ValueError where the task counts differ or an arm has no seeds.
    """
    if soft.shape[1] != hard.shape[1] or not len(soft) or not len(hard):
        raise ValueError(f"score matrices {soft.shape} and {hard.shape} cannot be compared")
    return _t_interval(float(centre(soft) - centre(hard)), [soft, hard])


def stack(columns: Sequence[Mapping[int, float]]) -> tuple[list[int], Array]:
    """seed -> value on each of T tasks, as all seeds and a score matrix `[n, T]`; masked where a seed is not on every task."""
    seeds = sorted({seed for column in columns for seed in column})
    table = np.array([[column.get(seed, np.nan) for column in columns] for seed in seeds])
    there = np.array([[seed in column for column in columns] for seed in seeds], bool)
    if there.all():
        return seeds, table.reshape(len(seeds), len(columns))
    return seeds, np.ma.MaskedArray(table, ~there)


def sizes(sample: Array) -> npt.NDArray[np.int64]:
    """Seeds `[T]` of a score matrix `[..., n, T]` on each task."""
    if isinstance(sample, np.ma.MaskedArray):
        return np.asarray(sample.count(axis=-2))
    return np.full(sample.shape[-1], sample.shape[-2])


def fewest(sample: Array) -> int:
    """Seeds of a score matrix on the task where they are fewest; 0 where there is no task."""
    return int(sizes(sample).min(initial=sample.shape[-2]))


def centre(sample: Array) -> Array:
    """The mean `[...]` of a score matrix `[..., n, T]`, tasks weighted equally."""
    if isinstance(sample, np.ma.MaskedArray):
        return np.asarray(sample.mean(axis=-2).mean(axis=-1))
    return np.asarray(sample.mean(axis=(-2, -1)))


def squared_error(samples: Sequence[Array], seeds: int | None = None) -> tuple[Array, Array]:
    """Squared standard error `[...]` of the sum or difference of the means of `samples` ([..., n, T] each, tasks weighted equally), and
    its degrees of freedom `[...]`.

    The variance is the sum over samples and tasks of s^2 / (n T^2); degrees of freedom by Welch-Satterthwaite over these terms
    (Welch 1947; Satterthwaite 1946); NaN where there is no variance. With `seeds`, as it would be with that many seeds of the same
    spread in each sample. Every n must be at least 2.
    """
    tasks = samples[0].shape[-1]
    rows = [np.full(tasks, seeds) if seeds else sizes(sample) for sample in samples]
    spread = [np.where(sample.max(-2) == sample.min(-2), 0.0, sample.var(axis=-2, ddof=1)) for sample in samples]
    terms = np.concatenate([each / n for each, n in zip(spread, rows, strict=True)], axis=-1) / tasks**2
    variance = terms.sum(axis=-1)
    with np.errstate(invalid="ignore"):
        shares = terms / variance[..., None]
    return variance, 1.0 / (shares**2 / (np.concatenate(rows) - 1.0)).sum(axis=-1)


def standard_error(samples: Sequence[Array], seeds: int | None = None) -> tuple[float, float, str]:
    """Root of `squared_error` of `samples` ([n, T] each), its degrees of freedom, and "" or why there is none (then both are NaN)."""
    if min(map(fewest, samples)) < 2 or (seeds or 2) < 2:
        return float("nan"), float("nan"), TOO_FEW
    variance, df = squared_error(samples, seeds)
    return (float(variance) ** 0.5, float(df), "") if variance else (float("nan"), float("nan"), NO_VARIANCE)


def stream(*scores: Array) -> np.random.Generator:
    """A Philox stream keyed by the scores' shapes and bytes: equal scores, equal draws, whatever else the report holds."""
    digest = hashlib.sha256()
    for array in scores:
        digest.update(repr(array.shape).encode() + np.ascontiguousarray(array, dtype="<f8").tobytes())
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(int.from_bytes(digest.digest(), "big"))))


def _t_interval(value: float, samples: Sequence[Array]) -> Estimate:
    error, df, why = standard_error(samples)
    if why:
        return Estimate(value, why=why)
    half = float(stdtrit(df, 0.5 + LEVEL / 2)) * error
    return Estimate(value, value - half, value + half, df=df)
