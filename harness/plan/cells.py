"""From a suite to its cells: every arm's settings spelled out and validated, before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from algorithms.learner import Learner, Settings, Spaces
from harness.errors import InputError, suggestion
from harness.files import digest
from harness.plan import tasks
from harness.plan.code import code
from harness.plan.identity import capability, versions
from harness.plan.pairs import find_pair, told, try_pair
from harness.run.environments import default_backend
from harness.run.spec import Spec, make_learner
from harness.schema.documents import first_problem
from harness.schema.fields import refuse_unknown
from harness.schema.grid import point_name
from harness.schema.manifest import FORMAT
from harness.schema.results import Cell, folder_name
from harness.schema.suite import Choice, Suite
from harness.store import members


@dataclass
class Plan:
    """One cell to train: its cohorts by arm (of a grid by `ARM@name=value`), those and the seeds wanted, and the results that are there."""

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
    claims: dict[str, Any] = field(default_factory=dict)
    """The claims about this cell, as registered when its first member started."""

    @property
    def name(self) -> str:
        return f"{self.pair}/{self.task}"

    @property
    def grid(self) -> list[str]:
        """The settings in which its points differ."""
        return list(self.suite.cells[self.pair][self.task].grid)

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
            "checkpoints": members.FORMAT,
            "spec": self.specs[arm].to_json(),
            "code": self.code["hash"],
            "versions": versions(self.specs[arm].backend),
            "cpu": capability(),
            "device": self.hardware,
        }

    def wanted(self, arm: str) -> list[int]:
        """Seeds of the arm that are not in the results yet."""
        have = self.existing.manifest.members.get(arm, {}) if self.existing else {}
        return [seed for seed in self.seeds if str(seed) not in have]


def make_plans(
    suite: Suite,
    out: Path,
    device: str,
    pair: str | None = None,
    task: str | None = None,
    arms: Iterable[str] | None = None,
    seeds: list[int] | None = None,
) -> list[Plan]:
    """The cells of a suite that match. Raises InputError naming flag or field."""
    if suite.imported is not None:
        again = f"to read its logs again: softbench import {suite.imported}"
        raise InputError(f"suite {suite.name!r} is imported, so nothing can be trained; {again}")
    if pair is not None and pair not in suite.cells:
        raise InputError(f"--pair: {pair!r} is not in suite {suite.name!r}{suggestion(pair, suite.cells)}")
    if task is not None and task not in suite.tasks:
        raise InputError(f"--task: {task!r} is not in suite {suite.name!r}{suggestion(task, suite.tasks)}")
    cells = [(p, t) for p, its in suite.cells.items() for t in its if pair in (None, p) and task in (None, t)]
    if not cells:
        raise InputError(f"--task: suite {suite.name!r} has no cell {pair} x {task}; `softbench list` shows the cells")
    specs = {cell: cell_specs(suite, *cell) for cell in cells}
    arms = None if arms is None else list(arms)
    known = {name: cell_pair for (cell_pair, _), its in specs.items() for arm in its for name in (arm, its[arm].arm)}
    for arm in arms or []:
        if arm not in known:
            raise InputError(
                f"--arms: {arm!r} is no arm of {', '.join(dict.fromkeys(known.values()))}{suggestion(arm, known)}"
            )
        if arms and arms.count(arm) > 1:
            raise InputError(f"--arms: {arm!r} appears twice; every arm must be given once")
    for own in dict.fromkeys(cell_pair for cell_pair, _ in cells if ":" in cell_pair):
        its_specs = [spec for (cell_pair, _), its in specs.items() if cell_pair == own for spec in its.values()]
        try_pair(own, list({(spec.task, spec.arm): spec for spec in its_specs}.values()))
    plans = []
    for (cell_pair, cell_task), its in specs.items():
        place = Path(suite.name, folder_name(cell_pair), folder_name(cell_task))
        plan = Plan(
            suite=suite,
            pair=cell_pair,
            task=cell_task,
            specs=its,
            seeds=suite.registered(cell_pair, cell_task).seeds if seeds is None else seeds,
            arms=[arm for arm, spec in its.items() if arms is None or arm in arms or spec.arm in arms],
            folder=out / place,
            runs=out / ".runs" / place,
            device=device,
            code=code(cell_pair, next(iter(its.values())).backend, cell_task),
        )
        if plan.arms:
            plans.append(plan)
    return plans


def cell_specs(suite: Suite, pair: str, task: str) -> dict[str, Spec]:
    """The cohorts of one cell by arm, of a grid by `ARM@name=value`, all settings spelled out. Raises InputError naming file and field."""
    where = f"suites/{suite.folder}/suite.yaml: cells.{pair}.{task}"
    registered, definition = suite.registered(pair, task), suite.tasks[task]
    backend = default_backend(task) if definition.backend == "auto" else definition.backend
    try:
        kind = find_pair(pair)
        offered = tasks.offered(task, backend)
        check_actions(pair, kind, task, offered)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    grid = suite.cells[pair][task].grid
    for name in grid:
        if name not in kind.settings_type.rows():
            known = ", ".join(kind.settings_type.rows()) or "none"
            raise InputError(
                f"{where}.grid: {name!r} may not differ by member, so it has no grid. Of {pair} may: {known}"
            )
    specs = {
        point_name(arm, point): Spec(
            pair=pair,
            arm=arm,
            task=task,
            backend=backend,
            settings=_settings(kind, registered.settings, point, where).model_dump(mode="json"),
            steps=registered.steps,
            segments=suite.segments,
            episodes=registered.evaluation.episodes,
            modes=list(registered.evaluation.modes),
            time_limit=definition.time_limit,
            clip_rewards=definition.clip_rewards,
        )
        for arm in _arms(registered.arms, pair, kind, task, offered, where)
        for point in registered.points
    }
    for spec in specs.values():
        _check(spec, offered, where)
    return specs


def check_actions(pair: str, kind: type[Learner], task: str, offered: Spaces) -> None:
    """Raises InputError where a pair cannot take a task's actions."""
    if kind.actions not in ("both", offered.kind):
        raise InputError(
            f"pair {pair!r} needs {ACTIONS[kind.actions]} actions, {task} has {ACTIONS[offered.kind]} ones"
        )


