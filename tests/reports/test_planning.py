"""`softbench plan`: seeds and power before anything is trained, by the tests that judge."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from invented_results import Workspace

from harness.commands.cost import duration
from harness.commands.planning import observed
from harness.schema.claims import Claim, Ledger, load_ledger
from harness.schema.suite import Suite, load_suite
from reports.statistics.design import planning
from reports.statistics.design.ledger import level
from reports.statistics.forms import form

CLAIM = {
    "id": "C",
    "statement": "Soft is better.",
    "source": "nobody",
    "pair": "a2c",
    "arm": "a2c-proper",
    "against": "a2c-naive",
    "test": "superiority",
    "method": "paired",
    "margin": 0.0,
    "effect": 0.1,
    "reason": "none",
}
SUITE = {
    "name": "small",
    "title": "Small",
    "seeds": "0-4",
    "segments": 2,
    "evaluation": {"episodes": 1},
    "tasks": {"CartPole-v1": {"steps": 4000}},
    "references": {"CartPole-v1": {"low": 0, "high": 500, "source": "range"}},
    "cells": {"a2c": {"CartPole-v1": {}}},
}


def claim(**changes) -> Claim:
    return Claim.model_validate({**CLAIM, **changes})


@pytest.mark.parametrize(("method", "seeds"), [("paired", 10), ("welch", 17)])
def test_a_difference_of_one_deviation_needs_the_textbooks_seeds(method, seeds):
    """Two-sided level 0.05, power 0.8, d = 1: 10 pairs, or 17 a group (Cohen 1988)."""
    asked = claim(method=method)
    planned = planning.plan(asked, *planning.assumed(asked, 0.1, ["one"]), 0.025, 5)
    assert planned.seeds == seeds and planned.spread == pytest.approx(0.1)
    at = dict(planned.power)
    assert at[10] >= 0.8 if method == "paired" else at[10] < 0.8 < at[20]
    assert sorted(at.values()) == list(at.values()) and max(at) >= seeds
    assert planned.registered == pytest.approx(at[5])


@pytest.mark.parametrize("method", ["paired", "welch"])
def test_the_power_is_how_often_the_judging_test_shows_it(method):
    asked, draw, tasks = claim(method=method), np.random.default_rng(0), ["one", "two"]
    planned = planning.plan(asked, *planning.assumed(asked, 0.1, tasks), 0.025, 8)
    test, shown, runs = form(asked.test, method, asked.margin), 0, 2000
    spread = 0.1 if method == "welch" else 0.1 / 2**0.5
    for _ in range(runs):
        arm, against = (draw.normal(mean, spread, (8, 2)) for mean in (0.1, 0.0))
        shown += (test.outcome(arm, against, 0.025).p or 1) <= 0.025
    assert shown / runs == pytest.approx(planned.registered, abs=4 * (0.25 / runs) ** 0.5)


def test_the_level_is_what_holm_leaves_at_worst():
    first, second = claim(), claim(id="D", metric="area")
    ledger = Ledger(claims=[first, second], level=0.05)
    suite = Suite.model_validate(SUITE)
    assert level(ledger, suite) == 0.025
    twice = Ledger(claims=[claim(test="non-inferiority", margin=0.1, effect=None), claim(id="E")], level=0.05)
    assert level(twice, suite) == 0.05, "not worse and better of one comparison are one entry"


def test_scores_that_do_not_differ_say_nothing():
    asked = claim()
    planned = planning.plan(asked, np.ones((3, 1)), np.zeros((3, 1)), 0.025, 5)
    assert (planned.seeds, planned.power, planned.registered) == (None, [], None)


@pytest.fixture
def suite(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write()


def write(changes=None, **suite) -> None:
    """The suite and its claim, with these changes, in the working directory."""
    folder = Path("suites", "small")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "suite.yaml").write_text(yaml.safe_dump({**SUITE, **suite}))
    (folder / "claims.yaml").write_text(yaml.safe_dump({"claims": [{**CLAIM, **(changes or {})}]}))


def rate(pair: str, task: str) -> None:
    """1,000 steps a second of one worker."""
    path = Path("results", "small", pair, task, "timing.json")
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"steps_per_second": 1000, "wall_seconds": 60, "arms": {"x": {"seconds": 60}}}))


SPREAD = {"test": "smaller-spread", "method": "pitman-morgan", "effect": 0.69}


def test_of_deviations_the_correlation_is_assumed_and_no_spread_is_asked(suite, softbench):
    write(SPREAD)
    code, out, _ = softbench("plan", "C")
    asked = claim(**SPREAD)
    planned = planning.plan(asked, *planning.assumed(asked, 1.0, ["one"]), 0.025, 5)
    assert planned.registered is not None and planned.seeds is not None and 15 < planned.seeds < 30
    assert f"arms uncorrelated, assumed: {planned.seeds:.0f} seeds an arm are needed for 80 % power" in out
    assert (
        code == 0
        and "; the 5 registered have " in out
        and "\n           4   " in out
        and "\n           3   " not in out
    )
    code, _, err = softbench("plan", "C", "--spread", 0.1)
    assert code == 2 and err.count("\n") == 1
    assert "--spread: the power of smaller-spread depends on how the arms are correlated alone" in err


@pytest.mark.parametrize(
    ("seeds", "where"),
    [(10, "arms correlated as in results/classic (10 seeds): "), (3, "arms uncorrelated, assumed: ")],
)
def test_of_deviations_results_of_too_few_seeds_say_nothing(workspace: Workspace, softbench, seeds, where):
    workspace.suite("classic", {"a2c": ["CartPole-v1"]})
    workspace.claims("classic", [{**CLAIM, **SPREAD}])
    workspace.cell("classic", "a2c", "CartPole-v1", seeds=seeds)
    code, out, _ = softbench("plan", "C")
    assert code == 0 and where in out and " seeds an arm are needed for 80 % power; the 10 registered have " in out
    assert "on A processor" in out


GRID = {"ppo": {"CartPole-v1": {"grid": {"temperature": [0.01, 0.1, 0.3]}}}}


@pytest.mark.parametrize(
    ("changes", "cells", "members"),
    [
        ({}, {"ppo": {"CartPole-v1": {}}}, 2),
        ({"of": "gain", "against": "sppo-40"}, {"ppo": {"CartPole-v1": {}}}, 3),
        ({"of": "grid"}, GRID, 6),
        ({"against": 0.5}, {"ppo": {"CartPole-v1": {}}}, 1),
    ],
)
def test_the_hours_are_those_of_all_arms_behind_a_claim(suite, softbench, changes, cells, members):
    write({"pair": "ppo", "arm": "sppo-38", "against": "ppo", **changes}, cells=cells)
    rate("ppo", "CartPole-v1")
    code, out, _ = softbench("plan", "C", "--spread", 0.1, "--workers", 2)
    steps = 10 * members * 4000
    assert code == 0 and f"\n{10 * members} members, {steps:,} steps: " in out and "10 seeds an arm" in out
    assert f": {duration(steps / 1000 / 3600)} of one worker, {duration(steps / 2000 / 3600)} on 2 workers" in out


def test_hours_and_steps_are_of_the_tasks_with_a_rate(suite, softbench):
    task = {"low": -500, "high": 0, "source": "range"}
    write(
        tasks={**SUITE["tasks"], "Acrobot-v1": {"steps": 8000}},
        references={**SUITE["references"], "Acrobot-v1": task},
        cells={"a2c": {"CartPole-v1": {}, "Acrobot-v1": {}}},
    )
    rate("a2c", "CartPole-v1")
    code, out, _ = softbench("plan", "C", "--spread", 0.1, "--workers", 2)
    seeds = int(re.search(r"assumed: (\d+) seeds", out)[1])
    assert code == 0 and f"\n{2 * seeds} members, {8000 * seeds:,} steps of the 1 cell with a rate: " in out
    assert (
        f": {duration(8 * seeds / 3600)} of one worker" in out and "no rate is recorded of a2c on Acrobot-v1: " in out
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arm": "a2c-prope"}, "'a2c-prope' is no arm of a2c on CartPole-v1; did you mean 'a2c-proper'"),
        ({"of": "gain"}, "'a2c-naive' is no soft arm of a2c on CartPole-v1"),
        ({"of": "grid"}, "'a2c-proper' is no arm with a grid of a2c on CartPole-v1"),
    ],
)
def test_a_claim_about_what_its_cells_do_not_have_is_refused(suite, softbench, changes, message):
    write(changes)
    code, out, err = softbench("plan", "C")
    assert code == 2 and not out and f"claims.yaml: C: {message}" in err and err.count("\n") == 1


def test_without_results_the_spread_is_assumed_and_said(suite, softbench):
    code, out, _ = softbench("plan", "C")
    assert code == 0 and out.count(", assumed: ") == 4
    assert "spread 0.1, assumed: 10 seeds an arm are needed for 80 % power; the 5 registered have 40%" in out
    assert "no rate is recorded of a2c on CartPole-v1: softbench bench --pair a2c --task CartPole-v1" in out
    assert "No results say how the scores spread, so 4 spreads are assumed; --spread gives one." in out
    assert out.count("no rate is recorded of a2c") == 1, "once for all spreads"
    (head, *table) = out.split("\npower by seeds an arm, at spread")[1].splitlines()
    columns = [line.split() for line in table]
    assert head.split() == ["0.02", "0.05", "0.1", "0.2"] and ["5", "100%", "91%", "40%", "14%"] in columns
    assert columns[0][0] == "2" and float(columns[-1][-1].rstrip("%")) > 80, "from the fewest to what the widest needs"
    code, out, _ = softbench("plan", "small/C", "--spread", 0.1, "--effect", 0.2)
    assert code == 0 and "effect 0.2" in out and "\n           5   " in out and "█" in out
    assert "spread 0.1, assumed: 5 seeds an arm are needed" in out


def test_with_results_it_is_theirs_and_the_hours_are_of_their_rate(workspace: Workspace, softbench):
    workspace.suite("classic", {"a2c": ["CartPole-v1"]})
    workspace.claims("classic", [CLAIM])
    workspace.cell("classic", "a2c", "CartPole-v1")
    code, out, _ = softbench("plan", "C", "--workers", 4)
    assert code == 0 and "from results/classic (10 seeds): " in out and "; the 10 registered have " in out
    assert "seeds an arm   power\n           2   " in out and "are assumed" not in out
    assert "on 4 workers at best" in out and "rate: recorded in results/classic on A processor" in out


def test_the_results_of_another_suite_serve_and_are_said(workspace: Workspace):
    workspace.suite("small", {"a2c": ["CartPole-v1"]}, seeds="0-4")
    workspace.claims("small", [CLAIM])
    small = load_suite("small")
    ledger = load_ledger(small)
    assert ledger is not None and observed(ledger.claims[0], small, ledger, Path("results")) is None
    workspace.suite("other", {"a2c": ["CartPole-v1"]})
    workspace.cell("other", "a2c", "CartPole-v1")
    found = observed(ledger.claims[0], small, ledger, Path("results"))
    assert found is not None and "another suite: its budget and settings may differ" in found[0]
    assert found[1].shape == found[2].shape == (10, 1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("D",), "CLAIM: 'D' is in no ledger"),
        (("C", "--spread", "0"), "--spread: 0 must be from 1e-9 to 1e9"),
        (("C", "--spread", "inf"), "--spread: inf must be from 1e-9 to 1e9"),
        (("C", "--spread", "1e300"), "--spread: 1e+300 must be from 1e-9 to 1e9"),
        (("C", "--spread", "1e-300"), "--spread: 1e-300 must be from 1e-9 to 1e9"),
        (("C", "--margin", "0.2"), "--margin, --effect: C: effect: must be given and above the margin"),
        (("C", "--margin", "-1"), "--margin: must be at least 0"),
        (("C", "--effect", "nan"), "--effect: must be a finite number"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_line(suite, softbench, words, message):
    code, _, err = softbench("plan", *words)
    assert code == 2 and message in err and err.count("\n") == 1
