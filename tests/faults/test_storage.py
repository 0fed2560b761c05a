"""Kills, full and broken disks, and losses of power at every write, fsync, rename, unlink and mkdir of checkpoints and results."""

from __future__ import annotations

import errno
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from disk import (
    CELL,
    SEGMENTS,
    At,
    Disk,
    Powered,
    check,
    fail,
    go_on,
    in_child,
    kill,
    no_row_twice_or_missing,
    softbench,
    write_small,
)
from small_suite import stable_files

from harness.store.members import Member

ERRORS = ("ENOSPC", "EIO", "EDQUOT", "EROFS")
HARMLESS = ("replace", "unlink")  # these work on a full disk
EVERY = 19  # in the quick tests of whole runs


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """The chain of an unbroken member."""
    return go_on(Member(tmp_path_factory.mktemp("unbroken"), 0))


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The files of an unbroken run with seeds 0-1, and of one with 0-2."""
    folder = tmp_path_factory.mktemp("run")
    write_small(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert softbench(Path("two")) == 0 and softbench(Path("three"), "0-2") == 0
    return {"0-1": stable_files(folder / "two", CELL), "0-2": stable_files(folder / "three", CELL)}


def test_a_member_killed_at_any_call_goes_on(tmp_path, chain, fault, capfd):
    """SIGKILL at the Nth call for every N, until a run passes untouched."""
    number = 0
    while True:
        number += 1
        folder, done = tmp_path / str(number), tmp_path / f"{number}.done"

        def work(folder=folder, done=done, number=number):
            with Disk(folder, At(number, kill)):
                go_on(Member(folder, 0), lambda last: done.write_text(str(last)))

        ended = in_child(work)
        finished = int(done.read_text()) if done.exists() else 0
        assert finished <= check(Member(folder, 0), finished) <= finished + 1
        assert go_on(Member(folder, 0)) == chain
        assert check(Member(folder, 0)) == SEGMENTS
        shutil.rmtree(folder)
        if not ended:
            break
        assert ended == signal.SIGKILL
    assert number > 50
    assert "damaged" not in capfd.readouterr().err  # what a kill leaves is whole
    fault(
        "SIGKILL",
        "every write, fsync, rename, unlink, mkdir of a member's checkpoints",
        "old or new generation loads, same hash",
        number - 1,
    )


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("lasting", [False, True])
def test_a_member_whose_disk_fails_at_any_call_goes_on(tmp_path, chain, fault, name, lasting):
    number, failed = 0, 0
    while True:
        number += 1
        folder, done = tmp_path / str(number), []
        at = At(number, fail(getattr(errno, name)), lasting)
        with Disk(folder, at):
            try:
                go_on(Member(folder, 0), done.append)
                broke = False
            except OSError as error:
                broke = error.errno == getattr(errno, name)
        assert len(done) <= check(Member(folder, 0), len(done)) <= len(done) + 1
        assert not list(folder.rglob("*.tmp"))
        assert go_on(Member(folder, 0)) == chain
        if at.hit is None:
            break
        failed += broke
        assert broke or at.hit[0] in HARMLESS
        shutil.rmtree(folder)
    assert failed > 30
    fault(
        name,
        f"every write, fsync, mkdir of a member's checkpoints{', lasting' if lasting else ''}",
        "error, old one whole, same hash",
        failed,
    )


def test_a_loss_of_power_at_any_call_leaves_a_whole_generation(tmp_path, chain, fault):
    """Only what was synced survives; a name that was not is old or new. What was told as finished is never lost."""
    draw, states, told = random.Random(1), 0, [0]
    disk = Powered(tmp_path / "run")

    def lose(operation, path):
        nonlocal states
        for chance in (0.0, 1.0, 0.5, 0.5):
            target = tmp_path / "lost" / str(states)
            target.mkdir(parents=True)
            disk.lose(target, draw, chance)
            assert check(Member(target / "cohort", 0), told[0]) <= told[0] + 1
            states += 1
            if states % 5 == 0:
                assert go_on(Member(target / "cohort", 0)) == chain
            shutil.rmtree(target)

    disk.acts = lambda operation, path: lose(operation, path) if disk.root in path.parents else None
    (tmp_path / "run").mkdir()
    with disk:
        original = disk.happens
        disk.happens = lambda operation, path: None if "lost" in path.parts else original(operation, path)
        go_on(Member(tmp_path / "run" / "cohort", 0), lambda number: told.__setitem__(0, number))
        lose("end", disk.root)
    assert states > 200
    fault(
        "power loss",
        "unsynced writes dropped after every call on a member's checkpoints",
        "a whole generation, none that was told is lost",
        states,
    )


def killed_run(out, number, seeds, only=lambda path: True):
    """A run that is killed at the Nth call (on paths for which `only`): whether it was."""

    def work():
        with Disk(out, At(number, kill, only=only)):
            assert softbench(out, seeds) == 0

    return in_child(work) == signal.SIGKILL


def kill_everywhere(unbroken, step):
    """Runs killed at every `step`th call, each continued: how many."""
    write_small(Path.cwd())
    number, kills = 1, 0
    while killed_run(out := Path(f"out-{number}"), number, "0-1"):
        kills += 1
        assert softbench(out) == 0
        assert stable_files(out, CELL) == unbroken["0-1"]
        no_row_twice_or_missing(out)
        shutil.rmtree(out)
        number += step
    return kills


def test_a_run_killed_at_a_call_goes_on(unbroken, fault):
    kills = kill_everywhere(unbroken, EVERY)
    assert kills > 100 / EVERY
    fault(
        "SIGKILL",
        f"every {EVERY}th write, fsync, rename, unlink, mkdir of a run",
        "goes on, same bytes, no row twice or missing",
        kills,
    )


@pytest.mark.slow
def test_a_run_killed_at_any_call_goes_on(unbroken, fault):
    kills = kill_everywhere(unbroken, 1)
    fault(
        "SIGKILL",
        "every write, fsync, rename, unlink, mkdir of a run",
        "goes on, same bytes, no row twice or missing",
        kills,
    )


def extend_everywhere(unbroken, step, only=lambda path: True):
    """A finished run whose extension by one seed is killed at every `step`th call, then continued: how many."""
    write_small(Path.cwd())
    assert softbench(Path("two")) == 0
    number, kills = 1, 0
    while True:
        out = Path(f"out-{number}")
        shutil.copytree("two", out)
        if not killed_run(out, number, "0-2", only):
            break
        kills += 1
        assert softbench(out, "0-2") == 0
        assert stable_files(out, CELL) == unbroken["0-2"]
        no_row_twice_or_missing(out, (0, 1, 2))
        shutil.rmtree(out)
        number += step
    return kills


def test_a_killed_extension_leaves_no_row_twice(unbroken, fault):
    kills = extend_everywhere(unbroken, 3, only=lambda path: ".runs" not in path.parts)
    fault(
        "SIGKILL",
        "every 3rd call on the results of a run that adds a seed",
        "goes on, same bytes, no row twice or missing",
        kills,
    )


@pytest.mark.slow
def test_an_extension_killed_at_any_call_leaves_no_row_twice(unbroken, fault):
    kills = extend_everywhere(unbroken, 1)
    fault("SIGKILL", "every call of a run that adds a seed", "goes on, same bytes, no row twice or missing", kills)


def fail_everywhere(unbroken, name, lasting, step, capsys):
    """Runs whose disk fails at every `step`th call, each told and continued: how many."""
    write_small(Path.cwd())
    number, failed = 1, 0
    while True:
        out, at = Path(f"{name}-{lasting}-{number}"), At(number, fail(getattr(errno, name)), lasting)
        capsys.readouterr()
        with Disk(out, at):
            code = softbench(out)
        told = capsys.readouterr()
        if at.hit is None:
            break
        if code != 0:
            failed += 1
            assert code in (1, 2) and "softbench: " in told.err
            assert (
                os.strerror(getattr(errno, name)) in told.out + told.err or "no space is left on the device" in told.err
            )
        else:
            assert at.hit[0] in HARMLESS and not lasting
        assert not list(out.rglob("*.tmp"))
        assert softbench(out) == 0
        assert stable_files(out, CELL) == unbroken["0-1"]
        no_row_twice_or_missing(out)
        shutil.rmtree(out)
        number += step
    assert failed
    return failed


@pytest.mark.parametrize(("name", "lasting"), [("ENOSPC", True), ("EIO", False)])
def test_a_run_whose_disk_fails_at_a_call_says_so_and_goes_on(unbroken, fault, capsys, name, lasting):
    failed = fail_everywhere(unbroken, name, lasting, 29, capsys)
    fault(
        name,
        "every 29th write, fsync, mkdir of a run",
        "said, exit code 1 or 2, same bytes once there is space",
        failed,
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("lasting", [False, True])
def test_a_run_whose_disk_fails_at_any_call_says_so_and_goes_on(unbroken, fault, capsys, name, lasting):
    failed = fail_everywhere(unbroken, name, lasting, 1, capsys)
    fault(
        name,
        f"every write, fsync, mkdir of a run{', lasting' if lasting else ''}",
        "said, exit code 1 or 2, same bytes later",
        failed,
    )


def lose_everywhere(unbroken, step):
    """A run, and its extension by a seed; the power is lost at every `step`th call and the rest goes on: how many."""
    write_small(Path.cwd())
    draw, count = random.Random(2), 0
    out = Path("run/results").resolve()
    out.parent.mkdir()
    disk, lost = Powered(out.parent), []

    def lose(operation, path):
        nonlocal count
        count += 1
        if count % step == 0:
            lost.append(Path(f"lost-{count}").resolve())
            os.makedirs(lost[-1])
            disk.lose(lost[-1], draw, draw.choice((0.0, 0.5, 1.0)))

    disk.acts = lose
    with disk:
        assert softbench(out) == 0
        first = count
        assert softbench(out, "0-2") == 0
    for folder in lost:
        assert softbench(folder / "results", "0-2") == 0
        assert stable_files(folder / "results", CELL) == unbroken["0-2"]
        no_row_twice_or_missing(folder / "results", (0, 1, 2))
        shutil.rmtree(folder)
    assert first < count
    return len(lost)


def test_a_run_goes_on_after_a_loss_of_power(unbroken, fault):
    fault(
        "power loss",
        "unsynced writes dropped at every 31st call of a run and its extension",
        "same bytes",
        lose_everywhere(unbroken, 31),
    )


@pytest.mark.slow
def test_a_run_goes_on_after_a_loss_of_power_at_any_call(unbroken, fault):
    fault(
        "power loss",
        "unsynced writes dropped at every call of a run and its extension",
        "same bytes",
        lose_everywhere(unbroken, 1),
    )


SCRIPT = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)),) * 2)
from harness.cli import main
main()
"""