ACTIONS = {"choices": "discrete", "numbers": "continuous"}


def _arms(
    chosen: list[str] | None, pair: str, kind: type[Learner], task: str, offered: Spaces, where: str
) -> list[str]:
    """The arms of a cell: the chosen ones, or all that hold for the task's actions."""
    fit = [arm for arm, its in kind.arms.items() if its.actions in (None, offered.kind)]
    arms = fit if chosen is None else chosen
    for arm in arms:
        if arm not in kind.arms:
            raise InputError(f"{where}.arms: {arm!r} is no arm of {pair}{suggestion(arm, kind.arms)}")
        if arm not in fit:
            needed, has = ACTIONS[str(kind.arms[arm].actions)], ACTIONS[offered.kind]
            raise InputError(f"{where}.arms: {arm!r} holds for {needed} actions alone, {task} has {has} ones")
        against = kind.arms[arm].against
        if against is not None and against not in arms:
            raise InputError(f"{where}.arms: {arm!r} is compared with {against!r}, which must be among them")
    return arms


def _settings(kind: type[Learner], chosen: dict[str, Any], point: dict[str, float], where: str) -> Settings:
    """All settings at a point of the grid. Raises InputError naming file and field."""
    try:
        refuse_unknown(chosen, [*kind.settings_type.model_fields, *Choice.model_fields])
        return kind.settings_type(**chosen | point)
    except ValidationError as error:
        grid = ".grid" if error.errors()[0]["loc"][:1] and error.errors()[0]["loc"][0] in point else ""
        raise InputError(f"{where}{grid}.{first_problem(error)}") from error
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error


def _check(spec: Spec, offered: Spaces, where: str) -> None:
    """Raises InputError where the learner refuses its settings, or the budget has not an update a segment, or none at all."""
    try:
        learner = make_learner(spec, offered)
    except ValueError as error:
        raise InputError(f"{where}.{error}") from error
    except Exception as error:  # a user's own code
        if ":" not in spec.pair:
            raise
        raise InputError(f"{where}: pair {spec.pair!r}: arm {spec.arm!r}: {told(error)}") from error
    quantum = learner.settings.horizon * learner.settings.environments
    if spec.steps // quantum < spec.segments:
        least = quantum * spec.segments
        raise InputError(
            f"{where}: {spec.steps} steps are too few: {spec.segments} segments of at least one update need {least}"
        )
    taken = spec.steps // quantum * quantum
    if learner.replay is not None and learner.replay.starts > taken:
        raise InputError(
            f"{where}.learning_starts: must be at most the {taken:,} steps that a member takes (got {learner.replay.starts:,})"
        )


def choose_device(device: str) -> str:
    """`cpu` or `cuda`. Raises InputError where cuda is asked for and absent."""
    if device not in ("auto", "cpu", "cuda"):
        raise InputError(f"--device: {device!r} is unknown; allowed: auto, cpu, cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--device: cuda is not available here; use cpu or auto")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"
