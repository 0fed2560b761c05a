"""The difference of two arms' means against a margin: superiority, non-inferiority, equivalence.

The estimand d is mean(arm) - mean(against), tasks weighted equally.

| test            | supported | no relevant difference | contradicted | below the margin | refuted (p against) |
|-----------------|-----------|------------------------|--------------|------------------|---------------------|
| superiority     | d > m     | abs(d) < m, if m > 0   | d < 0        | d < m, if m > 0  | d < m               |
| non-inferiority | d > -m    |                        | d < 0        |                  | d < -m              |
| equivalence     | abs(d) < m |                       | abs(d) > m   |                  | abs(d) > m          |

Between two bounds are two one-sided tests, the larger p (Schuirmann 1987); outside of them is twice the smaller p.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harness.errors import InputError
from reports.statistics import power
from reports.statistics.centres import METHODS, Centre, Region, SignFlips, StudentT
from reports.statistics.forms.form import BELOW_MARGIN, CONTRADICTED, NO_DIFFERENCE, SUPPORTED, Outcome
from reports.statistics.intervals import NO_VARIANCE, TOO_FEW, Array, centre, fewest

TESTS = ("superiority", "non-inferiority", "equivalence")


@dataclass(frozen=True)
class Difference:
    """A test of this form. Raises InputError where test, method or margin are not allowed."""

    test: str
    method: str
    margin: float

    def __post_init__(self) -> None:
        if self.test not in TESTS:
            raise InputError(f"test: {self.test!r} is not one of {', '.join(TESTS)}")
        if self.method not in METHODS:
            raise InputError(f"method: {self.method!r} is not one of {', '.join(METHODS)}")
        if not (0 <= self.margin < np.inf if self.test == "superiority" else 0 < self.margin < np.inf):
            least = "of at least" if self.test == "superiority" else "above"
            raise InputError(f"margin: {self.margin} is not allowed; {self.test} needs one {least} 0")

    @cached_property
    def words(self) -> dict[str, Region]:
        """word -> the true differences of which it is right."""
        margin = self.margin
        if self.test == "equivalence":
            return {SUPPORTED: Region(-margin, margin), CONTRADICTED: self.refuted}
        if self.test == "non-inferiority":
            return {SUPPORTED: Region(low=-margin), CONTRADICTED: Region(high=0.0)}
        if not margin:
            return {SUPPORTED: Region(low=0.0), CONTRADICTED: Region(high=0.0)}
        return {
            SUPPORTED: Region(low=margin),
            NO_DIFFERENCE: Region(-margin, margin),
            CONTRADICTED: Region(high=0.0),
            BELOW_MARGIN: self.refuted,
        }

    @property
    def refuted(self) -> Region:
        """The true differences with which the claim does not hold."""
        if self.test == "equivalence":
            return Region(-self.margin, self.margin, outside=True)
        return Region(high=self.margin if self.test == "superiority" else -self.margin)

    def truths(self, step: float) -> list[float]:
        """True differences for a simulation: the ends of the words' regions, 0, and one that lies `step` above all of these."""
        ends = {end for region in self.words.values() for end in (region.low, region.high) if np.isfinite(end)}
        return [*sorted(ends | {0.0}), max(ends | {0.0}) + step]

    def outcome(self, arm: Array, against: Array, level: float) -> Outcome:
        """Test `arm [n, T]` against `against [m, T]` at a one-sided `level`: the probability of a false claim, and of a false refutation.

        Raises InputError where level or shapes are not allowed, or a score is not finite.
        """
        self._check(arm, against, level)
        estimate = float(centre(arm) - centre(against))
        if min(fewest(arm), fewest(against)) < 2:
            return Outcome(estimate, None, None, None, None, {}, None, TOO_FEW)
        if self.method == "sign-flip":
            flips = SignFlips.of(arm, against)
            low, high, why = flips.interval(level)
            return Outcome(estimate, low, high, *self._ps(flips), None, why)
        student = StudentT.of(arm, against, self.method)
        if not student.error:
            return Outcome(estimate, None, None, None, None, {}, None, NO_VARIANCE)
        half = float(student.half(level))
        return Outcome(estimate, estimate - half, estimate + half, *self._ps(student), float(student.df), "")

    def p_values(self, centre: Centre) -> dict[str, Array]:
        """word -> its p values, for each comparison."""
        return {word: region.p(centre) for word, region in self.words.items()}

    def power(self, arm: Array, against: Array, effect: float, level: float, seeds: int | None = None) -> float | None:
        """Probability that the claim is supported if the true difference is `effect`, with `seeds` an arm (None: as there are)."""
        self._check(arm, against, level)
        return power.power(arm, against, self.method, self.words[SUPPORTED], effect, level, seeds)

    def detectable(self, arm: Array, against: Array, level: float) -> float | None:
        """What these seeds find with 80 % power, in units of the score.

        Superiority: the smallest true difference (it is larger than `margin`). Non-inferiority and equivalence: the smallest margin, if
        the true difference is 0. None where the spread is undefined or the level cannot be reached.
        """
        self._check(arm, against, level)

        def case(x: float) -> tuple[Region, float]:
            if self.test == "superiority":
                return Region(low=0.0), x
            return Region(low=-x, high=x if self.test == "equivalence" else np.inf), 0.0

        found = power.detectable(arm, against, self.method, level, case)
        return found if found is None or self.test != "superiority" else self.margin + found

    def seeds_needed(self, arm: Array, against: Array, effect: float, level: float) -> float | None:
        """Seeds an arm for 80 % power if the true difference is `effect`; infinity where no number up to 10,000 is enough, None where
        the spread is undefined."""
        self._check(arm, against, level)
        return power.seeds_needed(arm, against, self.method, self.words[SUPPORTED], effect, level)

    def _ps(self, centre: Centre) -> tuple[float, float, dict[str, float]]:
        """p of the claim, p of its refutation, p of each word."""
        words = {word: float(p) for word, p in self.p_values(centre).items()}
        return words[SUPPORTED], float(self.refuted.p(centre)), words

    def _check(self, arm: Array, against: Array, level: float) -> None:
        if not 0 < level < 0.5:
            raise InputError(f"level: {level} is not allowed; it is one-sided, between 0 and 0.5")
        shapes = f"score matrices {arm.shape} and {against.shape}"
        if arm.ndim != 2 or against.ndim != 2 or arm.shape[1] != against.shape[1] or not arm.size or not against.size:
            raise InputError(
                f"{shapes} cannot be compared: [seeds, tasks] with the same tasks is needed, and a seed at least"
            )
        if self.method != "welch" and len(arm) != len(against):
            raise InputError(f"{shapes} cannot be paired: method {self.method!r} needs the same seeds in both arms")
        if not (np.isfinite(arm).all() and np.isfinite(against).all()):
            raise InputError("scores: NaN or infinite; every score must be a finite number")
