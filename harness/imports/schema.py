"""The schema of an import file: which log files hold which runs, and on what steps they are compared."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import AfterValidator, Field, ValidationError, model_validator

from harness.errors import InputError, suggestion
from harness.imports.patterns import checked
from harness.schema.documents import first_problem, read_yaml
from harness.schema.fields import FirstStep, Seeds, Slug, Steps, Strict, matching
from harness.schema.results import folder_name
from harness.schema.suite import Reference

EPISODIC = ("tensorboard", "sb3-monitor", "wandb-long", "wandb-wide", "openrlbenchmark")
"""Formats that hold training episodes, so that steps may repeat (several environments) and a smoothing must be declared."""
STEPLESS = ("scores",)
"""Formats of final scores, which have no steps."""

NAME = "1 to 100 letters, digits, spaces and _.:/+=()@,-, the first a letter or a digit"
Name = Annotated[str, matching("[A-Za-z0-9][A-Za-z0-9_ .:/+=()@,-]{0,99}", NAME)]


MOST_PATH, MOST_NAME = 1000, 255


def _below(text: str) -> str:
    """A pattern of paths below the import file's folder."""
    parts = Path(text).parts
    if not parts or Path(text).is_absolute() or ".." in parts:
        raise ValueError("must be a path below the folder of this file, without ..")
    if len(text) > MOST_PATH or max(len(part.encode()) for part in parts) > MOST_NAME:
        raise ValueError(f"must have at most {MOST_PATH:,} characters, and {MOST_NAME} bytes between two slashes")
    return checked(text)


Pattern = Annotated[str, AfterValidator(checked)]
PathPattern = Annotated[str, AfterValidator(_below)]


class Grid(Strict):
    """The declared environment steps at which curves are compared: `points` from `first` to `last`, evenly spaced, or those of `at`."""

    first: FirstStep
    last: Steps
    points: int = Field(ge=2, le=10_000)
    at: list[FirstStep] = []
    """Every step, rising; written alone, in place of the others."""

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, content: Any) -> Any:
        if not (isinstance(content, dict) and isinstance(content.get("at"), list) and content["at"]):
            return content
        if len(content) > 1:
            raise ValueError("at lists all steps, so nothing may stand beside it")
        at = content["at"]
        return {"first": at[0], "last": at[-1], "points": len(at), "at": at}

    @model_validator(mode="after")
    def _room(self) -> Grid:
        if any(after <= before for before, after in pairwise(self.at)):
            raise ValueError("at must rise")
        if self.last - self.first + 1 < self.points:
            raise ValueError(f"last must be at least first + points - 1 = {self.first + self.points - 1}")
        return self

    @property
    def steps(self) -> npt.NDArray[np.int64]:
        """`[points]`, rising."""
        if self.at:
            return np.array(self.at, np.int64)
        return np.linspace(self.first, self.last, self.points).round().astype(np.int64)


ONE_STEP = Grid.model_construct(first=1, last=1, points=1)
"""Of final scores."""
RUN_NAME = "{task}__{arm}__{seed}__*"
"""How a run's name is read; CleanRL's names as a rule."""
USUAL = {
    "spinup": [("TotalEnvInteracts", "AverageEpRet")],
    "sb3-progress": [("time/total_timesteps", "rollout/ep_rew_mean")],
    "rllib-progress": [
        ("num_env_steps_sampled_lifetime", "env_runners/episode_return_mean"),
        ("timesteps_total", "env_runners/episode_reward_mean"),
        ("timesteps_total", "episode_reward_mean"),
    ],
}
"""The columns of steps and returns as their writers call them, the newest first."""
USUAL["rllib-result"] = USUAL["rllib-progress"]


PARTS = r"(eval_?)?(episodes?|ep|rollout|envs?|rank|worker|actor|process)(_?(id|idx|index|num|number))?"
"""Columns that number the parts of one run. (`env_id` is the task's name as a rule, and no number.)"""


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


class DeclaredTask(Reference):
    """A task's scale, and the steps at which its curves are compared where they are not those of the whole import."""

    grid: Grid | None = None


class Runs(Strict):
    """Files of one format, without those that `exclude` names. What `files` does not say of a run (arm, task, seed), the files must."""

    files: PathPattern
    exclude: list[PathPattern] = []
    """Files, or folders with all that they hold."""
    rename: dict[str, str] = {}
    """Their names of arms and tasks -> ours."""
    unit: Literal["steps", "frames"] = "steps"
    """What a step of these logs counts: steps of the agent, or frames of a game, of which a step has several."""


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


class Scores(Runs):
    format: Literal["scores"]
    columns: Columns = Columns()


