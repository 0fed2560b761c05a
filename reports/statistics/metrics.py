"""The metrics that a claim can be about, each known here alone: what it means, its unit, its bounds, and one value a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reports.statistics.intervals import Array

Steps = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Metric:
    """`of(scores [n, S], entropy [n, S], steps [S])` gives one value a seed, `[n]`, n > 0; NaN where nothing was recorded."""

    name: str
    meaning: str
    unit: str
    """As an axis says it."""
    bounds: tuple[float, float] | None
    """Between which a seed's value lies on the declared scale; None where there are no bounds."""
    of: Callable[[Array, Array, Steps], Array]
    on_scale: bool = True
    """Whether a value is a place on the scores' scale, from 0 at the reference's low to 1 at its high."""


def _final(scores: Array, entropy: Array, steps: Steps) -> Array:
    return scores[:, -1]


def _area(scores: Array, entropy: Array, steps: Steps) -> Array:
    if scores.shape[1] == 1:
        return scores[:, -1]
    at = steps.astype(np.float64)
    return np.asarray(np.trapezoid(scores, at, axis=1) / (at[-1] - at[0]))


def _last_tenth(scores: Array, entropy: Array, steps: Steps) -> Array:
    return np.asarray(scores[:, steps > 0.9 * steps[-1]].mean(axis=1))


def _spread(scores: Array, entropy: Array, steps: Steps) -> Array:
    final = scores[:, -1]
    return -np.abs(final - np.median(final))


def _entropy(scores: Array, entropy: Array, steps: Steps) -> Array:
    recorded = ~np.isnan(entropy)  # the warm-up of a replay has none
    count = recorded.sum(axis=1)
    total = np.where(recorded, entropy, 0.0).sum(axis=1)
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
            "spread",
            "minus the distance of a seed's final score to the median seed of its arm and task: more is more stable",
            "minus distance to the median",
            (-1.0, 0.0),
            _spread,
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
    )
}
