"""What `softbench train` records of its members' episodes: the median and the worst seed, the same bytes, and never a failed training."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from small_suite import CELL, make_plans, train_here, write_suite

from harness.commands.train import _record
from harness.policy.recording import chosen, record
from harness.schema.episodes import read_episodes
from harness.schema.results import read_cell

FOLDER = Path("out") / CELL


@pytest.fixture
def trained(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_suite(tmp_path, seeds="0-2")
    assert train_here(Path("out"))[0]
    (plan,) = make_plans()
    return plan


def test_the_median_and_the_worst_seed_of_each_arm_are_recorded(trained):
    record(trained)
    found, cell = read_episodes(FOLDER), read_cell(FOLDER)
    final = cell.curves[cell.curves["segment"] == 4]
    for arm in ("a2c-naive", "a2c-proper"):
        order = final[final["arm"] == arm].sort_values(["return_sampled", "seed"])["seed"].tolist()
        its = {each.rank: each for each in found.episodes if each.arm == arm}
        assert {rank: each.seed for rank, each in its.items()} == {"worst": order[0], "median": order[1]}
        for each in its.values():
            assert each.link == cell.manifest.members[arm][str(each.seed)].chain[-1]
            assert each.total == each.length and each.steps[0] == 0 and each.steps[-1] == each.length - 1
            assert 0 < np.abs(each.seen[0]).max() <= 0.05 and len(each.seen) == len(each.steps) <= 10
    assert (found.mode, found.shape) == ("sampled", [4])
    assert (FOLDER / "episodes.json").stat().st_size < 6000


def test_the_bytes_do_not_change_and_a_missing_checkpoint_takes_nothing_away(trained):
    record(trained)
    before = (FOLDER / "episodes.json").read_bytes()
    (FOLDER / "episodes.json").unlink()
    record(trained)
    assert (FOLDER / "episodes.json").read_bytes() == before
    shutil.rmtree("out/.runs")
    record(trained)
    assert (FOLDER / "episodes.json").read_bytes() == before
    (FOLDER / "episodes.json").unlink()
    record(trained)
    assert not (FOLDER / "episodes.json").exists(), "nothing is left to record from"


def test_a_damaged_record_is_made_anew_and_later_seeds_change_it(trained):
    record(trained)
    before = (FOLDER / "episodes.json").read_bytes()
    (FOLDER / "episodes.json").write_text("{")
    record(trained)
    assert (FOLDER / "episodes.json").read_bytes() == before
    assert train_here(Path("out"), seeds=[3, 4, 5, 6])[0]
    record(trained)
    seeds = {(each.arm, each.seed, each.rank) for each in read_episodes(FOLDER).episodes}
    assert seeds == set(chosen(read_cell(FOLDER)))


def test_diverged_members_and_controls_are_left_out(trained):
    cell = read_cell(FOLDER)
    cell.curves.loc[cell.curves["seed"] != 2, "diverged"] = True
    assert chosen(cell) == [("a2c-naive", 2, "median"), ("a2c-proper", 2, "median")]
    cell.curves["diverged"] = True
    assert chosen(cell) == []


def test_what_cannot_be_recorded_is_told_and_no_failure(trained, monkeypatch):
    said = []

    class Told:
        say = said.append

    (FOLDER / "curves.parquet").write_bytes(b"")
    _record(trained, Told())
    assert len(said) == 1 and said[0].startswith("note   a2c/CartPole-v1: no episodes were recorded for the page: ")


def test_images_of_zeros_and_ones_are_kept_as_bits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    game = "MinAtar/Breakout-v1"
    write_suite(
        tmp_path,
        seeds="0",
        segments=1,
        tasks={game: {"steps": 20}},
        references={game: {"low": 0, "high": 1, "source": "none"}},
        cells={"a2c": {game: {"environments": 4, "horizon": 5}}},
    )
    assert train_here(Path("out"))[0]
    (plan,) = make_plans()
    record(plan)
    (first, second) = read_episodes(plan.folder).episodes
    assert read_episodes(plan.folder).shape == [10, 10, 4] and (first.arm, second.arm) == ("a2c-naive", "a2c-proper")
    image = np.unpackbits(np.frombuffer(bytes.fromhex(first.seen[0]), np.uint8)).reshape(10, 10, 4)
    assert 30 < image.sum() < 100, "bricks, paddle, ball and its trail"


def test_training_records(tmp_path, monkeypatch, softbench):
    monkeypatch.chdir(tmp_path)
    write_suite(tmp_path, seeds="0", segments=2)
    code, out, err = softbench("train", "small", "--out", "out", "--workers", 1, "--device", "cpu")
    assert code == 0, out + err
    assert len(json.loads((FOLDER / "episodes.json").read_text())["episodes"]) == 2


def test_of_a_grid_hard_and_soft_points_are_recorded_by_turns(tmp_path, monkeypatch):
    """And a hard arm once, where the grid does not touch it."""
    monkeypatch.chdir(tmp_path)
    rates, temperatures = {"learning_rate": [0.001, 0.01, 0.1]}, {"temperature": [0.1, 2.0, 20.0]}
    ppo = {
        "settings": {"environments": 2, "horizon": 32, "learning_rate": 0.05},
        "grid": temperatures,
        "arms": ["ppo", "sppo-38"],
    }
    write_suite(tmp_path, seeds="0-1", cells={"a2c": {"CartPole-v1": {"grid": rates}}, "ppo": {"CartPole-v1": ppo}})
    assert train_here(Path("out"))[0]
    monkeypatch.setattr("harness.policy.recording.MOST_ARMS", 4)

    def recorded(pair):
        return [arm for arm, _, rank in chosen(read_cell(FOLDER.parents[1] / pair / "CartPole-v1")) if rank == "median"]

    assert recorded("a2c") == [
        f"a2c-{arm}@learning_rate={rate}" for arm in ("naive", "proper") for rate in (0.001, 0.01)
    ]
    assert recorded("ppo") == ["ppo@temperature=0.1"] + [f"sppo-38@temperature={each}" for each in (0.1, 2, 20)]
