"""From invented results with a known truth to verdicts: what decides, what is lost, what was changed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from invented_results import SEGMENTS, STEPS, Workspace, diverging, without
from scipy import stats

from harness.commands import judging
from harness.errors import InputError
from harness.schema.claims import load_ledger
from harness.schema.suite import load_suite
from reports.statistics import measuring
from reports.statistics.forms import form
from reports.statistics.intervals import Estimate
from reports.statistics.measuring import leaves
from reports.statistics.multiplicity import holm
from reports.statistics.verdicts import Verdict, judge

TASKS = ["CartPole-v1", "Acrobot-v1"]
CLAIM = {
    "id": "C4",
    "statement": "proper is better",
    "source": "a paper, Fig. 1",
    "pair": "a2c",
    "arm": "a2c-proper",
    "against": "a2c-naive",
    "test": "superiority",
    "method": "welch",
    "margin": 0.0,
    "effect": 0.1,
    "reason": "any difference counts",
}
Edit = Callable[[pd.DataFrame, dict[str, Any]], pd.DataFrame]


def scored(
    scores: dict[str, list[float]],
    registered: dict[str, Any] | None = None,
    greedy: dict[str, list[float]] | None = None,
) -> Edit:
    """An edit that gives every seed of an arm its score, at all evaluations, and registers claims."""

    def edit(curves: pd.DataFrame, manifest: dict[str, Any]) -> pd.DataFrame:
        low, high = (0, 500) if manifest["task"] == "CartPole-v1" else (-500, 0)
        for mode, values in (("sampled", scores), ("greedy", greedy or scores)):
            column = [
                low + (high - low) * values[arm][seed] for arm, seed in zip(curves["arm"], curves["seed"], strict=True)
            ]
            curves[f"return_{mode}"] = column
        manifest["claims"] = registered if registered is not None else {"claims": {"C4": CLAIM}}
        return curves

    return edit


def ledger(workspace: Workspace, *claims: dict[str, Any], **more: Any) -> None:
    path = workspace.root / "suites" / "classic" / "claims.yaml"
    path.write_text(yaml.safe_dump({"claims": list(claims) or [CLAIM], **more}))


@pytest.fixture
def prepared(workspace: Workspace) -> Callable[..., Verdict]:
    """Write one cell a task with the scores given and judge `CLAIM` with changes."""

    def prepare(
        arm: list[float], against: list[float], tasks: int = 1, edit: Edit | None = None, **changes: Any
    ) -> Verdict:
        claim = {**CLAIM, **changes}
        seeds = len(arm)
        workspace.suite("classic", {"a2c": TASKS[:tasks]}, seeds=f"0-{seeds - 1}")
        ledger(workspace, claim)
        give = scored({"a2c-proper": arm, "a2c-naive": against}, {"claims": {"C4": claim}})
        for task in TASKS[:tasks]:
            workspace.cell("classic", "a2c", task, seeds=seeds, edit=chain(give, edit))
        return judge(load_suite("classic"), workspace.results)[0]

    return prepare


def chain(*edits: Edit | None) -> Edit:
    def edit(curves: pd.DataFrame, manifest: dict[str, Any]) -> pd.DataFrame:
        for each in edits:
            curves = curves if each is None else each(curves, manifest)
        return curves

    return edit


def around(mean: float, spread: float, n: int = 10, seed: int = 0) -> list[float]:
    values = np.random.default_rng(seed).normal(size=n)
    return list(mean + spread * (values - values.mean()) / values.std(ddof=1))


def test_superiority_is_the_t_test_of_scipy(prepared: Callable[..., Verdict]) -> None:
    arm, against = around(0.7, 0.1), around(0.5, 0.1, seed=1)
    verdict = prepared(arm, against)
    found = stats.ttest_ind(arm, against, equal_var=False, alternative="greater")
    assert verdict.verdict == "supported" and verdict.outcome is not None
    assert verdict.outcome.p == pytest.approx(found.pvalue) == verdict.p_holm
    assert verdict.outcome.estimate == pytest.approx(0.2)
    both = stats.ttest_ind(arm, against, equal_var=False).confidence_interval(0.95)
    assert (verdict.outcome.low, verdict.outcome.high) == pytest.approx((both.low, both.high))
    assert verdict.changed == () and verdict.lost == () and verdict.sensitivity is None and not verdict.flips


@pytest.mark.parametrize(
    ("difference", "test", "margin", "expected"),
    [
        (0.2, "superiority", 0.0, "supported"),
        (-0.2, "superiority", 0.0, "contradicted"),
        (0.01, "superiority", 0.0, "inconclusive"),
        (0.2, "superiority", 0.05, "supported"),
        (0.03, "superiority", 0.2, "no relevant difference"),
        (-0.12, "superiority", 0.25, "no relevant difference"),
        (-0.2, "superiority", 0.2, "contradicted"),
        (-0.5, "superiority", 0.2, "contradicted"),
        (-0.06, "superiority", 0.12, "below the margin"),
        (0.06, "superiority", 0.05, "inconclusive"),
        (-0.02, "non-inferiority", 0.2, "supported"),
        (-0.11, "non-inferiority", 0.25, "supported"),
        (-0.15, "non-inferiority", 0.2, "contradicted"),
        (-0.5, "non-inferiority", 0.2, "contradicted"),
        (0.0, "equivalence", 0.2, "supported"),
        (0.5, "equivalence", 0.2, "contradicted"),
        (-0.5, "equivalence", 0.2, "contradicted"),
        (0.15, "equivalence", 0.2, "inconclusive"),
    ],
)
@pytest.mark.parametrize("method", ["welch", "paired", "sign-flip"])
def test_each_verdict_is_reached(
    prepared: Callable[..., Verdict], difference: float, test: str, margin: float, expected: str, method: str
) -> None:
    effect = margin + 0.1 if test == "superiority" else None
    found = prepared(
        around(0.5 + difference, 0.1), around(0.5, 0.1, seed=1), test=test, margin=margin, method=method, effect=effect
    )
    assert found.verdict == expected, found.why


def test_an_undecided_claim_says_how_many_seeds_decide(prepared: Callable[..., Verdict]) -> None:
    few = prepared(around(0.53, 0.1, 5), around(0.5, 0.1, 5, seed=1))
    assert (
        few.verdict == "inconclusive"
        and few.seeds_needed is not None
        and f"you need {few.seeds_needed} for 80 % power if the effect is 0.1." in few.why
    )
    enough = few.seeds_needed
    draws = [np.random.default_rng(seed) for seed in range(1000)]
    pairs = [(draw.normal(0.6, 0.1, enough), draw.normal(0.5, 0.1, enough)) for draw in draws]
    share = np.mean([stats.ttest_ind(*pair, equal_var=False, alternative="greater").pvalue <= 0.025 for pair in pairs])
    assert 0.76 < share < 0.88, "80 % power at the claim's effect"


def test_fewer_than_four_seeds_are_never_said_to_be_enough(prepared: Callable[..., Verdict]) -> None:
    found = prepared(around(0.54, 0.1), around(0.5, 0.1, seed=1), effect=5.0)
    assert found.seeds_needed == 4 and found.needed == "at least 4 for 80 % power if the effect is 5"
    few = prepared(around(0.54, 0.1, 3), around(0.5, 0.1, 3, seed=1), effect=5.0)
    assert few.verdict == "inconclusive" and "you need at least 4 for 80 % power if the effect is 5." in few.why


def test_no_number_of_seeds_is_said_where_none_would_do(prepared: Callable[..., Verdict]) -> None:
    found = prepared(around(0.51, 0.1), around(0.5, 0.1, seed=1), effect=1e-4)
    assert found.seeds_needed == math.inf and found.needed.startswith("more than 10,000 for 80 % power")
    assert found.why.startswith("Not enough seeds: 10 do not show") and found.needed in found.why
    assert found.to_json()["seeds_needed"] is None and found.to_json()["needed"] == found.needed


def test_the_statement_shown_holds_the_margin(prepared: Callable[..., Verdict]) -> None:
    found = prepared(around(0.7, 0.1), around(0.5, 0.1, seed=1), margin=0.05, statement="Proper is better.")
    assert found.statement == "Proper is better (difference above 0.05)."
    assert found.to_json()["statement"] == "Proper is better." and found.to_json()["bar"] == "above 0.05"
    nats = prepared(around(0.7, 0.1), around(0.5, 0.1, seed=1), margin=0.1, metric="entropy", effect=0.2)
    assert nats.statement == "proper is better (difference above 0.1 nats)."


def test_every_word_is_corrected_over_the_whole_ledger(workspace: Workspace) -> None:
    workspace.suite("classic", {"a2c": TASKS[:1]})
    margins = (0.0, 0.05, 0.3)
    ledger(
        workspace, *({**CLAIM, "id": f"M{at}", "margin": margin, "effect": 0.4} for at, margin in enumerate(margins))
    )
    give = {"a2c-proper": around(0.5, 0.1), "a2c-naive": around(0.52, 0.1, seed=1)}
    workspace.cell("classic", "a2c", TASKS[0], edit=scored(give))
    found = judge(load_suite("classic"), workspace.results)
    raw: list[dict[str, float]] = [verdict.outcome.words for verdict in found if verdict.outcome]
    words = ("supported", "no relevant difference", "contradicted", "below the margin")
    assert [list(each) for each in raw] == [["supported", "contradicted"], list(words), list(words)]
    for word in words:
        expected = holm([each.get(word, 1.0) for each in raw])
        for verdict, corrected in zip(found, expected, strict=True):
            assert (verdict.words or {}).get(word, corrected) == corrected
    assert [verdict.verdict for verdict in found] == ["inconclusive", "inconclusive", "no relevant difference"]
    assert found[2].words and found[2].to_json()["p_words"] == found[2].words


def test_not_worse_and_better_of_one_comparison_are_one_entry(workspace: Workspace) -> None:
    workspace.suite("classic", {"a2c": TASKS[:1], "ppo": TASKS[:1]})
    better = {**CLAIM, "id": "better", "tasks": TASKS[:1]}
    worse = {**CLAIM, "id": "not-worse", "test": "non-inferiority", "margin": 0.02, "effect": None}
    other = {**CLAIM, "id": "C1", "pair": "ppo", "arm": "sppo-38", "against": "ppo"}
    ledger(workspace, better, other, worse)
    give = {"a2c-proper": around(0.58, 0.1), "a2c-naive": around(0.5, 0.1, seed=1)}
    workspace.cell("classic", "a2c", TASKS[0], edit=scored(give))
    first, _, second = judge(load_suite("classic"), workspace.results)
    assert first.outcome and first.outcome.p and second.outcome and second.outcome.p and second.p_holm
    assert second.p_holm == pytest.approx(2 * second.outcome.p), "two entries, not three claims"
    assert first.p_holm == pytest.approx(max(second.p_holm, 2 * first.outcome.p))
    assert (first.after, second.after) == ("not-worse", None) and first.to_json()["after"] == "not-worse"
    for changes in ({"metric": "area"}, {"arm": "a2c-naive", "against": "a2c-proper"}, {"test": "equivalence"}):
        ledger(workspace, better, other, {**worse, **changes})
        found = judge(load_suite("classic"), workspace.results)
        assert [verdict.after for verdict in found] == [None] * 3
        p = [verdict.outcome.p if verdict.outcome else 1.0 for verdict in found]
        assert [verdict.p_holm or 1.0 for verdict in found] == pytest.approx(holm([each or 1.0 for each in p]))


def test_holm_counts_every_claim_of_the_ledger_measured_or_not(workspace: Workspace) -> None:
    workspace.suite("classic", {"a2c": TASKS[:1], "ppo": TASKS[:1]})
    other = {**CLAIM, "id": "C1", "pair": "ppo", "arm": "sppo-38", "against": "ppo"}
    ledger(workspace, CLAIM, other, {**other, "id": "C2"})
    workspace.cell(
        "classic", "a2c", TASKS[0], edit=scored({"a2c-proper": around(0.7, 0.1), "a2c-naive": around(0.6, 0.1, seed=1)})
    )
    first, second, _ = judge(load_suite("classic"), workspace.results)
    assert (
        first.outcome is not None and first.outcome.p is not None and first.p_holm == pytest.approx(3 * first.outcome.p)
    )
    assert second.verdict == "not measured" and TASKS[0] in second.why
    assert first.data is not None
    test = form("superiority", "welch", 0.0)
    assert first.seeds_needed == test.seeds_needed(first.data.arm, first.data.against, 0.1, 0.025 / 3)
    assert first.seeds_needed > (test.seeds_needed(first.data.arm, first.data.against, 0.1, 0.025) or 0)


def test_a_refutation_is_corrected_as_well(workspace: Workspace) -> None:
    workspace.suite("classic", {"a2c": TASKS[:1], "ppo": TASKS[:1]})
    other = {**CLAIM, "id": "C1", "pair": "ppo", "arm": "sppo-38", "against": "ppo"}
    workspace.cell(
        "classic",
        "a2c",
        TASKS[0],
        edit=scored({"a2c-proper": around(0.5, 0.1), "a2c-naive": around(0.61, 0.1, seed=1)}),
    )
    ledger(workspace)
    assert judge(load_suite("classic"), workspace.results)[0].verdict == "contradicted"
    ledger(workspace, CLAIM, other, {**other, "id": "C2"})
    assert judge(load_suite("classic"), workspace.results)[0].verdict == "inconclusive"


def test_diverged_seeds_count_at_the_floor_and_have_bounds(prepared: Callable[..., Verdict]) -> None:
    verdict = prepared(around(0.62, 0.05), around(0.5, 0.05, seed=1), edit=diverging("a2c-proper", 3, 2))
    assert verdict.data is not None and verdict.data.arm[3, 0] == 0 and verdict.seeds == 10
    assert verdict.lost == ("a2c-proper on CartPole-v1, seed 3: diverged",)
    assert verdict.verdict == "inconclusive" and verdict.sensitivity == {"best": "supported", "worst": "inconclusive"}


def test_a_missing_seed_withholds_a_verdict_that_it_could_change(prepared: Callable[..., Verdict]) -> None:
    close = prepared(around(0.6, 0.04, 6), around(0.5, 0.04, 6, seed=1), edit=without("a2c-proper", 2))
    assert close.seeds == 5 and close.registered == 6
    assert close.sensitivity is not None and close.sensitivity["worst"] != "supported"
    assert close.verdict == "inconclusive" and "missing" in close.why


def test_a_missing_seed_that_can_change_nothing_does_not(prepared: Callable[..., Verdict]) -> None:
    clear = prepared(around(0.95, 0.02, 20), around(0.05, 0.02, 20, seed=1), edit=without("a2c-proper", 2))
    assert (
        clear.seeds == 19 and clear.verdict == "supported" and set((clear.sensitivity or {}).values()) == {"supported"}
    )


def test_the_choice_of_evaluation_can_flip_a_verdict(workspace: Workspace) -> None:
    workspace.suite("classic", {"a2c": TASKS[:1]})
    ledger(workspace)
    good, bad = around(0.7, 0.05), around(0.5, 0.05, seed=1)
    edit = scored({"a2c-proper": good, "a2c-naive": bad}, greedy={"a2c-proper": bad, "a2c-naive": good})
    workspace.cell("classic", "a2c", TASKS[0], edit=edit)
    (verdict,) = judge(load_suite("classic"), workspace.results)
    assert verdict.flips and verdict.modes == {"sampled": "supported", "greedy": "contradicted"}


def test_a_claim_changed_after_the_runs_began_is_shown(workspace: Workspace) -> None:
    workspace.suite("classic", {"a2c": TASKS[:1]})
    give = {"a2c-proper": around(0.7, 0.1), "a2c-naive": around(0.6, 0.1, seed=1)}
    workspace.cell("classic", "a2c", TASKS[0], edit=scored(give, {"claims": {"C4": {**CLAIM, "margin": 0.05}}}))
    ledger(workspace, CLAIM, {**CLAIM, "id": "C5"}, level=0.01)
    changed, new = judge(load_suite("classic"), workspace.results)
    assert changed.changed == ("margin: was 0.05, is now 0.0", "level: was 0.025, is now 0.01")
    assert new.changed == ("was not registered when the runs began",)


def on_floors(workspace: Workspace, floors: dict[str, float]) -> None:
    """Record floors in the suite's references."""
    path = workspace.root / "suites" / "classic" / "suite.yaml"
    content = yaml.safe_load(path.read_text())
    for task, floor in floors.items():
        content["references"][task]["floor"] = floor
    path.write_text(yaml.safe_dump(content))


