"""A grid of settings is trained as rows of one cohort, and each point leaves what it leaves when it is trained by itself."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from small_suite import STABLE, Here, make_plans, messages, train_here, write_suite

from harness.audit import certificate as auditing
from harness.audit import compare
from harness.errors import InputError
from harness.plan.registration import registered
from harness.plan.work import jobs_of
from harness.pool import worker
from harness.pool.messages import Segment
from harness.schema.grid import base, point_name, points
from harness.schema.results import read_cell
from harness.schema.suite import load_suite

GRID = {"learning_rate": [0.003, 0.01], "temperature": [0, 0.25]}
SETTINGS = {
    "a2c": {"environments": 4, "hidden": [32]},
    "dqn": {"hidden": [16], "batch": 8, "learning_starts": 40, "replay_size": 60, "target_period": 30},
    "ppo": {"environments": 2, "horizon": 16, "minibatches": 2, "epochs": 2, "hidden": [16]},
}
ARMS = {"a2c": ["a2c-naive", "a2c-proper"], "dqn": ["dqn", "soft-dqn-kl"], "ppo": ["ppo", "sppo-auto"]}
PAIRS = list(SETTINGS)
DIFFERENT = {"a2c": 12, "dqn": 8, "ppo": 16}
"""Of 16 members: a soft arm is the hard one at temperature 0, and DQN has no temperature; PPO's arms tell theirs, or learn it."""


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_grid(pair, grid=GRID, **settings):
    choice = {"settings": SETTINGS[pair] | settings, "arms": ARMS[pair], "grid": grid}
    write_suite(Path.cwd(), segments=3, tasks={"CartPole-v1": {"steps": 192}}, cells={pair: {"CartPole-v1": choice}})


def folder(pair, out="out"):
    return Path(out) / "small" / pair / "CartPole-v1"


def files(pair, out):
    return {name: (folder(pair, out) / name).read_bytes() for name in STABLE}


def rows_of(cell, arm):
    """Every number of an arm's rows, to its last digit."""
    rows = cell.curves[cell.curves["arm"] == arm].drop(columns="arm")
    return {str(name): [repr(value) for value in rows[name]] for name in rows}


def test_points_are_all_combinations_and_their_names_say_them():
    assert points({}) == [{}] and point_name("a", {}) == "a" == base("a")
    found = points({"b": [1, 0.1], "a": [1e-05, 2]})
    assert found == [{"b": 1, "a": 1e-05}, {"b": 1, "a": 2}, {"b": 0.1, "a": 1e-05}, {"b": 0.1, "a": 2}]
    assert [point_name("x", point) for point in found[:3]] == ["x@b=1,a=1e-05", "x@b=1,a=2", "x@b=0.1,a=1e-05"]
    assert base(point_name("x", found[0])) == "x"


@pytest.mark.parametrize("pair", PAIRS)
def test_a_point_leaves_the_bits_of_training_alone(pair):
    write_grid(pair)
    assert train_here(Path("out"))[0]
    grid = read_cell(folder(pair))
    names = [point_name(arm, point) for arm in ARMS[pair] for point in points(GRID)]
    assert sorted(grid.manifest.arms) == sorted(names) == sorted(grid.manifest.members)
    for point in points(GRID)[1:3]:  # each value once
        write_grid(pair, {}, **point)
        assert train_here(Path("single") / point_name("", point))[0]
        single = read_cell(folder(pair, Path("single") / point_name("", point)))
        for arm in ARMS[pair]:
            name = point_name(arm, point)
            assert rows_of(grid, name) == rows_of(single, arm)
            ours, theirs = grid.manifest.members[name], single.manifest.members[arm]
            assert {seed: facts.chain for seed, facts in ours.items()} == {seed: theirs[seed].chain for seed in theirs}
            assert grid.manifest.arms[name].settings == single.manifest.arms[arm].settings
    ends = {facts.chain[-1] for members in grid.manifest.members.values() for facts in members.values()}
    assert len(ends) == DIFFERENT[pair]


def test_a_point_has_the_role_of_its_arm_and_is_compared_at_the_same_point():
    write_grid("a2c")
    assert train_here(Path("out"))[0]
    manifest = read_cell(folder("a2c")).manifest
    soft = manifest.arms["a2c-proper@learning_rate=0.01,temperature=0.25"]
    assert (soft.role, soft.against) == ("soft", "a2c-naive@learning_rate=0.01,temperature=0.25")
    assert (soft.settings["learning_rate"], soft.settings["temperature"]) == (0.01, 0.25)
    assert manifest.arms["a2c-naive@learning_rate=0.01,temperature=0"].role == "hard"
    assert manifest.hard == "a2c-naive@learning_rate=0.003,temperature=0"


