"""JSON files with several runs: marl-eval's (BenchMARL, Mava, ...), and the tables that Dopamine publishes."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import numpy as np

from harness.imports.readers.content import Unusable, listed, short, text
from harness.imports.readers.log import Log, Read, log
from harness.imports.readers.progress import json_numbers
from harness.imports.readers.tables import Numbers
from harness.imports.schema import Dopamine, MarlEval


def loaded(data: bytes) -> Any:
    """A JSON document. Raises Unusable."""
    try:
        return json.loads(text(data))
    except (ValueError, RecursionError) as error:
        raise Unusable(f"is no JSON, or truncated: {short(error)}") from error


def marl_eval(entry: MarlEval, data: bytes, tasks: Collection[str]) -> Read:
    """environment -> task -> algorithm -> `seed_3` -> `step_7` -> step_count and the metric, of which a list is its mean.

    A task is called `TASK`, or `ENVIRONMENT/TASK` where that is the name declared in `tasks`. Raises Unusable.
    """
    found = False
    for environment, of_tasks in _items(loaded(data), "an environment"):
        for task, of_arms in _items(of_tasks, environment):
            for arm, of_seeds in _items(of_arms, task):
                for seed, steps in _items(of_seeds, arm):
                    found = True
                    whole = f"{environment}/{task}"
                    said = {"task": whole if whole in tasks else task, "arm": arm, "seed": seed.removeprefix("seed_")}
                    yield _run(entry, said, steps)
    if not found:
        raise Unusable("holds no run")


def _items(table: Any, where: str) -> list[tuple[str, Any]]:
    if not isinstance(table, dict):
        raise Unusable(
            f"{where[:80]!r} holds no table of names; marl-eval's form is environment, task, algorithm, seed, step"
        )
    return list(table.items())


def _run(entry: MarlEval, said: dict[str, str], steps: Any) -> Log:
    if not isinstance(steps, dict):
        return Log(said, fault="holds no steps")
    points = [point for name, point in steps.items() if name.startswith("step_") and isinstance(point, dict)]
    if points and all(entry.metric not in point for point in points):
        return Log(said, fault=f"metric: {entry.metric!r} is missing; it has: {listed(points[0])}")
    counts, values = (json_numbers([point.get(name) for point in points]) for name in ("step_count", entry.metric))
    order = np.argsort(counts.values, kind="stable")
    return log(said, counts, values, order, ("step_count", entry.metric))


def dopamine(entry: Dopamine, data: bytes) -> Read:
    """A list of rows with Agent, Iteration and Value. Runs have no number of their own: each starts where Iteration begins anew."""
    rows = loaded(data)
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise Unusable("is no list of rows with Agent, Iteration and Value")
    for name in ("Agent", "Iteration", "Value"):
        if name not in rows[0]:
            raise Unusable(f"{name!r} is missing; its rows have: {listed(rows[0])}")
    iterations, values = (json_numbers([row.get(name) for row in rows]) for name in ("Iteration", "Value"))
    steps = Numbers((iterations.values + 1) * entry.iteration, iterations.absent, iterations.wrong)
    of_arm: dict[str, list[list[int]]] = {}
    for at, row in enumerate(rows):
        runs = of_arm.setdefault(str(row.get("Agent")), [])
        if not runs or iterations.values[at] <= iterations.values[runs[-1][-1]]:
            runs.append([])
        runs[-1].append(at)
    for arm, runs in of_arm.items():
        for seed, its in enumerate(runs):
            yield log({"arm": arm, "seed": str(seed)}, steps, values, its, ("Iteration", "Value"))