@pytest.fixture
def with_an_idle_task(workspace: Workspace) -> Workspace:
    """CartPole says something; on Acrobot every seed ends at the least return, -500, which is the uniform policy's too."""
    workspace.suite("classic", {"a2c": TASKS})
    give = {"a2c-proper": around(0.58, 0.1), "a2c-naive": around(0.5, 0.1, seed=1)}
    workspace.cell("classic", "a2c", TASKS[0], edit=scored(give))
    workspace.cell("classic", "a2c", TASKS[1], edit=scored({arm: [0.0] * 10 for arm in give}))
    on_floors(workspace, {TASKS[0]: 20.0, TASKS[1]: -500.0})
    return workspace


def test_a_task_that_no_arm_leaves_is_told_and_stays_unless_the_ledger_leaves_it_out(
    with_an_idle_task: Workspace,
) -> None:
    ledger(with_an_idle_task)
    (kept,) = judge(load_suite("classic"), with_an_idle_task.results)
    ledger(with_an_idle_task, uninformative="leave-out")
    (left,) = judge(load_suite("classic"), with_an_idle_task.results)
    ledger(with_an_idle_task, {**CLAIM, "tasks": TASKS[:1]})
    (alone,) = judge(load_suite("classic"), with_an_idle_task.results)
    assert kept.uninformative == left.uninformative == (TASKS[1],) and alone.uninformative == ()
    assert kept.data and set(kept.data.tasks) == set(TASKS) and left.data and left.data.tasks == TASKS[:1]
    assert left.outcome == alone.outcome and kept.outcome and alone.outcome and kept.outcome != alone.outcome
    assert kept.outcome.estimate == pytest.approx(alone.outcome.estimate / 2), (
        "a task without difference and without variance"
    )
    assert left.to_json()["uninformative"] == [TASKS[1]]
    told = [line for verdict in (left, kept) for line in judging.lines("classic", [verdict]) if "Uninformative" in line]
    assert told == [
        f"    Uninformative, and {what}: {TASKS[1]}; neither arm leaves the floor." for what in ("left out", "kept")
    ]
    assert left.changed == ("uninformative: was 'keep', is now 'leave-out'",) and kept.changed == ()


