"""Whether one arm's seeds lie closer together than another's: Pitman's (1939) and Morgan's (1939) test of paired values.

The estimand d is log(sd(against) / sd(arm)), of normal scores of the same seeds on one task: above 0 where the arm's are closer together.
Sums and differences of two correlated samples are uncorrelated where their deviations are equal, so the test is that of a correlation.
For other ratios one sample is scaled: with r the correlation of the samples, sinh(d - observed d) sqrt((n - 2) / (1 - r^2)) is
Student's t with n - 2 degrees of freedom.

| test           | supported | no relevant difference | contradicted | below the margin | refuted (p against) |
|----------------|-----------|------------------------|--------------|------------------|---------------------|
| smaller-spread | d > m     | abs(d) < m, if m > 0   | d < 0        | d < m, if m > 0  | d < m               |
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from harness.errors import InputError
from reports.statistics.centres import LEAST_SEEDS, Centre, Region
from reports.statistics.forms.difference import Difference
from reports.statistics.forms.form import SUPPORTED, Outcome
from reports.statistics.intervals import NO_VARIANCE, Array
from reports.statistics.power import MOST_SEEDS, POWER

TEST, METHOD = "smaller-spread", "pitman-morgan"
FEWEST = LEAST_SEEDS[METHOD]
"""Seeds an arm: Fisher's approximation of the power needs more than 3."""
TOO_FEW = f"undefined: n < {FEWEST}"


