"""The schema of `suites/<name>/suite.yaml`: which cells a suite has, and how they are evaluated and scored."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from harness.errors import InputError, suggestion
from harness.schema.documents import first_problem, read_yaml
from harness.schema.fields import MOST_NUMBER, SLUG, Seeds, Slug, Steps, Strict, parse_steps
from harness.schema.grid import point_name, points

SUITES = Path("suites")
CLAIMS = "claims.yaml"
"""The file of a suite's ledger, beside its suite.yaml."""
UNTESTABLE = SUITES / "untestable.yaml"
"""The sources' claims that no suite judges yet."""
Mode = Literal["sampled", "greedy"]
MODES: tuple[Mode, ...] = ("sampled", "greedy")


Place = Annotated[float, Field(ge=-MOST_NUMBER, le=MOST_NUMBER)]
"""A return on a task's scale."""


class Evaluation(Strict):
    """Frozen policy, own environments and seeds, at every segment end; `primary` is the mode that verdicts use."""

    episodes: int = Field(ge=1, le=1000)
    """In each mode."""
    primary: Mode = "sampled"
    modes: list[Mode] = Field(default=list(MODES), min_length=1)
    """Where `primary` stands alone, evaluation takes half the time."""

    @model_validator(mode="after")
    def _judged(self) -> Evaluation:
        if self.primary not in self.modes:
            raise ValueError(f"modes: must hold {self.primary!r}, which is primary")
        if len(set(self.modes)) < len(self.modes):
            raise ValueError("modes: one is given twice")
        return self


class Task(Strict):
    """An environment with a step budget (environment steps of one member)."""

    steps: Steps
    backend: Literal["auto", "batched", "minatar", "multigoal", "gymnasium", "atari", "envpool"] = "auto"
    """Whose environments; `auto`: our batched ones where there are, ale-py's vector for Atari, else Gymnasium's."""
    time_limit: Literal["bootstrap", "terminal"] = "bootstrap"
    """What a time limit means for learning; `terminal` (CleanRL's PPO) exists only for comparison with published figures."""
    clip_rewards: bool = False
    """Learn from rewards clipped to [-1, 1], as published results on Atari do; returns are of the task's own rewards."""


class Reference(Strict):
    """The declared scale of a task: normalized score = (return - low) / (high - low)."""

    low: Place
    high: Place
    source: str
    floor: Place | None = None
    """Mean return of the uniform policy over 100 episodes, as `softbench floor` prints it."""
    optimum: Place | None = None
    """The best mean return that a policy can have, where that is known and less than `high`."""

    @model_validator(mode="after")
    def _rising(self) -> Reference:
        if self.low >= self.high:
            raise ValueError(f"low must be below high (got {self.low:g} and {self.high:g})")
        if self.floor is not None and self.floor >= self.high:
            raise ValueError(f"floor: must be below high (got {self.floor:g})")
        if self.optimum is not None and self.optimum <= self.low:
            raise ValueError(f"optimum: must be above low (got {self.optimum:g})")
        return self


class Published(Strict):
    """A published figure: a reference line in the report, never a seed."""

    task: str
    arm: str
    mean: float
    spread: float | None = Field(default=None, ge=0)
    seeds: int | None = Field(default=None, ge=1)
    actions: Literal["sampled", "greedy", "training"] | None = None
    """Which of our returns stands beside it: by an evaluation's actions, or of training episodes. None: by which the pair is judged."""
    source: str
    departs: str | None = None
    """In what ours is known to depart from it, where the two may not agree."""


class Remark(Strict):
    """What a reader of a cell's figures has to know."""

    pair: str
    task: str
    text: str


MOST_POINTS = 10_000
"""Of a grid: each has members of its own."""


class Choice(Strict):
    """What a cell chooses for itself; None: as its suite, task or pair says. All its arms share it, so that they can be compared."""

    settings: dict[str, Any] = {}
    """Those that differ from the pair's defaults."""
    arms: list[str] | None = Field(default=None, min_length=1)
    seeds: Seeds | None = None
    steps: Steps | None = None
    evaluation: Evaluation | None = None
    grid: dict[str, Annotated[list[Annotated[float, Field(strict=True)]], Field(min_length=1)]] = {}
    """Values of settings that may differ by member: each arm is trained at every point, as `ARM@name=value`."""

    @model_validator(mode="after")
    def _countable(self) -> Choice:
        if math.prod(map(len, self.grid.values())) > MOST_POINTS:
            raise ValueError(f"grid: at most {MOST_POINTS:,} points are allowed")
        return self

    @model_validator(mode="before")
    @classmethod
    def _short(cls, content: Any) -> Any:
        """Settings alone may be written without `settings:`."""
        if isinstance(content, dict) and not set(content) & set(cls.model_fields):
            return {"settings": content}
        return content


@dataclass(frozen=True)
class Registered:
    """What a suite registers of one cell, with nothing left open but the pair's own defaults."""

    settings: dict[str, Any]
    arms: list[str] | None
    """None: all arms of the pair."""
    seeds: list[int]
    steps: int
    evaluation: Evaluation
    points: list[dict[str, float]]
    """Of its grid; [{}] where it has none."""


