"""Real worker processes: every arm of every pair leaves the same bytes on one worker and on two, in another order of seeds."""

import subprocess
import sys

import yaml
from small_suite import STABLE, SUITE

TINY = {
    "ppo": {"horizon": 16, "minibatches": 2, "epochs": 2, "hidden": [32, 32]},
    "a2c": {"environments": 4, "hidden": [32, 32]},
    "dqn": {"learning_starts": 100, "replay_size": 150, "batch": 16},
}


def test_one_worker_or_two_leave_the_same_bytes_for_every_arm(tmp_path):
    suite = {
        **SUITE,
        "name": "all",
        "seeds": "0-2",
        "cells": {pair: {"CartPole-v1": settings} for pair, settings in TINY.items()},
    }
    (tmp_path / "suites/all").mkdir(parents=True)
    (tmp_path / "suites/all/suite.yaml").write_text(yaml.safe_dump(suite))
    command = [sys.executable, "-m", "harness", "train", "all", "--device", "cpu"]
    for workers, seeds in (("1", "0-2"), ("2", "2,0,1")):
        options = ["--workers", workers, "--seeds", seeds, "--out", workers]
        subprocess.run([*command, *options], cwd=tmp_path, check=True, capture_output=True, timeout=300)
    for pair in TINY:
        for name in STABLE:
            one, two = (tmp_path / workers / "all" / pair / "CartPole-v1" / name for workers in ("1", "2"))
            assert one.read_bytes() == two.read_bytes(), f"{pair}: {name}"
