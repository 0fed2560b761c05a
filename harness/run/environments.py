"""Environments behind one small interface: N copies step at once and reset themselves in the same step.

`step` returns the observation after a reset and, apart from it, the true next observation, so that a time limit can bootstrap.
Every environment has its own seed and its own generator: its numbers do not depend on the others. A backend is a module with
`make(task, count)`; it is imported when a task needs it, so that one backend's code is no part of another's results.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any, Protocol

import gymnasium
import numpy as np

from algorithms.learner import Spaces
from harness.errors import InputError, suggestion

Step = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""observation [N, *shape], reward [N], terminated [N], truncated [N], true next observation [N, *shape]"""

BACKENDS = {
    "batched": "suites.envs.classic",
    "minatar": "suites.envs.minatar",
    "gymnasium": "harness.run.backends.gymnasium",
    "atari": "harness.run.backends.atari",
    "envpool": "harness.run.backends.envpool",
}


class Environments(Protocol):
    observation_space: Any
    action_space: Any
    limit: int
    """Between two truncations of an environment lie at least so many steps; 1 where that is not known."""
    frames: int
    """Of an image's channels so many are the latest frames of one step each; 1 where each observation stands alone."""

    def reset(self, seeds: Sequence[int]) -> np.ndarray: ...
    def step(self, actions: np.ndarray) -> Step: ...
    def faults(self) -> np.ndarray:
        """[N]: environments that have broken silently since the last `reset`, as MuJoCo does when it resets a bad state."""
        ...


def default_backend(task: str) -> str:
    """Our batched version where there is one, ale-py's vector for Atari, else Gymnasium's."""
    for ours in ("batched", "minatar"):
        if task in importlib.import_module(BACKENDS[ours]).BATCHED:
            return ours
    return "atari" if task.startswith("ALE/") else "gymnasium"


def make(task: str, backend: str, count: int) -> Environments:
    """`count` environments of `task`."""
    made: Environments = importlib.import_module(BACKENDS[backend]).make(task, count)
    return made


def spaces(task: str, backend: str) -> Spaces:
    """What the task offers. Raises InputError for an unknown task, or one with other than flat observations and simple actions."""
    try:
        environments = make(task, backend, 1)
    except ModuleNotFoundError as error:
        raise InputError(
            f"task {task!r}: its backend {backend!r} needs the package {error.name!r}, which is not installed"
        ) from error
    except ImportError as error:
        raise InputError(f"task {task!r}: cannot be imported: {error}") from error
    except gymnasium.error.Error as error:
        known = [name for name in gymnasium.registry if "/" not in name]
        raise InputError(
            f"task {task!r}: {backend} cannot make it{suggestion(task, known).split(' Known:')[0]} ({error})"[:400]
        ) from error
    observation, action = environments.observation_space, environments.action_space
    image = isinstance(observation, gymnasium.spaces.Box) and len(observation.shape) == 3
    if not image and not (isinstance(observation, gymnasium.spaces.Box) and len(observation.shape) == 1):
        raise InputError(f"task {task!r}: has observations {observation}; a flat Box or a Box of images is needed")
    if image and observation.dtype != np.uint8:
        raise InputError(f"task {task!r}: has images of {observation.dtype}; uint8 is needed")
    offered = {
        "observation": observation.shape,
        "dtype": "uint8" if image else "float32",
        "scale": float(observation.high.max()) if image else 1.0,
        "frames": environments.frames,
        "limit": environments.limit,
    }
    if isinstance(action, gymnasium.spaces.Discrete):
        return Spaces(actions=int(action.n), **offered)
    if isinstance(action, gymnasium.spaces.Box) and len(action.shape) == 1:
        bounds = tuple(action.low.tolist()), tuple(action.high.tolist())
        return Spaces(actions=action.shape[0], bounds=bounds, **offered)
    raise InputError(f"task {task!r}: has actions {action}; Discrete or a flat Box is needed")
