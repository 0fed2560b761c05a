"""The tests behind the verdicts: superiority, non-inferiority and equivalence of one arm against another.

A score matrix is float64 `[n, T]`: row = seed, column = task. The estimand is mean(claimed) - mean(against), tasks weighted equally.
`level` is one-sided: the probability of a false claim, and equally that of a false refutation. With 0.025 the interval printed
beside the verdict is the 95 % one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtri, ndtr, stdtr, stdtrit

from harness.errors import InputError
from reports.statistics.intervals import NO_VARIANCE, TOO_FEW, Array, squared_error, standard_error, stream

TESTS = ("superiority", "non-inferiority", "equivalence")
METHODS = ("welch", "paired", "sign-flip")

ENUMERATED = 2**16
PATTERNS = 20_000
UNREACHABLE = "undefined: too few seeds for this level"


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


def test(claimed: Array, against: Array, test: str, method: str, margin: float, level: float) -> Outcome:
    """Test a claim about the difference d of the mean scores of `claimed [n, T]` and `against [m, T]`.

    | test            | claim       | refuted by  |
    |-----------------|-------------|-------------|
    | superiority     | d > margin  | d < margin  |
    | non-inferiority | d > -margin | d < -margin |
    | equivalence     | abs(d) < margin (two one-sided tests, the larger p; Schuirmann 1987) | abs(d) > margin (2 x the smaller p) |

    `welch` takes the seeds of the two arms as independent; `paired` and `sign-flip` take row i of both as one seed's, n = m, and use
    the differences. The t methods have Satterthwaite degrees of freedom over arms and tasks. `sign-flip` is the exact randomization
    test (Fisher 1935) of differences that are symmetric about the same value on every task: each seed's difference on each task may
    change its sign. It needs no normal scores. Where the tasks' differences have different centres it errs on the side of caution.

    Raises InputError where the method, test, margin, level or shapes are not allowed.
    """
    _check(claimed, against, test, method, margin, level)
    estimate = float(claimed.mean() - against.mean())
    if len(claimed) < 2 or len(against) < 2:
        return Outcome(estimate, None, None, None, None, None, TOO_FEW)
    if method == "sign-flip":
        flips = SignFlips.of(claimed, against)
        low, high, why = flips.interval(level)
        p, p_against = p_values(flips, test, margin)
        return Outcome(estimate, low, high, float(p), float(p_against), None, why)
    student = StudentT.of(claimed, against, method)
    if not student.error:
        return Outcome(estimate, None, None, None, None, None, NO_VARIANCE)
    half = float(student.half(level))
    p, p_against = p_values(student, test, margin)
    return Outcome(estimate, estimate - half, estimate + half, float(p), float(p_against), float(student.df), "")


class Centre(Protocol):
    """What is known of the centre of a difference: one-sided p values, for one comparison or an array `[...]` of them."""

    def above(self, value: float) -> Array:
        """p value of "the centre is above `value`"."""

    def below(self, value: float) -> Array:
        """p value of "the centre is below `value`"."""


def p_values(centre: Centre, test: str, margin: float) -> tuple[Array, Array]:
    """p value of the claim and of its refutation, for each comparison."""
    if test == "equivalence":
        outside = np.minimum(centre.above(margin), centre.below(-margin))
        return np.maximum(centre.above(-margin), centre.below(margin)), np.minimum(2 * outside, 1.0)
    limit = margin if test == "superiority" else -margin
    return centre.above(limit), centre.below(limit)


@dataclass(frozen=True)
class StudentT:
    """t statistics of differences, `[...]` each: estimate, standard error (0 where there is no variance; p values are then NaN), df."""

    estimate: Array
    error: Array
    df: Array

    @classmethod
    def of(cls, claimed: Array, against: Array, method: str) -> StudentT:
        """Of `claimed [..., n, T]` and `against [..., m, T]` by "welch" or "paired"."""
        variance, df = squared_error(_samples(claimed, against, method))
        return cls(claimed.mean(axis=(-2, -1)) - against.mean(axis=(-2, -1)), np.sqrt(variance), df)

    def above(self, value: float) -> Array:
        return np.asarray(stdtr(self.df, (value - self.estimate) / self.error))

    def below(self, value: float) -> Array:
        return np.asarray(stdtr(self.df, (self.estimate - value) / self.error))

    def half(self, level: float) -> Array:
        """Half the width of the interval of confidence 1 - 2 `level`."""
        return np.asarray(stdtrit(self.df, 1 - level) * self.error)


@dataclass(frozen=True)
class SignFlips:
    """Sign patterns of one sample of differences, as the sum and the count of those whose sign changes.

    The mean of the flipped sample is at least the observed one, both about `value`, where the changed ones have a mean of at most
    `value`. So p values count subset means, and the interval's ends are among them (Hartigan 1969: typical values).
    """

    sums: Array
    counts: Array
    rounding: float

    @classmethod
    def of(cls, claimed: Array, against: Array) -> SignFlips:
        """All patterns of `claimed - against` ([n, T] both), or the observed one (no change) and `PATTERNS` random ones."""
        flat = _samples(claimed, against, "sign-flip")[0].ravel()
        sums, counts = np.zeros(1), np.zeros(1)
        if 2.0 ** min(flat.size, 1000) <= ENUMERATED:
            for value in flat:
                sums, counts = np.concatenate([sums, sums + value]), np.concatenate([counts, counts + 1])
        else:
            generator, weights = stream(claimed, against), np.stack([flat, np.ones(flat.size)], axis=1)
            drawn = [
                generator.integers(2, size=(PATTERNS // 10, flat.size), dtype=np.int8) @ weights for _ in range(10)
            ]
            sums, counts = np.concatenate([np.zeros((1, 2)), *drawn]).T
        return cls(sums, counts, 1e-12 * float(np.abs(flat).sum()))

    def above(self, value: float) -> Array:
        return np.asarray((self.sums - self.counts * value <= self.rounding).mean())

    def below(self, value: float) -> Array:
        return np.asarray((self.sums - self.counts * value >= -self.rounding).mean())

    def interval(self, level: float) -> tuple[float | None, float | None, str]:
        """All centres with both p values above `level`: its ends, or None twice and why."""
        rejected = int(level * len(self.sums) + 1e-9)
        changed = self.counts > 0
        means = self.sums / np.maximum(self.counts, 1)
        low = float(np.partition(np.where(changed, means, -np.inf), rejected)[rejected])
        high = float(np.partition(np.where(changed, means, np.inf), -1 - rejected)[-1 - rejected])
        if not np.isfinite([low, high]).all():
            return None, None, UNREACHABLE
        if np.ptp(means[changed]) <= self.rounding:
            return None, None, NO_VARIANCE
        return low, high, ""


def holm(p: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down adjusted p values, in the order given: those at most `level` are rejected together at `level`."""
    order = np.argsort(p, kind="stable")
    steps = np.asarray(p, dtype=np.float64)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return [float(each) for each in adjusted]


