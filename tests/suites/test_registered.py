"""What our suites register: cells that can be trained, on seeds that nobody has looked at, and claims about their arms."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.plan.cells import cell_specs
from harness.plan.pairs import find_pair
from harness.plan.registration import registered
from harness.schema.claims import load_ledger, tasks_of
from harness.schema.suite import Suite, load_suite, suite_names

ROOT = Path(__file__).parents[2]
PILOT, TUNING = range(20), range(900, 910)
LOOKED_AT = {("classic", "ppo"): range(20, 30)}
"""Seeds of a suite's pair that were trained and seen before its settings were final."""


@pytest.fixture(params=sorted(path.parent.name for path in ROOT.glob("suites/*/suite.yaml")))
def suite(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.chdir(ROOT)
    return load_suite(request.param)


def test_every_cell_can_be_trained_and_every_claim_registered(suite: Suite) -> None:
    for pair, tasks in suite.cells.items():
        arms = [[*cell_specs(suite, pair, task)] for task in tasks]
        if suite.evidence:
            assert all(each == arms[0] for each in arms), "arms are compared on the tasks that have all of them"
        for claim in registered(suite, pair).get("claims", {}).values():
            assert claim["pair"] == pair


def test_evidence_is_on_seeds_that_were_not_looked_at(suite: Suite) -> None:
    for pair, tasks in suite.cells.items() if suite.evidence else ():
        used = {seed for task in tasks for seed in suite.registered(pair, task).seeds}
        assert not used & {*PILOT, *TUNING, *LOOKED_AT.get((suite.name, pair), ())}


def test_pairs_that_learn_from_a_replay_are_judged_greedily(suite: Suite) -> None:
    for pair in suite.cells if suite.evidence else ():
        has_replay = "replay_size" in find_pair(pair).settings_type.model_fields
        all_goals = pair == "sql"  # a question about samples
        assert suite.primary(pair) == ("greedy" if has_replay and not all_goals else "sampled")


def test_published_figures_stand_beside_arms_that_are_trained(suite: Suite) -> None:
    arms = {
        (task, arm) for pair, tasks in suite.cells.items() for task in tasks for arm in cell_specs(suite, pair, task)
    }
    assert {(figure.task, figure.arm) for figure in suite.published} <= arms


def test_a_collapse_is_claimed_before_its_prevention(suite: Suite) -> None:
    """C11 is judged on each task, with its premise, that the hard arm's entropy falls, as a claim of its own."""
    ledger = load_ledger(suite)
    claims = [] if ledger is None or not suite.evidence else ledger.claims
    late = [claim for claim in claims if claim.metric == "late-entropy"]
    collapses = {(claim.against, *tasks_of(claim, suite)) for claim in late if isinstance(claim.arm, float)}
    for claim in claims:
        if claim.id.startswith("C11") and isinstance(claim.arm, str):
            assert len(tasks_of(claim, suite)) == 1 and (claim.against, *tasks_of(claim, suite)) in collapses
            assert claim.metric == "late-entropy"


def test_a_budget_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    small = load_suite("atari@20000")
    steps = {
        spec.steps
        for pair, tasks in small.cells.items()
        for task in tasks
        for spec in cell_specs(small, pair, task).values()
    }
    assert steps == {20000} and "atari" in suite_names()
