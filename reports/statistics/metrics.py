"""The metrics that a claim can be about, each known here alone: what it means, its unit, its bounds, and one value a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reports.statistics.intervals import Array

Steps = npt.NDArray[np.int64]
REACHED = 0.8
"""The normalized score that `speed` is about: 400 of CartPole's 500, or 200, which counts as solved, of LunarLander from -200 to 300."""


@dataclass(frozen=True)
class Recorded:
    """What an arm left on a task: `[n, S]` each, at `steps [S]`; NaN where nothing was recorded.

    `scores` of the evaluations, `training` the scores of the training episodes that ended in each segment, `entropy` in nats;
    `goals` reached and `goal_entropy` between them in nats, None for a task without goals.
    """

    scores: Array
    training: Array
    entropy: Array
    steps: Steps
    goals: Array | None = None
    goal_entropy: Array | None = None


@dataclass(frozen=True)
class Metric:
    """`of(recorded)` gives one value a seed, `[n]`, n > 0; NaN where nothing was recorded."""

    name: str
    meaning: str
    unit: str
    """As an axis says it."""
    bounds: tuple[float, float] | None
    """Between which a seed's value lies on the declared scale; None where there are no bounds."""
    of: Callable[[Recorded], Array]
    on_scale: bool = True
    """Whether a value is a place on the scores' scale, from 0 at the reference's low to 1 at its high."""


def _final(its: Recorded) -> Array:
    return its.scores[:, -1]


def _area(its: Recorded) -> Array:
    if its.scores.shape[1] == 1:
        return its.scores[:, -1]
    at = its.steps.astype(np.float64)
    return np.asarray(np.trapezoid(its.scores, at, axis=1) / (at[-1] - at[0]))


def _last_tenth(its: Recorded) -> Array:
    return np.asarray(its.scores[:, _late(its.steps, 0.9)].mean(axis=1))


def _training(its: Recorded) -> Array:
    return _mean(its.training[:, _late(its.steps, 0.5)])


def _spread(its: Recorded) -> Array:
    final = its.scores[:, -1]
    return -np.abs(final - np.median(final))


def _speed(its: Recorded) -> Array:
    reached = its.scores >= REACHED
    at = np.where(reached.any(axis=1), its.steps[reached.argmax(axis=1)], its.steps[-1])
    return np.asarray(1 - at / its.steps[-1])


def _entropy(its: Recorded) -> Array:
    return _mean(its.entropy)


def _late_entropy(its: Recorded) -> Array:
    return _mean(its.entropy[:, _late(its.steps, 0.9)])


def _goals(its: Recorded) -> Array:
    return _last(its, its.goals)


def _goal_entropy(its: Recorded) -> Array:
    return _last(its, its.goal_entropy)


def _last(its: Recorded, values: Array | None) -> Array:
    return np.full(len(its.scores), np.nan) if values is None else values[:, -1]


def _late(steps: Steps, share: float) -> npt.NDArray[np.bool_]:
    """The segments `[S]` that end after this share of the steps."""
    return np.asarray(steps > share * steps[-1])


def _mean(values: Array) -> Array:
    """By row of what was recorded: the warm-up of a replay has no entropy, and in a short segment no episode may end."""
    recorded = ~np.isnan(values)
    count = recorded.sum(axis=1)
    total = np.where(recorded, values, 0.0).sum(axis=1)
    return np.asarray(np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0))


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("final", "normalized score of the last evaluation", "normalized score", (0.0, 1.0), _final),
        Metric(
            "area",
            "mean normalized score over all evaluations, by steps: the area under the learning curve",
            "mean normalized score",
            (0.0, 1.0),
            _area,
        ),
        Metric(
            "last-tenth",
            "mean normalized score of the evaluations in the last tenth of the steps",
            "normalized score",
            (0.0, 1.0),
            _last_tenth,
        ),
        Metric(
            "training",
            "mean normalized score of the training episodes in the second half of the steps",
            "normalized score",
            (0.0, 1.0),
            _training,
        ),
        Metric(
            "spread",
            "minus the distance of a seed's final score to the median seed of its arm and task: more is more stable",
            "minus distance to the median",
            (-1.0, 0.0),
            _spread,
            on_scale=False,
        ),
        Metric(
            "speed",
            f"share of the steps that are left when an evaluation first has the normalized score {REACHED}; 0 where none has",
            "share of the steps left",
            (0.0, 1.0),
            _speed,
            on_scale=False,
        ),
        Metric(
            "entropy",
            "mean entropy of the behaviour policy over training, in nats",
            "nats",
            None,
            _entropy,
            on_scale=False,
        ),
        Metric(
            "late-entropy",
            "mean entropy of the behaviour policy over the last tenth of training, in nats",
            "nats",
            None,
            _late_entropy,
            on_scale=False,
        ),
        Metric(
            "goals",
            "goals that episodes of the last policy reach from one start, by sampled actions",
            "goals",
            (0.0, 4.0),
            _goals,
            on_scale=False,
        ),
        Metric(
            "goal-entropy",
            "entropy in nats of the histogram of the goals that episodes of the last policy reach from one start",
            "nats",
            None,
            _goal_entropy,
            on_scale=False,
        ),
    )
}