def smallest_p(method: str, seeds: int, tasks: int) -> float:
    """The smallest p value that a design of `seeds` an arm on `tasks` can give: a level below it can never be reached."""
    if seeds < 2:
        return 1.0
    if method != "sign-flip":
        return 0.0
    patterns = 2.0 ** min(seeds * tasks, 1000)
    return 1 / patterns if patterns <= ENUMERATED else 1 / (PATTERNS + 1)


def power(
    claimed: Array,
    against: Array,
    test: str,
    method: str,
    margin: float,
    effect: float,
    level: float,
    seeds: int | None = None,
) -> float | None:
    """Probability that the claim is supported if the true difference is `effect` and the spread is the observed one.

    With `seeds` an arm (None: as many as there are). Noncentral t (equivalence: its two-sided form, Phillips 1990); for `sign-flip`
    that of the paired t test, or 0 where the level cannot be reached. None where the spread is undefined.
    """
    _check(claimed, against, test, method, margin, level)
    error, df, why = standard_error(_samples(claimed, against, method), seeds)
    if why:
        return None
    if smallest_p(method, seeds or len(claimed), claimed.shape[1]) > level:
        return 0.0
    return _power(test, margin / error, effect / error, df, level)


def detectable(
    claimed: Array, against: Array, test: str, method: str, margin: float, level: float, power: float = 0.8
) -> float | None:
    """What the present number of seeds can show with probability `power`, at the observed spread, in units of the score.

    Superiority: the smallest true difference (it is larger than `margin`). Non-inferiority and equivalence: the smallest margin, if
    the true difference is 0. None where the spread is undefined or the level cannot be reached.
    """
    _check(claimed, against, test, method, margin, level)
    error, df, why = standard_error(_samples(claimed, against, method))
    if why or smallest_p(method, len(claimed), claimed.shape[1]) > level:
        return None
    most = 2 * float(stdtrit(df, 1 - level)) + 2 * float(stdtrit(df, (1 + power) / 2)) + 10
    if test == "superiority":
        return margin + error * float(brentq(lambda effect: _power(test, 0.0, effect, df, level) - power, 0, most))
    return error * float(brentq(lambda limit: _power(test, limit, 0.0, df, level) - power, 0, most))


