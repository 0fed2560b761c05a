"""Planning a claim before it is trained: seeds needed and power by seeds, by the claim's own test and the level it will have.

The spread of the scores is what a plan cannot know: it is taken from results that are there, or assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.schema.claims import Claim
from reports.statistics.centres import samples
from reports.statistics.forms import form
from reports.statistics.forms.spread import TEST as SPREAD
from reports.statistics.intervals import Array
from reports.statistics.verdicts import FEW

COUNTS = (2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 40, 50, 75, 100, 150, 200, 300, 500, 1000, 2000, 5000, 10_000)
"""Seeds an arm of which the power is told."""


@dataclass(frozen=True)
class Planned:
    """A claim's plan at one spread."""

    spread: float
    """Standard deviation over seeds, mean over tasks: of the difference within a seed, or of an arm's scores where seeds are not paired."""
    seeds: float | None
    """Needed an arm for 80 % power, at least `FEW`; infinite for more than 10,000, None where the spread is 0."""
    power: list[tuple[int, float]]
    """(seeds an arm, power), up to about twice what is needed."""
    registered: float | None
    """Power with the seeds that the suite registers."""


def plan(claim: Claim, arm: Array, against: Array, at: float, registered: int) -> Planned:
    """The plan of a claim at level `at` if scores spread as those of `arm [n, T]` and `against [m, T]`.

    Raises InputError where the claim's test is not allowed.
    """
    test = form(claim.test, claim.method, claim.margin)
    needed = test.seeds_needed(arm, against, claim.assumed, at)
    most = max(2 * (needed if needed and np.isfinite(needed) else COUNTS[-1]), 2 * registered)
    curve = [(count, test.power(arm, against, claim.assumed, at, count)) for count in COUNTS if count <= most]
    variances = [np.var(each, axis=0, ddof=1).mean() for each in samples(arm, against, claim.method)]
    return Planned(
        spread=float(np.mean(variances) ** 0.5),
        seeds=None if needed is None else max(FEW, needed),
        power=[(count, each) for count, each in curve if each is not None],
        registered=test.power(arm, against, claim.assumed, at, registered),
    )


def assumed(claim: Claim, spread: float, tasks: Sequence[str]) -> tuple[Array, Array]:
    """Score matrices [n, T] whose spread is exactly this, on every task.

    Of a test of deviations, whose power depends on the correlation of the arms alone, two that are uncorrelated: the worst case.
    """
    if claim.test == SPREAD:
        return np.array([[1.0], [1.0], [-1.0], [-1.0]]), np.array([[1.0], [-1.0], [1.0], [-1.0]])
    sides = np.array([[1.0], [-1.0]]) * np.full(len(tasks), spread / 2**0.5)
    return sides, sides.copy() if claim.method == "welch" else np.zeros_like(sides)
