"""From a suite to its cohorts: every setting spelled out and validated."""

from __future__ import annotations

from pydantic import ValidationError

from harness.errors import InputError
from harness.plan import tasks as probe
from harness.run import environments
from harness.run.spec import Spec, learner_class, make_learner
from harness.schema.documents import first_problem
from harness.schema.fields import refuse_unknown
from harness.schema.suite import Suite


def cell_specs(suite: Suite, pair: str, task: str, steps: int | None = None) -> dict[str, Spec]:
    """The cohorts of one cell, by arm, with all settings spelled out. Raises InputError naming file and field."""
    where = f"suites/{suite.name}/suite.yaml: cells.{pair}.{task}"
    try:
        kind = learner_class(pair)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    given = suite.cells[pair][task]
    try:
        refuse_unknown(given, list(kind.settings_type.model_fields))
        settings = kind.settings_type(**given)
    except ValidationError as error:
        raise InputError(f"{where}.{first_problem(error)}") from error
    except ValueError as error:
        raise InputError(f"{where}: {error}") from error
    definition = suite.tasks[task]
    backend = environments.default_backend(task) if definition.backend == "auto" else definition.backend
    try:
        offered = probe.offered(task, backend)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    if not (kind.continuous if offered.continuous else kind.discrete):
        needed, has = ("discrete", "continuous") if offered.continuous else ("continuous", "discrete")
        raise InputError(f"{where}: pair {pair!r} needs {needed} actions, {task} has {has} ones")
    specs = {
        arm: Spec(
            pair=pair,
            arm=arm,
            task=task,
            backend=backend,
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