def seeds_needed(
    claimed: Array,
    against: Array,
    test: str,
    method: str,
    margin: float,
    effect: float,
    level: float,
    power: float = 0.8,
    most: int = 10_000,
) -> int | None:
    """Seeds an arm with which the claim is supported with probability `power`, if the true difference is `effect`.

    At the observed spread. None where that is undefined, or where more than `most` would be needed.
    """
    _check(claimed, against, test, method, margin, level)
    samples = _samples(claimed, against, method)

    def enough(seeds: int) -> bool:
        error, df, why = standard_error(samples, seeds)
        reachable = not why and smallest_p(method, seeds, claimed.shape[1]) <= level
        return reachable and _power(test, margin / error, effect / error, df, level) >= power

    if not enough(most):
        return None
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _power(test: str, margin: float, effect: float, df: float, level: float) -> float:
    """Power with `margin` and `effect` in standard errors of the difference."""
    low = margin if test == "superiority" else -margin
    high = margin if test == "equivalence" else np.inf
    # Given the ratio of estimated to true standard error, the estimate must fall between two limits: the average over that ratio.
    # (scipy.special.nctdtr is the same without `high`, and NaN for some arguments.)
    critical = float(stdtrit(df, 1 - level)) * np.sqrt(chdtri(df, (np.arange(1000) + 0.5) / 1000) / df)
    return float(np.maximum(ndtr(high - effect - critical) - ndtr(low - effect + critical), 0).mean())


def _samples(claimed: Array, against: Array, method: str) -> list[Array]:
    """The matrices `[..., n, T]` whose spread counts: both arms, or the differences by seed."""
    if method == "welch":
        return [claimed, against]
    differences = claimed - against
    # Differences that are equal but for the rounding of the subtraction have no variance.
    rounding = 1e-12 * np.maximum(np.abs(claimed), np.abs(against)).max(axis=(-2, -1), keepdims=True)
    return [np.where(np.ptp(differences, axis=-2, keepdims=True) <= rounding, differences[..., :1, :], differences)]


def _check(claimed: Array, against: Array, test: str, method: str, margin: float, level: float) -> None:
    if test not in TESTS:
        raise InputError(f"test: {test!r} is not one of {', '.join(TESTS)}")
    if method not in METHODS:
        raise InputError(f"method: {method!r} is not one of {', '.join(METHODS)}")
    if not (0 <= margin < np.inf if test == "superiority" else 0 < margin < np.inf):
        raise InputError(
            f"margin: {margin} is not allowed; {test} needs one {'of at least' if test == 'superiority' else 'above'} 0"
        )
    if not 0 < level < 0.5:
        raise InputError(f"level: {level} is not allowed; it is one-sided, between 0 and 0.5")
    shapes = f"score matrices {claimed.shape} and {against.shape}"
    if (
        claimed.ndim != 2
        or against.ndim != 2
        or claimed.shape[1] != against.shape[1]
        or not claimed.size
        or not against.size
    ):
        raise InputError(
            f"{shapes} cannot be compared: [seeds, tasks] with the same tasks is needed, and a seed at least"
        )
    if method != "welch" and len(claimed) != len(against):
        raise InputError(f"{shapes} cannot be paired: method {method!r} needs the same seeds in both arms")
    if not (np.isfinite(claimed).all() and np.isfinite(against).all()):
        raise InputError("scores: NaN or infinite; every score must be a finite number")