def test_an_arm_is_one_job_whatever_its_points_and_its_bytes_do_not_depend_on_the_workers():
    write_grid("a2c")
    (plan,) = make_plans()
    jobs, _ = jobs_of(plan)
    assert [sorted(job.seeds) for job in jobs] == [
        [n for n in sorted(plan.arms) if base(n) == arm] for arm in ARMS["a2c"]
    ]
    assert {len(job.rows) for job in jobs} == {8}
    for workers in (1, 3):
        complete, events = train_here(Path(f"out-{workers}"), workers=workers)
        assert complete and max(len(told.message.seeds) for told in messages(events, Segment)) == (
            8 if workers == 1 else 3
        )
    assert files("a2c", "out-1") == files("a2c", "out-3")


@pytest.mark.parametrize("pair", ["a2c", "dqn"])
def test_a_stopped_grid_goes_on_where_each_of_its_members_was(pair, monkeypatch):
    write_grid(pair)
    assert train_here(Path("whole"))[0]
    original = worker.train
    with monkeypatch.context() as patch:
        patch.setattr(worker, "train", lambda job, tell: original(dataclasses.replace(job, until=2), tell))
        train_here(Path("out"))
    assert not (folder(pair) / "manifest.json").exists()
    behind = next(Path("out").rglob(f"{ARMS[pair][1]}@learning_rate=0.01,temperature=0.25/*/seed-1"))
    for path in behind.glob("*-00002.*"):
        path.unlink()
    complete, events = train_here(Path("out"))
    assert complete and files(pair, "out") == files(pair, "whole")
    sizes = {len(told.message.seeds) for told in messages(events, Segment)}
    assert sizes == {1, 7, 8}, "the one behind caught up by itself"


def test_values_and_seeds_can_be_added_later():
    write_grid("a2c", {"temperature": [0.25]})
    assert train_here(Path("out"), seeds=[0])[0]
    write_grid("a2c", {"temperature": [0, 0.25]})
    complete, events = train_here(Path("out"))
    trained = {
        (arm, seed)
        for told in messages(events, Segment)
        for arm, seed in zip(told.message.arms, told.message.seeds, strict=True)
    }
    assert complete and ("a2c-naive@temperature=0.25", 0) not in trained and len(trained) == 6
    assert train_here(Path("at once"))[0] and files("a2c", "out") == files("a2c", "at once")


def test_an_arm_chooses_all_its_points_and_a_point_itself():
    write_grid("a2c")
    (plan,) = make_plans(arms=["a2c-proper"])
    assert len(plan.arms) == 4 and {base(name) for name in plan.arms} == {"a2c-proper"}
    one = "a2c-naive@learning_rate=0.01,temperature=0"
    assert make_plans(arms=[one])[0].arms == [one]
    with pytest.raises(InputError, match="--arms: 'a2c-naive@temperature=0' is no arm"):
        make_plans(arms=["a2c-naive@temperature=0"])


@pytest.mark.parametrize("pair", ["a2c", "dqn"])
def test_a_member_of_a_grid_is_audited_alone(pair, monkeypatch):
    monkeypatch.setattr(compare, "Pool", Here)
    write_grid(pair)
    assert train_here(Path("out"))[0]
    told = []
    assert auditing.audit(Path("out/small"), 3, None, 1, 1, told.append) == auditing.EQUAL
    assert auditing.audit(Path("out/small"), None, 3, 1, 1, told.append) == auditing.EQUAL
    content = json.loads((folder(pair) / "manifest.json").read_text())
    shutil.rmtree("out/.runs")
    for arm in content["arms"].values():
        arm["settings"]["temperature"] += 0.125
    (folder(pair) / "manifest.json").write_text(json.dumps(content))
    assert auditing.audit(Path("out/small"), 16, None, 1, 2, told.append) == auditing.DIFFERENT


def test_claims_are_about_points():
    write_grid("a2c", {"temperature": [0, 0.25]})
    claim = {
        "id": "C",
        "statement": "x",
        "source": "x",
        "pair": "a2c",
        "test": "equivalence",
        "margin": 0.1,
        "reason": "x",
    }
    path = Path("suites/small/claims.yaml")
    for at, message in (
        ("@temperature=0.25", None),
        ("", "arm: 'a2c-proper' is no arm of a2c; did you mean 'a2c-proper@"),
    ):
        claim |= {"arm": f"a2c-proper{at}", "against": f"a2c-naive{at}"}
        path.write_text(json.dumps({"claims": [claim]}))
        if message is None:
            assert registered(load_suite("small"), "a2c")["claims"]["C"] == claim
        else:
            with pytest.raises(InputError, match=message):
                registered(load_suite("small"), "a2c")
