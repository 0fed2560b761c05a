"""What a task offers, asked before anything is planned.

The code of a user's own task (`module:Task-v0`) may hang or crash the process that makes its environment, so it is asked in a process of
its own, with the paths and variables of a worker.
"""

from __future__ import annotations

import importlib.util
from dataclasses import asdict
from functools import cache
from typing import Any

import gymnasium

from algorithms.learner import Spaces
from harness.errors import InputError
from harness.pool.process import Unanswered, answer, ask
from harness.run import environments

# Here and not in `environments`, which all results depend on: a line there would change the identity of all of them.
BACKENDS = environments.BACKENDS | {"multigoal": "suites.envs.multigoal"}
environments.BACKENDS.update(BACKENDS)
LIMIT = 120.0
"""Seconds in which a user's task must make one environment, imports included."""


@cache
def offered(task: str, backend: str) -> Spaces:
    """What a task offers. Raises InputError where it cannot be made, or does not end by itself or by a time limit we know."""
    if ":" not in task:
        return look(task, backend)
    try:
        found = ask("harness.plan.tasks", [task, backend], LIMIT)
    except Unanswered as error:
        raise InputError(f"task {task!r} cannot be made: {error}") from error
    if "error" in found:
        raise InputError(found["error"])
    if found["bounds"] is not None:  # JSON has lists alone
        found["bounds"] = tuple(map(tuple, found["bounds"]))
    return Spaces(**found | {"observation": tuple(found["observation"])})


def look(task: str, backend: str) -> Spaces:
    """`offered`, in this process."""
    module, _, registered = task.rpartition(":")
    if module and importlib.util.find_spec(module.split(".")[0]) is None:
        raise InputError(f"task {task!r}: there is no module {module.split('.')[0]!r} along PYTHONPATH")
    try:
        spaces = environments.spaces(task, backend)
        action = environments.make(task, backend, 1).action_space
        # The others have limits of their own.
        endless = backend == "gymnasium" and gymnasium.spec(registered).max_episode_steps is None
    except InputError:
        raise
    except Exception as error:  # the environment's own code
        raise InputError(f"task {task!r} cannot be made: {type(error).__name__}: {error}") from error
    if endless:
        raise InputError(f"task {task!r} has no time limit; register it with max_episode_steps")
    if getattr(action, "start", 0) != 0:
        raise InputError(f"task {task!r} counts its actions from {action.start}; they must count from 0")
    return spaces


def _answer(question: list[str]) -> dict[str, Any]:
    try:
        return asdict(look(*question))
    except InputError as error:
        return {"error": str(error)}


if __name__ == "__main__":
    answer(_answer)
