"""Real worker processes: arms leave the same bytes on two workers and here, in another order of seeds."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest
import torch
import yaml
from small_suite import STABLE, SUITE, Here, start

from harness import cli, training
from harness.plan.cells import make_plans
from harness.run.spec import learner_class, pair_names
from harness.schema.suite import load_suite

QUICK = ("a2c", "ddpg", "dqn", "trpo")
"""Rollouts, replays, choices, numbers, curvature."""


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_two_workers_or_none_leave_the_same_bytes(tmp_path, monkeypatch, every):
    """Of some pairs a hard arm and one that is compared with it, or every arm of every pair."""
    cells = {}
    for pair in pair_names() if every else QUICK:
        kind = learner_class(pair)
        task = "Pendulum-v1" if kind.actions == "numbers" else "CartPole-v1"
        acts = "numbers" if task == "Pendulum-v1" else "choices"
        fit = [name for name, arm in kind.arms.items() if arm.actions in (None, acts)]
        compared = [name for name in fit if kind.arms[name].against == fit[0]]
        cells[pair] = {
            task: {"settings": json.loads(json.dumps(kind.small)), "arms": fit if every else [fit[0], compared[-1]]}
        }
    tasks = {task for of_pair in cells.values() for task in of_pair}
    suite = {
        **SUITE,
        "name": "all",
        "seeds": "0-2",
        "segments": 2,
        "tasks": {task: {"steps": 320} for task in sorted(tasks)},
        "references": {task: {"low": -2000, "high": 500, "source": "none"} for task in sorted(tasks)},
        "cells": cells,
    }
    (tmp_path / "suites/all").mkdir(parents=True)
    (tmp_path / "suites/all/suite.yaml").write_text(yaml.safe_dump(suite))
    monkeypatch.chdir(tmp_path)
    process = start(tmp_path, "train", "all", "--device", "cpu", "--workers", 2, "--seeds", "2,0,1", "--out", "two")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    torch.set_num_threads(1)
    assert training.run(make_plans(load_suite("all"), Path("here"), "cpu"), 1, lambda event: None, Here)
    for pair, tasks_of_pair in cells.items():
        for task in tasks_of_pair:
            for name in STABLE:
                two, here = (Path(out) / "all" / pair / task / name for out in ("two", "here"))
                assert two.read_bytes() == here.read_bytes(), f"{pair}: {name}"


def test_a_broken_pipe_does_not_end_a_process_that_a_test_forks_off(tmp_path, monkeypatch):
    """Nor one that a shell starts: Python ignores the signal."""
    monkeypatch.setattr(cli, "main", lambda: sys.exit(os.kill(os.getpid(), signal.SIGPIPE)))
    with start(tmp_path) as process:
        assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0
