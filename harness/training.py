"""`softbench train`: from plans to finished cells. What is left is given to a pool; each cell is written as its last cohort ends."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pandas as pd

from harness.errors import InputError
from harness.files import digest, locked
from harness.plan.cells import Plan
from harness.plan.identity import capability, machine
from harness.plan.manifest import describe, read_existing
from harness.plan.registration import freeze
from harness.plan.work import check_space, jobs_of, shards, steps_left
from harness.pool.local import Pool
from harness.pool.messages import Event, Failed, Note, Segment, Started, Told, Written
from harness.run.outcomes import meanings
from harness.run.spec import learner_class
from harness.schema.results import write_cell
from harness.store.members import Member, Progress

Engine = Callable[[int, Path], AbstractContextManager[Any]]
"""From a number of workers and a log file to what has `Pool`'s `run(jobs)`."""


class Tally:
    """What happened to one cell in this run: its times, for the sidecar and never for a result, and whether a cohort failed."""

    def __init__(self, workers: int, open_jobs: int) -> None:
        self.workers, self.open_jobs, self.failed = workers, open_jobs, False
        self.steps, self.began, self.ended = 0, math.inf, 0.0
        self.seconds: dict[str, float] = {}
        self.attempts: dict[str, int] = {}

    def add(self, told: Told) -> None:
        message = told.message
        for arm in told.job.seeds:
            self.attempts[arm] = max(self.attempts.get(arm, 0), told.attempts)
        self.open_jobs -= told.ends
        self.failed |= isinstance(message, Failed)
        if isinstance(message, Segment):
            self.ended = time.perf_counter()
            self.began = min(self.began, self.ended - message.seconds)
            self.steps += message.steps
            for arm in message.arms:
                self.seconds[arm] = self.seconds.get(arm, 0.0) + message.seconds / len(message.arms)

    def timing(self) -> dict[str, Any]:
        """What is known of the machine and the time; without times where everything came from checkpoints."""
        known = {**machine(), "workers": self.workers, "attempts": self.attempts}
        if not self.steps:
            return known
        wall = self.ended - self.began
        arms = {arm: {"seconds": round(spent, 3)} for arm, spent in self.seconds.items()}
        return {**known, "wall_seconds": round(wall, 3), "steps_per_second": round(self.steps / wall), "arms": arms}


def run(plans: list[Plan], workers: int, tell: Callable[[Event], None], engine: Engine | None = None) -> bool:
    """Train what is missing and write each cell as it is done; False where a cohort failed or one of several cells was refused.

    `tell` receives every event. `engine` runs the jobs: a `Pool` of this machine where none is given.
    Raises InputError where the only cell is refused: results or checkpoints of another version, no space, another process.
    """
    with ExitStack() as stack:
        jobs, refused = [], []
        for plan in list(plans):
            try:
                stack.enter_context(locked(plan.runs))
                read_existing(plan)  # only now: another process may have finished it before the lock was free
                check_space(plan)
                register(plan)
                its, notes = jobs_of(plan)
            except InputError as error:
                if len(plans) == 1:
                    raise
                refused.append(plan)
                tell(Note(f"REFUSED {plan.name}: {error}"))
                continue
            jobs += its
            for note in notes:
                tell(Note(f"note   {note}"))
        plans = [plan for plan in plans if plan not in refused]
        jobs = shards(jobs, workers)
        tallies = {plan.name: Tally(workers, sum(job.cell == plan.name for job in jobs)) for plan in plans}
        steps, members = sum(map(steps_left, jobs)), sum(len(job.rows) for job in jobs)
        tell(Started(steps, len(plans), members, min(workers, len(jobs))))
        for plan in plans:
            if not tallies[plan.name].open_jobs:
                new = write(plan, tallies[plan.name].timing())
                tell(Written(plan.name, plan.folder, "complete" if new else "kept"))
        if jobs:
            by_name = {plan.name: plan for plan in plans}
            pool = stack.enter_context(
                (engine or Pool)(min(workers, len(jobs)), plans[0].runs.parent.parent / "workers.log")
            )
            for told in pool.run(jobs):
                tell(told)
                plan, tally = by_name[told.job.cell], tallies[told.job.cell]
                tally.add(told)
                if told.ends and not tally.open_jobs:
                    write(plan, tally.timing())
                    again = {arm: count for arm, count in tally.attempts.items() if count > 1}
                    tell(Written(plan.name, plan.folder, "partial" if tally.failed else "complete", again))
    return not refused and not any(tally.failed for tally in tallies.values())


def register(plan: Plan) -> None:
    """Freeze the suite's claims, unless that was done when an earlier run of this version began."""
    if plan.existing:
        plan.claims = plan.existing.manifest.claims
    else:
        version = digest([plan.identity(arm) for arm in plan.specs])[:16]
        plan.claims = freeze(plan.runs / f"claims-{version}.json", plan.suite, plan.pair)


def write(plan: Plan, timing: dict[str, Any]) -> bool:
    """Write a cell from its members' checkpoints, with the members that were there; False where nothing was new."""
    tables, members, processor = [], {}, {}
    if plan.existing:
        before = plan.existing.timing.runs() if plan.existing.timing else []
        timing = {**timing, "earlier": [run.model_dump(exclude={"earlier"}, exclude_unset=True) for run in before]}
        if plan.existing.manifest.cpu != capability():
            processor = {"cpu": capability()}
        members = {arm: dict(its) for arm, its in plan.existing.manifest.content()["members"].items()}
        rows = plan.existing.curves[["arm", "seed"]].itertuples()
        # A write that was interrupted before the manifest left rows of others.
        tables.append(plan.existing.curves[[str(row.seed) in members.get(row.arm, {}) for row in rows]])
    new = False
    for arm in plan.arms:
        for seed in plan.wanted(arm):
            member = Member(plan.cohort_folder(arm), seed)
            _, progress = member.load(with_state=False)
            if len(progress.chain) < plan.specs[arm].segments:
                continue
            new = True
            table = pd.DataFrame(progress.records).assign(arm=arm, seed=seed)
            tables.append(table)
            diverged_at = _diverged_at(member, progress) if table["diverged"].any() else None
            members.setdefault(arm, {})[str(seed)] = {"chain": progress.chain, "diverged_at": diverged_at} | processor
    if new:
        units = {name: metric.meaning for name, metric in learner_class(plan.pair).metrics.items()}
        units |= meanings(plan.task, next(iter(plan.specs.values())).backend)
        write_cell(plan.folder, pd.concat(tables, ignore_index=True), describe(plan, members), units, timing)
    return new


def _diverged_at(member: Member, progress: Progress) -> int:
    """The step at which a finished member diverged: its state has it. Raises OSError where its last state is damaged."""
    state, found = member.load()
    if found.chain != progress.chain:
        lost = "the last state is damaged, which tells when this member diverged; remove the folder to train it again"
        raise OSError(f"{member.folder}: {lost}")
    return int(state["diverged_at"])