@dataclass(frozen=True)
class LogRatio:
    """What is known of d, `[...]`: its estimate, its scale sqrt((1 - r^2) / (n - 2)), and n - 2."""

    estimate: Array
    scale: Array
    df: int

    @classmethod
    def of(cls, arm: Array, against: Array) -> LogRatio:
        """Of paired samples `arm [..., n, 1]` and `against [..., n, 1]` with some variance each."""
        ours, theirs = (each[..., 0] - each[..., 0].mean(-1, keepdims=True) for each in (arm, against))
        squares, others = (ours**2).sum(-1), (theirs**2).sum(-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            correlation = (ours * theirs).sum(-1) / np.sqrt(squares * others)
            estimate = np.asarray(0.5 * np.log(others / squares))
        df = arm.shape[-2] - 2
        return cls(estimate, np.sqrt(np.maximum(1 - correlation**2, 0) / df), df)

    def above(self, value: float) -> Array:
        """p value of "d is above `value`"."""
        return np.asarray(stdtr(self.df, np.sinh(value - self.estimate) / self.scale))

    def below(self, value: float) -> Array:
        """p value of "d is below `value`"."""
        return np.asarray(stdtr(self.df, np.sinh(self.estimate - value) / self.scale))

    def half(self, level: float) -> Array:
        """Half the width of the interval of confidence 1 - 2 `level`."""
        return np.asarray(np.arcsinh(stdtrit(self.df, 1 - level) * self.scale))


@dataclass(frozen=True)
class Spread:
    """A test of this form. Raises InputError where test, method or margin are not allowed."""

    test: str
    method: str
    margin: float

    def __post_init__(self) -> None:
        if self.test != TEST or self.method != METHOD:
            raise InputError(f"method: {self.method!r} is not the one of {TEST}, {METHOD!r}")
        if not 0 <= self.margin < np.inf:
            raise InputError(f"margin: {self.margin} is not allowed; {TEST} needs one of at least 0")

    @cached_property
    def words(self) -> dict[str, Region]:
        """word -> the true values of d of which it is right: as of superiority."""
        return Difference("superiority", "paired", self.margin).words

    @property
    def refuted(self) -> Region:
        """The true values of d with which the claim does not hold."""
        return Region(high=self.margin)

    def truths(self, step: float) -> list[float]:
        """True values of d for a simulation: the ends of the words' regions, 0, and one that lies `step` above all of these."""
        return Difference("superiority", "paired", self.margin).truths(step)

    def outcome(self, arm: Array, against: Array, level: float) -> Outcome:
        """Test `arm [n, 1]` against `against [n, 1]`, a seed a row, at a one-sided `level`.

        Raises InputError where level or shapes are not allowed, or a score is not finite.
        """
        self._check(arm, against, level)
        few = len(arm) < FEWEST
        estimate = float(np.log(against.std() / arm.std())) if np.ptp(arm) and np.ptp(against) else None
        if few or estimate is None:
            return Outcome(estimate, None, None, None, None, {}, None, TOO_FEW if few else NO_VARIANCE)
        found = LogRatio.of(arm, against)
        if found.scale <= 1e-6:  # one arm's scores are the other's, moved or scaled: nothing is left by which to judge
            return Outcome(estimate, None, None, None, None, {}, None, NO_VARIANCE)
        half, words = float(found.half(level)), {word: float(p) for word, p in self.p_values(found).items()}
        p_against = float(self.refuted.p(found))
        return Outcome(
            estimate, estimate - half, estimate + half, words[SUPPORTED], p_against, words, float(found.df), ""
        )

    def p_values(self, centre: Centre) -> dict[str, Array]:
        """word -> its p values, for each comparison."""
        return {word: region.p(centre) for word, region in self.words.items()}

    def power(self, arm: Array, against: Array, effect: float, level: float, seeds: int | None = None) -> float | None:
        """Probability that the claim is supported if d is `effect`, at the observed correlation, by Fisher's transformation of its t.

        With `seeds` an arm (None: as there are); None where there is no variance, or there are fewer than `FEWEST` seeds.
        """
        n, scale = seeds or len(arm), self._scale(arm, against, level)
        return None if scale is None or n < FEWEST else float(self._power(effect, scale, level, np.array(n)))

    def detectable(self, arm: Array, against: Array, level: float) -> float | None:
        """The smallest true d that these seeds find with 80 % power; None where there is no variance."""
        scale = self._scale(arm, against, level)
        if scale is None:
            return None
        n = len(arm)
        need = np.arcsinh(stdtrit(n - 2, 1 - level) / (n - 2) ** 0.5) + ndtri(POWER) / (n - 3) ** 0.5
        return self.margin + float(np.arcsinh(np.sinh(need) * scale))

    def seeds_needed(self, arm: Array, against: Array, effect: float, level: float) -> float | None:
        """Seeds an arm for 80 % power if d is `effect`; infinity where no number up to 10,000 is enough, None without variance."""
        scale = self._scale(arm, against, level)
        if scale is None:
            return None
        counts = np.arange(FEWEST, MOST_SEEDS + 1)
        enough = np.flatnonzero(self._power(effect, scale, level, counts) >= POWER)
        return int(counts[enough[0]]) if len(enough) else np.inf

    def _power(self, effect: float, scale: float, level: float, n: npt.NDArray[np.int64]) -> Array:
        """`power` for each number of seeds."""
        beyond = np.arcsinh(np.sinh(effect - self.margin) / scale) - np.arcsinh(
            stdtrit(n - 2, 1 - level) / np.sqrt(n - 2)
        )
        return np.asarray(ndtr(beyond * np.sqrt(n - 3)))

    def _scale(self, arm: Array, against: Array, level: float) -> float | None:
        """sqrt(1 - r^2) of what was observed; None where that is undefined."""
        if self.outcome(arm, against, level).why:
            return None
        found = LogRatio.of(arm, against)
        return float(found.scale * np.sqrt(found.df))

    def _check(self, arm: Array, against: Array, level: float) -> None:
        if not 0 < level < 0.5:
            raise InputError(f"level: {level} is not allowed; it is one-sided, between 0 and 0.5")
        if arm.ndim != 2 or arm.shape != against.shape or arm.shape[1] != 1:
            raise InputError(
                f"score matrices {arm.shape} and {against.shape} cannot be compared: {TEST} needs the same seeds on one task"
            )
        if not (np.isfinite(arm).all() and np.isfinite(against).all()):
            raise InputError("scores: NaN or infinite; every score must be a finite number")
