"""`softbench list` and the help answer at once: nothing that computes is imported, and one broken suite hides no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_suite import command, write_suite

from harness.plan import arms
from harness.plan.arms import arms_of, arms_of_pairs
from harness.run.spec import learner_class, pair_names

HEAVY = {"torch", "gymnasium", "pandas", "numpy", "scipy", "pyarrow", "matplotlib"}
SCRIPT = """
import sys
from harness import cli
try:
    cli.main()
finally:
    print(*sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize("words", [["list"], ["list", "--json"], ["--help"], ["-h"], [], ["--version"]], ids=str)
def test_nothing_that_computes_is_imported(words, tmp_path):
    write_suite(tmp_path)
    ended = subprocess.run([sys.executable, "-c", SCRIPT, *words], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0 and ended.stdout
    loaded = ended.stderr.split()
    assert "harness.cli" in loaded and not HEAVY & set(loaded)


def test_the_arms_are_those_of_the_pairs():
    assert list(arms_of_pairs()) == pair_names()
    for pair, found in arms_of_pairs().items():
        expected = learner_class(pair).arms
        assert {name: (arm.title, arm.role) for name, arm in found.items()} == {
            name: (arm.title, arm.role) for name, arm in expected.items()
        }
        assert list(found) == list(expected)


PAIR = """
from __future__ import annotations
import torch_that_is_not_there
from algorithms.learner import Arm
{imports}

OFF, ON = {{"soft": False}}, {{"soft": True}}
NAMES = [f"x-{{n}}" for n in range(2)]

def titled(name: str, settings: Settings) -> Arm:
    return Arm(name.upper(), OFF)

class Mine(Learner):
    arms: ClassVar = {table}
    def update(self): raise SystemExit

LEARNER: Any = Mine
"""


@pytest.mark.parametrize(
    ("table", "imports", "titles"),
    [
        ('{"x": Arm("plain", OFF)}', "", ["plain"]),
        ('{"x": Arm("a", {**OFF, "n": 1}), "y": Arm("b", ON, "soft", against="x")}', "", ["a", "b"]),
        ("{name: titled(name, None) for name in NAMES}", "", ["X-0", "X-1"]),
        ('{"x": learner.Arm("whole", OFF)}', "from algorithms import learner", ["whole"]),
        ("dict(x=Arm(str(len(json.dumps([]))), OFF))", "import json", ["2"]),
    ],
)
def test_a_table_of_arms_may_be_written_in_any_way(tmp_path, table, imports, titles):
    path = tmp_path / "mine.py"
    path.write_text(PAIR.format(table=table, imports=imports))
    assert [arm.title for arm in arms_of(path).values()] == titles


def test_a_pair_of_which_an_excerpt_is_not_enough_is_imported(monkeypatch):
    monkeypatch.setattr(arms, "arms_of", lambda path: {}["inherited"])
    assert arms.arms_of_pairs() == {pair: learner_class(pair).arms for pair in pair_names()}


def test_a_broken_suite_is_said_and_hides_no_other(softbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_suite(tmp_path)
    for name, text in [("bent", "name: [\n"), ("my suite", "name: my suite\n")]:
        (tmp_path / "suites" / name).mkdir()
        (tmp_path / "suites" / name / "suite.yaml").write_text(text)
    code, out, errors = softbench("list")
    assert code == 2 and "small" in out and "a2c-proper" in out
    first, second = errors.splitlines()
    assert first.startswith("softbench: suites/bent/suite.yaml, line 2")
    assert second.startswith("softbench: suites/my suite/suite.yaml: the folder's name must be")
    code, out, _ = softbench("list", "--json")
    assert code == 2 and list(json.loads(out)["damaged"]) == ["bent", "my suite"]


def test_json_has_suites_cells_and_arms(softbench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_suite(tmp_path)
    code, out, errors = softbench("list", "--json")
    found = json.loads(out)
    assert code == 0 and not errors
    assert found["suites"] == [
        {
            "suite": "small",
            "title": "Small",
            "imported": None,
            "cells": {"a2c": {"CartPole-v1": {"arms": "all", "seeds": [0, 1], "steps": 320}}},
        }
    ]
    assert found["damaged"] == {} and list(found["pairs"]) == pair_names()
    assert found["pairs"]["a2c"]["a2c-naive"] == {
        "role": "hard",
        "title": "A2C, one-step entropy term only (Eq. 79)",
    }


def test_version_help_and_a_wrong_option(softbench):
    code, out, _ = softbench("--version")
    assert code == 0 and out.startswith("softbench ") and out.count("\n") == 1
    for words in (["-h"], ["train", "-h"]):
        code, out, errors = softbench(*words)
        assert code == 0 and not errors and "Usage: softbench" in out and "--help" in out
    assert softbench("-h")[1] == softbench("--help")[1] == softbench()[1]


@pytest.mark.parametrize(
    ("line", "expected"),
    [("softbench tr", ["train"]), ("softbench train --arm", ["--arms"]), ("softbench b", ["bench"])],
)
def test_completion_knows_commands_and_options(line, expected):
    words = line.split()
    asked = {"_SOFTBENCH_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    ended = subprocess.run(command(), env=os.environ | asked, capture_output=True, text=True, cwd=Path.cwd())
    assert ended.stdout.split() == expected
