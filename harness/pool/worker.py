"""A worker process: reads jobs as JSON lines, trains shards of cohorts, writes checkpoints, tells its progress as JSON lines.

One torch thread: workers are the parallel axis. Nothing but JSON passes between processes. The end of stdin ends the worker at
once, so that none outlives its parent; what it was doing is lost back to the last checkpoint.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import json
import os
import platform
import queue
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from harness.plan import code as provenance
from harness.plan.identity import difference
from harness.run.cohort import Cohort
from harness.run.environments import Environments, Step
from harness.run.spec import Spec
from harness.store.members import Member, Progress, fingerprint, layout, rows, stack

BEAT = 5.0  # seconds between two signs of life


class Heartbeat:
    """Environments that tell `alive` as they step: a long segment is no hang, and an environment that never returns is one."""

    def __init__(self, environments: Environments, tell: Any) -> None:
        self._environments, self._tell, self._last = environments, tell, 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._environments, name)

    def step(self, actions: np.ndarray) -> Step:
        if time.monotonic() - self._last > BEAT:
            self._last = time.monotonic()
            self._tell({"event": "alive"})
        return self._environments.step(actions)


def train(job: dict[str, Any], tell: Any) -> None:
    """Train `job["seeds"]` of a cohort from their checkpoints in `job["folder"]` to segment `job["until"]`, or else to the end.

    `tell(event)` receives an event after each segment.
    """
    spec, folder = Spec(**job["spec"]), Path(job["folder"])
    _check_version(job.get("identity", {}), spec)
    members = {seed: Member(folder, seed) for seed in job["seeds"]}
    groups: dict[int, list[int]] = {}
    for seed, member in members.items():
        groups.setdefault(len(member.load(with_state=False)[1].chain), []).append(seed)
    for done, seeds in sorted(groups.items()):
        if done < (last := job.get("until", spec.segments)):
            _train_group(spec, seeds, members, job["device"], last, tell)


def _check_version(identity: dict[str, Any], spec: Spec) -> None:
    """Raises ValueError where this process has other code, packages or CPU than the run has been planned with."""
    made = provenance.code(spec.pair, spec.backend, spec.task)
    here = {"code.files": made["files"] | made.get("module", {}), "versions": provenance.versions(spec.backend)}
    here["cpu"] = provenance.capability()
    for name, value in here.items():
        if name in identity and (found := difference(identity[name], value, name)):
            raise ValueError(f"{platform.node()} is not as the run began: {found}")


def _train_group(spec: Spec, seeds: list[int], members: dict[int, Member], device: str, last: int, tell: Any) -> None:
    """Train members that are equally far to the end of segment `last`."""
    cohort = Cohort(spec, seeds, device)
    cohort.training, cohort.evaluation = Heartbeat(cohort.training, tell), Heartbeat(cohort.evaluation, tell)
    initial = cohort.initial()
    loaded = [members[seed].load(expected=layout(initial)) for seed in seeds]
    progress = [entry[1] for entry in loaded]
    if len({len(entry.chain) for entry in progress}) > 1:  # a damaged checkpoint was found while loading
        for number in sorted({len(entry.chain) for entry in progress}):
            same = [seed for seed, entry in zip(seeds, progress, strict=True) if len(entry.chain) == number]
            _train_group(spec, same, members, device, last, tell)
        return
    done = len(progress[0].chain)
    state = stack([entry[0] for entry in loaded], cohort.device) if done else initial
    for number in range(done + 1, last + 1):
        start = time.perf_counter()
        state, records = cohort.segment(state, number)
        for seed, entry, (row, record) in zip(seeds, progress, rows(state, records), strict=True):
            link = fingerprint(entry.chain[-1] if entry.chain else "", row, record)
            entry.chain.append(link)
            entry.records.append(record)
            members[seed].save(row, Progress(entry.records, entry.chain))
        returns = records["return_sampled"]
        steps = (cohort.boundary(number) - cohort.boundary(number - 1)) * cohort.quantum * len(seeds)
        tell(
            {
                "event": "segment",
                "pair": spec.pair,
                "task": spec.task,
                "arm": spec.arm,
                "seeds": seeds,
                "segment": number,
                "steps": steps,
                "seconds": time.perf_counter() - start,
                "returns": [None if value != value else float(value) for value in returns],
            }
        )


def main() -> None:
    die_with_parent()
    faulthandler.enable()  # where a crash happened, for the log
    out: TextIO = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not mix with the events
    jobs: queue.Queue[dict[str, Any]] = queue.Queue()
    threading.Thread(target=_read, args=(jobs,), daemon=True).start()

    def tell(event: dict[str, Any]) -> None:
        print(json.dumps(event), file=out, flush=True)

    while True:
        job = jobs.get()
        tell({"event": "alive"})
        try:
            train(job, tell)
            tell({"event": "done"})
        except Exception as error:  # the parent reports it; this worker goes on with the next job
            tell({"event": "failed", "reason": f"{type(error).__name__}: {error}".splitlines()[0]})
            with contextlib.suppress(OSError):  # the log may be on the full disk that stopped the training
                traceback.print_exc()


def die_with_parent() -> None:
    """Let Linux kill this process when its parent dies: native code that hangs with Python's lock held would never see the end of stdin."""
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


def _read(jobs: queue.Queue[dict[str, Any]]) -> None:
    for line in sys.stdin:
        jobs.put(json.loads(line))
    os._exit(3)


if __name__ == "__main__":
    main()