class WandbLong(Runs):
    format: Literal["wandb-long"]
    columns: Columns = Columns()
    run: Pattern = RUN_NAME


class WandbWide(Runs):
    format: Literal["wandb-wide"]
    step: str = "Step"
    tag: str = "charts/episodic_return"
    run: Pattern = RUN_NAME


class OpenRlBenchmark(Runs):
    format: Literal["openrlbenchmark"]
    step: str = "global_step"
    tag: str = "charts/episodic_return"
    run: Pattern = RUN_NAME


class Progress(Runs):
    """One file a run: steps and returns under names of which the writer's own are known."""

    format: Literal["spinup", "sb3-progress", "rllib-progress", "rllib-result"]
    step: str | None = None
    tag: str | None = None

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Names of the steps and of the returns; of several the first that are there."""
        return [(self.step or step, self.tag or tag) for step, tag in USUAL[self.format]]


class MarlEval(Runs):
    format: Literal["marl-eval"]
    metric: str = "return"


class Dopamine(Runs):
    format: Literal["dopamine"]
    iteration: Steps = 250_000
    """Steps of an iteration: Dopamine's usual ones, which are a million frames."""


Entry = (
    TensorBoard
    | Monitor
    | Evaluations
    | Tidy
    | Scores
    | WandbLong
    | WandbWide
    | OpenRlBenchmark
    | Progress
    | MarlEval
    | Dopamine
)


class Import(Strict):
    """Everything that an import needs to know."""

    name: Slug
    title: str
    actions: Literal["sampled", "greedy"]
    """How the runs acted where their returns were measured: as in training, or greedily in evaluations of their own."""
    grid: Grid | None = None
    """None where every task has one of its own, or the runs have final scores alone."""
    smooth: int | None = Field(default=None, ge=1, le=1000)
    """A point of a curve is the mean of this many last values of the log (fewer at its start)."""
    seeds: Seeds | None = None
    """The seeds that every arm was begun with on every task, where that is known; None: those whose logs are found."""
    tasks: dict[Name, DeclaredTask] = Field(min_length=1, max_length=1000)
    arms: dict[Name, DeclaredArm] = Field(min_length=1, max_length=100)
    runs: list[Annotated[Entry, Field(discriminator="format")]] = Field(min_length=1, max_length=100)

    @property
    def stepless(self) -> bool:
        """Whether the runs have final scores alone."""
        return self.runs[0].format in STEPLESS

    def grid_of(self, task: str) -> Grid:
        """The steps at which a task's curves are compared."""
        return self.tasks[task].grid or self.grid or ONE_STEP

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
        self._check_steps()
        for number, runs in enumerate(self.runs):
            for theirs, ours in runs.rename.items():
                if ours not in (known := [*self.arms, *self.tasks]):
                    raise ValueError(
                        f"runs.{number}.rename.{theirs}: unknown arm or task {ours!r}{suggestion(ours, known)}"
                    )
            column = runs.columns.seed if isinstance(runs, Tidy | Scores | WandbLong) else None
            if column is not None and re.fullmatch(PARTS, column, re.I):
                raise ValueError(
                    f"runs.{number}.columns.seed: {column!r} numbers the parts of one run, not runs of training"
                )
            if runs.format in EPISODIC and self.smooth is None:
                raise ValueError(
                    f"smooth: is missing: {runs.format} holds single episodes (runs.{number}); say over how many the mean is taken, "
                    "for example smooth: 10, or smooth: 1 for none"
                )
        return self

    def _check_steps(self) -> None:
        """Raises ValueError where steps are not declared, or of several kinds."""
        for number, runs in enumerate(self.runs):
            if (runs.format in STEPLESS) != self.stepless:
                raise ValueError(
                    f"runs.{number}.format: final scores have no steps, so that curves cannot stand beside them"
                )
            if runs.unit != self.runs[0].unit:
                raise ValueError(
                    f"runs.{number}.unit: is {runs.unit}, runs.0 has {self.runs[0].unit}: they cannot be compared; "
                    "write all steps in one unit"
                )
        without = next((task for task, its in self.tasks.items() if its.grid is None), None)
        if self.stepless and (self.grid or any(its.grid for its in self.tasks.values())):
            raise ValueError("grid: final scores have no steps, so there is none")
        if not self.stepless and self.grid is None and without is not None:
            raise ValueError(f"grid: is missing, and tasks.{without} has none of its own")


def load_import(path: Path) -> Import:
    """The import file, validated. Raises InputError naming file and field."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file; an import file is YAML, see docs/import.md")
    try:
        return Import.model_validate(read_yaml(path))
    except ValidationError as error:
        raise InputError(f"{path}: {first_problem(error)}") from error
