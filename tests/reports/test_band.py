"""The band of whole curves: it holds all of the true curve as often as it says, and says where it lies about the margin."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from reports.statistics.summary.band import Band


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
