"""`softbench train`: from a suite to finished cells. Chooses what is left to do, lets the pool do it, writes the results."""

from __future__ import annotations

import errno
import math
import re
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from harness.errors import InputError, ResultsError, suggestion
from harness.files import ROOT, digest, locked, make_folder, replacing
from harness.plan import code as provenance
from harness.plan.cells import cell_specs
from harness.plan.identity import claim, difference, left_alone
from harness.plan.registration import freeze
from harness.plan.tasks import offered
from harness.pool.local import Pool
from harness.run.spec import Spec, learner_class, make_learner
from harness.schema.results import FORMAT, Cell, folder_name, read_cell, write_cell
from harness.schema.suite import Suite
from harness.store import members as checkpoints
from harness.store.members import Member, Progress

Event = dict[str, Any]
Engine = Callable[[int, Path], AbstractContextManager[Any]]
"""From a number of workers and a log file to what has `Pool`'s `run(jobs)`."""
MEBIBYTE = 2**20


@dataclass
class Plan:
    """One cell to train: its cohorts by arm, the seeds wanted, and the results that are there already."""

    suite: Suite
    pair: str
    task: str
    specs: dict[str, Spec]
    seeds: list[int]
    arms: list[str]
    folder: Path
    runs: Path
    device: str
    code: dict[str, Any]
    existing: Cell | None = None
    failures: list[str] = field(default_factory=list)
    claims: dict[str, Any] = field(default_factory=dict)
    """The claims about this cell, as registered when its first member started."""

    @property
    def name(self) -> str:
        return f"{self.pair}/{self.task}"

    @property
    def hardware(self) -> str:
        """The device as results name it: a GPU by its model."""
        return self.device if self.device == "cpu" else f"cuda ({torch.cuda.get_device_name(0)})"

    def cohort_folder(self, arm: str) -> Path:
        return self.runs / arm / digest(self.identity(arm))[:16]

    def identity(self, arm: str) -> dict[str, Any]:
        """Everything but the seed that determines a member's numbers."""
        return {
            "format": FORMAT,
            "checkpoints": checkpoints.FORMAT,
            "spec": self.specs[arm].to_json(),
            "code": self.code["hash"],
            "versions": provenance.versions(self.specs[arm].backend),
            "cpu": provenance.capability(),
            "device": self.hardware,
        }

    def register(self) -> None:
        """Freeze the suite's claims, unless that was done when an earlier run of this version began."""
        if self.existing:
            self.claims = self.existing.manifest.get("claims", {})
        else:
            version = digest([self.identity(arm) for arm in self.specs])[:16]
            self.claims = freeze(self.runs / f"claims-{version}.json", self.suite.name, self.pair)

    def wanted(self, arm: str) -> list[int]:
        """Seeds of the arm that are not in the results yet."""
        have = self.existing.manifest["members"].get(arm, {}) if self.existing else {}
        return [seed for seed in self.seeds if str(seed) not in have]


class Clock:
    """Times of one cell in this run: for the sidecar, never for a result."""

    def __init__(self, workers: int) -> None:
        self.workers, self.steps, self.began, self.ended = workers, 0, math.inf, 0.0
        self.seconds: dict[str, float] = {}
        self.attempts: dict[str, int] = {}

    def attempt(self, event: Event) -> None:
        """Note how many workers a job of an arm has taken so far."""
        arm = event["job"]["spec"]["arm"]
        self.attempts[arm] = max(self.attempts.get(arm, 0), event["attempts"])

    def add(self, event: Event) -> None:
        """Count a finished segment."""
        self.ended = time.perf_counter()
        self.began = min(self.began, self.ended - event["seconds"])
        self.steps += event["steps"]
        self.seconds[event["arm"]] = self.seconds.get(event["arm"], 0.0) + event["seconds"]

    def timing(self) -> dict[str, Any]:
        """What is known of the machine and the time; without times where everything came from checkpoints."""
        known = {**provenance.machine(), "workers": self.workers, "attempts": self.attempts}
        if not self.steps:
            return known
        wall = self.ended - self.began
        arms = {arm: {"seconds": round(spent, 3)} for arm, spent in self.seconds.items()}
        return {**known, "wall_seconds": round(wall, 3), "steps_per_second": round(self.steps / wall), "arms": arms}