def test_a_claim_on_idle_tasks_alone_is_invalid(with_an_idle_task: Workspace) -> None:
    ledger(with_an_idle_task, {**CLAIM, "tasks": TASKS[1:]}, uninformative="leave-out")
    (verdict,) = judge(load_suite("classic"), with_an_idle_task.results)
    assert verdict.verdict == "invalid" and verdict.outcome is None
    assert verdict.why == "No task says anything: neither arm leaves the floor of Acrobot-v1."


def test_a_floor_that_is_not_recorded_is_left_by_everyone(with_an_idle_task: Workspace) -> None:
    with_an_idle_task.suite("classic", {"a2c": TASKS})
    ledger(with_an_idle_task, uninformative="leave-out")
    (verdict,) = judge(load_suite("classic"), with_an_idle_task.results)
    assert verdict.uninformative == () and verdict.data and set(verdict.data.tasks) == set(TASKS)


def test_what_leaves_a_floor() -> None:
    at = np.full((10, 3), -200.0)
    one = at.copy()
    one[4, 1] = -140.0
    assert not leaves(at, -200.0, -200.0) and leaves(one, -200.0, -200.0), (
        "nobody gets above the least return by chance"
    )
    assert not leaves(one, -200.0, -500.0) and leaves(at + 1, -200.0, -500.0), (
        "the mean of all seeds does not show it; that of equal ones does"
    )
    noise = np.random.default_rng(1).normal(-200, 10, (10, 1))
    assert not leaves(noise, -200.0, -500.0) and leaves(noise + 20, -200.0, -500.0)
    assert leaves(np.hstack([noise, noise + 20, noise]), -200.0, -500.0), "at some evaluation"
    assert not leaves(at[:0], -200.0, -200.0)


