"""The schema of an import file: which log files hold which runs, and on what steps they are compared."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from harness.errors import InputError, suggestion
from harness.schema.documents import first_problem, read_yaml
from harness.schema.fields import FirstStep, Slug, Steps, Strict, matching
from harness.schema.results import folder_name
from harness.schema.suite import Reference

IDENTITY = ("arm", "task", "seed")
EPISODIC = ("tensorboard", "sb3-monitor", "wandb-long", "wandb-wide")
"""Formats that hold training episodes, so that steps may repeat (several environments) and a smoothing must be declared."""
WILD = re.compile(r"(\{[^{}]*\}|\*)")

NAME = "1 to 100 letters, digits, spaces and _.:/+=()-, the first a letter or a digit"
Name = Annotated[str, matching("[A-Za-z0-9][A-Za-z0-9_ .:/+=()-]{0,99}", NAME)]


def _pattern(text: str) -> str:
    """A pattern such as `{task}__{arm}__{seed}__*`. Raises ValueError on anything but each placeholder once and single stars."""
    wild = WILD.findall(text)
    unknown = next((each for each in wild if each != "*" and each[1:-1] not in IDENTITY), None)
    if unknown is not None:
        raise ValueError(f"{unknown} is no placeholder; allowed: {{arm}}, {{task}}, {{seed}} and *")
    twice = next((each for each in wild if each != "*" and wild.count(each) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} appears twice")
    if "**" in text or re.search(r"[{}*]\{|\}[{*]", text):
        raise ValueError("placeholders and stars must have something between them")
    return text


def _below(text: str) -> str:
    """A pattern of paths below the import file's folder."""
    if not text or Path(text).is_absolute() or ".." in Path(text).parts:
        raise ValueError("must be a path below the folder of this file, without ..")
    return _pattern(text)


Pattern = Annotated[str, BeforeValidator(_pattern)]


class Grid(Strict):
    """The declared environment steps at which curves are compared: `points` from `first` to `last`, evenly spaced."""

    first: FirstStep
    last: Steps
    points: int = Field(ge=2, le=10_000)

    @model_validator(mode="after")
    def _room(self) -> Grid:
        if self.last - self.first + 1 < self.points:
            raise ValueError(f"last must be at least first + points - 1 = {self.first + self.points - 1}")
        return self

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """`[points]`, rising."""
        return np.linspace(self.first, self.last, self.points).round().astype(np.int64)


class DeclaredArm(Strict):
    """Hard, or soft and compared with the hard arm `hard`; the first hard arm where none is named."""

    soft: bool
    hard: str | None = None


class Columns(Strict):
    """Column names of a table where they are not the usual ones; `run` holds a run's name."""

    arm: str | None = None
    task: str | None = None
    seed: str | None = None
    run: str | None = None
    step: str | None = None
    value: str | None = Field(default=None, alias="return")


class Runs(Strict):
    """Files of one format. What `files` does not say of a run (arm, task, seed), the files must; `rename` maps their names to ours."""

    files: Annotated[str, BeforeValidator(_below)]
    rename: dict[str, str] = {}


class TensorBoard(Runs):
    format: Literal["tensorboard"]
    tag: str = "charts/episodic_return"


class Monitor(Runs):
    format: Literal["sb3-monitor"]


class Evaluations(Runs):
    format: Literal["sb3-evaluations"]


class Tidy(Runs):
    format: Literal["tidy"]
    columns: Columns = Columns()


class WandbLong(Runs):
    format: Literal["wandb-long"]
    columns: Columns = Columns()
    run: Pattern = "{task}__{arm}__{seed}__*"
    """How a run's name is read; CleanRL's names as a rule."""


class WandbWide(Runs):
    format: Literal["wandb-wide"]
    step: str = "Step"
    tag: str = "charts/episodic_return"
    run: Pattern = "{task}__{arm}__{seed}__*"


Entry = TensorBoard | Monitor | Evaluations | Tidy | WandbLong | WandbWide


class Import(Strict):
    """Everything that an import needs to know."""

    name: Slug
    title: str
    actions: Literal["sampled", "greedy"]
    """How the runs acted where their returns were measured: as in training, or greedily in evaluations of their own."""
    grid: Grid
    smooth: int | None = Field(default=None, ge=1, le=1000)
    """A point of a curve is the mean of this many last values of the log (fewer at its start)."""
    tasks: dict[Name, Reference] = Field(min_length=1, max_length=1000)
    arms: dict[Name, DeclaredArm] = Field(min_length=1, max_length=100)
    runs: list[Annotated[Entry, Field(discriminator="format")]] = Field(min_length=1, max_length=100)

    @model_validator(mode="after")
    def _consistent(self) -> Import:
        hard = [name for name, arm in self.arms.items() if not arm.soft]
        if not hard:
            raise ValueError("arms: at least one must be hard (soft: false)")
        for name, arm in self.arms.items():
            if arm.hard is not None and not arm.soft:
                raise ValueError(f"arms.{name}.hard: only a soft arm is compared with a hard one")
            if arm.hard is not None and arm.hard not in hard:
                raise ValueError(f"arms.{name}.hard: {arm.hard!r} is no hard arm{suggestion(arm.hard, hard)}")
        folders = [folder_name(task) for task in self.tasks]
        same = next((task for task in self.tasks if folders.count(folder_name(task)) > 1), None)
        if same is not None:
            raise ValueError(f"tasks.{same}: another task has the same folder, {folder_name(same)}")
        for number, runs in enumerate(self.runs):
            for theirs, ours in runs.rename.items():
                if ours not in (known := [*self.arms, *self.tasks]):
                    raise ValueError(
                        f"runs.{number}.rename.{theirs}: unknown arm or task {ours!r}{suggestion(ours, known)}"
                    )
            if runs.format in EPISODIC and self.smooth is None:
                raise ValueError(
                    f"smooth: is missing: {runs.format} holds single episodes (runs.{number}); say over how many the mean is taken, "
                    "for example smooth: 10, or smooth: 1 for none"
                )
        return self


def load_import(path: Path) -> Import:
    """The import file, validated. Raises InputError naming file and field."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; an import file is YAML, see docs/import.md")
    try:
        return Import.model_validate(read_yaml(path))
    except ValidationError as error:
        raise InputError(f"{path}: {first_problem(error)}") from error
