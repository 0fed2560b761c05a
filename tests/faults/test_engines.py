"""Number of workers, local or Ray, threads, hash seed and order of seeds leave the same bytes; a lost Ray worker costs a segment."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from small_suite import (
    STABLE,
    SUITE,
    alive,
    children,
    command,
    stable_files,
    start,
    train_here,
    wait_until,
    write_suite,
)

from harness.pool import process
from harness.schema.results import folder_name

LONGER = {"tasks": {"CartPole-v1": {"steps": 8000}}}
TINY = {
    "ppo": {"horizon": 16, "minibatches": 2, "epochs": 2, "hidden": [32, 32]},
    "a2c": {"environments": 4, "hidden": [32, 32]},
    "dqn": {"learning_starts": 100, "replay_size": 150, "batch": 16},
}
WAYS = {  # number of workers, seeds, variables
    "plain": (1, "0-3", {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}),
    "two": (2, "3,1,0,2", {"OMP_NUM_THREADS": "4", "PYTHONHASHSEED": "1"}),
    "four": (4, "2,3,0,1", {"MKL_NUM_THREADS": "2", "MKL_CBWR": "COMPATIBLE", "PYTHONHASHSEED": "random"}),
}
TRAINED_ON = {(pair, backend) for pair in TINY for backend in ("gymnasium", "envpool")} | {
    ("a2c", "atari")
}  # a game of Pong is long
needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra `ray` is not installed")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def softbench(*words, **variables):
    kept = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    return subprocess.run(
        command(*words), env=kept | {"COLUMNS": "200"} | variables, capture_output=True, text=True, timeout=500
    )


def train_all_ways(suite, ways, *options):
    for name, (workers, seeds, variables) in ways.items():
        ran = softbench(
            "train",
            suite,
            "--out",
            name,
            "--workers",
            workers,
            "--seeds",
            seeds,
            "--device",
            "cpu",
            *options,
            **variables,
        )
        assert ran.returncode == 0, ran.stderr


def test_workers_threads_hash_seed_and_order_leave_the_same_bytes(fault):
    """Every way is tried on all pairs by the slow test below."""
    write_suite(Path.cwd())
    train_all_ways("small", {"two": WAYS["two"]})
    assert train_here(Path("here"), seeds=[0, 1, 2, 3])[0]
    assert stable_files(Path("two")) == stable_files(Path("here"))
    fault(
        "engines",
        "2 workers and none, other OMP_NUM_THREADS, PYTHONHASHSEED and order of seeds; a2c",
        "same bytes",
        2,
    )


@pytest.mark.slow
def test_every_arm_of_every_pair_is_the_same_on_any_number_of_workers(fault):
    write_all_pairs()
    train_all_ways("all", WAYS)
    for pair in TINY:
        for name in STABLE:
            contents = {(Path(way) / "all" / pair / "CartPole-v1" / name).read_bytes() for way in WAYS}
            assert len(contents) == 1, f"{pair}: {name}"
        fault(
            "engines",
            f"1, 2, 4 workers, other variables, hash seed and order; all arms of {pair}",
            "same bytes",
            len(WAYS),
        )


def write_all_pairs(**changes):
    """A cell a pair, one of them a grid."""
    cells = {pair: {"CartPole-v1": settings} for pair, settings in TINY.items()}
    cells["a2c"] = {"CartPole-v1": {"settings": TINY["a2c"], "grid": {"temperature": [0, 0.1]}}}
    suite = {**SUITE, "name": "all", "seeds": "0-3", "cells": cells} | changes
    Path("suites/all").mkdir(parents=True)
    Path("suites/all/suite.yaml").write_text(yaml.safe_dump(suite))


def test_a_terminal_or_none_leaves_the_same_bytes(fault):
    """The live display of a terminal, redrawn four times a second, and plain lines in a pipe."""
    write_suite(Path.cwd())
    plain = start(Path.cwd(), "train", "small", "--out", "plain", "--workers", 1, "--seeds", "0-3", "--device", "cpu")
    told, errors = plain.communicate(timeout=300)
    assert plain.returncode == 0, errors
    assert "\x1b" not in told and told.splitlines()[-1].startswith("done   a2c/CartPole-v1")
    screen, terminal = os.openpty()
    words = command("train", "small", "--out", "terminal", "--workers", 1, "--seeds", "0-3", "--device", "cpu")
    process = subprocess.Popen(
        words, stdin=terminal, stdout=terminal, stderr=terminal, env=os.environ | {"TERM": "xterm"}
    )
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # the end of the terminal
        while more := os.read(screen, 65536):
            shown += more
    os.close(screen)
    assert process.wait() == 0, shown
    assert b"\x1b[" in shown and "━".encode() in shown  # a live bar was drawn
    assert stable_files(Path("terminal")) == stable_files(Path("plain"))
    fault("engines", "progress on a terminal, and plain lines in a pipe", "same bytes", 2)


@pytest.mark.slow
def test_every_backend_is_the_same_on_more_workers_and_resumed(fault):
    """Every pair on every backend that is installed: with one worker, with two in another order, and resumed after the first segment."""
    backends = {"gymnasium": "MountainCar-v0", "atari": "ALE/Pong-v5"}
    if importlib.util.find_spec("envpool"):
        backends["envpool"] = "Acrobot-v1"
    settings = TINY | {"dqn": TINY["dqn"] | {"learning_starts": 20, "replay_size": 60}}
    cells = {
        pair: {task: dict(settings[pair]) for backend, task in backends.items() if (pair, backend) in TRAINED_ON}
        for pair in TINY
    }
    write_all_pairs(
        segments=2,
        tasks={task: {"backend": backend, "steps": 128} for backend, task in backends.items()},
        references={task: {"low": 0, "high": 1, "source": "none"} for task in backends.values()},
        cells=cells,
    )
    choices = ("--device", "cpu", "--arms", "sppo-38,a2c-proper,soft-dqn-kl-5step")
    for name, workers, seeds in (("one", 1, "0-1"), ("two", 2, "1,0")):
        ran = softbench("train", "all", "--out", name, "--workers", workers, "--seeds", seeds, *choices)
        assert ran.returncode == 0, ran.stderr
    shutil.copytree("one", "resumed")
    shutil.rmtree("resumed/all")
    lost = [path for path in Path("resumed").rglob("*-00002.*") if path.parent.name == "seed-0"]
    for path in lost:
        path.unlink()
    ran = softbench("train", "all", "--out", "resumed", "--workers", 2, "--seeds", "0-1", *choices)
    assert ran.returncode == 0, ran.stderr
    assert f" {sum('.json' in path.name for path in lost) * 64} environment steps to go" in ran.stdout
    for pair, tasks in cells.items():
        for task in tasks:
            cell = Path("all", pair, folder_name(task))
            first, *others = (stable_files(Path(out), cell) for out in ("one", "two", "resumed"))
            assert all(other == first for other in others), cell
            fault(
                "engines",
                f"{pair} on {task}, another backend: 1 and 2 workers, and resumed after a segment",
                "same bytes",
                3,
            )


def test_a_worker_gets_one_thread_and_nothing_of_the_callers_arithmetic(monkeypatch):
    for name in ("MKL_CBWR", "KMP_AFFINITY", "OMP_WAIT_POLICY", "OPENBLAS_VERBOSE", "OPENBLAS_CORETYPE"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    found = process.variables()
    assert not {"MKL_CBWR", "KMP_AFFINITY", "OMP_WAIT_POLICY", "OPENBLAS_VERBOSE"} & set(found)
    assert found["OPENBLAS_CORETYPE"] == "x", "results name the kernel that it chooses"
    assert (found["OMP_NUM_THREADS"], found["MKL_NUM_THREADS"]) == ("1", "1")


def test_ray_that_is_not_installed_is_told_with_its_extra(fault):
    write_suite(Path.cwd())
    Path("without/ray").mkdir(parents=True)
    Path("without/ray/__init__.py").write_text("raise ImportError('no ray')")
    path = os.pathsep.join(filter(None, [str(Path("without").resolve()), os.environ.get("PYTHONPATH")]))
    ran = softbench("train", "small", "--ray", PYTHONPATH=path)
    assert (ran.returncode, ran.stderr) == (
        2,
        "softbench: --ray: the package 'ray' is not installed; pip install 'softbench[ray]'\n",
    )
    fault("Ray", "not installed", "one line that names the extra, exit code 2")


@needs_ray
@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense", "ray://127.0.0.1:10001"])
def test_a_wrong_address_of_ray_is_told_in_one_line(address, fault):
    write_suite(Path.cwd())
    process = start(Path.cwd(), "train", "small", "--ray", address)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 2 and len(errors.splitlines()) == 1 and "--ray: " in errors and address in errors
    fault("Ray", "wrong address", "one line, exit code 2")


def descendants(pid):
    found = children(pid)
    return found + [below for child in found for below in descendants(child)]


def ray_tasks(pid):
    """Processes of Ray that run one of our tasks now."""
    return [child for child in descendants(pid) if "ray::_shard" in cmdline(child)]


def cmdline(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def begin_on_ray(*words):
    """A run of the longer suite on a Ray of its own that has finished its first segment, and Ray's workers that train."""
    write_suite(Path.cwd(), **LONGER)
    process = start(Path.cwd(), "train", "small", "--out", "out", "--workers", 2, "--device", "cpu", *words, "--ray")
    wait_until(lambda: list(Path("out").rglob("segment-00001.json")) or process.poll() is not None, 240)
    assert process.poll() is None, process.communicate()
    return process, ray_tasks(process.pid)


