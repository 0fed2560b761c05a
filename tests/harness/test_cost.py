"""`softbench cost`: what a suite takes, against what it took."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from small_suite import make_plans, train_here, write_suite

from harness.commands.cost import duration, lines, millions, size
from harness.errors import InputError
from harness.plan.cost import WORKER, costs
from harness.plan.rates import recorded
from harness.plan.work import jobs_of, shards
from harness.run.spec import learner_class

CELLS = {
    "a2c": {"CartPole-v1": {"environments": 4, "hidden": [32, 32]}},
    "dqn": {
        "CartPole-v1": {
            "settings": {"learning_starts": 100, "replay_size": 10_000, "batch": 16},
            "arms": ["dqn", "soft-dqn-kl"],
        }
    },
}


@pytest.fixture
def small(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_suite(tmp_path, cells=CELLS, tasks={"CartPole-v1": {"steps": 4000}})


def timing(folder: str, seconds: dict[str, float], **changes) -> None:
    """A sidecar: 100 s on two workers at 3,000 steps a second together."""
    path = Path("out", folder, "timing.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    arms = {arm: {"seconds": each} for arm, each in seconds.items()}
    content = {"cpu": "Abacus", "wall_seconds": 100.0, "steps_per_second": 3000, "arms": arms, **changes}
    path.write_text(json.dumps({name: each for name, each in content.items() if each is not None}))


def test_members_steps_and_disk_are_those_of_a_run(small):
    found = costs(make_plans(), 2, Path("out"))
    assert [(each.pair, each.arms, each.seeds, each.members, each.steps) for each in found] == [
        ("a2c", 2, 2, 4, 16_000),
        ("dqn", 2, 2, 4, 16_000),
    ]
    assert train_here(Path("out"))[0]
    for each in found:
        files = [path for path in Path("out/.runs/small", each.pair).rglob("*") if path.is_file()]
        taken = sum(path.stat().st_size for path in files)
        assert each.disk == pytest.approx(taken, rel=0.25), each.pair
        assert WORKER < each.memory < WORKER + 10**7
    assert found[1].memory - found[0].memory > 10_000 * 4 * 4, "a replay of 10,000 observations is in memory"


def test_a_network_beyond_memory_is_one_line(small, monkeypatch):
    def full(*_):
        raise RuntimeError("can't allocate memory")

    plans = make_plans()
    monkeypatch.setattr(learner_class("a2c"), "initial", full)
    with pytest.raises(InputError, match=r"settings of a2c on CartPole-v1: .*'a2c-naive' does not fit into memory"):
        costs(plans, 1, Path("out"))


def test_memory_grows_with_the_members_of_the_largest_shard(small):
    """A worker alone has whole cohorts; of eight, each has a part of one."""
    largest = {}
    for workers in (1, 8):
        jobs = [job for plan in make_plans() for job in jobs_of(plan)[0]]
        parts = shards(jobs, workers)
        largest[workers] = {job.cell: max(len(its.rows) for its in parts if its.cell == job.cell) for job in jobs}
    one, many = ({f"{each.pair}/{each.task}": each for each in costs(make_plans(), n, Path("out"))} for n in (1, 8))
    for cell, members in largest[1].items():
        assert members == 2 and largest[8][cell] == 1, cell
        assert one[cell].memory - WORKER == members * (many[cell].memory - WORKER), cell


def test_hours_are_of_the_rate_that_was_recorded_for_one_worker(small):
    timing("small/a2c/CartPole-v1", {"a2c-naive": 120, "a2c-proper": 80})
    rate = recorded(Path("out"), "small", "a2c", "CartPole-v1")
    assert rate is not None and rate.steps_per_second == 1500 and rate.source == "out/small on Abacus"
    first, second = costs(make_plans(), 2, Path("out"))
    assert first.hours == pytest.approx(16_000 / 1500 / 3600) and second.hours is None
    told = lines([first, second], 2)
    assert told[0].startswith("2 cells, 8 members, 32,000 steps; checkpoints ")
    assert told[1].startswith("11 s of the 1 cell with a rate of one worker, 5 s on 2 workers at best; memory ")
    assert told[2:] == [
        "rate: recorded in out/small on Abacus",
        "no rate is recorded of dqn on CartPole-v1: softbench bench --pair dqn --task CartPole-v1",
    ]


def test_the_nearest_rate_is_taken_and_damaged_ones_are_none(small):
    def source() -> str | None:
        found = recorded(Path("out"), "small", "a2c", "CartPole-v1")
        return found and found.source

    assert source() is None
    timing("other/a2c/Acrobot-v1", {"a": 50})
    assert source() is None, "of another task, which may be a thousand times as slow"
    timing("other/a2c/CartPole-v1", {"a": 50})
    assert source() == "out/other on Abacus", "of another suite"
    for broken in ({"wall_seconds": None}, {"arms": {}}, {"arms": []}, {"steps_per_second": "fast"}):
        timing("small/a2c/CartPole-v1", {"a": 50}, **broken)
        assert source() == "out/other on Abacus"
    Path("out/small/a2c/CartPole-v1/timing.json").write_text("{")
    assert source() == "out/other on Abacus"
    timed = json.loads(Path("out/other/a2c/CartPole-v1/timing.json").read_text())
    timing("small/a2c/CartPole-v1", {}, wall_seconds=None, steps_per_second=None, earlier=[timed])
    assert source() == "out/small on Abacus", "the last run only wrote what checkpoints had"
    timing("small/a2c/CartPole-v1", {"a": 50}, cpu=None)
    assert source() == "out/small on an unknown processor"


def test_the_command_has_a_line_a_cell(small, softbench):
    code, out, _ = softbench("cost", "small", "--workers", 1, "--results", "out")
    assert code == 0 and "a2c/CartPole-v1" in out and "dqn/CartPole-v1" in out and "2 cells, 8 members" in out
    assert "16 M" in softbench("cost", "small@4M", "--results", "out")[1]
    code, _, err = softbench("cost", "smal")
    assert code == 2 and "unknown suite 'smal'; did you mean 'small'" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (duration(3.21), "3.2 h"),
        (duration(0.2), "12 min"),
        (duration(0.001), "4 s"),
        (size(1.24e9), "1.2 GB"),
        (size(375e6), "375 MB"),
        (size(3.84e6), "3.8 MB"),
        (size(2100), "2 kB"),
        (millions(20_000_000), "20 M"),
        (millions(327_680), "327,680"),
    ],
)
def test_numbers_are_readable(shown, expected):
    assert shown == expected
