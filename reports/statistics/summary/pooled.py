"""One difference of all pairs on all tasks: a random-effects mean over cells (pair × task). Descriptive: no claim is judged by it.

A cell gives one number however many soft arms it has: the mean over them of soft - hard, so that arms that share a hard arm are not
taken as independent evidence. Cells then differ by more than their seeds' noise, and how much is estimated (Paule and Mandel 1982);
the interval is Student's with the cells' own scatter as its scale (Hartung and Knapp 2001), but never narrower than the seeds' noise
alone makes it (Knapp and Hartung 2003), by statsmodels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from statsmodels.stats.meta_analysis import combine_effects

from reports.statistics.intervals import LEVEL, Estimate
from reports.statistics.measuring import leaves
from reports.statistics.scores import Study


@dataclass(frozen=True)
class Effect:
    """What one cell says: the mean over its soft arms of soft - hard, in score, and the squared standard error of that."""

    suite: str
    pair: str
    task: str
    value: float
    variance: float


def effect(study: Study, task: str) -> Effect | None:
    """The cell's effect; None where it says nothing: no comparison, fewer than 2 seeds, no variance, or no arm leaves the task's floor.

    Variances of the arms' means add up as in `reports.statistics.intervals.difference`; a hard arm counts with the weight of all the soft
    arms that are compared with it. Arms with the same returns are one, as a hard arm is at every temperature of a grid.
    """
    mode, reference = study.primary, study.suite.references[task]
    comparisons = [each for each in study.comparisons if not study.imported or task in study.shared(each)]
    arms = dict.fromkeys(arm for comparison in comparisons for arm in comparison)  # in one order: sums are rounded
    returns = {arm: study.curves[task, arm].returns[mode] for arm in arms}
    if not arms or min(map(len, returns.values())) < 2:
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
    return Effect(study.suite.name, study.pair, task, float(value), float(variance)) if variance else None


def pooled(effects: Sequence[Effect]) -> Estimate | None:
    """The mean over cells with its 95 % interval; None where there are fewer than 2 cells."""
    if len(effects) < 2:
        return None
    values, variances = (np.array([getattr(each, name) for each in effects]) for name in ("value", "variance"))
    # The estimator stops at an absolute error: on a scale near 1 that is a small one.
    unit = float(np.median(variances)) ** 0.5
    with np.errstate(divide="ignore"):  # of a measure of heterogeneity that is not used, where all cells agree
        found = combine_effects(values / unit, variances / unit**2, method_re="iterated", use_t=True, maxiter=200)
    _, plain, _, scaled = found.conf_int(alpha=1 - LEVEL)
    low, high = max(plain, scaled, key=np.ptp) * unit
    return Estimate(float(found.mean_effect_re) * unit, float(low), float(high), df=float(found.df_resid))
