"""What is known of the centre of a difference between two arms: p values and intervals by Student's t or by exact sign flips.

A score matrix is float64 `[n, T]`: row = seed, column = task; the centre is that of mean(arm) - mean(against), tasks weighted equally.
A `level` is one-sided: with 0.025 the interval is the 95 % one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from scipy.special import stdtr, stdtrit

from reports.statistics.intervals import NO_VARIANCE, Array, centre, squared_error, stream

METHODS = ("welch", "paired", "sign-flip")
"""`welch` takes the seeds of the two arms as independent; the others take row i of both as one seed's, and use the differences."""

LEAST_SEEDS = {"pitman-morgan": 4}
"""Seeds an arm that a method needs, where these are more than 2."""
ENUMERATED = 2**16
PATTERNS = 20_000
UNREACHABLE = "undefined: too few seeds for this level"


class Centre(Protocol):
    """What is known of the centre of a difference: one-sided p values, for one comparison or an array `[...]` of them."""

    def above(self, value: float) -> Array:
        """p value of "the centre is above `value`"."""

    def below(self, value: float) -> Array:
        """p value of "the centre is below `value`"."""


@dataclass(frozen=True)
class Region:
    """True differences that a statement is about: those between `low` and `high`, or those `outside` of both."""

    low: float = -np.inf
    high: float = np.inf
    outside: bool = False

    def p(self, centre: Centre) -> Array:
        """p value of "the centre is in this region" `[...]`: of two bounds the larger one (Schuirmann 1987), outside twice the smaller."""
        if self.outside:
            return np.asarray(np.minimum(2 * np.minimum(centre.above(self.high), centre.below(self.low)), 1.0))
        bounds = [
            *([centre.above(self.low)] if np.isfinite(self.low) else []),
            *([centre.below(self.high)] if np.isfinite(self.high) else []),
        ]
        return np.asarray(np.max(bounds, axis=0))

    def holds(self, truth: float) -> bool:
        """Whether a true difference lies in it; its ends do not."""
        return truth < self.low or truth > self.high if self.outside else self.low < truth < self.high

    def __str__(self) -> str:
        """In words: `above 0.01`, `between −0.02 and 0.02`."""
        low, high = (f"{'−' * (end < 0)}{abs(end):g}" for end in (self.low, self.high))
        if np.isfinite([self.low, self.high]).all():
            return f"{'outside' if self.outside else 'between'} {low} and {high}"
        return f"above {low}" if np.isfinite(self.low) else f"below {high}"


@dataclass(frozen=True)
class StudentT:
    """t statistics of differences, `[...]` each: estimate, standard error (0 where there is no variance; p values are then NaN), df.

    Degrees of freedom are Satterthwaite's over arms and tasks.
    """

    estimate: Array
    error: Array
    df: Array

    @classmethod
    def of(cls, arm: Array, against: Array, method: str) -> StudentT:
        """Of `arm [..., n, T]` and `against [..., m, T]` by "welch" or "paired"."""
        variance, df = squared_error(samples(arm, against, method))
        return cls(centre(arm) - centre(against), np.sqrt(variance), df)

    def above(self, value: float) -> Array:
        return np.asarray(stdtr(self.df, (value - self.estimate) / self.error))

    def below(self, value: float) -> Array:
        return np.asarray(stdtr(self.df, (self.estimate - value) / self.error))

    def half(self, level: float) -> Array:
        """Half the width of the interval of confidence 1 - 2 `level`."""
        return np.asarray(stdtrit(self.df, 1 - level) * self.error)


@dataclass(frozen=True)
class SignFlips:
    """The exact randomization test (Fisher 1935) of differences that are symmetric about the same value on every task.

    Each seed's difference on each task may change its sign: patterns of one sample, as the sum and the count of those that change.
    It needs no normal scores. Where the tasks' differences have different centres it errs on the side of caution. The mean of the
    flipped sample is at least the observed one, both about `value`, where the changed ones have a mean of at most `value`. So p values
    count subset means, and the interval's ends are among them (Hartigan 1969: typical values).
    """

    sums: Array
    counts: Array
    rounding: float

    @classmethod
    def of(cls, arm: Array, against: Array) -> SignFlips:
        """All patterns of `arm - against` ([n, T] both), or the observed one (no change) and `PATTERNS` random ones."""
        flat = samples(arm, against, "sign-flip")[0].ravel()
        sums, counts = np.zeros(1), np.zeros(1)
        if 2.0 ** min(flat.size, 1000) <= ENUMERATED:
            for value in flat:
                sums, counts = np.concatenate([sums, sums + value]), np.concatenate([counts, counts + 1])
        else:
            generator, weights = stream(arm, against), np.stack([flat, np.ones(flat.size)], axis=1)
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


def samples(arm: Array, against: Array, method: str) -> list[Array]:
    """The matrices `[..., n, T]` whose spread counts: both arms, or the differences by seed."""
    if method == "welch":
        return [arm, against]
    differences = arm - against
    # Differences that are equal but for the rounding of the subtraction have no variance.
    rounding = 1e-12 * np.maximum(np.abs(arm), np.abs(against)).max(axis=(-2, -1), keepdims=True)
    return [np.where(np.ptp(differences, axis=-2, keepdims=True) <= rounding, differences[..., :1, :], differences)]


def smallest_p(method: str, seeds: int, tasks: int) -> float:
    """The smallest p value that a design of `seeds` an arm on `tasks` can give: a level below it can never be reached."""
    if seeds < LEAST_SEEDS.get(method, 2):
        return 1.0
    if method != "sign-flip":
        return 0.0
    patterns = 2.0 ** min(seeds * tasks, 1000)
    return 1 / patterns if patterns <= ENUMERATED else 1 / (PATTERNS + 1)
