"""Published figures stand beside those of ours that were measured as they were, also where a cell measures more than its pair does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import yaml
from invented_results import Workspace
from test_site import Parts

from reports.site.site import build
from reports.statistics.numerals import MINUS

pytestmark = pytest.mark.usefixtures("no_ink")

BOTH, ONE = ({"episodes": 20, "primary": "sampled", "modes": modes} for modes in (["sampled", "greedy"], ["sampled"]))
FIGURES: list[dict[str, Any]] = [
    {"task": "CartPole-v1", "arm": "a2c-naive", "mean": 490.0, "source": "A"},
    {
        "task": "CartPole-v1",
        "arm": "a2c-naive",
        "mean": 100.0,
        "actions": "greedy",
        "source": "B",
        "departs": "its rate falls",
    },
    {"task": "CartPole-v1", "arm": "a2c-naive", "mean": 100.0, "actions": "training", "source": "C"},
    {"task": "CartPole-v1", "arm": "a2c-proper", "mean": 100.0, "actions": "greedy", "source": "D"},
    {"task": "Acrobot-v1", "arm": "a2c-naive", "mean": -80.0, "actions": "greedy", "source": "E"},
    {
        "task": "CartPole-v1",
        "arm": "a2c-naive",
        "mean": 495.0,
        "actions": "greedy",
        "source": "F",
        "departs": "twice the steps",
    },
]


@pytest.fixture
def rows(workspace: Workspace) -> dict[str, list[str]]:
    """Source -> its row; greedy actions are measured on CartPole alone."""
    workspace.suite("classic", {"a2c": ["CartPole-v1", "Acrobot-v1"]}, published=FIGURES)
    path = workspace.root / "suites/classic/suite.yaml"
    content = yaml.safe_load(path.read_text())
    content["cells"]["a2c"] = {"CartPole-v1": {"evaluation": BOTH}, "Acrobot-v1": {"evaluation": ONE}}
    path.write_text(yaml.safe_dump(content))
    for task, evaluation in (("CartPole-v1", BOTH), ("Acrobot-v1", ONE)):

        def edit(curves: Any, manifest: dict[str, Any], evaluation: Any = evaluation) -> Any:
            manifest["evaluation"] = evaluation
            absent = curves.assign(return_greedy=np.nan, length_greedy=np.nan)
            return curves.assign(return_greedy=495.0, train_return=450.0) if evaluation is BOTH else absent

        workspace.cell("classic", "a2c", task, edit=edit)
    build([], workspace.root / "site")
    table = Parts((workspace.root / "site/classic.html").read_text()).tables["classic/a2c-published.csv"]
    return {row[-1]: row for row in table[1:]}


def test_each_is_compared_with_ours_by_the_same_actions(rows: dict[str, list[str]]) -> None:
    assert [rows[name][3] for name in "ABCDE"] == ["sampled", "greedy", "training", "greedy", "greedy"]
    assert rows["B"][2].split()[0] == "495.0" and rows["C"][2].split()[0] == "450.0"
    assert rows["A"][2].split()[0] not in ("495.0", "450.0")
    assert rows["B"][6] == "+395.0%" and rows["C"][6] == "+350.0%" and rows["A"][6] == f"{MINUS}32.5%"


def test_what_lies_outside_says_in_what_it_departs(rows: dict[str, list[str]]) -> None:
    assert rows["B"][7] == "no: its rate falls" and rows["C"][7] == "no"
    assert rows["F"][7] == "yes: twice the steps", "also where the means agree"
    assert rows["D"][7] == "—", "a soft arm is not the published one"


def test_what_was_not_measured_is_not_compared(rows: dict[str, list[str]]) -> None:
    assert [rows["E"][place] for place in (2, 6, 7)] == ["—"] * 3
