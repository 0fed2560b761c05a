"""A disk that fails: every write, fsync, rename, unlink and mkdir of the harness is counted, and something happens at the Nth.

`Disk` wraps the calls of this process; `acts(operation, path)` is called before each, for a write after half of it.
`Powered` remembers besides what a loss of power would leave: what was synced, in folders whose entries were synced.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import signal
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
from small_suite import Here, write_suite

from harness import cli
from harness.schema import results
from harness.store.members import Progress, fingerprint, rows

DIRECTORY = object()


class Disk:
    """`with Disk(root, acts): ...`: `acts` sees the calls on paths below `root`."""

    def __init__(self, root, acts):
        self.root, self.acts, self.count = Path(root).resolve(), acts, 0

    def __enter__(self):
        self.patch = pytest.MonkeyPatch()
        for name in ("replace", "unlink", "mkdir"):
            self.patch.setattr(os, name, self._call(name, getattr(os, name)))
        self.patch.setattr(os, "fsync", self._fsync(os.fsync))
        for owner, name in ((Path, "write_bytes"), (Path, "write_text"), (pd.DataFrame, "to_csv")):
            self.patch.setattr(owner, name, self._write(getattr(owner, name), 0 if owner is Path else 1))
        self.patch.setattr(results.pq, "write_table", self._write(results.pq.write_table, 1))
        return self

    def __exit__(self, *_):
        self.patch.undo()

    def _here(self, path):
        path = Path(os.path.abspath(path))
        return path if path.is_relative_to(self.root) else None

    def happens(self, operation, path):
        self.count += 1
        self.acts(operation, path)

    def done(self, operation, *paths):
        """After a call."""

    def _call(self, name, original):
        def call(path, *rest, **options):
            here = self._here(path)
            if here and (name != "unlink" or os.path.lexists(here)):
                self.happens(name, here)
            original(path, *rest, **options)
            if here:
                self.done(name, here, *map(self._here, rest[:1] if name == "replace" else []))

        return call

    def _fsync(self, original):
        def fsync(descriptor):
            here = self._here(os.readlink(f"/proc/self/fd/{descriptor}"))
            if here:
                self.happens("fsync", here)
            original(descriptor)
            if here:
                self.done("fsync", here)

        return fsync

    def _write(self, original, position):
        def write(*arguments, **options):
            here = self._here(arguments[position])
            result = original(*arguments, **options)
            if here:
                whole = here.read_bytes()
                os.truncate(here, len(whole) // 2)
                self.happens("write", here)
                with open(here, "wb") as file:
                    file.write(whole)
                self.done("write", here)
            return result

        return write


class Powered(Disk):
    """Keeps a model of what is durable: contents by fsync of the file, names by fsync of the folder."""

    def __init__(self, root, acts=lambda *_: None):
        super().__init__(root, acts)
        self.names: dict[Path, object] = {}  # as a running process sees them
        self.durable: dict[Path, object] = {}

    def done(self, operation, path, target=None):
        if operation == "mkdir":
            self.names[path] = DIRECTORY
        elif operation == "write":
            self.names[path] = {"now": path.read_bytes(), "durable": b""}
        elif operation == "replace":
            self.names[target] = self.names.pop(path)
        elif operation == "unlink":
            self.names.pop(path, None)
        elif path.is_dir():
            for name in [name for name in self.durable if name.parent == path and name not in self.names]:
                del self.durable[name]
            self.durable.update({name: entry for name, entry in self.names.items() if name.parent == path})
        else:
            self.names[path]["durable"] = self.names[path]["now"]

    def lose(self, target, draw: random.Random, chance: float):
        """Leave in `target` what a loss of power leaves now; a name that was not synced is old or new, new with probability `chance`."""
        for name in sorted(set(self.names) | set(self.durable)):  # parents before children
            entry = (self.names if draw.random() < chance else self.durable).get(name)
            path = target / name.relative_to(self.root)
            if entry is None or not path.parent.is_dir():
                continue
            if entry is DIRECTORY:
                path.mkdir()
            else:
                path.write_bytes(entry["durable"])


class At:
    """Does `what(operation, path)` at call number `number` (from 1), or from there on where `lasting`; counts paths for which `only`."""

    def __init__(self, number, what, lasting=False, only=lambda path: True):
        self.left, self.what, self.lasting, self.only = number, what, lasting, only
        self.hit = None

    def __call__(self, operation, path):
        if not self.only(path):
            return
        self.left -= 1
        if self.left == 0 or (self.left < 0 and self.lasting):
            self.hit = self.hit or (operation, path)
            self.what(operation, path)


def kill(operation, path):
    os.kill(os.getpid(), signal.SIGKILL)


def fail(number):
    """An OSError at whatever takes space or touches the medium; on a full disk renames and removals still work."""
    failing = ("write", "fsync", "mkdir", *(["replace"] if number in (errno.EIO, errno.EROFS) else []))

    def what(operation, path):
        if operation in failing:
            raise OSError(number, os.strerror(number), str(path))

    return what


def in_child(work) -> int:
    """Run `work` in a forked child without output; the signal that ended it, or 0 where it came to its end."""
    pid = os.fork()
    if pid == 0:
        code = 1
        with contextlib.suppress(BaseException):
            torch.set_num_threads(1)
            work()
            code = 0
        os._exit(code)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status)
    assert os.WEXITSTATUS(status) == 0
    return 0


# A member with a replay buffer of four blocks, of which a segment changes one or two ---------------------------------------------------

CAPACITY, PER_SEGMENT, SEGMENTS = 4000, 900, 4  # the last segment is the first that needs nothing of replay-00001


def make_row(number):
    """The state and the record of a member after segment `number`."""
    generator = torch.Generator().manual_seed(number)
    ring = torch.zeros(1, CAPACITY)
    ring[0, : PER_SEGMENT * number] = torch.randn(PER_SEGMENT * SEGMENTS, generator=torch.Generator().manual_seed(0))[
        : PER_SEGMENT * number
    ]
    state = {
        "parameters": torch.randn(1, 40, generator=generator),
        "diverged_at": torch.tensor([-1]),
        "replay.reward": ring,
    }
    state["replay.action"] = (ring * 1000).long()
    state["replay.final"] = ring[:, :CAPACITY:100].clone()  # of other lengths than the steps, as a replay has them
    state["replay.truncations"] = torch.tensor([[number, 2 * number]])
    return next(
        rows(state, {"segment": torch.tensor([number]).numpy(), "step": torch.tensor([PER_SEGMENT * number]).numpy()})
    )


ROWS = {number: make_row(number) for number in range(1, SEGMENTS + 1)}


def go_on(member, said=lambda number: None):
    """Continue a member to its last segment; its chain."""
    progress = member.load()[1]
    for number in range(len(progress.chain) + 1, SEGMENTS + 1):
        row, record = ROWS[number]
        link = fingerprint(progress.chain[-1] if progress.chain else "", row, record)
        progress = Progress([*progress.records, record], [*progress.chain, link])
        member.save(row, progress)
        said(number)
    return progress.chain


def check(member, at_least=0):
    """The member loads with the state of its generation, which is `at_least` that; the generation."""
    state, progress = member.load()
    number = len(progress.chain)
    assert number >= at_least
    if number:
        expected = ROWS[number][0]
        assert state.keys() == expected.keys() and all(torch.equal(state[name], expected[name]) for name in expected)
    return number


# A run of the command line in this process -------------------------------------------------------------------------------------------

SMALL = {
    "segments": 3,
    "tasks": {"CartPole-v1": {"steps": 60}},
    "cells": {"dqn": {"CartPole-v1": {"replay_size": 2000, "learning_starts": 20, "batch": 8, "hidden": [8, 8]}}},
}
CELL = Path("small/dqn/CartPole-v1")


def write_small(folder):
    write_suite(folder, **SMALL)


def softbench(out, seeds="0-1"):
    """`softbench train small` in this process; its exit code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.commands.train.Pool", lambda count, log, timeout: Here(count, log))
        patch.setattr(cli.signal, "signal", lambda *_: None)
        words = ["train", "small", "--arms", "dqn", "--workers", "1", "--device", "cpu"]
        patch.setattr(sys, "argv", ["softbench", *words, "--out", str(out), "--seeds", seeds])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return ended.value.code


def no_row_twice_or_missing(out, seeds=(0, 1)):
    """The curves have each arm, seed and segment once."""
    curves = results.read_cell(out / CELL).curves
    found = sorted(zip(curves["arm"], curves["seed"], curves["segment"], strict=True))
    assert found == [("dqn", seed, segment) for seed in seeds for segment in (1, 2, 3)]
