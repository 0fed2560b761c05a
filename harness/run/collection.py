"""Experience of a cohort: environments are stepped, rows are written where they belong, episodes are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from algorithms.learner import Draw, Rollout, State

if TYPE_CHECKING:
    from harness.run.cohort import Cohort, Records
    from harness.run.streams import Streams

REVERSION = 0.15  # of Ornstein-Uhlenbeck noise to 0, a step (Lillicrap et al. 2016)


class Collector:
    """Rollouts of one segment, on environments that are reset at its start. A rollout stands until the next one is collected."""

    def __init__(self, cohort: Cohort, draws: Streams) -> None:
        self.cohort, self.draws, settings = cohort, draws, cohort.learner.settings
        members, self.count, self.horizon = len(cohort.seeds), settings.environments, settings.horizon
        spaces, steps = cohort.spaces, (members, self.horizon, self.count)
        numbers = (spaces.actions,) if spaces.kind == "numbers" else ()
        dtype = getattr(torch, spaces.dtype)
        places = self.horizon // spaces.limit + 2
        self.observation = torch.zeros(members, self.horizon + 1, self.count, *spaces.observation, dtype=dtype)
        self.final = torch.zeros(members, places, self.count, *spaces.observation, dtype=dtype)
        self.action = torch.zeros(*steps, *numbers, dtype=torch.float32 if numbers else torch.int64)
        self.reward = torch.zeros(steps)
        self.terminated, self.truncated = torch.zeros(steps, dtype=torch.bool), torch.zeros(steps, dtype=torch.bool)
        self.episodes = Episodes(members, self.count)
        self.walk: Tensor | None = None
        first = cohort.training.reset(draws.environment_seeds("environment", self.count))
        self.observation[:, -1] = self._own(first)

    def _own(self, values: np.ndarray) -> Tensor:
        """[P E, ...] -> [P, E, ...]"""
        return torch.from_numpy(values).unflatten(0, (-1, self.count))

    @torch.no_grad()
    def collect(self, state: State, step: int, cut: bool) -> Rollout:
        """The next rollout; `cut`: it is the last of its segment, so that its last step is truncated. `step`: taken before by a member."""
        cohort, learner = self.cohort, self.cohort.learner
        act = learner.behaviour(state, "collect")
        exploration = learner.exploration
        noise = self.draws.take("action", Draw(exploration.kind, (self.horizon, self.count, *exploration.shape)))
        self.observation[:, 0] = self.observation[:, -1]
        places = np.zeros(len(cohort.seeds) * self.count, dtype=np.int64)
        for t in range(self.horizon):
            now = cohort.now(step + t * self.count)
            action = act(self.observation[:, t].to(cohort.device), self._correlated(noise[:, t]), now)
            self.action[:, t] = action
            result = cohort.training.step(to_environment(cohort, self.action[:, t]))
            observation, reward, terminated, truncated, final = result
            if cohort.spec.time_limit == "terminal":
                terminated = terminated | truncated
            truncated = truncated & ~terminated
            done = terminated | truncated
            self.observation[:, t + 1], self.reward[:, t] = self._own(observation), self._own(reward)
            self.terminated[:, t], self.truncated[:, t] = self._own(terminated), self._own(truncated)
            self._place(np.flatnonzero(truncated), final, places)
            self.episodes.add(reward, done)
            if self.walk is not None and done.any():
                self.walk *= ~self._own(done).unsqueeze(-1).to(cohort.device)
        if cut:  # the environments are reset next: no window may reach across
            going = ~(self.terminated[:, -1] | self.truncated[:, -1])
            self._place(np.flatnonzero(going.numpy()), observation, places)
            self.truncated[:, -1] |= going
        fields = (self.observation, self.final, self.action, self.reward, self.terminated, self.truncated)
        return Rollout(*(field.to(cohort.device) for field in fields))

    def _place(self, ended: np.ndarray, final: np.ndarray, places: np.ndarray) -> None:
        """Put what the steps of these environments led to into the next free places."""
        for index in ended:
            if places[index] == self.final.shape[1]:
                raise RuntimeError(
                    f"task {self.cohort.spec.task!r}: truncated more often than its limit of {self.cohort.spaces.limit} steps allows"
                )
            member, environment = divmod(int(index), self.count)
            self.final[member, places[index], environment] = torch.from_numpy(final[index])
            places[index] += 1

    def _correlated(self, noise: Tensor) -> Tensor:
        """Of an Ornstein-Uhlenbeck process its value, which begins at 0 with each episode; all else as it is."""
        if self.cohort.learner.exploration.kind != "ornstein-uhlenbeck":
            return noise
        self.walk = noise if self.walk is None else (1 - REVERSION) * self.walk + noise
        return self.walk


def to_environment(cohort: Cohort, action: Tensor) -> np.ndarray:
    """Actions [P, E] or [P, E, A] as the environments take them: one row an environment, within the bounds."""
    flat: np.ndarray = action.flatten(0, 1).cpu().numpy()
    if cohort.spaces.bounds is not None:
        flat = np.clip(
            np.nan_to_num(flat), *np.float32(cohort.spaces.bounds)
        )  # a diverged member must not stop the others
    return flat


class Episodes:
    """Returns of the training episodes that end within a segment."""

    def __init__(self, members: int, count: int) -> None:
        self.running = np.zeros(members * count)
        self.member = np.repeat(np.arange(members), count)
        self.total, self.ended = np.zeros(members), np.zeros(members, dtype=np.int64)

    def add(self, reward: np.ndarray, done: np.ndarray) -> None:
        """One step of all environments: reward and done [N]."""
        self.running += reward
        if done.any():
            np.add.at(self.total, self.member[done], self.running[done])
            np.add.at(self.ended, self.member[done], 1)
            self.running[done] = 0

    def records(self) -> Records:
        mean = np.divide(self.total, self.ended, out=np.full(len(self.total), np.nan), where=self.ended > 0)
        return {"train_return": mean, "train_episodes": self.ended}