def test_an_interval_from_zero_on_lies_above_a_negative_floor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "mean_interval", lambda _: Estimate(1.0, 0.0, 2.0))
    assert leaves(np.ones((2, 1)), -1.0, -2.0)


def test_altered_results_make_a_claim_invalid(workspace: Workspace) -> None:
    workspace.suite("classic", {"a2c": TASKS[:1]})
    ledger(workspace)
    workspace.cell(
        "classic", "a2c", TASKS[0], edit=scored({"a2c-proper": around(0.7, 0.1), "a2c-naive": around(0.6, 0.1)})
    )
    path = workspace.results / "classic" / "a2c" / TASKS[0] / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "device": "cuda"}))
    (verdict,) = judge(load_suite("classic"), workspace.results)
    assert verdict.verdict == "invalid" and "altered" in verdict.why and verdict.outcome is None


def test_a_damaged_cell_makes_its_claims_invalid_and_no_others(workspace: Workspace) -> None:
    workspace.suite("classic", {"a2c": TASKS, "ppo": TASKS[:1]})
    other = {**CLAIM, "id": "C1", "pair": "ppo", "arm": "sppo-38", "against": "ppo"}
    ledger(workspace, CLAIM, {**CLAIM, "id": "C5", "tasks": TASKS[:1]}, other)
    give = {"a2c-proper": around(0.7, 0.1), "a2c-naive": around(0.5, 0.1, seed=1)}
    for task in TASKS:
        workspace.cell("classic", "a2c", task, edit=scored(give))
    workspace.cell("classic", "ppo", TASKS[0])
    for place in (f"a2c/{TASKS[1]}", f"ppo/{TASKS[0]}"):
        (workspace.results / "classic" / place / "curves.parquet").write_bytes(b"nothing")
    both, one, lost = judge(load_suite("classic"), workspace.results)
    assert both.verdict == lost.verdict == "invalid" and both.outcome is None
    assert both.why.startswith(f"The results on {TASKS[1]} cannot be used: ") and "cannot be read" in both.why
    assert one.verdict == "supported"


