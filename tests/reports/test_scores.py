"""From cells to score matrices: normalization, divergence, holes, the complete block."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from invented_results import ARMS, Workspace, diverging, without

from harness.schema.suite import load_suite
from reports.site import records
from reports.statistics.scores import Study, read_studies


def studies(workspace: Workspace, name: str = "classic") -> list[Study]:
    found, damaged = read_studies(load_suite(name), workspace.results)
    assert damaged == [each for study in found for each in study.damaged], "no pair is without a sound cell"
    return found


def damages(workspace: Workspace) -> list[str]:
    found, damaged = read_studies(load_suite("classic"), workspace.results)
    assert found == []
    return list(map(str, damaged))


def test_matrix_holds_normalized_final_scores(workspace: Workspace) -> None:
    workspace.suite("classic", {"a2c": ["CartPole-v1", "Acrobot-v1"]})
    workspace.cell("classic", "a2c", "CartPole-v1")
    workspace.cell("classic", "a2c", "Acrobot-v1")
    (study,) = studies(workspace)
    curves = study.cells["Acrobot-v1"].curves
    last = curves[(curves["arm"] == "a2c-proper") & (curves["segment"] == 20)].sort_values("seed")
    expected = (last["return_sampled"].to_numpy() + 500) / 500
    assert study.matrix("a2c-proper").shape == (10, 2)
    assert study.matrix("a2c-proper")[:, study.tasks.index("Acrobot-v1")] == pytest.approx(expected)
    assert study.holes == []
    assert study.diverged == []


def test_a_diverged_member_keeps_its_place_at_the_floor(workspace: Workspace) -> None:
    workspace.suite("classic", {"a2c": ["Acrobot-v1"]})
    workspace.cell("classic", "a2c", "Acrobot-v1", edit=diverging("a2c-proper", 4, 6))
    (study,) = studies(workspace)
    curves = study.curves["Acrobot-v1", "a2c-proper"]
    assert study.matrix("a2c-proper").shape == (10, 1)
    assert study.matrix("a2c-proper")[4, 0] == 0
    assert (curves.returns["sampled"][4, 5:] == -500).all()
    assert (curves.returns["sampled"][4, :5] > -500).all()
    assert np.isfinite(curves.returns["greedy"]).all()
    assert study.diverged == ["a2c on Acrobot-v1, arm a2c-proper, seed 4"]


def test_a_missing_seed_is_a_hole_and_leaves_every_arm(workspace: Workspace) -> None:
    workspace.suite("classic", {"a2c": ["CartPole-v1", "Acrobot-v1"]})
    workspace.cell("classic", "a2c", "CartPole-v1", edit=without("a2c-naive", 7))
    workspace.cell("classic", "a2c", "Acrobot-v1")
    (study,) = studies(workspace)
    assert study.holes == ["a2c on CartPole-v1, arm a2c-naive: seed 7 missing"]
    assert study.seeds == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    assert study.matrix("a2c-proper").shape == (9, 2)
    assert len(study.curves["Acrobot-v1", "a2c-naive"].seeds) == 10


def test_a_missing_cell_and_a_missing_arm_leave_the_block(workspace: Workspace) -> None:
    workspace.suite("classic", {"ppo": ["CartPole-v1", "Acrobot-v1", "MountainCar-v0"]})
    workspace.cell("classic", "ppo", "CartPole-v1")
    workspace.cell("classic", "ppo", "Acrobot-v1", arms={"ppo": None, "ppo-bonus": None, "sppo-38": "ppo"})
    (study,) = studies(workspace)
    assert study.tasks == ["CartPole-v1"]
    assert study.holes == ["ppo on Acrobot-v1, arm sppo-40: all seeds missing", "ppo on MountainCar-v0: no results yet"]
    path = workspace.root / "suites/classic/suite.yaml"
    content = yaml.safe_load(path.read_text())
    content["cells"]["ppo"]["Acrobot-v1"] = {"arms": ["ppo", "ppo-bonus", "sppo-38"]}
    path.write_text(yaml.safe_dump(content))
    (study,) = studies(workspace)
    assert study.holes == ["ppo on MountainCar-v0: no results yet"], "an arm that a cell does not have is no hole"


def test_soft_arms_follow_the_hard_arm_that_they_name(workspace: Workspace) -> None:
    workspace.suite("classic", {"dqn": ["CartPole-v1"], "ppo": ["CartPole-v1"]})
    workspace.cell("classic", "dqn", "CartPole-v1")
    workspace.cell("classic", "ppo", "CartPole-v1")
    dqn, ppo = studies(workspace)
    assert dqn.groups == [
        ["dqn", "soft-dqn-entropy", "soft-dqn-kl"],
        ["dqn-5step", "soft-dqn-entropy-5step", "soft-dqn-kl-5step"],
    ]
    assert dict(dqn.comparisons) == {arm: hard for arm, hard in ARMS["dqn"].items() if hard}
    assert ppo.groups == [["ppo", "ppo-bonus", "sppo-38", "sppo-40"]]


def test_points_of_a_grid_stand_together_and_controls_with_their_point(workspace: Workspace) -> None:
    workspace.suite("classic", {"ppo": ["CartPole-v1"]})
    points = [f"@temperature={value}" for value in ("0.1", "0.3")]
    soft = {"ppo": None, "ppo-bonus": "ppo", "ppo-s4": None, "sppo-38": "ppo", "sppo-38-s4": "ppo-s4"}
    arms = {f"{arm}{point}": its and f"{its}{point}" for point in points for arm, its in soft.items()}

    def control(curves: pd.DataFrame, manifest: dict[str, Any]) -> pd.DataFrame:
        for arm, its in arms.items():
            of_it = {"role": "control" if "bonus" in arm else "soft" if its else "hard", "against": its}
            kept = {name: value for name, value in manifest["arms"][arm].items() if name not in ("soft", "hard")}
            manifest["arms"][arm] = kept | of_it
        return curves

    workspace.cell("classic", "ppo", "CartPole-v1", arms, edit=control)
    (study,) = studies(workspace)
    assert study.groups == [
        [f"{arm}{point}" for arm in group]
        for group in (["ppo", "ppo-bonus", "sppo-38"], ["ppo-s4", "sppo-38-s4"])
        for point in points
    ]
    assert study.arms == [
        f"{arm}{point}"
        for group in (["ppo", "sppo-38", "ppo-bonus"], ["ppo-s4", "sppo-38-s4"])
        for point in points
        for arm in group
    ]


def test_unregistered_seeds_and_cells_are_left_out(workspace: Workspace) -> None:
    workspace.suite("classic", {"a2c": ["CartPole-v1"]}, seeds="0-4")
    workspace.cell("classic", "a2c", "CartPole-v1")
    workspace.cell("classic", "a2c", "Acrobot-v1")
    (study,) = studies(workspace)
    assert list(study.cells) == ["CartPole-v1"]
    assert study.curves["CartPole-v1", "a2c-naive"].seeds == [0, 1, 2, 3, 4]
    assert study.matrix("a2c-naive").shape == (5, 1)


def short(_: pd.DataFrame, manifest: dict[str, Any]) -> pd.DataFrame:
    manifest["steps"] = 160
    return _


def test_results_of_another_protocol_are_a_hole_and_never_used(workspace: Workspace) -> None:
    workspace.suite("classic", {"a2c": ["CartPole-v1", "Acrobot-v1"]})
    workspace.cell("classic", "a2c", "CartPole-v1", edit=short)
    (line,) = damages(workspace)
    assert line.startswith("a2c on CartPole-v1: results of another protocol are not used (steps is 160 there, ")
    workspace.cell("classic", "a2c", "Acrobot-v1")
    (study,) = studies(workspace)
    assert study.tasks == ["Acrobot-v1"]
    assert "another protocol" in study.holes[0] and "CartPole-v1" in study.holes[0]


def other_code(curves: pd.DataFrame, manifest: dict[str, Any]) -> pd.DataFrame:
    manifest["code"] = {"hash": "another", "files": {}}
    return curves


def test_tasks_run_with_different_code_are_said(workspace: Workspace) -> None:
    workspace.suite("classic", {"a2c": ["CartPole-v1", "Acrobot-v1"]})
    workspace.cell("classic", "a2c", "CartPole-v1")
    workspace.cell("classic", "a2c", "Acrobot-v1", edit=other_code)
    (study,) = studies(workspace)
    assert study.holes == ["a2c: its tasks were not all run with the same code"]


def test_damaged_results_are_one_clear_line_each(workspace: Workspace) -> None:
    workspace.suite("classic", {"a2c": ["CartPole-v1"]})
    workspace.cell("classic", "a2c", "CartPole-v1", edit=lambda curves, _: curves.drop(curves.index[3]))
    (line,) = damages(workspace)
    assert line.startswith("a2c on CartPole-v1: ") and "does not have one row for every seed and segment" in line
    workspace.cell(
        "classic", "a2c", "CartPole-v1", edit=lambda curves, _: pd.concat([curves.iloc[:-1], curves.iloc[:1]])
    )
    assert "does not have one row for every seed and segment" in damages(workspace)[0]
    workspace.cell("classic", "a2c", "CartPole-v1", arms={"a2c-naive": None, "a2c-proper": "elsewhere"})
    assert "'elsewhere', which is no hard arm" in damages(workspace)[0]
    workspace.cell(
        "classic", "a2c", "CartPole-v1", edit=lambda curves, manifest: manifest.update(task="Acrobot-v1") or curves
    )
    assert "holds results of a2c on Acrobot-v1" in damages(workspace)[0]
    workspace.cell("classic", "a2c", "CartPole-v1")
    path = workspace.results / "classic/a2c/CartPole-v1/manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["members"]
    path.write_text(json.dumps(manifest))
    assert "members: is missing" in damages(workspace)[0]
    path.write_text("{")
    assert "cannot be read" in damages(workspace)[0] and "\n" not in damages(workspace)[0]


def test_one_damaged_cell_stops_no_other(workspace: Workspace) -> None:
    workspace.suite("classic", {"a2c": ["CartPole-v1", "Acrobot-v1"], "dqn": ["CartPole-v1"], "ppo": ["CartPole-v1"]})
    for pair, task in (("a2c", "CartPole-v1"), ("a2c", "Acrobot-v1"), ("dqn", "CartPole-v1"), ("ppo", "CartPole-v1")):
        workspace.cell("classic", pair, task)
    for place in ("a2c/Acrobot-v1", "dqn/CartPole-v1"):
        (workspace.results / "classic" / place / "curves.parquet").write_bytes(b"nothing")
    found, damaged = read_studies(load_suite("classic"), workspace.results)
    assert [(study.pair, study.tasks) for study in found] == [("a2c", ["CartPole-v1"]), ("ppo", ["CartPole-v1"])]
    assert [(each.pair, each.task) for each in damaged] == [("a2c", "Acrobot-v1"), ("dqn", "CartPole-v1")]
    (hole,) = found[0].holes
    assert hole == str(damaged[0]) and "Acrobot-v1: " in hole and "cannot be read" in hole
    assert found[1].holes == []


def test_a_certificate_is_shown_only_for_the_results_that_it_is_about(workspace: Workspace) -> None:
    workspace.suite("classic", {"a2c": ["CartPole-v1"]})
    workspace.cell("classic", "a2c", "CartPole-v1", seeds=3)
    folder = workspace.results / "classic" / "a2c" / "CartPole-v1"
    drawn = {"arm": "a2c-naive", "seed": 1, "first": 1, "last": 20, "differs_at": 7, "differs_in": "return_sampled"}
    certificate = {
        "verdict": "different",
        "recomputed": [drawn],
        "steps": 500_000,
        "problems": [],
        "differences": ["cpu: vendor"],
    }
    seal = json.loads((folder / "manifest.json").read_text())["seal"]
    for of, shown in ((seal, True), ("another", False)):
        (folder / "audit.json").write_text(json.dumps({**certificate, "seal": of}))
        (study,), _ = read_studies(load_suite("classic"), workspace.results)
        (row,) = records.audits(study).rows
        assert ("a2c-naive 1 (1–20)" in row) == ("return_sampled; cpu: vendor" in row) == ("different" in row) == shown