def make_plans(
    suite: Suite,
    out: Path,
    device: str,
    pair: str | None = None,
    task: str | None = None,
    arms: Iterable[str] | None = None,
    seeds: list[int] | None = None,
    steps: int | None = None,
) -> list[Plan]:
    """The cells of a suite that match, validated against what is in `out`. Raises InputError naming flag or field."""
    if suite.imported is not None:
        again = f"to read its logs again: softbench import {suite.imported}"
        raise InputError(f"suite {suite.name!r} is imported, so nothing can be trained; {again}")
    if pair is not None and pair not in suite.cells:
        raise InputError(f"--pair: {pair!r} is not in suite {suite.name!r}{suggestion(pair, suite.cells)}")
    if task is not None and task not in suite.tasks:
        raise InputError(f"--task: {task!r} is not in suite {suite.name!r}{suggestion(task, suite.tasks)}")
    cells = [(p, t) for p, tasks in suite.cells.items() for t in tasks if pair in (None, p) and task in (None, t)]
    if not cells:
        raise InputError(f"--task: suite {suite.name!r} has no cell {pair} x {task}; `softbench list` shows the cells")
    arms = None if arms is None else list(arms)
    known = {arm: cell_pair for cell_pair, _ in cells for arm in learner_class(cell_pair).arms}
    for arm in arms or []:
        if arm not in known:
            raise InputError(
                f"--arms: {arm!r} is no arm of {', '.join(dict.fromkeys(known.values()))}{suggestion(arm, known)}"
            )
        if arms and arms.count(arm) > 1:
            raise InputError(f"--arms: {arm!r} appears twice; every arm must be given once")
    plans = []
    for cell_pair, cell_task in cells:
        specs = cell_specs(suite, cell_pair, cell_task, steps)
        chosen = [arm for arm in specs if arms is None or arm in arms]
        plan = Plan(
            suite=suite,
            pair=cell_pair,
            task=cell_task,
            specs=specs,
            seeds=suite.seeds if seeds is None else seeds,
            arms=chosen,
            folder=out / suite.name / cell_pair / folder_name(cell_task),
            runs=out / ".runs" / suite.name / cell_pair / folder_name(cell_task),
            device=device,
            code=provenance.code(cell_pair, next(iter(specs.values())).backend, cell_task),
        )
        _read_existing(plan)
        if chosen:
            plans.append(plan)
    return plans


def choose_device(device: str) -> str:
    """`cpu` or `cuda`. Raises InputError where cuda is asked for and absent."""
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"--device: {device!r} is unknown; allowed: auto, cpu, cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device: cuda is not available here; use cpu or auto")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def run(plans: list[Plan], workers: int, tell: Callable[[Event], None], engine: Engine | None = None) -> bool:
    """Train what is missing and write each cell as it is done; False where a cohort failed. `tell` receives every event.

    `engine` runs the jobs: a `Pool` of this machine where none is given.
    """
    jobs: list[dict[str, Any]] = []
    with ExitStack() as stack:
        for plan in plans:
            stack.enter_context(locked(plan.runs))
            _read_existing(plan)  # again: another process may have finished it before the lock was free
            _check_space(plan)
            plan.register()
            for arm in plan.arms:
                jobs += _jobs(plan, arm, tell)
        jobs = _shards([job for job in jobs if _steps_left(job)], workers)
        remaining = {plan.name: sum(job["cell"] == plan.name for job in jobs) for plan in plans}
        clocks = {plan.name: Clock(workers) for plan in plans}
        steps, members = sum(_steps_left(job) for job in jobs), sum(len(job["seeds"]) for job in jobs)
        tell({"event": "start", "steps": steps, "cells": len(plans), "members": members})
        by_name = {plan.name: plan for plan in plans}
        for plan in plans:
            if remaining[plan.name] == 0:
                tell(
                    {
                        "event": "kept" if _write(plan, clocks[plan.name]) else "cell",
                        "cell": plan.name,
                        "folder": str(plan.folder),
                    }
                )
        if jobs:
            log = plans[0].runs.parent.parent / "workers.log"
            pool = stack.enter_context((engine or Pool)(min(workers, len(jobs)), log))
            for event in pool.run(jobs):
                plan = by_name[event["job"]["cell"]]
                tell(event)
                clocks[plan.name].attempt(event)
                if event["event"] == "segment":
                    clocks[plan.name].add(event)
                if event["event"] == "failed":
                    arm = event["job"]["spec"]["arm"]
                    plan.failures.append(f"{plan.name} {arm} seeds {event['job']['seeds']}: {event['reason']}")
                if event["event"] in ("done", "failed"):
                    remaining[plan.name] -= 1
                    if remaining[plan.name] == 0:
                        _write(plan, clocks[plan.name])
                        again = {arm: count for arm, count in clocks[plan.name].attempts.items() if count > 1}
                        kind = "partial" if plan.failures else "cell"
                        tell({"event": kind, "cell": plan.name, "folder": str(plan.folder), "attempts": again})
    return not any(plan.failures for plan in plans)


