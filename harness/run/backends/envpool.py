"""EnvPool's native environments (an optional extra), one thread: workers are the parallel axis.

Its task of a name is its own implementation; results of another backend are not comparable bit for bit, and a suite names the backend.
Its MuJoCo does not tell when it has reset a bad state by itself: prefer the gymnasium backend where that may happen.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import envpool
import gymnasium
import numpy as np

from harness.run.environments import Step


class EnvPoolEnvironments:
    limit, frames = 1, 1

    def __init__(self, task: str, count: int) -> None:
        self.task, self.count = task, count
        self.pool = self._pool([0] * count)
        self.observation_space = self.pool.observation_space
        self.action_space = self.pool.action_space

    def _pool(self, seeds: list[int]) -> Any:
        return envpool.make_gymnasium(self.task, num_envs=self.count, num_threads=1, seed=seeds)

    def reset(self, seeds: Sequence[int]) -> np.ndarray:
        self.pool = self._pool([seed % 2**31 for seed in seeds])  # seeds are taken at construction alone
        return np.array(self.pool.reset()[0], dtype=np.float32)

    def step(self, actions: np.ndarray) -> Step:
        following, reward, terminated, truncated, _ = self.pool.step(actions)
        following = np.array(following, dtype=np.float32)
        observation = following.copy()
        ended = np.flatnonzero(terminated | truncated).astype(np.int32)
        if len(ended):
            observation[ended] = self.pool.reset(ended)[0]
        return observation, reward.astype(np.float32), terminated, truncated, following

    def faults(self) -> np.ndarray:
        return np.zeros(self.count, dtype=np.bool_)


# Of EnvPool's own spaces, at every construction.
warnings.filterwarnings("ignore", message=".*precision lowered by casting to float32")


def make(task: str, count: int) -> EnvPoolEnvironments:
    """`count` environments of `task`. Raises gymnasium.error.Error for an unknown one."""
    if task not in envpool.list_all_envs():
        raise gymnasium.error.NameNotFound(f"{task} is no task of EnvPool")
    return EnvPoolEnvironments(task, count)
