"""What a form of test must give, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from reports.statistics.centres import Centre, Region
from reports.statistics.intervals import Array

SUPPORTED = "supported"
NO_DIFFERENCE = "no relevant difference"
CONTRADICTED = "contradicted"
BELOW_MARGIN = "below the margin"
WORDS = (SUPPORTED, NO_DIFFERENCE, CONTRADICTED, BELOW_MARGIN)
"""What a test can show. A verdict is the first that it does."""
INCONCLUSIVE, INVALID, NOT_MEASURED = "inconclusive", "invalid", "not measured"


@dataclass(frozen=True)
class Outcome:
    """What a test found. An interval or p value that is undefined is None, and `why` says why ("" where all is defined)."""

    estimate: float | None
    """None where it is undefined: of spreads, one of which is 0."""
    low: float | None
    high: float | None
    """Ends of the two-sided interval of confidence 1 - 2 `level`."""
    p: float | None
    """One-sided p value for the claim: small where the scores support it."""
    p_against: float | None
    """One-sided p value for its refutation: small where the scores contradict it."""
    words: dict[str, float]
    """word -> its p value, for the words that can be said of this test; {} where there is none."""
    df: float | None
    """Degrees of freedom of the t methods."""
    why: str


def first_word(p: Mapping[str, Array], level: float) -> npt.NDArray[np.str_]:
    """The first word of each comparison `[...]` that is shown at `level`, of p values in the words' order; else `inconclusive`."""
    found = np.full(np.shape(p[SUPPORTED]), INCONCLUSIVE, dtype="<U24")
    for word, its in reversed([*p.items()]):
        found[its <= level] = word
    return found


class Form(Protocol):
    """One claim's test: of `arm [n, T]` against `against [m, T]` (row = seed, column = task) at a one-sided `level`."""

    def __init__(self, test: str, method: str, margin: float) -> None:
        """Raises InputError where test, method or margin are not allowed."""

    @property
    def method(self) -> str:
        """One of `reports.statistics.centres.METHODS`."""

    @property
    def margin(self) -> float:
        """In units of the metric."""

    @property
    def words(self) -> dict[str, Region]:
        """word -> the true differences of which it is right, for those of `WORDS` that can be said, in their order."""

    @property
    def refuted(self) -> Region:
        """The true differences with which the claim does not hold."""

    def truths(self, step: float) -> list[float]:
        """The true differences that a simulation should try: the ends of the words' regions, 0, and one that lies `step` beyond."""

    def outcome(self, arm: Array, against: Array, level: float) -> Outcome:
        """Raises InputError where level or shapes are not allowed, or a score is not finite."""

    def p_values(self, centre: Centre) -> dict[str, Array]:
        """word -> its p values, for each comparison."""

    def power(self, arm: Array, against: Array, effect: float, level: float, seeds: int | None = None) -> float | None:
        """Probability that the claim is supported if the true difference is `effect`; see `reports.statistics.power`."""

    def detectable(self, arm: Array, against: Array, level: float) -> float | None:
        """What these seeds find with 80 % power: the smallest true difference, or the smallest margin."""

    def seeds_needed(self, arm: Array, against: Array, effect: float, level: float) -> float | None:
        """Seeds an arm for 80 % power if the true difference is `effect`; infinity: more than any that is tried, None: unknown."""