class Suite(Strict):
    """A complete grid: pairs x tasks x seeds, and the evaluation protocol."""

    name: Slug
    title: str
    evidence: bool = Field(default=True, strict=True)
    """False for a smoke test: its results show that everything runs, and reports set them apart, last."""
    seeds: Seeds
    segments: int = Field(strict=True, ge=1, le=10_000)
    evaluation: Evaluation
    tasks: dict[str, Task]
    references: dict[str, Reference]
    cells: dict[str, Annotated[dict[str, Choice], Field(min_length=1)]] = Field(min_length=1)
    """pair -> task -> what the cell chooses."""
    published: list[Published] = []
    remarks: list[Remark] = []
    """Each stands below its pair's learning curves on its task."""
    imported: str | None = None
    """The import file, where the runs are not ours (`softbench import`); there is then one return series, of `evaluation.primary`."""

    @property
    def folder(self) -> str:
        """The folder of its file: `smoke` of `smoke@20000`, which is `smoke` at another budget."""
        return self.name.partition("@")[0]

    def registered(self, pair: str, task: str) -> Registered:
        """Everything about a cell."""
        cell = self.cells[pair][task]
        return Registered(
            settings=cell.settings,
            arms=cell.arms,
            seeds=cell.seeds or self.seeds,
            steps=cell.steps or self.tasks[task].steps,
            evaluation=cell.evaluation or self.evaluation,
            points=points(cell.grid),
        )

    def primary(self, pair: str) -> str:
        """The evaluation mode by which a pair is judged: that of all its cells."""
        return self.registered(pair, next(iter(self.cells[pair]))).evaluation.primary

    def modes(self, pair: str) -> tuple[str, ...]:
        """The evaluation modes that all results of a pair have, the one by which it is judged first."""
        primary = self.primary(pair)
        if self.imported is not None:
            return (primary,)
        measured = [self.registered(pair, task).evaluation.modes for task in self.cells[pair]]
        return (primary, *(mode for mode in MODES if mode != primary and all(mode in its for its in measured)))

    def at_budget(self, steps: int) -> Suite:
        """This suite at another budget (environment steps of a member): a suite of its own, `name@steps`.

        It has no ledger, baseline, published figures or remarks, since those are about the budget that was registered; nor is it evidence.
        """
        tasks = {name: task.model_copy(update={"steps": steps}) for name, task in self.tasks.items()}
        cells = {
            pair: {task: cell.model_copy(update={"steps": None}) for task, cell in its.items()}
            for pair, its in self.cells.items()
        }
        named = {"name": f"{self.folder}@{steps}", "title": f"{self.title} at {steps:,} steps"}
        without = {"evidence": False, "published": [], "remarks": []}
        return self.model_copy(update={**named, **without, "tasks": tasks, "cells": cells})


def suite_names() -> list[str]:
    return sorted(path.parent.name for path in SUITES.glob("*/suite.yaml"))


def load_suite(name: str) -> Suite:
    """The suite `suites/<name>/suite.yaml`, validated; of `name@steps` at that budget. Raises InputError naming file and field."""
    folder, at, budget = name.partition("@")
    path = SUITES / folder / "suite.yaml"
    if folder not in suite_names():
        here = f"; this folder has no {SUITES}/<name>/suite.yaml: change to a checkout or to a folder of your own"
        raise InputError(f"unknown suite {name!r}{suggestion(name, suite_names()) if suite_names() else here}")
    if not re.fullmatch(r"[\w-]+", folder):
        raise InputError(f"{path}: the folder's name must be {SLUG}; rename it, and `name` in the file")
    try:
        steps = parse_steps(budget) if at else 0
    except ValueError as error:
        raise InputError(f"unknown suite {name!r}: {error}") from error
    try:
        suite = Suite.model_validate(read_yaml(path))
    except ValidationError as error:
        raise InputError(f"{path}: {first_problem(error)}") from error
    if suite.name != folder:
        raise InputError(f"{path}: name: is {suite.name!r}, must be the folder's name {folder!r}")
    _check(suite, path)
    return suite.at_budget(steps) if at else suite


def _check(suite: Suite, path: Path) -> None:
    """Raises InputError where the parts of a suite do not fit each other."""
    for pair, tasks in suite.cells.items():
        if len({suite.registered(pair, task).evaluation.primary for task in tasks if task in suite.tasks}) > 1:
            raise InputError(f"{path}: cells.{pair}: evaluation: primary must be the same in all cells of a pair")
        for task, cell in tasks.items():
            if task not in suite.tasks:
                raise InputError(f"{path}: cells.{pair}.{task}: unknown task{suggestion(task, suite.tasks)}")
            if task not in suite.references:
                raise InputError(f"{path}: references.{task}: is missing; give low, high and their source")
            if cell.arms and len(set(cell.arms)) < len(cell.arms):
                raise InputError(f"{path}: cells.{pair}.{task}.arms: an arm is given twice")
            for name, values in cell.grid.items():
                if len({point_name("", {name: value}) for value in values}) < len(values):
                    raise InputError(f"{path}: cells.{pair}.{task}.grid.{name}: a value is given twice")
                if name in cell.settings:
                    raise InputError(f"{path}: cells.{pair}.{task}.grid.{name}: is among the settings as well")
    for figure in suite.published:
        if figure.task not in suite.tasks:
            raise InputError(f"{path}: published: unknown task {figure.task!r}{suggestion(figure.task, suite.tasks)}")
    for remark in suite.remarks:
        if remark.pair not in suite.cells:
            raise InputError(f"{path}: remarks: unknown pair {remark.pair!r}{suggestion(remark.pair, suite.cells)}")
        if remark.task not in (tasks := suite.cells[remark.pair]):
            raise InputError(f"{path}: remarks: unknown task {remark.task!r}{suggestion(remark.task, tasks)}")
