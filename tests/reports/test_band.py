"""The band of whole curves: it holds all of the true curve as often as it says, and says where it lies about the margin."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from invented_results import CLAIMS, Workspace
from scipy import stats

from harness.commands.judging import lines
from harness.schema.suite import load_suite
from reports.statistics.scores import read_studies
from reports.statistics.summary.band import Band, band
from reports.statistics.verdicts import judge


def curves(draw: np.random.Generator, *shape: int) -> np.ndarray:
    """Scores `[..., S]` of seeds whose neighbouring evaluations are alike."""
    steps = draw.normal(size=shape)
    for at in range(1, shape[-1]):
        steps[..., at] = 0.8 * steps[..., at - 1] + 0.6 * steps[..., at]
    return steps


def test_at_one_evaluation_it_is_the_t_interval_and_at_many_the_level_is_shared() -> None:
    draw = np.random.default_rng(3)
    arm, against = draw.normal(size=(2, 4, 9, 1))
    share = np.arange(1, 5) / 4
    for method, test in (("paired", stats.ttest_rel), ("welch", lambda a, b: stats.ttest_ind(a, b, equal_var=False))):
        found = Band.of(arm, against, method, share, 0.1, 0.025)
        for at in range(4):
            low, high = test(arm[at, :, 0], against[at, :, 0]).confidence_interval(1 - 2 * 0.025 / 4)
            assert (found.low[at], found.high[at]) == pytest.approx((low, high))


@pytest.mark.parametrize("seeds", [5, 20])
def test_it_misses_some_of_the_true_curve_in_at_most_a_twentieth_of_studies(seeds: int) -> None:
    """A pointwise band does so in a third of them."""
    draw, studies = np.random.default_rng(1), 2000
    both = curves(draw, 2, studies, seeds, 20).transpose(0, 3, 1, 2)[..., None]
    missed = {}
    for name, level in (("band", 0.025), ("pointwise", 0.025 * 20)):
        ends = [
            Band.of(arm, against, "paired", np.arange(1, 21) / 20, 1.0, level)
            for arm, against in both.swapaxes(1, 2).swapaxes(0, 1)
        ]
        missed[name] = np.mean([((its.low > 0) | (its.high < 0)).any() for its in ends])
    assert missed["band"] < 0.05 and missed["pointwise"] > 0.25


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        ([-0.1, -0.05], [0.1, 0.15], "at all 2 evaluations: the whole curves are equivalent"),
        ([-0.1, -0.2], [0.1, 0.15], "at 1 of 2 evaluations: that whole curves are equivalent is not shown"),
        ([-0.1, 0.25], [0.1, 0.4], "outside of the margin after 100% of the steps: the curves are not equivalent"),
        ([-0.1, -0.5], [0.1, -0.3], "outside of the margin after 100% of the steps: the curves are not equivalent"),
        ([-0.1, np.nan], [0.1, np.nan], "at 1 of 2 evaluations: that whole curves are equivalent is not shown"),
    ],
)
def test_it_says_where_it_lies(low: list[float], high: list[float], said: str) -> None:
    band = Band(np.array([0.5, 1.0]), np.zeros(2), np.array(low), np.array(high), 0.2, 0.025)
    assert said in band.said


def test_the_card_of_a_claim_about_equal_areas_shows_it_and_no_other_does(judged: Path) -> None:
    page = (judged / "classic.html").read_text()
    assert re.findall(r'<figure id="figure-claim-(\w+)-whole">', page) == ["same"]
    drawn = (judged / "classic/claim-same-whole-drawn.csv").read_text().splitlines()
    assert len(drawn) == 21 and (judged / "classic/claim-same-whole.pdf").exists()


def test_its_area_is_the_estimate_of_the_claim_and_other_claims_and_curves_have_none(workspace: Workspace) -> None:
    tasks = ["CartPole-v1", "Acrobot-v1"]
    workspace.suite("classic", {"ppo": tasks, "a2c": tasks})
    same = CLAIMS[2]
    others = [
        {**same, "id": "final", "metric": "final"},
        {**same, "id": "no-worse", "test": "non-inferiority"},
        {**same, "id": "gains", "of": "gain"},
    ]
    workspace.claims("classic", [same, *others])
    for task in tasks:
        workspace.cell("classic", "ppo", task)
    suite = load_suite("classic")
    (study,) = (each for each in read_studies(suite, workspace.results)[0] if each.pair == "ppo")
    about, *rest = judge(suite, workspace.results)
    found = band(about, study, "sampled")
    assert found is not None and about.outcome is not None
    area = np.trapezoid(found.estimate, found.share) / (found.share[-1] - found.share[0])
    assert area == pytest.approx(about.outcome.estimate) and abs(area) > 1e-3
    assert (found.margin, found.level) == (0.03, about.level)
    assert [band(each, study, "sampled") for each in rest] == [None] * 3
    assert about.whole is not None and about.to_json()["whole_curves"] == found.said == about.whole.said
    assert f"    Difference of the whole curves: {found.said}" in lines("classic", [about])
    assert not [line for line in lines("classic", rest) if "whole curves" in line]
    assert [each.to_json()["whole_curves"] for each in rest] == [None] * 3
    moved = dict(study.curves)
    for arm in ("sppo-38", "sppo-40"):
        its = moved["Acrobot-v1", arm]
        moved["Acrobot-v1", arm] = replace(its, steps=its.steps**2 // its.steps[0])
    assert band(about, replace(study, curves=moved), "sampled") is None, "evaluations at other shares of the steps"
