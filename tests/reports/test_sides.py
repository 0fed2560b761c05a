"""What a claim's sides may be beside arms: gains over hard arms, ranges over a grid, and a number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from invented_results import Workspace, diverging, without
from scipy import stats
from test_verdicts import CLAIM, Edit, around, chain, scored

from harness.commands.deciding import decide
from harness.errors import InputError
from harness.plan.registration import registered
from harness.schema.claims import load_ledger
from harness.schema.suite import load_suite
from reports.site.site import build
from reports.statistics.design.ledger import entries
from reports.statistics.measuring import as_if_lost_had_ended
from reports.statistics.scores import read_studies
from reports.statistics.verdicts import Verdict, judge

pytestmark = pytest.mark.usefixtures("no_ink")

TASK = "CartPole-v1"
HARD, SOFT, HARD4, SOFT4 = (
    around(*each) for each in ((0.5, 0.1), (0.6, 0.1, 10, 1), (0.4, 0.1, 10, 2), (0.7, 0.1, 10, 3))
)
SCORES = {"ppo": HARD, "sppo-38": SOFT, "ppo-s4": HARD4, "sppo-38-s4": SOFT4}
ARMS: dict[str, str | None] = {"ppo": None, "sppo-38": "ppo", "ppo-s4": None, "sppo-38-s4": "ppo-s4"}
GAIN = {**CLAIM, "pair": "ppo", "arm": "sppo-38-s4", "against": "sppo-38", "of": "gain", "method": "paired"}
RATES = (0.001, 0.01, 0.1)
GRID = {
    f"{arm}@learning_rate={rate}": f"ppo@learning_rate={rate}" if arm != "ppo" else None
    for arm in ("ppo", "sppo-38")
    for rate in RATES
}
STEADY = {**GAIN, "arm": "sppo-38", "against": "ppo", "of": "grid"}


def judged(workspace: Workspace, claim: dict[str, Any], arms: dict[str, str | None], edit: Edit) -> Verdict:
    workspace.suite("classic", {"ppo": [TASK]})
    workspace.claims("classic", [claim])
    workspace.cell("classic", "ppo", TASK, arms=arms, edit=edit)
    return judge(load_suite("classic"), workspace.results)[0]


def test_an_interaction_is_a_difference_of_gains_within_a_seed(workspace: Workspace) -> None:
    found = judged(workspace, GAIN, ARMS, scored(SCORES, {"claims": {"C4": GAIN}}))
    gains = np.subtract(SOFT4, HARD4), np.subtract(SOFT, HARD)
    known = stats.ttest_rel(*gains, alternative="greater")
    assert found.outcome is not None and found.outcome.estimate == pytest.approx(0.2) and found.verdict == "supported"
    assert found.outcome.p == pytest.approx(known.pvalue)
    assert found.claim.sides == ("gain of sppo-38-s4", "gain of sppo-38")


def test_a_gain_that_has_no_hard_arm_is_refused(workspace: Workspace) -> None:
    hard = {**GAIN, "against": "ppo-s4"}
    with pytest.raises(InputError, match="'ppo-s4' is no soft arm of these results"):
        judged(workspace, hard, ARMS, scored(SCORES, {"claims": {"C4": hard}}))


def test_a_lost_seed_of_a_hard_arm_is_lost_to_the_gain(workspace: Workspace) -> None:
    give = scored(SCORES, {"claims": {"C4": GAIN}})

    def edit(curves: pd.DataFrame, manifest: dict[str, Any]) -> pd.DataFrame:
        curves = give(curves, manifest)
        del manifest["members"]["ppo-s4"]["3"]
        return curves[(curves["arm"] != "ppo-s4") | (curves["seed"] != 3)]

    found = judged(workspace, GAIN, ARMS, edit)
    assert found.seeds == 9 and found.lost == ("ppo-s4 on CartPole-v1, seed 3: missing",)
    assert found.sensitivity is not None and found.sensitivity["worst"] == "inconclusive"


def grid_scores() -> dict[str, list[float]]:
    """PPO's scores range over 0.4 with the rate, SPPO's over 0.1, in every seed, but for a hundredth."""
    draw = np.random.default_rng(4)
    width = {"ppo": 0.4, "sppo-38": 0.1}
    return {
        name: (
            0.5 + width[name.split("@")[0]] * RATES.index(float(name.split("=")[1])) / 2 + draw.uniform(0, 0.005, 10)
        ).tolist()
        for name in GRID
    }


def test_sensitivity_is_the_range_over_the_points_of_a_grid(workspace: Workspace) -> None:
    scores = grid_scores()
    found = judged(workspace, STEADY, GRID, scored(scores, {"claims": {"C4": STEADY}}))
    ranges = {
        arm: np.ptp([scores[name] for name in GRID if name.startswith(arm + "@")], axis=0) for arm in ("ppo", "sppo-38")
    }
    assert found.outcome is not None and found.verdict == "supported"
    assert (
        found.outcome.estimate
        == pytest.approx((ranges["ppo"] - ranges["sppo-38"]).mean())
        == pytest.approx(0.3, abs=0.01)
    )
    assert found.data is not None and found.data.arm.max() < 0
    page = build(["classic"], workspace.root / "site").pages[1].read_text()
    assert "steadiness of sppo-38 against steadiness of ppo" in page


def test_arms_that_diverge_at_every_point_of_a_grid_are_not_steady(workspace: Workspace) -> None:
    scores = grid_scores()
    for name in scores:
        scores[name] = scores["ppo" + name.removeprefix("ppo").removeprefix("sppo-38")]
    edits = [diverging(name, seed, 2) for name in GRID if name.startswith("sppo") for seed in range(8)]
    found = judged(workspace, STEADY, GRID, chain(scored(scores, {"claims": {"C4": STEADY}}), *edits))
    assert found.outcome is not None and found.outcome.p is not None and found.outcome.p < 0.001
    assert found.verdict == "inconclusive" and "diverged and could change it" in found.why
    assert found.sensitivity is not None and found.sensitivity["worst"] != "supported"


@pytest.mark.parametrize(("claim", "arms"), [(GAIN, ARMS), (STEADY, GRID)])
def test_lost_seeds_have_the_bounds_of_a_gain_or_a_range(
    workspace: Workspace, claim: dict[str, Any], arms: dict[str, str | None]
) -> None:
    scores = SCORES | {"sppo-38-s4": around(0.1, 0.02)} if claim is GAIN else grid_scores()
    lost = without("sppo-38-s4" if claim is GAIN else "sppo-38@learning_rate=0.01", 3)
    found = judged(workspace, claim, arms, chain(scored(scores, {"claims": {"C4": claim}}), lost))
    (study,), _ = read_studies(load_suite("classic"), workspace.results)
    cases = as_if_lost_had_ended(found, study, "sampled")
    ends = {case: its.data.arm[3, 0] for case, its in cases.items() if its.data is not None}
    assert found.data is not None and found.data.arm.min() < -0.05
    assert ends == pytest.approx({"best": 1.0 if claim is GAIN else 0.0, "worst": -1.0})


COLLAPSED = {**GAIN, "arm": 0.1, "against": "ppo", "of": "arm", "metric": "late-entropy", "effect": 0.03}


def test_an_arm_is_compared_with_a_number(workspace: Workspace) -> None:
    entropy = around(0.05, 0.02)

    def edit(curves: pd.DataFrame, manifest: dict[str, Any]) -> pd.DataFrame:
        curves = scored(SCORES, {"claims": {"C4": COLLAPSED}})(curves, manifest)
        late = curves["segment"] > 18
        curves.loc[late, "entropy"] = [entropy[seed] for seed in curves.loc[late, "seed"]]
        return curves

    found = judged(workspace, COLLAPSED, ARMS, edit)
    known = stats.ttest_1samp(entropy, 0.1, alternative="less")
    assert found.outcome is not None and found.outcome.p == pytest.approx(known.pvalue)
    assert (found.verdict, found.claim.sides) == (
        "supported",
        ("0.1", "ppo"),
    ) and found.outcome.estimate == pytest.approx(0.05)
    page = build(["classic"], workspace.root / "site").pages[1].read_text()
    assert "0.1 against ppo" in page


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"method": "welch"}, "method: must be paired or sign-flip: a gain is taken within a seed"),
        ({"of": "half"}, "of: must be 'arm', 'gain' or 'grid'"),
        ({"arm": 0.5}, "against: an arm is compared with a number by its own values and the method paired"),
        (
            {"of": "arm", "arm": 0.5, "method": "sign-flip"},
            "against: an arm is compared with a number by its own values",
        ),
        ({"of": "arm", "arm": 0.5, "against": 0.1}, "against: an arm is compared with a number by its own values"),
        ({"of": "arm", "test": "smaller-spread"}, "method: pitman-morgan goes with smaller-spread"),
        ({"of": "arm", "method": "pitman-morgan"}, "method: pitman-morgan goes with smaller-spread"),
        (
            {"of": "arm", "test": "smaller-spread", "method": "pitman-morgan", "tasks": []},
            "tasks: smaller-spread compares seeds on one task",
        ),
        ({"of": "arm", "test": "smaller-spread", "method": "pitman-morgan", "effect": None}, "effect: must be given"),
    ],
)
def test_a_wrong_side_is_one_line(workspace: Workspace, changes: dict[str, Any], says: str) -> None:
    workspace.suite("classic", {"ppo": [TASK, "Acrobot-v1"]})
    workspace.claims("classic", [{**GAIN, "tasks": [TASK], **changes}])
    with pytest.raises(InputError, match=r"claims\.0") as raised:
        load_ledger(load_suite("classic"))
    assert says in str(raised.value) and "\n" not in str(raised.value)


def test_a_grid_is_named_by_its_arm_and_a_number_needs_no_name(workspace: Workspace) -> None:
    workspace.suite("classic", {"ppo": [TASK]})
    path = workspace.root / "suites/classic/suite.yaml"
    content = yaml.safe_load(path.read_text())
    content["cells"]["ppo"][TASK] = {"arms": ["ppo", "sppo-38"], "grid": {"learning_rate": [*RATES]}}
    path.write_text(yaml.safe_dump(content))
    for claim in (STEADY, {**COLLAPSED, "against": "ppo@learning_rate=0.1"}):
        workspace.claims("classic", [claim])
        assert registered(load_suite("classic"), "ppo")["claims"]["C4"] == claim
    for claim, says in (
        ({**STEADY, "arm": "sppo-40"}, "arm: 'sppo-40' is no arm"),
        ({**STEADY, "of": "arm"}, "arm: 'sppo-38' is no arm"),
    ):
        workspace.claims("classic", [claim])
        with pytest.raises(InputError, match=says):
            registered(load_suite("classic"), "ppo")


def test_gains_and_arms_are_claims_apart_and_have_no_looks(workspace: Workspace) -> None:
    workspace.suite("classic", {"ppo": [TASK]})
    worse = {"id": "N", "test": "non-inferiority", "margin": 0.1, "effect": None}
    workspace.claims("classic", [GAIN, {**GAIN, **worse}, {**GAIN, **worse, "id": "O", "of": "arm"}])
    ledger = load_ledger(load_suite("classic"))
    assert ledger is not None
    assert entries([(claim, [TASK]) for claim in ledger.claims]) == [[1, 0], [2]]
    with pytest.raises(InputError, match="'C4' is not about two arms alone"):
        decide("C4", [5], workspace.results, lambda plans: True, lambda look: None)


def test_no_card_prints_looks_that_decide_does_not_take(workspace: Workspace) -> None:
    scores = {**SCORES, "sppo-38-s4": around(0.52, 0.1, 10, 3)}
    found = judged(workspace, GAIN, ARMS, scored(scores, {"claims": {"C4": GAIN}}))
    assert found.verdict == "inconclusive" and found.seeds_needed is not None and 10 < found.seeds_needed <= 1000
    page = build(["classic"], workspace.root / "site").pages[1].read_text()
    assert "add seeds, up to" in page and "softbench decide classic/C4" not in page
