"""What is said of a ledger before a run: levels that cannot be reached, effects for which there is no room."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from invented_results import Workspace
from test_verdicts import CLAIM, TASKS, around, ledger, scored

from harness.errors import InputError
from harness.schema.claims import Ledger, load_ledger
from harness.schema.suite import Suite, load_suite
from reports.statistics.design.ledger import entries, headroom, notes, problems
from reports.statistics.verdicts import judge


def loaded(workspace: Workspace, *claims: dict[str, Any], seeds: str = "0-9", **more: Any) -> tuple[Ledger, Suite]:
    workspace.suite("classic", {"a2c": TASKS}, seeds=seeds)
    ledger(workspace, *claims, **more)
    suite = load_suite("classic")
    found = load_ledger(suite)
    assert found is not None
    return found, suite


def test_a_level_that_no_data_can_reach_is_a_problem(workspace: Workspace) -> None:
    flips = {**CLAIM, "method": "sign-flip", "tasks": TASKS[:1]}
    (line,) = problems(*loaded(workspace, flips, seeds="0-4"))
    assert line == (
        "suites/classic/claims.yaml: claims.0 (C4): method: sign-flip with 5 seeds on 1 task cannot reach level 0.025: "
        "its smallest p value is 0.0312; take more seeds or another method"
    )
    assert problems(*loaded(workspace, flips, seeds="0-5")) == problems(*loaded(workspace, CLAIM, seeds="0-4")) == []


def test_a_level_that_others_can_take_away_is_a_note(workspace: Workspace) -> None:
    flips = {**CLAIM, "method": "sign-flip", "tasks": TASKS[:1]}
    ours = loaded(workspace, flips, {**CLAIM, "id": "C5", "tasks": TASKS[1:]}, seeds="0-5")
    assert problems(*ours) == []
    first, second = notes(*ours)
    assert second == () and len(first) == 1
    assert "cannot reach level 0.0125, left by Holm's correction for 2 entries at worst" in first[0]
    (told,) = notes(*loaded(workspace, flips, seeds="0-4"))
    assert len(told) == 1 and "cannot reach level 0.025: " in told[0]


TUNING = {"a2c": {TASKS[0]: 450.0, TASKS[1]: -100.0}}  # scores 0.9 and 0.8, so 0.15 is left


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"effect": 0.16}, ["effect: 0.16 exceeds the room above the hard arm, 0.15"]),
        ({"effect": 0.14}, []),
        ({"effect": 0.2, "margin": 0.16}, ["effect: 0.2 exceeds", "margin: 0.16 exceeds"]),
        ({"effect": None, "test": "equivalence", "margin": 0.16}, ["margin: 0.16 exceeds"]),
        ({"effect": 0.16, "metric": "entropy"}, []),
        ({"effect": 0.16, "metric": "spread"}, []),
        ({"effect": 0.16, "tasks": TASKS[1:]}, []),
        ({"effect": 0.16, "tasks": TASKS[:1]}, ["effect: 0.16 exceeds the room above the hard arm, 0.1"]),
    ],
)
def test_an_effect_or_margin_needs_room(workspace: Workspace, changes: dict[str, Any], said: list[str]) -> None:
    ours = loaded(workspace, {**CLAIM, **changes}, tuning=TUNING)
    lines = problems(*ours)
    assert len(lines) == len(said) and all(
        f"claims.0 (C4): {part}" in line for part, line in zip(said, lines, strict=True)
    )
    assert len(notes(*ours)[0]) == len(said)


def test_a_registered_optimum_takes_room_away_and_an_unknown_task_says_nothing(workspace: Workspace) -> None:
    found, suite = loaded(workspace, CLAIM, tuning=TUNING)
    assert headroom(found.claims[0], found, suite) == pytest.approx(0.15)
    reference = suite.references[TASKS[1]].model_copy(update={"optimum": -80.0})
    nearer = suite.model_copy(update={"references": {**suite.references, TASKS[1]: reference}})
    assert headroom(found.claims[0], found, nearer) == pytest.approx((0.1 + 0.04) / 2)
    partly, suite = loaded(workspace, CLAIM, tuning={"a2c": {TASKS[0]: 450.0}})
    assert headroom(partly.claims[0], partly, suite) is None and problems(partly, suite) == []


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"tuning": {"a2": {}}}, r"tuning: 'a2' is not in suite 'classic'; did you mean 'a2c'"),
        (
            {"tuning": {"a2c": {"Cartpole-v1": 1}}},
            r"tuning.a2c: 'Cartpole-v1' has no cell of a2c; did you mean 'CartPole-v1'",
        ),
        ({"tuning": {"a2c": {TASKS[0]: "much"}}}, "must be a number"),
        ({"uninformative": "drop"}, "uninformative: must be 'keep' or 'leave-out'"),
    ],
)
def test_a_bad_rule_is_one_line(workspace: Workspace, more: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        loaded(workspace, CLAIM, **more)


def test_judge_shows_notes_for_results_that_exist(workspace: Workspace) -> None:
    loaded(workspace, {**CLAIM, "effect": 0.16}, tuning=TUNING)
    give = {"a2c-proper": around(0.7, 0.1), "a2c-naive": around(0.5, 0.1, seed=1)}
    for task in TASKS:
        workspace.cell("classic", "a2c", task, edit=scored(give))
    (verdict,) = judge(load_suite("classic"), workspace.results)
    assert verdict.verdict == "supported" and "exceeds the room" in verdict.notes[0]
    assert verdict.to_json()["notes"] == list(verdict.notes)


def test_a_sequence_needs_one_claim_of_each_test(workspace: Workspace) -> None:
    worse = {**CLAIM, "id": "N", "test": "non-inferiority", "margin": 0.1, "effect": None}
    found, _ = loaded(workspace, CLAIM, worse, {**worse, "id": "N2"}, {**CLAIM, "id": "A", "metric": "area"})
    tasks = [(claim, TASKS) for claim in found.claims]
    assert entries(tasks[:2]) == [[1, 0]] and entries(tasks) == [[0], [1], [2], [3]]
    assert entries([tasks[0], (found.claims[1], TASKS[::-1])]) == [[1, 0]]
    assert entries([tasks[0], (found.claims[1], TASKS[:1])]) == [[0], [1]]


def test_ledgers_of_our_suites_are_sound(monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    monkeypatch.chdir(Path(__file__).parents[2])
    said = {}
    for path in Path("suites").glob("*/claims.yaml"):
        suite = load_suite(path.parent.name)
        found = load_ledger(suite)
        assert found is not None
        said[suite.name] = [line.split("(")[1].split(")")[0] for line in problems(found, suite)]
    assert said == {
        key: []
        for key in (
            "atari",
            "classic",
            "continuous",
            "hopper",
            "minatar",
            "mujoco",
            "mujoco-offpolicy",
            "multigoal",
            "pendulum",
            "sensitivity",
            "short",
            "smoke",
        )
    }
    assert yaml.safe_load(Path("suites/classic/claims.yaml").read_text())["uninformative"] == "leave-out"
