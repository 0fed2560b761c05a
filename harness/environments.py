"""Environments behind one small interface: N copies step at once and reset themselves in the same step.

`step` returns the observation after a reset and, apart from it, the true next observation, so that a time limit can bootstrap.
Every environment has its own seed and its own generator: its numbers do not depend on the others.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Protocol

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from algorithms.learner import Spaces
from harness.errors import InputError, suggestion
from suites.envs.classic import BATCHED

Step = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""observation [N, D], reward [N], terminated [N], truncated [N], true next observation [N, D]"""


class Environments(Protocol):
    observation_space: Any
    action_space: Any

    def reset(self, seeds: Sequence[int]) -> np.ndarray: ...
    def step(self, actions: np.ndarray) -> Step: ...


class GymnasiumEnvironments:
    """N copies of any registered Gymnasium task with a flat observation, stepped one after the other."""

    def __init__(self, task: str, count: int) -> None:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*settotalmass.*")
            self.vector = gymnasium.make_vec(
                task, count, vectorization_mode="sync", vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP}
            )
        self.observation_space = self.vector.single_observation_space
        self.action_space = self.vector.single_action_space

    def reset(self, seeds: Sequence[int]) -> np.ndarray:
        observation, _ = self.vector.reset(seed=list(seeds))  # type: ignore[arg-type]
        return np.array(observation, dtype=np.float32)

    def step(self, actions: np.ndarray) -> Step:
        observation, reward, terminated, truncated, infos = self.vector.step(actions)
        observation = np.array(observation, dtype=np.float32)
        following = observation.copy()
        for index in np.flatnonzero(terminated | truncated):
            following[index] = infos["final_obs"][index]
        return observation, reward.astype(np.float32), terminated, truncated, following


def make(task: str, count: int) -> Environments:
    """`count` environments of `task`: our batched version where there is one, else Gymnasium's."""
    return BATCHED[task](count) if task in BATCHED else GymnasiumEnvironments(task, count)


def backend(task: str) -> str:
    return "batched" if task in BATCHED else "gymnasium"


def spaces(task: str) -> Spaces:
    """What the task offers. Raises InputError for an unknown task, or one with other than flat observations and simple actions."""
    try:
        environments = make(task, 1)
    except gymnasium.error.Error as error:
        known = [name for name in gymnasium.registry if "/" not in name]
        raise InputError(f"task {task!r}: Gymnasium cannot make it{suggestion(task, known).split(' Known:')[0]} ({error})"[:400]) from error
    observation, action = environments.observation_space, environments.action_space
    if not isinstance(observation, gymnasium.spaces.Box) or len(observation.shape) != 1:
        raise InputError(f"task {task!r}: has observations {observation}; a flat Box is needed")
    if isinstance(action, gymnasium.spaces.Discrete):
        return Spaces(observation.shape[0], int(action.n), continuous=False)
    if isinstance(action, gymnasium.spaces.Box) and len(action.shape) == 1:
        return Spaces(observation.shape[0], action.shape[0], continuous=True)
    raise InputError(f"task {task!r}: has actions {action}; Discrete or a flat Box is needed")
