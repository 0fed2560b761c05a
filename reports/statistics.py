"""Statistics of score matrices: numbers in, numbers out. The replication unit is the training seed.

A score matrix is float64 `[n, T]`: row = seed, column = task, normalized so that 0 and 1 are the task's declared references.
The registered comparison is `difference` (Welch, Satterthwaite degrees of freedom).
"""

from __future__ import annotations

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
    return _t_interval(float(values.mean()), _squared_errors(values[:, None]), np.full(1, len(values) - 1.0))


def difference(soft: Array, hard: Array) -> Estimate:
    """Mean score of `soft [n, T]` minus that of `hard [m, T]`, tasks weighted equally, with a stratified Welch interval.

    The variance is the sum over arms and tasks of s^2 / (n T^2); degrees of freedom by Welch-Satterthwaite over these 2T terms
    (Welch 1947; Satterthwaite 1946). With T = 1 this is `scipy.stats.ttest_ind(soft, hard, equal_var=False)`.
    Raises ValueError where the task counts differ or an arm has no seeds.
    """
    if soft.shape[1] != hard.shape[1] or not len(soft) or not len(hard):
        raise ValueError(f"score matrices {soft.shape} and {hard.shape} cannot be compared")
    tasks = soft.shape[1]
    terms = np.concatenate([_squared_errors(soft), _squared_errors(hard)]) / tasks**2
    freedom = np.repeat([len(soft) - 1.0, len(hard) - 1.0], tasks)
    return _t_interval(float(soft.mean() - hard.mean()), terms, freedom)


def _squared_errors(scores: Array) -> Array:
    """Squared standard error of each column's mean `[T]`; exactly 0 where all values are equal; NaN where n < 2."""
    n = len(scores)
    if n < 2:
        return np.full(scores.shape[1], np.nan)
    return np.where(np.ptp(scores, axis=0) == 0, 0.0, scores.var(axis=0, ddof=1) / n)


def _t_interval(value: float, terms: Array, freedom: Array) -> Estimate:
    """`value` with a t interval from squared standard errors `terms [k]` that have `freedom [k]` degrees of freedom each."""
    if np.any(freedom < 1):
        return Estimate(value, why=TOO_FEW)
    variance = float(terms.sum())
    if variance == 0:
        return Estimate(value, why=NO_VARIANCE)
    df = 1.0 / float(((terms / variance) ** 2 / freedom).sum())
    half = float(stdtrit(df, 0.5 + LEVEL / 2)) * variance**0.5
    return Estimate(value, value - half, value + half, df=df)
