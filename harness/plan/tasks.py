"""What a task offers, asked before anything is planned.

The code of a user's own task (`module:Task-v0`) may hang or crash the process that makes its environment, so it is asked in a process of
its own, with the paths and variables of a worker: `python -m harness.plan.tasks TASK BACKEND` prints one JSON line.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from functools import cache
from typing import Any

import gymnasium

from algorithms.learner import Spaces
from harness.errors import InputError
from harness.pool.local import environment
from harness.pool.worker import die_with_parent
from harness.run import environments

LIMIT = 120.0
"""Seconds in which a user's task must make one environment, imports included."""


@cache
def offered(task: str, backend: str) -> Spaces:
    """What a task offers. Raises InputError where it cannot be made, or does not end by itself or by a time limit we know."""
    if ":" not in task:
        return look(task, backend)
    command = [sys.executable, "-P", "-m", "harness.plan.tasks", task, backend]
    try:
        ended = subprocess.run(
            command, env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"task {task!r} cannot be made: it took longer than {LIMIT:g} s") from error
    if ended.returncode or not ended.stdout:
        how = (
            f"was killed by {signal.Signals(-ended.returncode).name}"
            if ended.returncode < 0
            else f"ended with code {ended.returncode}"
        )
        raise InputError(f"task {task!r} cannot be made: the process that tried {how}")
    answer: dict[str, Any] = json.loads(ended.stdout)
    if "error" in answer:
        raise InputError(answer["error"])
    return Spaces(**answer)


def look(task: str, backend: str) -> Spaces:
    """`offered`, in this process."""
    module, _, registered = task.rpartition(":")
    if module and importlib.util.find_spec(module.split(".")[0]) is None:
        raise InputError(f"task {task!r}: there is no module {module.split('.')[0]!r} along PYTHONPATH")
    try:
        spaces = environments.spaces(task, backend)
        action = environments.make(task, backend, 1).action_space
        endless = (
            backend == "gymnasium" and gymnasium.spec(registered).max_episode_steps is None
        )  # the others have limits of their own
    except InputError:
        raise
    except Exception as error:  # the environment's own code
        raise InputError(f"task {task!r} cannot be made: {type(error).__name__}: {error}") from error
    if endless:
        raise InputError(f"task {task!r} has no time limit; register it with max_episode_steps")
    if getattr(action, "start", 0) != 0:
        raise InputError(f"task {task!r} counts its actions from {action.start}; they must count from 0")
    return spaces


def main() -> None:
    die_with_parent()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not mix with the answer
    try:
        answer = asdict(look(*sys.argv[1:]))
    except InputError as error:
        answer = {"error": str(error)}
    print(json.dumps(answer), file=out, flush=True)
    os._exit(0)  # threads of the environment must not keep this process


if __name__ == "__main__":
    main()
