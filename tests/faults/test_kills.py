"""Random kill -9 of parent or worker, two processes at once, pre-emption: the files of an unbroken run, every row once."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_suite import CELL, alive, children, stable_files, start, train_here, wait_until, write_suite

from harness.schema.results import read_cell

LONGER = {"tasks": {"CartPole-v1": {"steps": 4_800}}, "segments": 12}
ROOT = Path(__file__).parent.parent.parent
DOCUMENT = ROOT / "docs" / "slurm.md"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    write_suite(tmp_path, **LONGER)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    write_suite(folder, **LONGER)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert train_here(Path("out"))[0]
    return stable_files(folder / "out")


def train(folder, workers=2, *words):
    return start(folder, "train", "small", "--out", "out", "--workers", workers, "--device", "cpu", *words)


def finish(folder, workers=1):
    process = train(folder, workers)
    process.communicate(timeout=300)
    return process.returncode


def under_way(process):
    """Wait until a new checkpoint is written; False where the run has ended."""
    before = set(Path("out").rglob("segment-*.json"))
    wait_until(lambda: {*Path("out").rglob("segment-*.json")} - before or process.poll() is not None, 120)
    return process.poll() is None


@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_random_kills_of_parent_and_workers_leave_the_bytes_of_an_unbroken_run(unbroken, kills, fault):
    draw = random.Random(kills)
    victims = ["parent", "worker"] * kills
    draw.shuffle(victims)
    done = {"parent": 0, "worker": 0}
    process = train(Path.cwd(), draw.choice([1, 2]))
    while sum(done.values()) < kills:
        if not under_way(process):  # it has ended: all of it, or a job whose worker was killed three times
            process.communicate()
            if process.returncode == 0:
                assert stable_files(Path("out")) == unbroken
                shutil.rmtree("out")
            process = train(Path.cwd(), draw.choice([1, 2]))
            continue
        time.sleep(draw.random() * 0.2)
        helpers = children(process.pid)
        victim = victims[sum(done.values())]
        if not helpers:
            continue  # it is about to end
        done[victim] += 1
        if victim == "worker":
            os.kill(draw.choice(helpers), signal.SIGKILL)
        else:
            process.kill()
            process.communicate()
            process = train(Path.cwd(), draw.choice([1, 2]))
    process.communicate(timeout=300)
    for _ in range(3):
        if process.returncode == 0:
            break
        process = train(Path.cwd())
        process.communicate(timeout=300)
    assert process.returncode == 0
    assert stable_files(Path("out")) == unbroken
    rows = read_cell(Path("out") / CELL).curves.groupby(["arm", "seed"])["segment"].apply(list)
    assert len(rows) == 4 and all(segments == list(range(1, 13)) for segments in rows)
    for victim, count in done.items():
        fault("kill -9", f"a random {victim} at a random moment", "same bytes, no row twice or missing", count)


@pytest.mark.slow
def test_a_job_whose_worker_is_killed_three_times_fails_and_can_be_started_again(unbroken, fault):
    process = train(Path.cwd(), 1, "--arms", "a2c-naive")
    for _ in range(3):
        assert under_way(process)
        (helper,) = wait_until(lambda: children(process.pid))
        os.kill(helper, signal.SIGKILL)
        wait_until(lambda pid=helper: not alive(pid))
    told, errors = process.communicate(timeout=300)
    assert process.returncode == 1 and "incomplete" in errors
    assert re.search(
        r"FAILED a2c/CartPole-v1 a2c-naive .*its worker was killed by SIGKILL; see .*workers.log \(attempt 3\)", told
    )
    assert re.search(r"PARTIAL a2c/CartPole-v1: .*; a2c-naive took 3 attempts", told)
    assert finish(Path.cwd()) == 0 and stable_files(Path("out")) == unbroken
    fault("kill -9", "the worker of one job, three times", "failed and said, exit code 1; started again: same bytes")


@pytest.mark.slow
def test_a_pre_empted_and_requeued_run_leaves_the_bytes_of_an_unbroken_run(unbroken, fault):
    """SIGUSR1 and, as schedulers do, SIGTERM right after it: one line, the code of the first, and the same command goes on."""
    codes = []
    for _ in range(3):
        process = train(Path.cwd())
        assert under_way(process)
        helpers = children(process.pid)
        process.send_signal(signal.SIGUSR1)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=120)
        codes.append(process.returncode)
        assert len(errors.splitlines()) == 1 and "the same command goes on from the last checkpoints" in errors
        wait_until(lambda pids=helpers: not any(map(alive, pids)), 15)
    assert set(codes) <= {138, 143}  # whichever the kernel delivers first
    assert finish(Path.cwd()) == 0 and stable_files(Path("out")) == unbroken
    fault(
        "signal",
        "SIGUSR1 and SIGTERM at once, then started again",
        "one line, exit code 138 or 143, same bytes at the end",
        3,
    )


def test_a_second_process_is_refused_and_the_lock_of_a_killed_one_does_not_block(unbroken, fault):
    first = train(Path.cwd())
    assert under_way(first)
    first.send_signal(signal.SIGSTOP)  # it holds the lock however long the second one takes to start
    second = train(Path.cwd())
    _, errors = second.communicate(timeout=120)
    assert second.returncode == 2 and len(errors.splitlines()) == 1
    assert "another process is training here; wait for it, or choose another --out" in errors
    first.kill()
    first.communicate()
    assert finish(Path.cwd()) == 0 and stable_files(Path("out")) == unbroken
    before = {
        path: path.stat().st_mtime_ns for path in Path("out").rglob("*") if path.is_file() and path.name != "lock"
    }
    assert finish(Path.cwd()) == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    fault(
        "two processes",
        "a second one in the same folder",
        "refused in one line, exit code 2; the first is not disturbed",
    )
    fault("two processes", "the holder of the lock is killed -9", "the next one goes on and ends with the same bytes")
    fault("again", "a finished run started again", "nothing is done, no file is touched, exit code 0")


@pytest.mark.slow  # tests/harness/test_resume.py adds seeds to a run without kills
def test_seeds_that_are_added_later_leave_the_first_ones_as_they_are(unbroken, fault):
    assert finish(Path.cwd()) == 0
    process = train(Path.cwd(), 2, "--seeds", "0-3")
    told, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert "4 members, 19,200 environment steps to go" in told
    before, after = (
        json.loads(unbroken["manifest.json"])["members"],
        read_cell(Path("out") / CELL).manifest.content()["members"],
    )
    for arm, members in before.items():
        assert list(after[arm]) == ["0", "1", "2", "3"]
        assert all(after[arm][seed] == member for seed, member in members.items())
    fault("again", "seeds 0-1, later 0-3", "two are trained, the chains of the first two are what they were")


@pytest.mark.slow
def test_two_dvc_repro_at_once_in_one_workspace(fault):
    tasks = ("CartPole-v1", "Acrobot-v1")
    write_suite(
        Path.cwd(),
        tasks={task: {"steps": 320} for task in tasks},
        references={task: {"low": 0, "high": 1, "source": "none"} for task in tasks},
        cells={"a2c": {task: {"environments": 4, "hidden": [32, 32]} for task in tasks}},
    )
    stages = []
    for task in tasks:
        files = "".join(f"    - results/small/a2c/{task}/{name}\n" for name in ("curves.parquet", "manifest.json"))
        stages.append(
            f"  {task[:4]}:\n    cmd: python -m harness train small --task {task} --device cpu --workers 1\n    outs:\n{files}"
        )
    Path("dvc.yaml").write_text("stages:\n" + "".join(stages))
    dvc = [sys.executable, "-m", "dvc"]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run([*dvc, "init", "--no-scm", "--quiet"], check=True)
    runs = [
        subprocess.Popen(
            [*dvc, "--wait-for-lock", "repro", "-s", task[:4]],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for task in tasks
    ]
    told = [run.communicate(timeout=300)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], told
    status = subprocess.run([*dvc, "status"], env=environment, capture_output=True, text=True, check=True).stdout
    assert "up to date" in status, status
    assert len(list(Path("results").rglob("manifest.json"))) == 2
    fault("two processes", "two `dvc --wait-for-lock repro -s` in one workspace", "both succeed, `dvc status` is clean")


def test_the_documented_slurm_script_requeues_a_pre_empted_job_alone(tmp_path):
    """Its syntax, and what it does with softbench's exit codes, with a stand-in for Slurm."""
    (script,) = re.findall(r"```bash\n(.*?)```", DOCUMENT.read_text(), re.S)
    Path("job").write_text(script)
    subprocess.run(["bash", "-n", "job"], check=True)
    assert "#SBATCH --requeue\n" in script and "#SBATCH --signal=USR1@60\n" in script
    Path(".venv/bin").mkdir(parents=True)
    Path(".venv/bin/activate").touch()
    Path("srun").write_text('#!/bin/bash\necho "$@" > arguments\nexit "$ENDS"\n')
    Path("scontrol").write_text('#!/bin/bash\necho "$@" > requeued\n')
    for name in ("srun", "scontrol"):
        Path(name).chmod(0o755)
    for code in (0, 1, 2, 138, 143):
        Path("requeued").unlink(missing_ok=True)
        environment = os.environ | {
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "ENDS": str(code),
            "SLURM_JOB_ID": "7",
            "SLURM_CPUS_PER_TASK": "3",
        }
        assert subprocess.run(["bash", "job"], env=environment).returncode == code
        assert Path("requeued").exists() == (code == 138)
    assert Path("arguments").read_text() == "softbench train classic --device cpu --workers 3\n"
