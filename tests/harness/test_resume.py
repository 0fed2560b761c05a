"""A run that is killed, stopped, divided or extended ends with the bytes of an unbroken one."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_suite import (
    CELL,
    alive,
    children,
    make_plans,
    messages,
    stable_files,
    start,
    train_here,
    wait_until,
    write_suite,
)

from harness import files
from harness.pool.messages import Job, Note, Row, Segment
from harness.schema.results import read_cell

LONGER = {"tasks": {"CartPole-v1": {"steps": 4000}}}  # long enough to be killed in the middle


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    write_suite(tmp_path)
    monkeypatch.chdir(tmp_path)


def unbroken(folder, **changes):
    """The files of an unbroken run in one process."""
    folder.mkdir()
    write_suite(folder, **changes)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert train_here(folder / "out")[0]
    return stable_files(folder / "out")


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    return unbroken(tmp_path_factory.mktemp("short") / "run")


@pytest.fixture(scope="module")
def longer(tmp_path_factory):
    return unbroken(tmp_path_factory.mktemp("longer") / "run", **LONGER)


def begin(workers, *words):
    """A run of the longer suite, in a process of its own, that has just finished its first segment: (process, its workers)."""
    write_suite(Path.cwd(), **LONGER)
    process = start(Path.cwd(), "train", "small", "--out", "out", "--workers", workers, *words)
    wait_until(lambda: list(Path("out").rglob("segment-00001.json")) or process.poll() is not None, 120)
    assert process.poll() is None, process.communicate()
    return process, children(process.pid)


def finished_members():
    return len(list(Path("out").rglob("segment-00004.json")))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_goes_on_and_leaves_no_worker_behind(longer, workers):
    process, helpers = begin(workers)
    assert len(helpers) == workers
    process.kill()
    process.communicate()
    wait_until(lambda: not any(map(alive, helpers)), 15)
    assert finished_members() < 4 and not (Path("out") / CELL / "manifest.json").exists()
    complete, events = train_here(Path("out"), workers=3 - workers, seeds=[1, 0])
    assert complete and 0 < events[0].steps < 4 * 4000
    assert stable_files(Path("out")) == longer


def test_a_worker_whose_parent_is_gone_ends_in_the_middle_of_a_segment(tmp_path):
    (plan,) = make_plans(arms=["a2c-naive"], steps=10**8)
    job = Job("a2c/CartPole-v1", plan.specs["a2c-naive"], [Row("a2c-naive", 0, tmp_path / "cohort")], "cpu")
    process = subprocess.Popen(
        [sys.executable, "-m", "harness.pool.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    process.stdin.write(job.to_line() + "\n")
    process.stdin.close()
    try:
        assert process.wait(60) == 3
    finally:
        process.kill()


def test_a_killed_worker_is_replaced_and_the_run_ends_with_the_same_bytes(longer):
    process, helpers = begin(2)
    os.kill(helpers[0], signal.SIGKILL)
    told, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "done   a2c/CartPole-v1" in told
    assert stable_files(Path("out")) == longer


@pytest.mark.parametrize(
    ("number", "code", "word"),
    [(signal.SIGINT, 130, "stopped"), (signal.SIGTERM, 143, "terminated"), (signal.SIGUSR1, 138, "terminated")],
)
def test_a_signal_stops_a_run_within_seconds_and_says_how_to_go_on(longer, number, code, word):
    process, helpers = begin(1)
    sent = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - sent < 15
    assert process.returncode == code
    assert errors == f"softbench: {word}; the same command goes on from the last checkpoints\n"
    wait_until(lambda: not any(map(alive, helpers)), 15)
    if number == signal.SIGINT:
        assert train_here(Path("out"))[0]
        assert stable_files(Path("out")) == longer


def test_a_run_in_another_process_and_another_order_leaves_the_same_bytes(short):
    process = start(Path.cwd(), "train", "small", "--out", "out", "--workers", 2, "--seeds", "1,0")
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert stable_files(Path("out")) == short


def test_seeds_can_be_added_later(short):
    assert train_here(Path("out"))[0]
    assert stable_files(Path("out")) == short
    complete, events = train_here(Path("out"), seeds=[3, 1, 2, 0])
    assert complete and {seed for told in messages(events, Segment) for seed in told.message.seeds} == {2, 3}
    assert train_here(Path("at once"), seeds=[0, 1, 2, 3])[0]
    assert stable_files(Path("out")) == stable_files(Path("at once"))
    before, after = (
        json.loads(short["manifest.json"])["members"],
        read_cell(Path("out") / CELL).manifest.content()["members"],
    )
    assert all(after[arm][seed] == link for arm, seeds in before.items() for seed, link in seeds.items())
    assert {arm: sorted(seeds) for arm, seeds in after.items()} == {arm: ["0", "1", "2", "3"] for arm in before}


def test_arms_can_be_trained_one_after_the_other(short):
    assert train_here(Path("out"), arms=["a2c-proper"], seeds=[1])[0]
    assert train_here(Path("out"), arms=["a2c-proper"])[0]
    assert train_here(Path("out"), arms=["a2c-naive"])[0]
    assert stable_files(Path("out")) == short


def test_a_finished_run_trains_nothing_and_touches_nothing(short):
    assert train_here(Path("out"))[0]
    times = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*") if path.is_file() and path.name != "lock"}
    complete, events = train_here(Path("out"))
    assert complete and [event.how for event in events[1:]] == ["kept"]
    assert {path: path.stat().st_mtime_ns for path in times} == times
    _, events = train_here(Path("out"), seeds=[0])
    assert [event.how for event in events[1:]] == ["kept"]
    assert stable_files(Path("out")) == short


def test_results_that_were_removed_come_back_from_the_checkpoints(short):
    assert train_here(Path("out"))[0]
    for path in (Path("out") / CELL).iterdir():
        path.unlink()
    complete, events = train_here(Path("out"))
    assert complete and [event.how for event in events[1:]] == ["complete"]
    assert stable_files(Path("out")) == short


class Full:
    """A disk that is full from the Nth write on."""

    def __init__(self, patch, allowed):
        self.left, self.writes = allowed, 0
        disk = self

        leave = files.replacing.__exit__

        def full(self, kind, *rest):
            disk.writes += 1
            if disk.writes > disk.left:
                self.temporary.write_bytes(b"half")
                leave(self, OSError)
                raise OSError(errno.ENOSPC, "No space left on device", str(self.path))
            leave(self, kind, *rest)

        patch.setattr(files.replacing, "__exit__", full)


def test_a_disk_that_fills_up_at_any_write_stops_loudly_and_the_run_goes_on_later(tmp_path, monkeypatch):
    """At the Nth write, for every N: non-zero, no half file, and once there is space the bytes of an unbroken run."""
    write_suite(tmp_path, segments=3, tasks={"CartPole-v1": {"steps": 60}})
    choices = {"arms": ["a2c-proper"]}
    with monkeypatch.context() as patch:
        disk = Full(patch, 10**9)
        assert train_here(Path("whole"), **choices)[0]
    assert disk.writes > 2 * 2 * 3
    for allowed in range(disk.writes):
        out = Path(f"full-{allowed}")
        with monkeypatch.context() as patch:
            Full(patch, allowed)
            try:
                complete, events = train_here(out, **choices)
            except OSError as error:
                complete, events = False, [Note(str(error))]
            except ValueError as error:  # before anything was trained
                complete, events = False, [Note(str(error))]
        assert not complete
        assert any("no space" in str(event).lower() for event in events)
        assert not list(out.rglob("*.tmp"))
        assert train_here(out, **choices)[0]
        assert stable_files(out) == stable_files(Path("whole"))


def test_a_damaged_checkpoint_of_a_stopped_run_is_said_and_repaired(short, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        Full(patch, 17)  # somewhere in the middle of the first arm
        assert not train_here(Path("out"))[0]
    newest = max(Path("out").rglob("segment-*.safetensors"))
    newest.write_bytes(newest.read_bytes()[:-1])
    assert train_here(Path("out"))[0]
    assert "is damaged (segment-00003.safetensors: checksum differs); using the one before" in capsys.readouterr().err
    assert stable_files(Path("out")) == short
