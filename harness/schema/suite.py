"""The schema of `suites/<name>/suite.yaml`: which cells a suite has, and how they are evaluated and scored."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from harness.errors import InputError as InputError
from harness.errors import suggestion
from harness.schema.documents import first_problem, read_yaml
from harness.schema.fields import SLUG, Seeds, Slug, Steps, Strict

SUITES = Path("suites")
CLAIMS = "claims.yaml"
"""The file of a suite's ledger, beside its suite.yaml."""
UNTESTABLE = SUITES / "untestable.yaml"
"""The sources' claims that no suite judges yet."""
MODES = ("sampled", "greedy")


class Evaluation(Strict):
    """Frozen policy, own environments and seeds, at every segment end; `primary` is the mode that verdicts use."""

    episodes: int = Field(ge=1, le=1000)
    primary: Literal["sampled", "greedy"] = "sampled"


class Task(Strict):
    """An environment with a step budget (environment steps of one member)."""

    steps: Steps
    backend: Literal["auto", "batched", "gymnasium", "atari", "envpool"] = "auto"
    """Whose environments; `auto`: our batched ones where there are, ale-py's vector for Atari, else Gymnasium's."""
    time_limit: Literal["bootstrap", "terminal"] = "bootstrap"
    """What a time limit means for learning; `terminal` (CleanRL's PPO) exists only for comparison with published figures."""


class Reference(Strict):
    """The declared scale of a task: normalized score = (return - low) / (high - low)."""

    low: float
    high: float
    source: str

    @model_validator(mode="after")
    def _rising(self) -> Reference:
        if self.low >= self.high:
            raise ValueError(f"low must be below high (got {self.low:g} and {self.high:g})")
        return self


class Published(Strict):
    """A published figure: a reference line in the report, never a seed."""

    task: str
    arm: str
    mean: float
    spread: float | None = None
    seeds: int | None = None
    source: str


class Suite(Strict):
    """A complete grid: pairs x tasks x seeds, and the evaluation protocol."""

    name: Slug
    title: str
    seeds: Seeds
    segments: int = Field(ge=1, le=10_000)
    evaluation: Evaluation
    tasks: dict[str, Task]
    references: dict[str, Reference]
    cells: dict[str, dict[str, dict[str, Any]]] = Field(min_length=1)
    """pair -> task -> settings that differ from the pair's defaults (for every arm of the pair alike)."""
    published: list[Published] = []
    imported: str | None = None
    """The import file, where the runs are not ours (`softbench import`); there is then one return series, of `evaluation.primary`."""

    @property
    def modes(self) -> tuple[str, ...]:
        """The evaluation modes that its results have."""
        return (self.evaluation.primary,) if self.imported is not None else MODES


def suite_names() -> list[str]:
    return sorted(path.parent.name for path in SUITES.glob("*/suite.yaml"))


def load_suite(name: str) -> Suite:
    """The suite `suites/<name>/suite.yaml`, validated. Raises InputError naming file and field."""
    path = SUITES / name / "suite.yaml"
    if name not in suite_names():
        where = (
            ""
            if suite_names()
            else f"; this folder has no {SUITES}/<name>/suite.yaml: change to a checkout or to a folder of your own"
        )
        raise InputError(f"unknown suite {name!r}{where or suggestion(name, suite_names())}")
    if not re.fullmatch(r"[\w-]+", name):
        raise InputError(f"{path}: the folder's name must be {SLUG}; rename it, and `name` in the file")
    try:
        suite = Suite.model_validate(read_yaml(path))
    except ValidationError as error:
        raise InputError(f"{path}: {first_problem(error)}") from error
    if suite.name != name:
        raise InputError(f"{path}: name: is {suite.name!r}, must be the folder's name {name!r}")
    for pair, tasks in suite.cells.items():
        for task in tasks:
            if task not in suite.tasks:
                raise InputError(f"{path}: cells.{pair}.{task}: unknown task{suggestion(task, suite.tasks)}")
            if task not in suite.references:
                raise InputError(f"{path}: references.{task}: is missing; give low, high and their source")
    for figure in suite.published:
        if figure.task not in suite.tasks:
            raise InputError(f"{path}: published: unknown task {figure.task!r}{suggestion(figure.task, suite.tasks)}")
    return suite
