"""A cohort: all seeds of one arm on one task, and everything that determines its numbers."""

from __future__ import annotations

import importlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from algorithms.learner import Learner, Spaces
from harness import environments
from harness.suite import InputError, Suite, first_problem, suggestion

PAIRS = Path(__file__).parent.parent / "algorithms" / "pairs"


@dataclass(frozen=True)
class Spec:
    """What determines a member's numbers, apart from its seed and the code. JSON-able."""

    pair: str
    arm: str
    task: str
    settings: dict[str, Any]
    steps: int
    segments: int
    episodes: int
    time_limit: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def pair_names() -> list[str]:
    return sorted(path.stem for path in PAIRS.glob("*.py") if path.stem != "__init__")


def learner_class(pair: str) -> type[Learner]:
    """The learner of `algorithms/pairs/<pair>.py`. Raises InputError for an unknown pair."""
    if pair not in pair_names():
        raise InputError(f"unknown pair {pair!r}{suggestion(pair, pair_names())}")
    found: type[Learner] = importlib.import_module(f"algorithms.pairs.{pair}").LEARNER
    return found


def make_learner(spec: Spec, spaces: Spaces) -> Learner:
    """The learner of one arm, with its settings validated."""
    kind = learner_class(spec.pair)
    settings = kind.Settings(**spec.settings)
    constructor: Any = kind
    made: Learner = constructor(settings, spaces, spec.steps, **kind.arms[spec.arm].switches)
    return made


def cell_specs(suite: Suite, pair: str, task: str, steps: int | None = None) -> dict[str, Spec]:
    """The cohorts of one cell, by arm, with all settings spelled out. Raises InputError naming file and field."""
    where = f"suites/{suite.name}/suite.yaml: cells.{pair}.{task}"
    kind = learner_class(pair)
    try:
        settings = kind.Settings(**suite.cells[pair][task])
    except ValidationError as error:
        raise InputError(f"{where}.{first_problem(error)}") from error
    offered = environments.spaces(task)
    if not (kind.continuous if offered.continuous else kind.discrete):
        needed, has = ("discrete", "continuous") if offered.continuous else ("continuous", "discrete")
        raise InputError(f"{where}: pair {pair!r} needs {needed} actions, {task} has {has} ones")
    definition = suite.tasks[task]
    specs = {
        arm: Spec(
            pair=pair,
            arm=arm,
            task=task,
            settings=settings.model_dump(mode="json"),
            steps=steps or definition.steps,
            segments=suite.segments,
            episodes=suite.evaluation.episodes,
            time_limit=definition.time_limit,
        )
        for arm in kind.arms
    }
    for spec in specs.values():
        try:
            learner = make_learner(spec, offered)
        except ValueError as error:
            raise InputError(f"{where}.{error}") from error
        iterations = spec.steps // (learner.horizon * learner.environments)
        if iterations < spec.segments:
            least = learner.horizon * learner.environments * spec.segments
            raise InputError(
                f"{where}: {spec.steps} steps are too few: {spec.segments} segments of at least one update need {least}"
            )
    return specs
