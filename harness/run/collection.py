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
    """Rollouts of one segment, on environments that are reset at its start. A rollout stands until the next one is collected.

    Rows are numpy's, written in place; on the CPU the rollout's tensors are the same memory.
    """

    def __init__(self, cohort: Cohort, draws: Streams) -> None:
        self.cohort, self.draws, settings = cohort, draws, cohort.learner.settings
        self.members, self.count, self.horizon = len(cohort.seeds), settings.environments, settings.horizon
        spaces, steps = cohort.spaces, (self.members, self.horizon, self.count)
        numbers = (spaces.actions,) if spaces.kind == "numbers" else ()
        places = self.horizon // spaces.limit + 2
        self.observation = np.zeros((self.members, self.horizon + 1, self.count, *spaces.observation), spaces.dtype)
        self.final = np.zeros((self.members, places, self.count, *spaces.observation), spaces.dtype)
        self.action = np.zeros((*steps, *numbers), np.float32 if numbers else np.int64)
        self.reward = np.zeros(steps, np.float32)
        self.terminated, self.truncated = np.zeros(steps, bool), np.zeros(steps, bool)
        self.episodes = Episodes(self.members, self.count)
        self._seen = [torch.from_numpy(self.observation[:, t]) for t in range(self.horizon)]
        self.walk: Tensor | None = None
        first = cohort.training.reset(draws.environment_seeds("environment", self.count))
        self.observation[:, -1] = self._own(first)

    def _own(self, values: np.ndarray) -> np.ndarray:
        """[P E, ...] -> [P, E, ...]"""
        return values.reshape(self.members, self.count, *values.shape[1:])

    @torch.no_grad()
    def collect(self, state: State, step: int, cut: bool) -> Rollout:
        """The next rollout; `cut`: it is the last of its segment, so that its last step is truncated. `step`: taken before by a member."""
        cohort, exploration = self.cohort, self.cohort.learner.exploration
        act = cohort.learner.behaviour(state, "collect", cohort.now(step))
        noise = self.draws.take("action", Draw(exploration.kind, (self.horizon, self.count, *exploration.shape)))
        self.observation[:, 0] = self.observation[:, -1]
        places = np.zeros(self.members * self.count, dtype=np.int64)
        for t, now_noise in enumerate(noise.unbind(1)):
            action = act(self._seen[t].to(cohort.device), self._correlated(now_noise)).cpu().numpy()
            self.action[:, t] = action
            flat = to_environment(cohort, action)
            observation, reward, terminated, truncated, final = cohort.training.step(flat)
            if cohort.spec.time_limit == "terminal":
                terminated = terminated | truncated
            truncated = truncated > terminated  # and not terminated
            learned = reward.clip(-1, 1) if cohort.spec.clip_rewards else reward
            self.observation[:, t + 1], self.reward[:, t] = self._own(observation), self._own(learned)
            self.terminated[:, t], self.truncated[:, t] = self._own(terminated), self._own(truncated)
            done = terminated | truncated
            if done.any():
                self._place(np.flatnonzero(truncated), final, places)
                if self.walk is not None:
                    self.walk *= torch.from_numpy(~self._own(done)).unsqueeze(-1).to(cohort.device)
            self.episodes.add(reward, done)
        if cut:  # the environments are reset next: no window may reach across
            going = ~(self.terminated[:, -1] | self.truncated[:, -1])
            self._place(np.flatnonzero(going), observation, places)
            self.truncated[:, -1] |= going
        fields = (self.observation, self.final, self.action, self.reward, self.terminated, self.truncated)
        return Rollout(*(torch.from_numpy(field).to(cohort.device) for field in fields))

    def _place(self, ended: np.ndarray, final: np.ndarray, places: np.ndarray) -> None:
        """Put what the steps of these environments led to into the next free places."""
        for index in ended:
            if places[index] == self.final.shape[1]:
                limit = self.cohort.spaces.limit
                raise RuntimeError(f"task {self.cohort.spec.task!r}: truncates more often than every {limit} steps")
            member, environment = divmod(int(index), self.count)
            self.final[member, places[index], environment] = final[index]
            places[index] += 1

    def _correlated(self, noise: Tensor) -> Tensor:
        """Of an Ornstein-Uhlenbeck process its value, which begins at 0 with each episode; all else as it is."""
        if self.cohort.learner.exploration.kind != "ornstein-uhlenbeck":
            return noise
        self.walk = noise if self.walk is None else (1 - REVERSION) * self.walk + noise
        return self.walk


def to_environment(cohort: Cohort, action: np.ndarray) -> np.ndarray:
    """Actions [P, E] or [P, E, A] as the environments take them: one row an environment, within the bounds."""
    flat = action.reshape(-1, *action.shape[2:])
    if cohort.spaces.bounds is not None:
        low, high = np.array(cohort.spaces.bounds, np.float32)
        flat = np.clip(np.nan_to_num(flat), low, high)  # a diverged member must not stop the others
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
