"""What a suite takes before it is trained: members and steps, hours at recorded rates, memory and disk by the sizes of states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch

from algorithms.learner import Learner, Spaces, State
from algorithms.replay import Ring
from harness.errors import InputError
from harness.plan import tasks
from harness.plan.cells import Plan
from harness.plan.rates import Rate, recorded
from harness.plan.work import shards
from harness.pool.messages import Job, Row
from harness.run.cohort import fix_arithmetic
from harness.run.spec import Spec, make_learner
from harness.run.streams import Streams
from harness.store.members import GENERATIONS

WORKER = 250 * 2**20
"""Bytes of a worker before it has any members, about: Python with torch and what it imports."""
RECORDED = 2**10
"""Bytes of a segment's record and link in a checkpoint and in the results, about."""


@dataclass(frozen=True)
class Cost:
    """Of one cell: `steps` of all members together; `memory` of its largest worker and `disk` of all checkpoints in bytes."""

    pair: str
    task: str
    arms: int
    seeds: int
    steps: int
    rate: Rate | None
    memory: int
    disk: int

    @property
    def members(self) -> int:
        return self.arms * self.seeds

    @property
    def hours(self) -> float | None:
        """Of one worker; None where no rate is recorded."""
        return None if self.rate is None else self.rate.hours(self.steps)


def costs(plans: Sequence[Plan], workers: int, results: Path) -> list[Cost]:
    """What each cell takes, trained by so many workers together with the others."""
    jobs = [job for plan in plans for job in _jobs(plan)]
    largest: dict[str, int] = {}
    # of one arm: those of a pair differ by a few numbers
    sizes = {plan.name: sizes_of(plan.specs[plan.arms[0]]) for plan in plans}
    for shard in shards(jobs, workers):
        memory = WORKER + len(shard.rows) * sizes[shard.cell].memory
        largest[shard.cell] = max(largest.get(shard.cell, 0), memory)
    return [_cost(plan, sizes[plan.name], largest[plan.name], results) for plan in plans]


def _jobs(plan: Plan) -> list[Job]:
    """Its cohorts as `softbench train` gives them to workers, with all their seeds."""
    jobs: dict[str, Job] = {}
    for arm in plan.arms:
        spec = plan.specs[arm]
        job = jobs.setdefault(spec.arm, Job(plan.name, spec, [], "cpu"))
        job.rows.extend(Row(arm, seed, Path()) for seed in plan.seeds)
    return list(jobs.values())


def _cost(plan: Plan, sizes: Sizes, memory: int, results: Path) -> Cost:
    return Cost(
        pair=plan.pair,
        task=plan.task,
        arms=len(plan.arms),
        seeds=len(plan.seeds),
        steps=sum(plan.specs[arm].steps for arm in plan.arms) * len(plan.seeds),
        rate=recorded(results, plan.suite.name, plan.pair, plan.task),
        memory=memory,
        disk=len(plan.arms) * len(plan.seeds) * sizes.disk,
    )


@dataclass(frozen=True)
class Sizes:
    """Bytes that one more member takes in a worker's memory, and on disk as checkpoints."""

    memory: int
    disk: int


def sizes_of(spec: Spec) -> Sizes:
    """By the shapes of its state: in memory with a copy and a rollout; on disk in two generations, and what changes of a replay."""
    fix_arithmetic()
    offered = tasks.offered(spec.task, spec.backend)
    learner = make_learner(spec, offered)
    try:
        state = _bytes(learner.initial(Streams([0], 0, torch.device("cpu"))))
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "alloc" not in str(error):
            raise
        raise InputError(
            f"settings of {spec.pair} on {spec.task}: one member of arm {spec.arm!r} does not fit into memory"
        ) from error
    replay, changed = _replay(spec, learner, offered)
    settings = learner.settings
    seen = prod(offered.observation) * (1 if offered.dtype == "uint8" else 4)
    rollout = 2 * (settings.horizon + 1) * settings.environments * (seen + 4 * offered.actions + 10)
    return Sizes(
        memory=2 * state + replay + rollout,
        disk=GENERATIONS * (state + spec.segments * RECORDED) + replay + changed,
    )


def _replay(spec: Spec, learner: Learner, offered: Spaces) -> tuple[int, int]:
    """Bytes of a member's replay, and of those that a segment writes anew."""
    if learner.replay is None:
        return 0, 0
    ring = Ring(learner.replay, offered, learner.settings.environments)
    size = _bytes(ring.empty(1, torch.device("meta")))
    return size, round(size * min(1.0, spec.steps / spec.segments / learner.replay.size))


def _bytes(state: State) -> int:
    return sum(each.numel() * each.element_size() for each in state.values())