def unbroken():
    ran = softbench("train", "small", "--out", "local", "--workers", 1, "--device", "cpu")
    assert ran.returncode == 0, ran.stderr
    return stable_files(Path("local"))


@needs_ray
@pytest.mark.slow
def test_ray_leaves_the_bytes_of_the_local_pool_for_every_pair(fault):
    write_all_pairs()
    plain = {"plain": WAYS["plain"]}
    train_all_ways("all", plain)
    train_all_ways("all", {"ray": (2, "2,0,3,1", {"OMP_NUM_THREADS": "2"})}, "--ray")
    for pair in TINY:
        for name in STABLE:
            assert (
                len({(Path(way) / "all" / pair / "CartPole-v1" / name).read_bytes() for way in ("plain", "ray")}) == 1
            ), f"{pair}: {name}"
        fault("engines", f"Ray with 2 workers and the local pool with 1; all arms of {pair}", "same bytes", 2)


@needs_ray
@pytest.mark.slow
def test_a_killed_ray_worker_costs_a_segment_at_most(fault):
    process, tasks = begin_on_ray()
    os.kill(tasks[0], signal.SIGKILL)
    told, errors = process.communicate(timeout=400)
    assert process.returncode == 0, errors
    assert "its Ray task was lost" in told and "attempt 2 goes on from the last checkpoint" in told
    assert stable_files(Path("out")) == unbroken()
    fault("Ray", "a worker killed -9 in a run", "its shard goes on from the last checkpoint, same bytes")


