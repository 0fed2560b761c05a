"""From a log to a curve: what is absent and what is diverged, smoothing, and the values at the declared steps.

A curve is interpolated linearly at the grid's steps, within the run's own range and never beyond it. A value that is not finite and is
followed by finite ones is absent: nothing was measured there. A run has diverged where its log is not finite to its end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pandas as pd

from harness.imports.readers.log import Log
from harness.imports.readers.tables import Array
from harness.imports.schema import Grid
from harness.schema.fields import MOST_NUMBER, MOST_STEPS

ANEW = 0.1
"""A log that begins again within this share of another one's steps is no continuation, but another attempt."""


@dataclass(frozen=True)
class Curve:
    """`steps [N]`, rising, and the smoothed `returns [N]` there, finite; `diverged`: the first step of the end that is not finite.

    `points`: different steps that were logged; `last`: the last of them; `lowest`: the lowest finite return in the log.
    """

    steps: Array
    returns: Array
    diverged: int | None
    points: int
    last: int
    lowest: float

    def at(self, grid: Grid) -> tuple[Array, npt.NDArray[np.bool_]]:
        """`(returns [points], diverged [points])` at the grid's steps; NaN where it is diverged, which it stays."""
        values = np.interp(grid.steps, self.steps, self.returns)
        diverged = (grid.steps > self.steps[-1]) & (self.diverged is not None)
        return np.where(diverged, np.nan, values), diverged

    def short(self, grid: Grid) -> str:
        """Why it cannot be read at every step of the grid, or ""."""
        if self.steps[0] > grid.first:
            return f"begins at step {self.steps[0]:,.0f}, after the grid's first, {grid.first:,}"
        if self.steps[-1] < grid.last and self.diverged is None:
            return f"ends at step {self.steps[-1]:,.0f}, before the grid's last, {grid.last:,}"
        return ""


def fault(log: Log, again: bool) -> str:
    """What is wrong with the numbers of a log, or "". `again`: steps may repeat."""
    steps, returns = log.steps, log.returns
    if not ((steps >= 0) & (steps <= MOST_STEPS)).all():  # NaN and inf neither
        return f"step: a step is no number from 0 to {MOST_STEPS:,}"
    wrong = np.flatnonzero(np.diff(steps) < 0 if again else np.diff(steps) <= 0)
    if len(wrong):
        before, after = steps[wrong[0]], steps[wrong[0] + 1]
        return f"step: {after:,.0f} comes after {before:,.0f}; steps must {'not fall' if again else 'rise'}"
    large = np.isfinite(returns) & (np.abs(returns) > MOST_NUMBER)
    if large.any():
        return f"return: {returns[large][0]:.3g} is beyond ±{MOST_NUMBER:g}"
    if not np.isfinite(returns).any():
        return "has no finite return"
    return ""


def sessions(log: Log) -> list[Log]:
    """The parts of a log that was continued after a restart: its steps fall back, and rise beyond where they had been.

    A single part where that is not so: then its falling steps are a fault.
    """
    falls = np.flatnonzero(np.diff(log.steps) < 0) + 1
    if not len(falls) or not np.isfinite(log.steps).all():
        return [log]
    parts = [
        replace(log, steps=steps, returns=returns)
        for steps, returns in zip(np.split(log.steps, falls), np.split(log.returns, falls), strict=True)
    ]
    furthest = parts[0].steps[-1]
    for before, part in pairwise(parts):
        if part.steps[-1] <= furthest or not continues(before, part):
            return [log]
        furthest = part.steps[-1]
    return parts


def continues(before: Log, after: Log) -> bool:
    """Whether a log goes on where another one was, by its steps, or somewhat earlier, as after a restart from a checkpoint."""
    first, last = before.steps[0], before.steps[-1]
    return bool(after.steps[0] > first + ANEW * (last - first))


def chained(parts: list[Log]) -> Log:
    """One log of parts that continue each other: what a later part logged again counts."""
    steps, returns = parts[0].steps, parts[0].returns
    for part in parts[1:]:
        kept = steps < part.steps[0]
        steps, returns = np.concatenate([steps[kept], part.steps]), np.concatenate([returns[kept], part.returns])
    return replace(parts[-1], steps=steps, returns=returns, began=parts[0].began)


def curve(log: Log, window: int) -> Curve:
    """The mean of the last `window` finite values (fewer at the start); of equal steps the last mean counts."""
    finite = np.isfinite(log.returns)
    last = int(np.flatnonzero(finite)[-1])
    diverged = int(log.steps[last + 1]) if last + 1 < len(finite) else None
    steps = log.steps[finite]
    means = pd.Series(log.returns[finite]).rolling(window, min_periods=1).mean().to_numpy()
    kept = np.append(np.diff(steps) > 0, True)
    points, lowest = len(np.unique(log.steps)), float(log.returns[finite].min())
    return Curve(steps[kept], means[kept], diverged, points, int(log.steps[-1]), lowest)