DECISION = {
    "suite": "classic",
    "claim": CLAIM,
    "level": 0.025,
    "plan": [{"seeds": 5, "nominal": 0.001}, {"seeds": 10, "nominal": 0.025}],
    "looks": [{"seeds": 5, "nominal": 0.001, "estimate": 0.2, "p": 0.0001, "p_against": 1.0, "verdict": "supported"}],
    "verdict": "supported",
}


@pytest.mark.parametrize(
    ("changes", "outcome", "told"),
    [
        ({}, {"verdict": "supported", "looks": 1, "seeds": 5}, "supported after 1 of 2 looks, 5 seeds an arm"),
        ({"looks": [], "verdict": None}, {"verdict": None, "looks": 0, "seeds": 0}, "begun, none of 2 looks is done"),
        (
            {"verdict": "inconclusive", "looks": [{"seeds": 5, "nominal": 0.001, "verdict": "inconclusive"}]},
            {"verdict": "inconclusive", "looks": 1, "seeds": 5},
            "open after 1 of 2 looks, 5 seeds an arm",
        ),
        ({"claim": {**CLAIM, "margin": 0.05}}, None, "is about an earlier form of this claim"),
        ({"plan": "none"}, None, "cannot be read: plan: "),
    ],
)
def test_the_outcome_of_decide_is_part_of_the_verdict(
    prepared: Callable[..., Verdict],
    workspace: Workspace,
    changes: dict[str, Any],
    outcome: dict[str, Any] | None,
    told: str,
) -> None:
    assert prepared(around(0.7, 0.1), around(0.5, 0.1, seed=1)).to_json()["decision"] is None
    path = workspace.results / "sequential" / "classic" / "decision-C4.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({**DECISION, **changes}))
    (verdict,) = judge(load_suite("classic"), workspace.results)
    assert verdict.verdict == "supported" and verdict.to_json()["decision"] == outcome
    lines = [line for line in judging.lines("classic", [verdict]) if told in line]
    assert lines and lines[0].startswith("    By looks of its own (softbench decide): " if outcome else "    Note: ")