@pytest.mark.parametrize(
    "limit", [700, pytest.param(0, marks=pytest.mark.slow), pytest.param(3000, marks=pytest.mark.slow)]
)
def test_the_systems_own_limit_of_a_file_is_said(unbroken, fault, limit):
    """A real failing write, not a pretended one: the kernel refuses to let a file grow (as a quota does)."""
    write_small(Path.cwd())
    words = ["train", "small", "--arms", "dqn", "--workers", "1", "--device", "cpu", "--seeds", "0-1", "--out", "out"]
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(limit), *words], capture_output=True, text=True, timeout=300
    )
    assert ended.returncode in (1, 2), ended.stderr
    assert "File too large" in ended.stdout + ended.stderr
    assert softbench(Path("out")) == 0
    assert stable_files(Path("out"), CELL) == unbroken["0-1"]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    fault("quota", "RLIMIT_FSIZE: the kernel refuses to let a file grow", "said, exit code 1 or 2, same bytes later")


def mount(*words):
    return subprocess.run(["mount", *map(str, words)], capture_output=True).returncode == 0


def test_a_real_full_and_a_real_read_only_file_system_are_said(tmp_path, unbroken, fault, capsys):
    write_small(Path.cwd())
    folder = tmp_path / "mounted"
    folder.mkdir()
    if os.geteuid() != 0 or not mount("-t", "tmpfs", "-o", "size=96k", "tmpfs", folder):
        pytest.skip("file systems cannot be mounted here")
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("harness.plan.work.MEBIBYTE", 1)  # its check of the space left would refuse to begin
            assert softbench(folder / "out") in (1, 2)
            assert "no space left" in "".join(capsys.readouterr()).lower()
            assert mount("-o", "remount,size=64m", folder) and softbench(folder / "out") == 0
        assert stable_files(folder / "out", CELL) == unbroken["0-1"]
        assert mount("-o", "remount,ro", folder)
        assert softbench(folder / "out", "0-2") == 2 and "read-only file system" in "".join(capsys.readouterr()).lower()
        assert mount("-o", "remount,rw", folder)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("harness.plan.work.MEBIBYTE", 1)
            assert softbench(folder / "out", "0-2") == 0
        assert stable_files(folder / "out", CELL) == unbroken["0-2"]
    finally:
        subprocess.run(["umount", folder], check=True)
    fault(
        "real file system", "a full tmpfs, then a read-only one", "said, exit code 1 or 2, goes on with the same bytes"
    )
