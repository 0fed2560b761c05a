"""The trained policy of a member: from its checkpoint, or, where none is left, by training it again, alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from algorithms.learner import State
from harness.audit.certificate import differences_here
from harness.audit.compare import Finding, compare
from harness.audit.draw import kept_checkpoints
from harness.errors import Incomplete, InputError, suggestion
from harness.files import locked
from harness.plan import tasks
from harness.plan.cells import Plan, make_plans
from harness.plan.manifest import spec_of
from harness.plan.work import jobs_of, steps_left
from harness.policy.policy import Policy
from harness.pool.local import Pool
from harness.pool.messages import Event, Failed, Job, Note, Started
from harness.run.cohort import fix_arithmetic
from harness.run.spec import Spec, make_learner
from harness.run.streams import Streams
from harness.schema.results import Cell, read_cell
from harness.schema.suite import load_suite
from harness.store.blocks import is_replay
from harness.store.members import Member, Progress, layout

MOST_SAID = 3
"""Differences of this machine or checkout that are told one by one."""


@dataclass(frozen=True)
class Trained:
    """A policy, where it comes from in a line each, and whether it is the published one (None: nothing is published of it)."""

    policy: Policy
    said: list[str]
    published: bool | None


def plan_of(cell: str, arm: str, seed: int, results: Path) -> Plan:
    """The plan of one member of `SUITE/PAIR/TASK`. Raises InputError naming what is unknown."""
    parts = cell.split("/", 2)
    if len(parts) < 3:
        raise InputError(f"CELL: {cell!r} is not SUITE/PAIR/TASK; write for example smoke/ppo/CartPole-v1")
    suite, (_, pair, task) = load_suite(parts[0]), parts
    if suite.imported is not None:
        raise InputError(f"CELL: suite {suite.name!r} is imported: there are logs of its runs, and no policy")
    if pair not in suite.cells:
        raise InputError(f"CELL: pair {pair!r} is not in suite {suite.name!r}{suggestion(pair, suite.cells)}")
    if task not in suite.cells[pair]:
        raise InputError(f"CELL: {task!r} is no task of {pair} in {suite.name}{suggestion(task, suite.cells[pair])}")
    (plan,) = make_plans(suite, results, "cpu", pair, task, seeds=[seed])
    if arm not in plan.specs:
        raise InputError(f"--arm: {arm!r} is no arm of {cell}{suggestion(arm, plan.specs)}")
    plan.arms = [arm]
    if (plan.folder / "manifest.json").exists():
        plan.existing = read_cell(plan.folder)
    known = {*suite.registered(pair, task).seeds, *map(int, _members(plan.existing, arm))}
    if seed not in known:
        raise InputError(f"--seed: {seed} is no seed of {cell}; there are {min(known)} to {max(known)}")
    return plan


def _members(cell: Cell | None, arm: str) -> list[str]:
    return list(cell.manifest.members.get(arm, {})) if cell else []


def trained(plan: Plan, tell: Callable[[Event], None]) -> Trained:
    """The policy of the one member of a plan, at the end of its training.

    Raises InputError where it diverged, Incomplete where training it again failed.
    """
    (arm,), (seed,) = plan.arms, plan.seeds
    cell = plan.existing if str(seed) in _members(plan.existing, arm) else None
    found = (_kept(plan, cell) if cell else None) or _again(plan, tell)
    if (step := int(found.state["diverged_at"])) >= 0:
        raise InputError(f"--seed: {seed} of {arm} diverged at step {step:,}: it has no policy")
    spec, chain = found.spec, found.chain
    offered = tasks.offered(spec.task, spec.backend)
    policy = Policy(spec, offered, arm, seed, plan.suite.name, acting_rows(found.state), chain[-1])
    if cell is None:
        return Trained(policy, [found.how, f"{plan.folder} has no record of this member to compare it with"], None)
    if chain == cell.manifest.members[arm][str(seed)].chain:
        equal = f"it is the published member, bit for bit ({len(chain)} links of its hash chain)"
        return Trained(policy, [found.how, equal], True)
    compared = Finding(arm, seed, 1, spec.segments, spec.steps)
    compare(cell, Member(plan.cohort_folder(arm), seed), compared)
    other = f"NOT the published member: it differs from segment {compared.differs_at} on: {compared.differs_in}"
    here = differences_here(cell)
    more = (
        [f"and {len(here) - MOST_SAID} more differences of this machine or checkout"] if len(here) > MOST_SAID else []
    )
    return Trained(policy, [found.how, other, *here[:MOST_SAID], *more], False)


@dataclass(frozen=True)
class Found:
    """The last state of a member, its chain, what it was trained by, and where it comes from."""

    spec: Spec
    state: State
    chain: list[str]
    how: str


def acting_rows(state: State) -> State:
    """A member's row as the state of a cohort of one, without what acting never reads."""
    return {name: each.unsqueeze(0) for name, each in state.items() if not is_replay(name) and name != "diverged_at"}


def _kept(plan: Plan, cell: Cell) -> Found | None:
    """The published member, where its last checkpoint is kept and this version can act by it."""
    (arm,), (seed,) = plan.arms, plan.seeds
    folder = kept_checkpoints(cell, arm)
    state, progress = Member(folder, seed).load() if folder else ({}, Progress())
    spec, chain = spec_of(cell.manifest, arm), progress.chain
    if chain != cell.manifest.members[arm][str(seed)].chain or not _acts(spec, state):
        return None
    return Found(spec, state, chain, _from_checkpoint(chain))


def _from_checkpoint(chain: list[str]) -> str:
    return f"from its checkpoint of segment {len(chain)}"


def _acts(spec: Spec, state: State) -> bool:
    """Whether the learner of this version has such a state."""
    fix_arithmetic()
    learner = make_learner(spec, tasks.offered(spec.task, spec.backend))
    return layout(learner.initial(Streams([0], 0, torch.device("cpu")))) == layout(acting_rows(state))


def _again(plan: Plan, tell: Callable[[Event], None]) -> Found:
    """Train the member to its end, from what checkpoints of this version there are, in the folder where `softbench train` keeps them."""
    (arm,), (seed,) = plan.arms, plan.seeds
    plan = replace(plan, existing=None)  # so that it is wanted, though there are results of it
    try:
        with locked(plan.runs):
            jobs, _ = jobs_of(plan)
            steps = sum(map(steps_left, jobs))
            if jobs:
                tell(Note(f"the last checkpoint of {arm}, seed {seed}, is not here: training it again, alone"))
                tell(Started(steps, 1, 1, 1))
                _train(jobs, plan, tell)
    except InputError as error:
        raise InputError(str(error).replace("--out:", "--results:")) from error
    state, progress = Member(plan.cohort_folder(arm), seed).load()
    how = f"trained again, alone: {steps:,} steps" if jobs else _from_checkpoint(progress.chain)
    return Found(plan.specs[arm], state, progress.chain, how)


def _train(jobs: list[Job], plan: Plan, tell: Callable[[Event], None]) -> None:
    with Pool(1, plan.runs.parent.parent / "workers.log") as pool:
        for told in pool.run(jobs):
            tell(told)
            if isinstance(told.message, Failed):
                raise Incomplete(f"{told.job} could not be trained again: {told.message.reason}")
