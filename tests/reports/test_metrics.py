"""The registry of metrics: the only place that knows them, and the names that a ledger may use."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest

from harness.schema.claims import Claim, Metric
from reports.statistics.forms import FORMS
from reports.statistics.metrics import METRICS, Recorded


def test_ledgers_may_name_what_is_registered_and_nothing_else() -> None:
    assert list(get_args(Metric)) == list(METRICS)
    assert list(get_args(Claim.model_fields["test"].annotation)) == list(FORMS)


@pytest.mark.parametrize("name", METRICS)
def test_values_of_curves_within_the_references_lie_between_the_bounds(name: str) -> None:
    draw, metric = np.random.default_rng(1), METRICS[name]
    found = metric.of(
        Recorded(*draw.uniform(0, 1, (3, 9, 20)), np.arange(1, 21) * 100, *draw.uniform(0, 1, (2, 9, 20)))
    )
    assert found.shape == (9,) and np.isfinite(found).all() and metric.name == name
    if metric.bounds is not None:
        assert metric.bounds[0] <= found.min() <= found.max() <= metric.bounds[1]
        assert found.min() < found.max()
    assert metric.on_scale == (metric.bounds == (0.0, 1.0) and name != "speed")


def test_metrics_by_hand() -> None:
    its = Recorded(
        scores=np.array([[0.0, 0.4, 1.0], [0.2, 0.2, 0.4]]),
        training=np.array([[0.9, 0.2, 0.4], [0.1, np.nan, 0.3]]),
        entropy=np.array([[1.0, 2.0, 3.0]] * 2),
        steps=np.array([10, 30, 40]),
        goals=np.array([[1.0, 2.0, 4.0], [0.0, 1.0, 1.0]]),
        goal_entropy=np.array([[0.0, 0.5, 1.3], [0.0, 0.0, 0.1]]),
    )
    of = {name: metric.of(its).tolist() for name, metric in METRICS.items()}
    assert of["final"] == [1.0, 0.4] and of["last-tenth"] == [1.0, 0.4] and of["entropy"] == [2.0, 2.0]
    assert of["area"] == pytest.approx([(0.2 * 20 + 0.7 * 10) / 30, (0.2 * 20 + 0.3 * 10) / 30])
    assert of["spread"] == pytest.approx([-0.3, -0.3]), "the median of 1 and 0.4 is 0.7"
    assert of["training"] == pytest.approx([0.3, 0.3]), "of the episodes after step 20; in one segment none ended"
    assert of["late-entropy"] == [3.0, 3.0]
    assert of["goals"] == [4.0, 1.0] and of["goal-entropy"] == [1.3, 0.1]
    first = Recorded(*(values[:, :1] for values in (its.scores, its.training, its.entropy)), its.steps[:1])
    assert METRICS["area"].of(first).tolist() == [0.0, 0.2]
    assert np.isnan(METRICS["goals"].of(first)).all(), "a task without goals"


def test_speed_is_what_is_left_of_the_steps_when_the_score_is_first_reached() -> None:
    """Falling back later takes nothing from it; a seed that never gets there counts as one that needed more than all steps."""
    scores = np.array([[0.8, 0.1, 0.1], [0.1, 0.7, 0.9], [0.1, 0.9, 0.0], [0.0, 0.79, 0.79]])
    of = METRICS["speed"].of(Recorded(scores, scores, scores, np.array([10, 30, 40])))
    assert of.tolist() == [0.75, 0.0, 0.25, 0.0]


def test_entropy_is_a_mean_over_what_was_recorded() -> None:
    """A replay's warm-up has no update, and so no entropy; that is no divergence."""
    nan = float("nan")
    entropy = np.array([[nan, 2.0, 3.0], [nan, nan, nan], [1.0, 2.0, 6.0]])
    found = METRICS["entropy"].of(Recorded(*[np.zeros((3, 3))] * 2, entropy, np.array([10, 20, 30]))).tolist()
    assert (found[0], found[2]) == (2.5, 3.0) and np.isnan(found[1])