def _jobs(plan: Plan, arm: str, tell: Callable[[Event], None]) -> list[dict[str, Any]]:
    seeds = plan.wanted(arm)
    if not seeds:
        return []
    folder = plan.cohort_folder(arm)
    files = plan.code["files"] | plan.code.get("module", {})
    identity = {"code.files": files, **plan.identity(arm)}  # a file says more than the hash of all
    if note := left_alone(folder, identity):
        tell({"event": "note", "cell": plan.name, "arm": arm, "text": note})
    claim(folder, identity)
    spec = plan.specs[arm].to_json()
    job = {
        "cell": plan.name,
        "spec": spec,
        "seeds": seeds,
        "folder": str(folder),
        "device": plan.device,
        "identity": identity,
    }
    return [job]


def _shards(jobs: list[dict[str, Any]], workers: int) -> list[dict[str, Any]]:
    """Split each cohort by members into as few shards as keep every worker busy to the end."""
    parts = workers // math.gcd(workers, len(jobs)) if 0 < len(jobs) < 2 * workers else 1
    shards: list[dict[str, Any]] = []
    for job in jobs:
        count = min(parts, len(job["seeds"]))
        for part in range(count):
            device = job["device"]
            if device == "cuda":
                device = f"cuda:{len(shards) % torch.cuda.device_count()}"
            shards.append(job | {"seeds": job["seeds"][part::count], "device": device})
    return shards


