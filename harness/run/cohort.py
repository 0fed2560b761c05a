"""Training is a fold over segments: `state, records = segment(state, k)`.

At a segment's start the environments are reset and the streams begin anew, with keys (member seed, role, segment), in an unbroken
run as well. So nothing but the state has to be kept between two segments, and a stopped run ends with the bits of an unbroken one.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from algorithms.learner import Behaviour, Rollout
from algorithms.population import State
from harness.run import environments
from harness.run.spec import Spec, make_learner
from harness.run.streams import Streams

Records = dict[str, np.ndarray]
"""Column -> [P], one number a member, as in `harness.schema.results.COLUMNS` and the pair's metrics."""


class Cohort:
    """Members `seeds` of one arm on one task, in this process, on one device."""

    def __init__(self, spec: Spec, seeds: list[int], device: torch.device | str = "cpu") -> None:
        fix_arithmetic()
        self.spec, self.seeds, self.device = spec, seeds, torch.device(device)
        self.spaces = environments.spaces(spec.task, spec.backend)
        self.learner = make_learner(spec, self.spaces)
        self.quantum = self.learner.horizon * self.learner.environments
        self.training = environments.make(spec.task, spec.backend, len(seeds) * self.learner.environments)
        self.evaluation = environments.make(spec.task, spec.backend, len(seeds) * 2 * spec.episodes)

    def initial(self) -> State:
        """The state before segment 1, [P, ...]."""
        return self.learner.initial(Streams(self.seeds, 0, self.device)) | {
            "diverged_at": torch.full((len(self.seeds),), -1, dtype=torch.int64)
        }

    def boundary(self, number: int) -> int:
        """Iterations (rollout and update) up to the end of segment `number`; the last is the whole budget."""
        return self.spec.steps // self.quantum * number // self.spec.segments

    def segment(self, state: State, number: int) -> tuple[State, Records]:
        """Train segment `number` (from 1) and evaluate at its end. `state` is changed in place."""
        draws = Streams(self.seeds, number, self.device)
        last = self.boundary(number)
        records = self.train(state, draws, self.boundary(number - 1), last)
        records |= self._evaluate(state, draws, last * self.quantum)
        diverged = state["diverged_at"].numpy() >= 0
        for (
            name,
            value,
        ) in state.items():  # what follows a NaN is of no use, and its bits need not be the same in other company
            if name != "diverged_at":
                value[torch.from_numpy(diverged).to(value.device)] = 0
        for name, values in records.items():
            if values.dtype.kind == "f":
                records[name] = np.where(diverged, np.nan, values)
        members = len(self.seeds)
        records |= {
            "diverged": diverged,
            "step": np.full(members, last * self.quantum),
            "segment": np.full(members, number),
        }
        return state, records

    def train(self, state: State, draws: Streams, first: int, last: int) -> Records:
        """Iterations `first` (from 0) to `last` (excluded) on freshly reset environments. `state` is changed in place."""
        per_member = self.learner.environments
        observation = self.training.reset(draws.environment_seeds("environment", per_member))
        episodes = Episodes(len(self.seeds), per_member)
        sums: dict[str, Tensor] = {}
        counts: dict[str, int] = {}
        for iteration in range(first, last):
            step = iteration * self.quantum
            noise = self.learner.noise(draws, "action", (self.learner.horizon, per_member))
            rollout, observation = self._collect(state, observation, noise, step, episodes)
            if iteration + 1 == last:  # the environments are reset next: no window may reach across
                rollout.truncated[:, -1] |= ~rollout.terminated[:, -1]
            metrics = self.learner.update(state, rollout, draws, step)
            self._mark_divergence(state, rollout, metrics, step + self.quantum)
            for name, value in metrics.items():
                sums[name] = sums.get(name, torch.zeros_like(value)) + value
                counts[name] = counts.get(name, 0) + 1
        records: Records = {name: (total / counts[name]).double().cpu().numpy() for name, total in sums.items()}
        for name in self.learner.metrics:
            records.setdefault(name, np.full(len(self.seeds), np.nan))
        return records | episodes.records()

    def _mark_divergence(self, state: State, rollout: Rollout, metrics: dict[str, Tensor], step: int) -> None:
        """Note in `diverged_at` the members with a parameter, loss, observation or reward that is not finite, or a broken environment."""
        checked = [state["parameters"], rollout.next_observation.flatten(1), rollout.reward.flatten(1)]
        sums = [values.sum(1) for values in checked] + [
            value for name, value in metrics.items() if name.endswith("loss")
        ]
        finite = torch.isfinite(torch.stack(sums)).all(0).cpu()
        self._mark(state, ~finite.numpy() | self.training.faults().reshape(len(self.seeds), -1).any(1), step)

    @staticmethod
    def _mark(state: State, broken: np.ndarray, step: int) -> None:
        """Those of `broken` [P] that were sound before have diverged at `step`."""
        known = state["diverged_at"]
        state["diverged_at"] = torch.where((known < 0) & torch.from_numpy(broken), step, known)

    @torch.no_grad()
    def _collect(
        self, state: State, observation: np.ndarray, noise: Tensor, step: int, episodes: Episodes
    ) -> tuple[Rollout, np.ndarray]:
        """One rollout from `observation` [P E, D]; the last observation comes back with it."""
        members, count, horizon = len(self.seeds), self.learner.environments, self.learner.horizon
        act = self.learner.behaviour(state)
        actions: list[Tensor] = []
        columns: list[tuple[np.ndarray, ...]] = []
        for t, step_noise in enumerate(noise.unbind(1)):
            action = act(
                torch.from_numpy(observation).view(members, count, -1).to(self.device), step_noise, step + t * count
            )
            actions.append(action)
            following, reward, terminated, truncated, final = self.training.step(self._to_environment(action))
            columns.append((observation, reward, terminated, truncated, final))
            episodes.add(reward, terminated | truncated)
            observation = following
        shape = (horizon, members, count)
        stacked = [
            torch.from_numpy(np.stack(column)).view(*shape, *column[0].shape[1:])
            for column in zip(*columns, strict=True)
        ]
        before, rewards, ended, cut, after = (tensor.transpose(0, 1).contiguous().to(self.device) for tensor in stacked)
        if self.spec.time_limit == "terminal":
            ended = ended | cut
        return Rollout(before, torch.stack(actions, 1), rewards, after, ended, cut), observation

    def _to_environment(self, action: Tensor) -> np.ndarray:
        flat: np.ndarray = action.flatten(0, 1).cpu().numpy()
        if self.spaces.continuous:
            space = self.training.action_space
            flat = np.clip(np.nan_to_num(flat), space.low, space.high)  # a diverged member must not stop the others
        return flat

    @torch.no_grad()
    def _evaluate(self, state: State, draws: Streams, step: int) -> Records:
        """Frozen policy, own environments: the first half of a member's episodes with sampled actions, the second with greedy ones."""
        members, episodes = len(self.seeds), self.spec.episodes
        act: Behaviour = self.learner.behaviour(state)
        observation = self.evaluation.reset(draws.environment_seeds("evaluation environment", 2 * episodes))
        score, length = np.zeros((2, members * 2 * episodes))
        running = np.ones(members * 2 * episodes, dtype=bool)
        running &= np.repeat(state["diverged_at"].numpy() < 0, 2 * episodes)
        while running.any():
            noise = self.learner.noise(draws, "evaluation action", (2 * episodes,))
            noise[:, episodes:] = 0
            action = act(torch.from_numpy(observation).view(members, 2 * episodes, -1).to(self.device), noise, step)
            observation, reward, terminated, truncated, _ = self.evaluation.step(self._to_environment(action))
            score += reward * running
            length += running
            running &= ~(terminated | truncated)
        broken = ~np.isfinite(score) | self.evaluation.faults()
        self._mark(state, broken.reshape(members, -1).any(1), step)
        means = {
            "return": score.reshape(members, 2, episodes).mean(2),
            "length": length.reshape(members, 2, episodes).mean(2),
        }
        return {
            f"{name}_{mode}": mean[:, index]
            for name, mean in means.items()
            for index, mode in enumerate(("sampled", "greedy"))
        }


def fix_arithmetic() -> None:
    """Torch as every member's numbers need it: one thread, deterministic kernels.

    Denormal numbers, into which the moments of idle units decay, are flushed to zero: they are slow, and flushing is part of the numbers.
    """
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # it would write every new tensor twice
    torch.set_flush_denormal(True)


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
