"""`softbench plan`: seeds and power before anything is trained, by the tests that judge."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from invented_results import Workspace

from harness.commands.planning import observed
from harness.schema.claims import Claim, Ledger, load_ledger
from harness.schema.suite import Suite, load_suite
from reports.statistics.design import planning
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
    assert planning.level(first, ledger, suite) == 0.025
    twice = Ledger(claims=[claim(test="non-inferiority", margin=0.1, effect=None), claim(id="E")], level=0.05)
    assert planning.level(twice.claims[0], twice, suite) == 0.05, "not worse and better of one comparison are one entry"


def test_scores_that_do_not_differ_say_nothing():
    asked = claim()
    planned = planning.plan(asked, np.ones((3, 1)), np.zeros((3, 1)), 0.025, 5)
    assert (planned.seeds, planned.power, planned.registered) == (None, [], None)


@pytest.fixture
def suite(tmp_path, monkeypatch):
    folder = tmp_path / "suites" / "small"
    folder.mkdir(parents=True)
    (folder / "suite.yaml").write_text(yaml.safe_dump(SUITE))
    (folder / "claims.yaml").write_text(yaml.safe_dump({"claims": [CLAIM]}))
    monkeypatch.chdir(tmp_path)


def test_without_results_the_spread_is_assumed_and_said(suite, softbench):
    code, out, _ = softbench("plan", "C")
    assert code == 0 and out.count(", assumed: ") == 4
    assert "spread 0.1, assumed: 10 seeds an arm are needed for 80 % power; the 5 registered have 40%" in out
    assert "no rate is recorded of a2c: softbench bench --pair a2c --task CartPole-v1" in out
    code, out, _ = softbench("plan", "small/C", "--spread", 0.1, "--effect", 0.2)
    assert code == 0 and "effect 0.2" in out and "\n           5   " in out and "█" in out
    assert "spread 0.1, assumed: 5 seeds an arm are needed" in out


def test_with_results_it_is_theirs_and_the_hours_are_of_their_rate(workspace: Workspace, softbench):
    workspace.suite("classic", {"a2c": ["CartPole-v1"]})
    workspace.claims("classic", [CLAIM])
    workspace.cell("classic", "a2c", "CartPole-v1")
    code, out, _ = softbench("plan", "C", "--workers", 4)
    assert code == 0 and "from results/classic (10 seeds): " in out and "; the 10 registered have " in out
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
        (("C", "--spread", "0"), "--spread: 0 must be above 0 and finite"),
        (("C", "--spread", "inf"), "--spread: inf must be above 0 and finite"),
        (("C", "--margin", "0.2"), "--margin, --effect: C: effect: must be given and above the margin"),
        (("C", "--margin", "-1"), "--margin: must be at least 0"),
        (("C", "--effect", "nan"), "--effect: must be a finite number"),
    ],
)
def test_what_makes_no_sense_is_said_in_a_line(suite, softbench, words, message):
    code, _, err = softbench("plan", *words)
    assert code == 2 and message in err and err.count("\n") == 1
