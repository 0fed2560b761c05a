"""The schema of `suites/<name>/suite.yaml`: which cells a suite has, and how they are evaluated and scored."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from yaml.error import MarkedYAMLError

from harness.errors import InputError as InputError
from harness.errors import suggestion

SUITES = Path("suites")
CLAIMS = "claims.yaml"
"""The file of a suite's ledger, beside its suite.yaml."""
UNTESTABLE = SUITES / "untestable.yaml"
"""The sources' claims that no suite judges yet."""
MODES = ("sampled", "greedy")
MOST_STEPS, MOST_SEEDS = 10**12, 10_000
MOST_TEXT = 2**20
"""Characters of a YAML file."""


def parse_seeds(text: Any) -> list[int]:
    """Seeds from `0-9`, `0,3,7-9`, one integer, or a list of integers. Raises ValueError on anything else."""
    parts = text if isinstance(text, list) else str(text).split(",")
    seeds: list[int] = []
    for part in parts:
        match = re.fullmatch(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?", str(part))
        if match is None:
            raise ValueError(f"{part!r} is no seed range; write for example 0-9 or 0,3,7")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"the range {part!r} must go up")
        if len(seeds) + last - first >= MOST_SEEDS:
            raise ValueError(f"at most {MOST_SEEDS:,} seeds are allowed")
        seeds += range(first, last + 1)
    duplicate = next((seed for seed in seeds if seeds.count(seed) > 1), None) if len(set(seeds)) < len(seeds) else None
    if duplicate is not None:
        raise ValueError(f"seed {duplicate} appears twice; every seed must be given once")
    return seeds


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Evaluation(Strict):
    """Frozen policy, own environments and seeds, at every segment end; `primary` is the mode that verdicts use."""

    episodes: int = Field(ge=1, le=1000)
    primary: Literal["sampled", "greedy"] = "sampled"


class Task(Strict):
    """An environment with a step budget (environment steps of one member)."""

    steps: int = Field(ge=1, le=MOST_STEPS)
    backend: Literal["auto", "batched", "gymnasium", "atari", "envpool"] = "auto"
    """Whose environments; `auto`: our batched ones where there are, ale-py's vector for Atari, else Gymnasium's."""
    time_limit: Literal["bootstrap", "terminal"] = "bootstrap"
    """What a time limit means for learning; `terminal` (CleanRL's PPO) exists only for comparison with published figures."""


class Reference(Strict):
    """The declared scale of a task: normalized score = (return - low) / (high - low)."""

    low: float
    high: float
    source: str


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

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    title: str
    seeds: Annotated[list[int], BeforeValidator(parse_seeds), Field(min_length=1)]
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


class Loader(yaml.SafeLoader):
    """Safe YAML in which a key given twice and an alias are errors."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise MarkedYAMLError(problem="aliases (*name) are not allowed; write the value out", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise MarkedYAMLError(problem=f"the key {key.value!r} is given twice", problem_mark=key.start_mark)
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)


def suite_names() -> list[str]:
    return sorted(path.parent.name for path in SUITES.glob("*/suite.yaml"))


def load_suite(name: str) -> Suite:
    """The suite `suites/<name>/suite.yaml`, validated. Raises InputError naming file and field."""
    path = SUITES / name / "suite.yaml"
    if not re.fullmatch(r"[\w-]+", name) or not path.exists():
        where = (
            ""
            if suite_names()
            else f"; this folder has no {SUITES}/<name>/suite.yaml: change to a checkout or to a folder of your own"
        )
        raise InputError(f"unknown suite {name!r}{where or suggestion(name, suite_names())}")
    content = read_yaml(path)
    try:
        suite = Suite.model_validate(content)
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
    for task, reference in suite.references.items():
        if reference.low == reference.high:
            raise InputError(f"{path}: references.{task}: low and high must differ")
    return suite


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, with safe tags only and bounded in size. Raises InputError naming file, line and column."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(MOST_TEXT + 1)
        if len(text) > MOST_TEXT:
            raise ValueError(f"it has more than {MOST_TEXT:,} characters")
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InputError(f"{path}{where}: not valid YAML: {getattr(error, 'problem', None) or error}") from error
    except (OSError, ValueError, RecursionError) as error:  # ValueError: not UTF-8, or no number of Python's
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def first_problem(error: ValidationError) -> str:
    """The first problem of a pydantic error as `field.path: what is wrong (got ...)`."""
    problem = error.errors()[0]
    field = ".".join(str(part) for part in problem["loc"]) or "the file"
    got = (
        "" if problem["type"] == "missing" or isinstance(problem["input"], dict) else f" (got {problem['input']!r:.60})"
    )
    message = problem["msg"].removeprefix("Value error, ").replace("Input should", "must")
    message = message.replace("Extra inputs are not permitted", "unknown field")
    return f"{field}: {message}{got}"
