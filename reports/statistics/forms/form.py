"""What a form of test must give, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from reports.statistics.centres import Centre, Region
from reports.statistics.intervals import Array

SUPPORTED, REFUTED, INCONCLUSIVE, INVALID, NOT_MEASURED = (
    "supported",
    "refuted",
    "inconclusive",
    "invalid",
    "not measured",
)


@dataclass(frozen=True)
class Outcome:
    """What a test found. An interval or p value that is undefined is None, and `why` says why ("" where all is defined)."""

    estimate: float
    low: float | None
    high: float | None
    """Ends of the two-sided interval of confidence 1 - 2 `level`."""
    p: float | None
    """One-sided p value for the claim: small where the scores support it."""
    p_against: float | None
    """One-sided p value for its refutation: small where the scores contradict it."""
    df: float | None
    """Degrees of freedom of the t methods."""
    why: str


class Form(Protocol):
    """One claim's test: of `arm [n, T]` against `against [m, T]` (row = seed, column = task) at a one-sided `level`."""

    def __init__(self, test: str, method: str, margin: float) -> None:
        """Raises InputError where test, method or margin are not allowed."""

    @property
    def claimed(self) -> Region:
        """The true differences with which the claim holds: the bar, in words `str(claimed)`."""

    @property
    def refuted(self) -> Region:
        """Those with which it does not."""

    def outcome(self, arm: Array, against: Array, level: float) -> Outcome:
        """Raises InputError where level or shapes are not allowed, or a score is not finite."""

    def p_values(self, centre: Centre) -> tuple[Array, Array]:
        """p values of the claim and of its refutation, for each comparison."""

    def power(self, arm: Array, against: Array, effect: float, level: float, seeds: int | None = None) -> float | None:
        """Probability that the claim is supported if the true difference is `effect`; see `reports.statistics.power`."""

    def detectable(self, arm: Array, against: Array, level: float) -> float | None:
        """What these seeds find with 80 % power: the smallest true difference, or the smallest margin."""

    def seeds_needed(self, arm: Array, against: Array, effect: float, level: float) -> int | None:
        """Seeds an arm for 80 % power if the true difference is `effect`."""
