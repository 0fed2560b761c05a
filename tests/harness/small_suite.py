"""A suite that trains in a second, in a folder of the user's own, and ways to run it."""

from __future__ import annotations

import faulthandler
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml

from harness import cli, training
from harness.commands import train as _train  # noqa: F401  (what is forked off need not import it)
from harness.plan import cells
from harness.plan.cells import Plan
from harness.pool import worker
from harness.pool.messages import Done, Event, Failed, Message, Told
from harness.schema.suite import load_suite

SUITE = {
    "name": "small",
    "title": "Small",
    "seeds": "0-1",
    "segments": 4,
    "evaluation": {"episodes": 1, "primary": "sampled"},
    "tasks": {"CartPole-v1": {"steps": 320}},
    "references": {"CartPole-v1": {"low": 0, "high": 500, "source": "range of the return"}},
    "cells": {"a2c": {"CartPole-v1": {"environments": 4, "hidden": [32, 32]}}},
}
CELL = Path("small/a2c/CartPole-v1")
STABLE = ("curves.parquet", "manifest.json", "summary.json", "learning.csv")


def write_suite(folder: Path, **changes) -> None:
    path = folder / "suites" / "small" / "suite.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({**SUITE, **changes}))


def command(*words) -> list[str]:
    return [sys.executable, "-m", "harness", *map(str, words)]


def start(folder: Path, *words) -> subprocess.Popen:
    """`softbench <words>` in `folder`, as a process of its own; forked off this one, which has imported everything already.

    What this process has patched, and what its modules keep in memory, comes along.
    """
    environment = os.environ | {"COLUMNS": "200"}
    return subprocess.Popen(
        ["softbench"],
        preexec_fn=partial(_become_softbench, list(map(str, words)), environment),
        restore_signals=False,  # SIGPIPE stays ignored, as in a Python program that was started
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
    )


def _become_softbench(words: list[str], environment: dict[str, str]) -> None:
    """Never returns: in place of the program that Popen would execute, with this process's modules, none of its open files."""
    code = 70
    try:
        faulthandler.disable()
        # Also what Popen waits for. The numbers stay taken: a library that closes its own when forked would fail.
        nothing = os.open(os.devnull, os.O_RDWR)
        for name in os.listdir("/proc/self/fd"):
            if int(name) not in (0, 1, 2, nothing):
                os.dup2(nothing, int(name))
        sys.stdin, sys.stdout, sys.stderr = os.fdopen(0), os.fdopen(1, "w"), os.fdopen(2, "w")
        os.environ.clear()
        os.environ.update(environment)
        sys.argv = ["softbench", *words]
        cli.main()
    except SystemExit as exited:
        code = int(exited.code or 0)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def stable_files(out: Path, cell: Path = CELL) -> dict[str, bytes]:
    return {name: (out / cell / name).read_bytes() for name in STABLE}


class Here:
    """In place of `harness.pool.local.Pool`: trains in this process, so that a test need not start one."""

    def __init__(self, count, log):
        self.count = count

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def run(self, jobs):
        for job in jobs:
            messages = []
            try:
                worker.train(job, messages.append)
                messages.append(Done())
            except Exception as error:
                messages.append(Failed(f"{type(error).__name__}: {error}"))
            yield from (Told(job, 1, message) for message in messages)


def make_plans(out: Path = Path("out"), steps: int | None = None, **choices) -> list[Plan]:
    """The plans of the suite of the working directory."""
    suite = load_suite("small") if steps is None else load_suite("small").at_budget(steps)
    return cells.make_plans(suite, out, "cpu", **choices)


@contextmanager
def folder_of(factory: pytest.TempPathFactory, **changes) -> Iterator[Path]:
    """A new folder with the suite, trained into its `results`, as the working directory."""
    folder = factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_suite(folder, **changes)
        assert train_here(Path("results"))[0]
        yield folder


def train_here(out: Path, workers: int = 1, **choices) -> tuple[bool, list[Event]]:
    """Train the suite of the working directory into `out`, without worker processes: (complete, events)."""
    events: list[Event] = []
    torch.set_num_threads(1)  # as in a worker
    complete = training.run(make_plans(out, **choices), workers, events.append, Here)
    return complete, events


def messages(events: list[Event], kind: type[Message]) -> list[Told]:
    """What was told of jobs, of one kind."""
    return [event for event in events if isinstance(event, Told) and isinstance(event.message, kind)]


def children(pid: int) -> list[int]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            if int(stat.read_text().rsplit(")", 1)[1].split()[1]) == pid:
                found.append(int(stat.parent.name))
        except (OSError, IndexError):
            continue  # it has just ended
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def wait_until(condition, seconds: float = 60.0):
    """The first true value of `condition()`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s")