def _steps_left(job: dict[str, Any]) -> int:
    spec = Spec(**job["spec"])
    done = [len(Member(Path(job["folder"]), seed).load(with_state=False)[1].chain) for seed in job["seeds"]]
    return sum(spec.steps * (spec.segments - count) // spec.segments for count in done)


def _read_existing(plan: Plan) -> None:
    """Take over finished results of the same version; refuse others, naming the first field that differs."""
    if not plan.folder.exists() or not any(plan.folder.iterdir()):
        return
    if not (plan.folder / "manifest.json").exists():
        return  # an interrupted write: the files are made anew from the checkpoints
    try:
        plan.existing = read_cell(plan.folder)
    except ResultsError as error:
        raise InputError(f"{error}; move the folder away or choose another --out") from error
    old, new = plan.existing.manifest, _manifest(plan, {})
    for name in ("arms", "environment", "steps", "segments", "evaluation", "device", "code", "versions", "cpu"):
        path = difference(old.get(name), new[name], name)
        if path is not None:
            raise InputError(
                f"{plan.folder}: holds results of another version: {path}; move the folder away or choose another --out"
            )


def _write(plan: Plan, clock: Clock) -> bool:
    """Write a cell from its members' checkpoints, with the members that were there; True where nothing was new."""
    tables, members = (
        [],
        {arm: dict(found) for arm, found in plan.existing.manifest["members"].items()} if plan.existing else {},
    )
    if plan.existing:
        known = [
            str(row.seed) in members.get(row.arm, {}) for row in plan.existing.curves[["arm", "seed"]].itertuples()
        ]
        tables.append(
            plan.existing.curves[known]
        )  # a write that was interrupted before the manifest left rows of others
    new = 0
    for arm in plan.arms:
        for seed in plan.wanted(arm):
            member = Member(plan.cohort_folder(arm), seed)
            _, progress = member.load(with_state=False)
            if len(progress.chain) < plan.specs[arm].segments:
                continue
            new += 1
            table = pd.DataFrame(progress.records)
            table.insert(0, "arm", arm)
            table.insert(1, "seed", seed)
            tables.append(table)
            diverged_at = _diverged_at(member, progress) if table["diverged"].any() else None
            members.setdefault(arm, {})[str(seed)] = {"chain": progress.chain, "diverged_at": diverged_at}
    if not new:
        return True
    curves = pd.concat(tables, ignore_index=True)
    manifest = {**_manifest(plan, members), "claims": plan.claims}
    write_cell(plan.folder, curves, manifest, learner_class(plan.pair).metrics, clock.timing())
    return False


def _diverged_at(member: Member, progress: Progress) -> int:
    """The step at which a finished member diverged: its state has it. Raises OSError where its last state is damaged."""
    state, found = member.load()
    if found.chain != progress.chain:
        raise OSError(
            f"{member.folder}: the last state is damaged, which tells when this member diverged; remove the folder to train it again"
        )
    return int(state["diverged_at"])


def _manifest(plan: Plan, members: dict[str, Any]) -> dict[str, Any]:
    kind = learner_class(plan.pair)
    first = next(iter(plan.specs.values()))
    arms = {
        name: {
            "title": arm.title,
            "soft": arm.soft,
            "hard": arm.hard,
            "switches": dict(arm.switches),
            "settings": plan.specs[name].settings,
        }
        for name, arm in kind.arms.items()
    }
    learner = make_learner(first, offered(plan.task, first.backend))
    return {
        "format": FORMAT,
        "suite": plan.suite.name,
        "pair": plan.pair,
        "task": plan.task,
        "source": kind.source,
        "hard": next(name for name, arm in kind.arms.items() if not arm.soft),
        "arms": arms,
        "difference": differing_lines(plan.pair),
        "environment": {
            "id": plan.task,
            "backend": first.backend,
            "time_limit": first.time_limit,
            "environments": learner.environments,
        },
        "steps": first.steps,
        "segments": first.segments,
        "evaluation": {"episodes": first.episodes, "primary": plan.suite.evaluation.primary},
        "device": plan.hardware,
        "code": plan.code,
        "versions": provenance.versions(first.backend),
        "cpu": provenance.capability(),
        "members": members,
    }


def differing_lines(pair: str) -> dict[str, Any]:
    """The lines of a pair's file that read a switch of its arms: all in which hard and soft differ."""
    switches = sorted({name for arm in learner_class(pair).arms.values() for name in arm.switches})
    pattern = re.compile(rf"\bself\.({'|'.join(switches)})\b")
    file = f"algorithms/pairs/{pair}.py"
    lines = [
        {"line": number, "text": text}
        for number, text in enumerate((ROOT / file).read_text().splitlines(), 1)
        if pattern.search(text) and not re.match(r"\s*self\.\w+(, self\.\w+)* = ", text)
    ]
    return {"file": file, "lines": lines}


def _check_space(plan: Plan) -> None:
    """Refuse to start where the folders cannot be written or little space is left, before hours are spent."""
    for folder in (plan.folder, plan.runs):
        try:
            make_folder(folder)
            with replacing(folder / "writable") as path:
                path.write_bytes(b"softbench")
            (folder / "writable").unlink()
        except OSError as error:
            what = "no space is left on the device" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
            raise InputError(f"--out: {folder}: cannot be written: {what}") from error
    free = shutil.disk_usage(plan.runs).free
    if free < 64 * MEBIBYTE:
        raise InputError(f"--out: {plan.runs}: only {free // MEBIBYTE} MiB of space left; at least 64 MiB are needed")
