"""What episodes come to beyond their returns: the goals of the multi-goal task, measured beside all other numbers and changing none."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest
import torch

from algorithms.pairs.sql import SQL
from harness.plan.code import WITH_OUTCOMES
from harness.pool import worker
from harness.pool.messages import Job, Row
from harness.run.cohort import Cohort
from harness.run.environments import BACKENDS
from harness.run.outcomes import EPISODES, meanings, outcomes
from harness.run.spec import Spec
from harness.store.members import Member
from suites.envs.multigoal import histogram

SETTINGS = SQL.settings_type(**SQL.small | {"learning_starts": 48}).model_dump(mode="json")
SPEC = Spec("sql", "sql", "MultiGoal-v0", "multigoal", SETTINGS, 64, 2, 2, "bootstrap", ["sampled"])


class Straight:
    """In place of a behaviour: half a step a time, member 0 to the east, member 1 to the four sides by its first noise; 2 stays."""

    def __init__(self, members: int) -> None:
        self.headings: torch.Tensor | None = None
        self.members = members

    def __call__(self, observation: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        if self.headings is None or observation.abs().amax() < 0.5:
            east = torch.tensor([0.5, 0.0]).expand_as(noise)
            along = noise.abs() == noise.abs().amax(-1, keepdim=True)
            self.headings = torch.stack([east[0], (0.5 * noise.sign() * along)[1], 0 * east[2]])[: self.members]
        return self.headings


def straight(monkeypatch: pytest.MonkeyPatch, seeds: list[int]) -> tuple[Cohort, dict[str, torch.Tensor]]:
    cohort = Cohort(SPEC, seeds)
    monkeypatch.setattr(cohort.learner, "behaviour", lambda state, use, now: Straight(len(seeds)))
    return cohort, cohort.initial()


def test_goals_are_counted_by_hand() -> None:
    found = histogram(np.array([[4.5, 0], [4.5, 0.1], [0, -4.2], [0, 0.0]]))
    assert found["goals"] == 2 and [found[f"share_{name}"] for name in ("east", "west", "north", "south")] == [
        0.5,
        0,
        0,
        0.25,
    ]
    assert found["goal_entropy"] == pytest.approx(-(2 / 3) * math.log(2 / 3) - (1 / 3) * math.log(1 / 3))
    nowhere = histogram(np.zeros((5, 2)))
    assert nowhere["goals"] == nowhere["goal_entropy"] == 0


def test_where_policies_end_is_recorded_by_member_and_start(monkeypatch: pytest.MonkeyPatch) -> None:
    cohort, state = straight(monkeypatch, [3, 4, 5])
    found = outcomes(cohort, state, 1)
    assert set(found) == set(meanings("MultiGoal-v0", "multigoal"))
    for start in ("fixed", "normal"):
        assert found[f"goals_{start}"].tolist() == [1, 4, 0]
        assert found[f"share_east_{start}"][0] == 1
        assert 1.3 < found[f"goal_entropy_{start}"][1] <= math.log(4)
    shares = sum(found[f"share_{name}_normal"] for name in ("east", "west", "north", "south"))
    assert shares.tolist() == pytest.approx([1, 1, 0])
    assert (found["share_north_fixed"] * EPISODES % 1 == 0).all()
    state["diverged_at"][1] = 7
    again = outcomes(cohort, state, 1)
    assert np.isnan(again["goals_fixed"]).tolist() == [False, True, False]


def test_a_member_has_its_outcomes_in_any_company_and_they_change_no_other_number(tmp_path) -> None:
    job = Job("sql/MultiGoal-v0", SPEC, [Row("sql", seed, tmp_path) for seed in (5, 6)], "cpu")
    worker.train(job, lambda message: None)
    plain = Cohort(SPEC, [6])
    state = plain.initial()
    for number in (1, 2):
        state, records = plain.segment(state, number)
        records |= outcomes(plain, state, number)
        told = Member(tmp_path, 6).load()[1].records[number - 1]
        assert {"goals_fixed", "goals_normal"} <= set(told)
        for name, value in records.items():
            assert told[name] == value[0] or (told[name] != told[name] and value[0] != value[0]), name


def test_tasks_without_outcomes_have_none_and_the_identity_knows_which_have() -> None:
    assert meanings("CartPole-v1", "batched") == {}
    ours = [name for name, module in BACKENDS.items() if module.startswith("suites.")]
    assert tuple(name for name in ours if hasattr(importlib.import_module(BACKENDS[name]), "OUTCOMES")) == WITH_OUTCOMES
