"""The difference of two learning curves, with a band that holds all of it at once: are whole curves equivalent, not only their areas?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reports.statistics.centres import StudentT
from reports.statistics.intervals import Array
from reports.statistics.measuring import Measured
from reports.statistics.scores import Study

SAME = 0.01
"""Of the steps: evaluations of two tasks that are no farther apart are taken together."""


@dataclass(frozen=True)
class Band:
    """`estimate`, `low`, `high` `[S]` of the difference of scores after each `share [S]` of the steps, tasks weighted equally.

    The chance that it leaves any of the true differences out is at most twice the one-sided `level` (Bonferroni over the evaluations).
    NaN where the seeds have no spread.
    """

    share: Array
    estimate: Array
    low: Array
    high: Array
    margin: float
    level: float

    @classmethod
    def of(cls, arm: Array, against: Array, method: str, share: Array, margin: float, level: float) -> Band:
        """Of scores `arm [S, n, T]` and `against [S, m, T]`, by "welch" or "paired"."""
        student = StudentT.of(arm, against, method)
        half = student.half(level / len(share))
        return cls(share, student.estimate, student.estimate - half, student.estimate + half, margin, level)

    @property
    def columns(self) -> tuple[Array, Array, Array, Array]:
        return self.share, self.estimate, self.low, self.high

    @property
    def within(self) -> npt.NDArray[np.bool_]:
        """The evaluations `[S]` at which it lies within the margin."""
        return np.asarray((self.low > -self.margin) & (self.high < self.margin))

    @property
    def beyond(self) -> npt.NDArray[np.bool_]:
        """The evaluations `[S]` at which it lies outside of the margin altogether."""
        return np.asarray((self.low > self.margin) | (self.high < -self.margin))

    @property
    def said(self) -> str:
        """What it says about whole curves, in a sentence."""
        count, inside = len(self.within), int(self.within.sum())
        if inside == count:
            return f"It lies within the margin at all {count} evaluations: the whole curves are equivalent."
        if self.beyond.any():
            share = float(self.share[self.beyond.argmax()])
            return f"It lies outside of the margin after {share:.0%} of the steps: the curves are not equivalent as a whole."
        return f"It lies within the margin at {inside} of {count} evaluations: that whole curves are equivalent is not shown."


def band(measured: Measured, study: Study, mode: str) -> Band | None:
    """Of a claim that areas are equivalent; None of other claims, and where its curves cannot be compared evaluation by evaluation."""
    claim, data = measured.claim, measured.data
    if claim.test != "equivalence" or claim.metric != "area" or not claim.of_arms or data is None:
        return None
    sides: list[list[Array]] = []
    shares = []
    for arm, seeds in zip(claim.arms, (data.seeds, data.of_against), strict=True):
        curves = {task: study.curves[task, arm] for task in data.tasks}
        if any({*seeds} - {*its.seeds} for its in curves.values()):
            return None  # runs of others that are not on every task
        rows = {task: [its.seeds.index(seed) for seed in seeds] for task, its in curves.items()}
        sides.append([study.score(task, its.returns[mode][rows[task]]).T for task, its in curves.items()])
        shares += [its.steps / its.steps[-1] for its in curves.values()]
    share = shares[0]
    if len(share) < 2 or any(len(each) != len(share) or np.abs(each - share).max() > SAME for each in shares):
        return None
    method = "welch" if claim.method == "welch" else "paired"
    arm_scores, against_scores = (np.stack(side, axis=-1) for side in sides)
    return Band.of(arm_scores, against_scores, method, share, claim.margin, measured.level)
