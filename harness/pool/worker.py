"""A worker process: reads jobs as JSON lines, trains shards of cohorts, writes checkpoints, tells its progress as JSON lines.

One torch thread: workers are the parallel axis. Nothing but JSON passes between processes. The end of stdin ends the worker at
once, so that none outlives its parent; what it was doing is lost back to the last checkpoint.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import platform
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any, TextIO

import numpy as np

from harness.plan.code import code
from harness.plan.identity import capability, difference, versions
from harness.pool.messages import Alive, Done, Failed, Job, Message, Row, Segment, to_line
from harness.pool.process import die_with_parent
from harness.run.cohort import Cohort
from harness.run.environments import Environments, Step
from harness.run.outcomes import outcomes
from harness.run.spec import Spec
from harness.store.members import Member, Progress, fingerprint, layout, stack
from harness.store.members import rows as by_member

Tell = Callable[[Message], None]

BEAT = 5.0  # seconds between two signs of life


class Heartbeat:
    """Environments that tell `Alive` as they step: a long segment is no hang, and an environment that never returns is one."""

    def __init__(self, environments: Environments, tell: Tell) -> None:
        self._environments, self._tell, self._last = environments, tell, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._environments, name)

    def step(self, actions: np.ndarray) -> Step:
        if time.monotonic() - self._last > BEAT:
            self._last = time.monotonic()
            self._tell(Alive())
        return self._environments.step(actions)


def train(job: Job, tell: Tell) -> None:
    """Train a job's members from their checkpoints; `tell` receives a message after each segment."""
    _check_version(job.identity, job.spec)
    groups: dict[int, list[Row]] = {}
    for row in job.rows:
        groups.setdefault(len(Member(row.folder, row.seed).load(with_state=False)[1].chain), []).append(row)
    last = job.spec.segments if job.until is None else job.until
    for done, rows in sorted(groups.items()):
        if done < last:
            _train_group(job, rows, last, tell)


def _check_version(identity: dict[str, Any], spec: Spec) -> None:
    """Raises ValueError where this process has other code, packages or CPU than the run has been planned with."""
    made = code(spec.pair, spec.backend, spec.task)
    here = {
        "code.files": made["files"] | made.get("module", {}),
        "versions": versions(spec.backend),
        "cpu": capability(),
    }
    for name, value in here.items():
        if name in identity and (found := difference(identity[name], value, name)):
            raise ValueError(f"{platform.node()} is not as the run began: {found}")


def _train_group(job: Job, rows: list[Row], last: int, tell: Tell) -> None:
    """Train members that are equally far to the end of segment `last`."""
    seeds, points = [row.seed for row in rows], {name: [row.point[name] for row in rows] for name in rows[0].point}
    cohort = Cohort(job.spec, seeds, job.device, points)
    cohort.training, cohort.evaluation = Heartbeat(cohort.training, tell), Heartbeat(cohort.evaluation, tell)
    initial, members = cohort.initial(), [Member(row.folder, row.seed) for row in rows]
    loaded = [member.load(expected=layout(initial)) for member in members]
    progress = [entry[1] for entry in loaded]
    if len({len(entry.chain) for entry in progress}) > 1:  # a damaged checkpoint was found while loading
        for number in sorted({len(entry.chain) for entry in progress}):
            same = [row for row, entry in zip(rows, progress, strict=True) if len(entry.chain) == number]
            _train_group(job, same, last, tell)
        return
    done = len(progress[0].chain)
    state = stack([entry[0] for entry in loaded], cohort.device) if done else initial
    for number in range(done + 1, last + 1):
        start = time.perf_counter()
        state, records = cohort.segment(state, number)
        records |= outcomes(cohort, state, number)
        for member, entry, (own, record) in zip(members, progress, by_member(state, records), strict=True):
            link = fingerprint(entry.chain[-1] if entry.chain else "", own, record)
            entry.chain.append(link)
            entry.records.append(record)
            member.save(own, Progress(entry.records, entry.chain))
        steps = (cohort.boundary(number) - cohort.boundary(number - 1)) * cohort.quantum * len(seeds)
        returns = [None if value != value else float(value) for value in records[f"return_{cohort.spec.modes[0]}"]]
        arms = [row.arm for row in rows]
        tell(Segment(arms, seeds, number, steps, time.perf_counter() - start, returns))


def main() -> None:
    die_with_parent()
    faulthandler.enable()  # where a crash happened, for the log
    out: TextIO = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not mix with the messages
    jobs: queue.Queue[Job] = queue.Queue()
    threading.Thread(target=_read, args=(jobs,), daemon=True).start()

    def tell(message: Message) -> None:
        print(to_line(message), file=out, flush=True)

    while True:
        job = jobs.get()
        tell(Alive())
        try:
            train(job, tell)
            tell(Done())
        except Exception as error:  # the parent reports it; this worker goes on with the next job
            tell(Failed(f"{type(error).__name__}: {error}".splitlines()[0]))
            with contextlib.suppress(OSError):  # the log may be on the full disk that stopped the training
                traceback.print_exc()


def _read(jobs: queue.Queue[Job]) -> None:
    for line in sys.stdin:
        jobs.put(Job.from_line(line))
    os._exit(3)


if __name__ == "__main__":
    main()
