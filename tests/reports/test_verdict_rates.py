"""Whole ledgers on arrays of known truth, 10 seeds on 26 tasks as in Atari benchmarks: verdicts are right at the stated rates."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from harness.schema.claims import Ledger
from harness.schema.suite import MODES, Suite
from reports.statistics.curves import Curves
from reports.statistics.forms.form import WORDS
from reports.statistics.intervals import Array
from reports.statistics.scores import Study
from reports.statistics.verdicts import verdicts

SEEDS, TASKS, LEDGERS = 10, 26, 150
ARMS = ["hard", "soft-1", "soft-2", "soft-3"]
DESIGNS: list[dict[str, Any]] = [
    {"id": "superiority", "arm": "soft-1", "test": "superiority", "margin": 0.0, "effect": 0.05},
    {"id": "non-inferiority", "arm": "soft-2", "test": "non-inferiority", "margin": 0.05},
    {"id": "equivalence", "arm": "soft-3", "test": "equivalence", "margin": 0.05},
]
MEANS = np.linspace(0.1, 2.0, TASKS)
SPREADS = np.linspace(0.02, 0.25, TASKS)

SUITE = Suite.model_validate(
    {
        "name": "atari",
        "title": "Invented",
        "seeds": f"0-{SEEDS - 1}",
        "segments": 1,
        "evaluation": {"episodes": 10},
        "tasks": {f"task-{task}": {"steps": 1} for task in range(TASKS)},
        "references": {f"task-{task}": {"low": 0, "high": 1, "source": "invented"} for task in range(TASKS)},
        "cells": {"atari": {f"task-{task}": {} for task in range(TASKS)}},
    }
)
LEDGER = Ledger.model_validate(
    {
        "claims": [
            {"statement": "x", "source": "x", "pair": "atari", "against": "hard", "reason": "x", **design}
            for design in DESIGNS
        ]
    }
)


def study(draw: np.random.Generator, shifts: dict[str, float]) -> Study:
    """Skewed scores `[SEEDS, TASKS]` whose mean lies `shifts[arm]` above the hard arm's on every task."""

    def curves(scores: Array) -> Curves:
        column = scores[:, None]
        return Curves(
            list(range(SEEDS)), np.array([1]), dict.fromkeys(MODES, column), np.zeros((SEEDS, 1), bool), scores, column
        )

    found = {}
    for arm in ARMS:
        noise = draw.gamma(2.0, 1.0, (SEEDS, TASKS)) - 2.0  # mean 0, deviation sqrt(2), skewed
        scores = MEANS + shifts.get(arm, 0.0) + SPREADS * noise / 2**0.5
        found |= {(f"task-{task}", arm): curves(scores[:, task]) for task in range(TASKS)}
    cells: Any = {f"task-{task}": SimpleNamespace(manifest=SimpleNamespace(claims={})) for task in range(TASKS)}
    made = Study(SUITE, "atari", cells, {arm: None if arm == "hard" else "hard" for arm in ARMS}, found, [])
    made.__dict__["altered"] = {task: [] for task in cells}  # nothing was written that could be
    return made


def shares(shifts: dict[str, float]) -> dict[str, dict[str, float]]:
    """claim -> verdict -> share of ledgers; and under `any` the share of ledgers with at least one such verdict."""
    counts: dict[str, dict[str, float]] = {}
    for number in range(LEDGERS):
        found = {
            verdict.claim.id: verdict.verdict
            for verdict in verdicts(LEDGER, SUITE, [study(np.random.default_rng(number), shifts)])
        }
        for claim, verdict in [*found.items(), *(("any", verdict) for verdict in set(found.values()))]:
            counts.setdefault(claim, {}).setdefault(verdict, 0.0)
            counts[claim][verdict] += 1 / LEDGERS
    return counts


@pytest.mark.slow
def test_false_claims_are_seldom_supported() -> None:
    """At the edge of every claim's margin: one false `supported` in a whole ledger at most at the level, 0.025."""
    found = shares({"soft-1": 0.0, "soft-2": -0.05, "soft-3": 0.05})
    assert found["any"].get("supported", 0.0) <= 0.025 + 3 * (0.025 * 0.975 / LEDGERS) ** 0.5


@pytest.mark.slow
def test_true_claims_are_seldom_contradicted_and_mostly_supported() -> None:
    found = shares({"soft-1": 0.05, "soft-2": 0.0, "soft-3": 0.0})
    assert all(found["any"].get(word, 0.0) <= 0.01 for word in WORDS[1:])
    assert all(found[design["id"]]["supported"] > 0.8 for design in DESIGNS), found


@pytest.mark.slow
def test_claims_that_are_far_from_true_are_contradicted() -> None:
    found = shares({"soft-1": -0.1, "soft-2": -0.15, "soft-3": -0.15})
    assert all(found[design["id"]]["contradicted"] > 0.9 for design in DESIGNS), found