def test_scores_that_do_not_vary_decide_nothing(prepared: Callable[..., Verdict]) -> None:
    verdict = prepared([1.0] * 10, [1.0] * 10)
    assert verdict.verdict == "inconclusive" and "no variance" in verdict.why and verdict.p_holm is None


def test_metrics(workspace: Workspace) -> None:
    """On a curve that rises linearly from 0.05 to 1 with a step at the end, against hand-computed values."""

    def edit(curves: pd.DataFrame, manifest: dict[str, Any]) -> pd.DataFrame:
        share = curves["segment"] / SEGMENTS
        height = np.where(curves["arm"] == "a2c-proper", 1.0, 0.5) * (1 + 0.1 * (curves["seed"] - 4.5))
        curves["return_sampled"] = 500 * share * height
        curves["entropy"] = np.where(curves["arm"] == "a2c-proper", 0.5, 0.2) + 0.001 * curves["seed"]
        return curves

    workspace.suite("classic", {"a2c": TASKS[:1]})
    workspace.cell("classic", "a2c", TASKS[0], edit=edit)
    expected = {
        "final": 0.5,
        "area": 0.5 * (1 + 1 / SEGMENTS) / 2,
        "last-tenth": 0.5 * (1 + (SEGMENTS - 1) / SEGMENTS) / 2,
        "spread": -(0.1 - 0.05) * 2.5,  # mean distance of ten evenly spaced values to their median: 2.5 spacings
        "entropy": 0.3,
    }
    ledger(workspace, *({**CLAIM, "id": name, "metric": name} for name in expected))
    for verdict in judge(load_suite("classic"), workspace.results):
        assert verdict.outcome is not None and verdict.outcome.estimate == pytest.approx(expected[verdict.claim.id]), (
            verdict.claim.id
        )
    assert STEPS / SEGMENTS == 25_000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pair": "a2"}, r"pair: 'a2' is not in suite 'classic'; did you mean 'a2c'"),
        ({"against": "a2c-proper"}, "against: is 'a2c-proper' as well"),
        ({"tasks": ["Cartpole-v1"]}, "tasks: 'Cartpole-v1' has no cell of a2c; did you mean 'CartPole-v1'"),
        ({"tasks": ["CartPole-v1", "CartPole-v1"]}, "appears twice"),
        ({"test": "equivalence", "effect": None}, "margin: must be above 0 for equivalence"),
        ({"test": "equivalence", "margin": 0.1, "effect": 0.1}, "effect: must lie within the margin"),
        ({"effect": None}, "effect: must be given and above the margin"),
        ({"effect": 0.05, "margin": 0.05}, "effect: must be given and above the margin"),
        ({"method": "t"}, "claims.0.method: must be 'welch', 'paired', 'sign-flip' or 'pitman-morgan'"),
        ({"margin": "small"}, r"claims\.0\.margin: must be a number \(got .small.\)$"),
        ({"margin": float("nan")}, r"claims\.0\.margin: must be a finite number \(got nan\)$"),
        ({"margin": -0.1}, r"claims\.0\.margin: must be at least 0 \(got -0\.1\)$"),
        (
            {"levle": 3},
            r"claims\.0: unknown field 'levle'\. Known: against, arm, effect, id, margin, method, metric, of, pair, reason, ",
        ),
        ({"marign": 3}, r"claims\.0: unknown field 'marign'; did you mean 'margin'\? Known: "),
        (
            {"test": "superority"},
            r"claims\.0\.test: must be 'superiority', 'non-inferiority', 'equivalence' or 'smaller-spread' \(got 'superority'\)$",
        ),
        ({"tasks": "CartPole-v1"}, r"claims\.0\.tasks: must be a list \(got 'CartPole-v1'\)$"),
        (
            {"id": "<b>"},
            r"claims\.0\.id: must be 1 to 40 letters, digits, \., _ and -, the first a letter or a digit \(got '<b>'\)$",
        ),
        ({"reason": ""}, r"claims\.0\.reason: must not be empty \(got ''\)$"),
        ({"reason": "x" * 1001}, r"claims\.0\.reason: must be no longer than 1,000 "),
    ],
)
def test_a_bad_ledger_is_one_line_that_names_the_field(
    workspace: Workspace, changes: dict[str, Any], message: str
) -> None:
    workspace.suite("classic", {"a2c": TASKS[:1]}, seeds="0-4")
    ledger(workspace, {**CLAIM, **changes})
    with pytest.raises(InputError, match=message) as raised:
        load_ledger(load_suite("classic"))
    assert str(raised.value).startswith("suites/classic/claims.yaml: claims.0") and "\n" not in str(raised.value)


def test_an_id_given_twice_and_an_unknown_arm_are_refused(workspace: Workspace) -> None:
    workspace.suite("classic", {"a2c": TASKS[:1]})
    ledger(workspace, CLAIM, dict(CLAIM))
    with pytest.raises(InputError, match=r"C4\): the id appears twice"):
        load_ledger(load_suite("classic"))
    ledger(workspace, {**CLAIM, "arm": "a2c-prop"})
    workspace.cell("classic", "a2c", TASKS[0])
    with pytest.raises(InputError, match="'a2c-prop' is no arm of these results; did you mean 'a2c-proper'"):
        judge(load_suite("classic"), workspace.results)


def test_the_sources_claims_are_all_judged_or_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.schema.claims import untestable

    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    suites = [path.parent.name for path in root.glob("suites/*/claims.yaml")]
    judged = {claim.id.split("-")[0] for name in suites for claim in load_ledger(load_suite(name)).claims}  # type: ignore[union-attr]
    listed = {claim.id for claim in untestable()}
    assert judged | listed >= {f"C{number}" for number in range(1, 13)} and not judged & listed
