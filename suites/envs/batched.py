"""Many copies of one task at once: their seeds, episodes and time limits.

An environment's numbers do not depend on how many others there are or on its place among them: each owns a generator, and no operation
mixes environments.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.utils import seeding
from numpy.typing import ArrayLike, NDArray

__all__ = ["BatchedEnv", "Bools", "Float32s", "make"]

Float32s = NDArray[np.float32]
Bools = NDArray[np.bool_]


class BatchedEnv(ABC):
    """`count` copies of one task. A subclass adds starts, rules and observations."""

    id: ClassVar[str]
    limit: int  # steps; the episode is truncated there
    frames: ClassVar[int] = 1  # of an observation: it stands alone

    def __init__(self, count: int, observation_space: gymnasium.Space[Any], action_space: gymnasium.Space[Any]) -> None:
        if count < 1:
            raise ValueError(f"{self.id}: at least one environment is needed, not {count}")
        self.observation_space, self.action_space = observation_space, action_space
        self.count = count
        self.elapsed: NDArray[np.int64] = np.zeros(count, dtype=np.int64)
        self.generators: list[np.random.Generator] = []
        self._action_shape = (count, *(action_space.shape or ()))

    def reset(self, seeds: Sequence[int]) -> NDArray[Any]:
        """Start every environment anew, each with its own seed; return the first observations [N, ...]."""
        if len(seeds) != self.count:
            raise ValueError(f"{self.id}: {self.count} environments need {self.count} seeds, not {len(seeds)}")
        self.seed([seeding.np_random(int(seed))[0] for seed in seeds])
        self.elapsed[:] = 0
        return self.restart(np.arange(self.count))

    def step(self, actions: ArrayLike) -> tuple[NDArray[Any], Float32s, Bools, Bools, NDArray[Any]]:
        """One step of every environment; those that end start their next episode in the same step.

        Returns `(obs, reward, terminated, truncated, final_obs)`: `obs` is what to act on next, `final_obs` is what this step led to.
        They differ only where an episode ended. All are new arrays.
        """
        if not self.generators:
            raise RuntimeError(f"{self.id}: reset before the first step")
        reward, terminated = self.advance(actions)
        self.elapsed += 1
        truncated = self.elapsed >= self.limit
        final_obs = self.observations()
        obs = final_obs.copy()
        ended = np.flatnonzero(terminated | truncated)
        if len(ended):
            self.elapsed[ended] = 0
            obs[ended] = self.restart(ended)
        return obs, reward, terminated, truncated, final_obs

    def faults(self) -> Bools:
        """None: a broken state shows in its observation."""
        return np.zeros(self.count, dtype=np.bool_)

    def seed(self, generators: list[np.random.Generator]) -> None:
        """Give each environment its generator."""
        self.generators = generators

    def _checked(self, actions: ArrayLike, dtype: type[np.generic] | None = None) -> NDArray[Any]:
        array = np.asarray(actions, dtype=dtype)
        if array.shape != self._action_shape:
            raise ValueError(f"{self.id}: actions have shape {array.shape}, expected {self._action_shape}")
        return array

    @abstractmethod
    def restart(self, which: NDArray[np.intp]) -> NDArray[Any]:
        """Put these environments at new starts, each drawn by its own generator; return their observations [M, ...]."""

    @abstractmethod
    def advance(self, actions: ArrayLike) -> tuple[Float32s, Bools]:
        """Rules only: move the state by one step, return reward and termination [N]."""

    @abstractmethod
    def observations(self) -> NDArray[Any]:
        """What every environment shows now [N, ...], as a new array."""


def make(tasks: Mapping[str, type[Any]], task: str, count: int) -> BatchedEnv:
    """`count` environments of one of `tasks`. Raises gymnasium.error.NameNotFound for another."""
    if task not in tasks:
        raise gymnasium.error.NameNotFound(f"{task} has no batched version; there are {', '.join(tasks)}")
    made: BatchedEnv = tasks[task](count)
    return made