@needs_ray
@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGUSR1, 138)])
def test_nothing_of_ray_outlives_a_stopped_run_and_the_local_pool_goes_on(number, code, fault):
    process, _ = begin_on_ray()
    family = descendants(process.pid)
    trainers = [pid for pid in family if "harness.pool.worker" in cmdline(pid)]
    assert len(trainers) == 2
    process.send_signal(number)
    process.communicate(timeout=120)
    assert process.returncode == code
    wait_until(lambda: not any(map(alive, trainers)), 60)
    wait_until(lambda: not any(map(alive, family)), 240)  # Ray's own helpers take their time
    ran = softbench("train", "small", "--out", "out", "--workers", 2, "--device", "cpu")
    assert ran.returncode == 0, ran.stderr
    assert stable_files(Path("out")) == unbroken()
    fault("Ray", f"the run is ended by {number.name}", "no process is left; the local pool goes on, same bytes")


@needs_ray
@pytest.mark.slow
def test_a_cluster_of_two_nodes_by_its_address(monkeypatch, fault):
    """Two nodes of one core on this machine; the second is killed in the middle, and the first takes over its shard."""
    write_suite(Path.cwd(), **LONGER)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")  # as docs/slurm.md says
    monkeypatch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef" * 4)
    port = 20_000 + os.getpid() % 10_000
    ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--num-cpus=1", "--disable-usage-stats"]
    head = [*ray, "--head", f"--port={port}", "--include-dashboard=false", "--object-store-memory=100000000"]
    join = [*ray, f"--address=127.0.0.1:{port}", "--object-store-memory=100000000"]
    nodes = [subprocess.Popen(head, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)]
    try:
        wait_until(lambda: answers(port), 120)
        nodes.append(
            subprocess.Popen(join, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        )
        wait_until(lambda: any("raylet/raylet" in cmdline(pid) for pid in descendants(nodes[1].pid)), 120)
        time.sleep(5)
        if hasattr(importlib.import_module("ray.exceptions"), "AuthenticationError"):
            ran = softbench("train", "small", "--ray", f"127.0.0.1:{port}", RAY_AUTH_MODE="disabled")
            assert (
                ran.returncode == 2 and "InvalidAuthToken" in ran.stderr and "Traceback" not in ran.stderr
            )  # Ray's own lines, then ours
            assert ran.stderr.splitlines()[-1].startswith("softbench: --ray: "), ran.stderr
            fault("Ray", "a cluster that wants a token, without one", "said, exit code 2")
        process = start(
            Path.cwd(),
            "train",
            "small",
            "--out",
            "out",
            "--workers",
            2,
            "--device",
            "cpu",
            "--ray",
            f"127.0.0.1:{port}",
        )
        wait_until(
            lambda: (
                ray_tasks(nodes[1].pid) and ray_tasks(nodes[0].pid) and list(Path("out").rglob("segment-00001.json"))
            ),
            240,
        )
        for pid in [nodes[1].pid, *descendants(nodes[1].pid)]:
            os.kill(pid, signal.SIGKILL)
        told, errors = process.communicate(timeout=400)
        assert process.returncode == 0, errors
        assert "its Ray task was lost" in told
    finally:
        for node in nodes:
            for pid in [*descendants(node.pid), node.pid]:
                os.kill(pid, signal.SIGKILL)
            node.wait()
    assert stable_files(Path("out")) == unbroken()
    fault(
        "Ray", "a cluster of two nodes; one of them is killed in the run", "the other takes over its shard, same bytes"
    )


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False
