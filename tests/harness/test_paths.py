"""Paths on a plane that `softbench train` records for the picture of a task: of the median seeds, the same bytes, and of no other task."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from small_suite import CELL, make_plans, train_here, write_suite

from harness.policy import paths
from harness.policy.recording import chosen, record
from harness.schema.paths import read_paths
from harness.schema.results import read_cell
from suites.envs.multigoal import GOALS, STATES, reached

TASK = "MultiGoal-v0"
SMALL = {"horizon": 4, "batch": 8, "replay_size": 200, "value_actions": 4, "particles": 4, "hidden": [8, 8]}
CHANGES = {
    "segments": 1,
    "tasks": {TASK: {"steps": 128, "backend": "multigoal"}},
    "references": {TASK: {"low": -1500, "high": -100, "source": "none"}},
    "cells": {"sql": {TASK: SMALL}},
}
FILE = Path("out/small/sql") / TASK / "paths.json"


@pytest.fixture
def trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_suite(tmp_path, seeds="0-2", **CHANGES)
    assert train_here(Path("out"))[0]
    (plan,) = make_plans()
    return plan


def test_paths_and_actions_of_the_median_seeds_are_recorded(trained):
    record(trained)
    found, cell = read_paths(FILE.parent), read_cell(FILE.parent)
    medians = [(arm, seed) for arm, seed, rank in chosen(cell) if rank == "median"]
    assert [(each.arm, each.seed) for each in found.members] == medians and medians[0][0] == "ddpg"
    assert np.array_equal(found.goals, GOALS) and np.array_equal(found.at, STATES)
    assert (found.task, found.edge, found.radius) == ("MultiGoalFixed-v0", 7, 1)
    for each in found.members:
        assert each.link == cell.manifest.members[each.arm][str(each.seed)].chain[-1]
        assert len(each.paths) == 20 and [len(its) for its in each.actions] == [200] * 3
        assert np.abs(each.actions).max() <= 1
        for path in map(np.array, each.paths):
            assert path[0].tolist() == [0, 0] and np.abs(np.diff(path, axis=0)).max() <= 1.001
            ended = reached(path) >= 0
            assert not ended[:-1].any() and (ended[-1] or len(path) == 31), "a goal ends it, or the limit of steps"
    spread = {each.arm: np.ptp(each.actions[1], axis=0).max() for each in found.members}
    assert spread["ddpg"] == 0 < min(spread["sddpg"], spread["sql"]), "ddpg alone has one action a place"
    assert FILE.stat().st_size < 60_000


def test_the_bytes_are_the_same_again_and_alone_and_a_file_of_another_plane_is_made_anew(trained, monkeypatch):
    record(trained)
    before = FILE.read_bytes()
    FILE.unlink()
    record(trained)
    assert FILE.read_bytes() == before
    seed = next(each.seed for each in read_paths(FILE.parent).members if each.arm == "sql")
    assert train_here(Path("alone"), arms=["sql"], seeds=[seed])[0]
    record(make_plans(Path("alone"), arms=["sql"], seeds=[seed])[0])
    (alone,) = read_paths("alone" / FILE.parent.relative_to("out")).members
    assert alone in read_paths(FILE.parent).members, "whoever else is trained and recorded"
    FILE.write_text("{")
    record(trained)
    assert FILE.read_bytes() == before, "a damaged one is made anew"
    monkeypatch.setattr("suites.envs.multigoal.STATES", STATES + 1)
    record(trained)
    assert FILE.read_bytes() != before and read_paths(FILE.parent).at[1] == (1, 1), "and one of other places"


def test_without_checkpoints_it_stays_and_other_tasks_have_none(trained, monkeypatch):
    record(trained)
    before = FILE.read_bytes()
    shutil.rmtree("out/.runs")
    record(trained)
    assert FILE.read_bytes() == before
    FILE.unlink()
    record(trained)
    assert not FILE.exists(), "nothing is left to record from"
    assert paths.plane("CartPole-v1", "batched") is None is paths.plane("MultiGoalFixed-v0", "multigoal")
    assert paths.plane(TASK, "multigoal")
    monkeypatch.delattr("suites.envs.multigoal.STATES")
    assert paths.plane(TASK, "multigoal") is None


def test_other_cells_have_episodes_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_suite(tmp_path, seeds="0", segments=1)
    assert train_here(Path("out"))[0]
    record(make_plans()[0])
    assert (Path("out") / CELL / "episodes.json").exists() and not (Path("out") / CELL / "paths.json").exists()
