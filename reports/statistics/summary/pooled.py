"""One difference of all pairs on all tasks: a random-effects mean over cells (pair × task). Descriptive: no claim is judged by it.

A cell gives one number however many soft arms it has: the mean over them of soft - hard, so that arms that share a hard arm are not
taken as independent evidence; and however many suites have it: the mean over these, which may share runs. Cells then differ by more
than their seeds' noise, and how much is estimated (Paule and Mandel 1982); the interval is Student's with the cells' own scatter as its
scale (Hartung and Knapp 2001), but never narrower than the seeds' noise alone makes it (Knapp and Hartung 2003), by statsmodels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

import numpy as np
from scipy.special import stdtrit
from statsmodels.stats.meta_analysis import combine_effects

from reports.statistics.intervals import LEVEL, Estimate
from reports.statistics.measuring import leaves
from reports.statistics.scores import Study

LEAST_SEEDS, LEAST_CELLS = 2, 3


@dataclass(frozen=True)
class Effect:
    """What one cell says: the mean over its soft arms of soft - hard, in score, and the squared standard error of that."""

    pair: str
    task: str
    value: float
    variance: float


def effect(study: Study, task: str) -> Effect | None:
    """The cell's effect; None where it says nothing: no comparison of 2 seeds an arm, no variance, or no arm leaves the task's floor.

    Variances of the arms' means add up as in `reports.statistics.intervals.difference`; a hard arm counts with the weight of all the soft
    arms that are compared with it. Arms with the same returns are one, as a hard arm is at every temperature of a grid.
    """
    mode, reference = study.primary, study.suite.references[task]
    comparisons = [
        each for each in study.comparisons if all(len(study.curves[task, arm].seeds) >= LEAST_SEEDS for arm in each)
    ]
    arms = dict.fromkeys(arm for comparison in comparisons for arm in comparison)  # in one order: sums are rounded
    returns = {arm: study.curves[task, arm].returns[mode] for arm in arms}
    if not arms:
        return None
    if reference.floor is not None and not any(
        leaves(each, reference.floor, reference.low) for each in returns.values()
    ):
        return None
    share = 1 / len(comparisons)
    runs = {arm: each.tobytes() for arm, each in returns.items()}
    finals = {runs[arm]: study.score(task, each[:, -1]) for arm, each in returns.items()}
    weights = dict.fromkeys(finals, 0.0)
    for soft, hard in comparisons:
        weights[runs[soft]] += share
        weights[runs[hard]] -= share
    value = sum(weight * finals[run].mean() for run, weight in weights.items())
    variance = sum(
        weight**2 * finals[run].var(ddof=1) / len(finals[run])
        for run, weight in weights.items()
        if np.ptp(finals[run]) > 0
    )
    return Effect(study.pair, task, float(value), float(variance)) if variance else None


def merged(its: Sequence[Effect]) -> Effect:
    """What several suites say of one cell: the mean. Its standard error is the mean of theirs, as if all of them shared their runs."""
    value, error = mean(each.value for each in its), mean(each.variance**0.5 for each in its)
    return Effect(its[0].pair, its[0].task, value, error**2)


@dataclass(frozen=True)
class Pool:
    """The mean over `cells` with its 95 % interval, and where the true difference of one more such cell would lie with 95 %."""

    cells: int
    mean: Estimate
    another: tuple[float, float]


def pooled(effects: Sequence[Effect]) -> Pool | None:
    """Of one effect a cell; None where there are fewer than `LEAST_CELLS`.

    The interval of one more cell is that of Higgins, Thompson and Spiegelhalter (2009), by Student's t with 2 fewer degrees of freedom
    than cells.
    """
    count = len(effects)
    if count < LEAST_CELLS:
        return None
    values, variances = (np.array([getattr(each, name) for each in effects]) for name in ("value", "variance"))
    # The estimator stops at an absolute error: on a scale near 1 that is a small one.
    unit = float(np.median(variances)) ** 0.5
    with np.errstate(divide="ignore"):  # of a measure of heterogeneity that is not used, where all cells agree
        found = combine_effects(values / unit, variances / unit**2, method_re="iterated", use_t=True, maxiter=200)
    _, plain, _, scaled = found.conf_int(alpha=1 - LEVEL)
    low, high = max(plain, scaled, key=np.ptp) * unit
    centre, df = float(found.mean_effect_re) * unit, float(found.df_resid)
    error = (high - low) / 2 / stdtrit(df, 0.5 + LEVEL / 2)
    reach = float(stdtrit(count - 2, 0.5 + LEVEL / 2) * np.hypot(max(found.tau2, 0.0) ** 0.5 * unit, error))
    return Pool(count, Estimate(centre, float(low), float(high), df=df), (centre - reach, centre + reach))
