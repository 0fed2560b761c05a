"""Power of a test about a difference, at the observed spread: what a number of seeds can find, and how many are needed.

Noncentral t (with two bounds its two-sided form, Phillips 1990), also for sign flips, or 0 where they cannot reach the level.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtri, ndtr, stdtrit

from reports.statistics.centres import Region, samples, smallest_p
from reports.statistics.intervals import Array, standard_error

POWER = 0.8
MOST_SEEDS = 10_000


def power(
    arm: Array,
    against: Array,
    method: str,
    region: Region,
    effect: float,
    level: float,
    seeds: int | None = None,
) -> float | None:
    """Probability that "the difference is in `region`" is shown if the true difference is `effect` and the spread is that of
    `arm [n, T]` and `against [m, T]`.

    With `seeds` an arm (None: as many as there are). None where the spread is undefined.
    """
    error, df, why = standard_error(samples(arm, against, method), seeds)
    if why:
        return None
    if smallest_p(method, seeds or len(arm), arm.shape[1]) > level:
        return 0.0
    return between(region.low / error, region.high / error, effect / error, df, level)


def detectable(
    arm: Array, against: Array, method: str, level: float, case: Callable[[float], tuple[Region, float]]
) -> float | None:
    """The least x for which `case(x)`, a region and a true difference in standard errors, is shown with probability `POWER`.

    In units of the score, for the present number of seeds and the observed spread; None where that is undefined or the level cannot
    be reached.
    """
    error, df, why = standard_error(samples(arm, against, method))
    if why or smallest_p(method, len(arm), arm.shape[1]) > level:
        return None

    def excess(x: float) -> float:
        region, effect = case(x)
        return between(region.low, region.high, effect, df, level) - POWER

    most = 2 * float(stdtrit(df, 1 - level)) + 2 * float(stdtrit(df, (1 + POWER) / 2)) + 10
    return error * float(brentq(excess, 0, most))


def seeds_needed(
    arm: Array, against: Array, method: str, region: Region, effect: float, level: float, most: int = MOST_SEEDS
) -> float | None:
    """Seeds an arm with which "the difference is in `region`" is shown with probability `POWER`, if it is `effect`.

    At the observed spread. Infinity where more than `most` would be needed; None where the spread is undefined, so that nothing is known.
    """

    def enough(seeds: int) -> bool:
        found = power(arm, against, method, region, effect, level, seeds)
        return found is not None and found >= POWER

    if power(arm, against, method, region, effect, level, most) is None:
        return None
    if not enough(most):
        return np.inf
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def between(low: float, high: float, effect: float, df: float, level: float) -> float:
    """Probability that the t interval of a true difference `effect` lies between `low` and `high`; all in standard errors."""
    # Given the ratio of estimated to true standard error, the estimate must fall between two limits: the average over that ratio.
    # (scipy.special.nctdtr is the same without `high`, and NaN for some arguments.)
    critical = float(stdtrit(df, 1 - level)) * np.sqrt(chdtri(df, (np.arange(1000) + 0.5) / 1000) / df)
    return float(np.maximum(ndtr(high - effect - critical) - ndtr(low - effect + critical), 0).mean())
