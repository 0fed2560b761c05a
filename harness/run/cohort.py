"""Training is a fold over segments: `state, records = segment(state, k)`.

At a segment's start the environments are reset and the streams begin anew, with keys (member seed, role, segment), in an unbroken
run as well. So nothing but the state has to be kept between two segments, and a stopped run ends with the bits of an unbroken one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from algorithms.learner import Draw, Metrics, Now, State
from algorithms.replay import Ring
from harness.run import environments
from harness.run.collection import Collector
from harness.run.evaluation import Evaluator
from harness.run.spec import Spec, make_learner
from harness.run.streams import Streams

Records = dict[str, np.ndarray]
"""Column -> [P], one number a member, as in `harness.schema.results.COLUMNS` and the pair's metrics."""
CHECKED = 16  # iterations between two looks at the whole state; metrics, rewards and observations are looked at in each


class Cohort:
    """Members `seeds` of one arm on one task, in this process, on one device.

    `rows`: settings in which the members differ, each a number a member; the others are those of `spec`.
    """

    def __init__(
        self,
        spec: Spec,
        seeds: list[int],
        device: torch.device | str = "cpu",
        rows: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        fix_arithmetic()
        self.spec, self.seeds, self.device = spec, seeds, torch.device(device)
        self.spaces = environments.spaces(spec.task, spec.backend)
        self.learner = make_learner(spec, self.spaces)
        settings = self.learner.settings
        self.quantum: int = settings.horizon * settings.environments
        values = {name: [getattr(settings, name)] * len(seeds) for name in settings.rows()} | dict(rows or {})
        self.rows = {name: torch.tensor(value, dtype=torch.float32).to(self.device) for name, value in values.items()}
        self.training = environments.make(spec.task, spec.backend, len(seeds) * settings.environments)
        self.evaluation = environments.make(spec.task, spec.backend, len(seeds) * len(spec.modes) * spec.episodes)
        self.replay = None
        if self.learner.replay is not None:
            segment = max(1, spec.steps // self.quantum // spec.segments * settings.horizon)
            # A segment's end truncates too.
            limit = max(1, self.spaces.limit * segment // (self.spaces.limit + segment))
            self.replay = Ring(self.learner.replay, replace(self.spaces, limit=limit), settings.environments)

    def initial(self) -> State:
        """The state before segment 1, [P, ...]."""
        state = self.learner.initial(Streams(self.seeds, 0, self.device))
        if self.replay is not None:
            state |= self.replay.empty(len(self.seeds), self.device)
        return state | {"diverged_at": torch.full((len(self.seeds),), -1, dtype=torch.int64)}

    def boundary(self, number: int) -> int:
        """Iterations (rollout and update) up to the end of segment `number`; the last is the whole budget."""
        return self.spec.steps // self.quantum * number // self.spec.segments

    def segment(self, state: State, number: int) -> tuple[State, Records]:
        """Train segment `number` (from 1) and evaluate at its end. `state` is changed in place."""
        draws = Streams(self.seeds, number, self.device)
        last = self.boundary(number)
        records = self.train(state, draws, self.boundary(number - 1), last)
        step, members = last * self.quantum, len(self.seeds)
        evaluated, broken = Evaluator(self).evaluate(state, draws, self.now(step))
        self.mark(state, broken, step)
        records |= evaluated
        diverged = state["diverged_at"].numpy() >= 0
        for name, value in state.items():
            # What follows a NaN is of no use, and its bits need not be the same in other company.
            if name != "diverged_at":
                value[torch.from_numpy(diverged).to(value.device)] = 0
        for name, values in records.items():
            if values.dtype.kind == "f":
                records[name] = np.where(diverged, np.nan, values)
        records |= {"diverged": diverged, "step": np.full(members, step), "segment": np.full(members, number)}
        return state, records

    def train(self, state: State, draws: Streams, first: int, last: int) -> Records:
        """Iterations `first` (from 0) to `last` (excluded) on freshly reset environments. `state` is changed in place."""
        collector, means = Collector(self, draws), Means(self)
        checks = Checks(self)
        for iteration in range(first, last):
            step = iteration * self.quantum
            rollout = collector.collect(state, step, cut=iteration + 1 == last)
            batches: list[Metrics] = []
            if self.replay is None:
                batches.append(self.learner.update(state, rollout, self.now(step, self._noise(draws))))
            else:
                self.replay.remember(state, rollout, step)
                stored, plan = step + self.quantum, self.replay.replay
                for _ in range(plan.updates if stored >= plan.starts else 0):
                    window = self.replay.recall(state, draws.take("replay", Draw("uniform", (plan.batch,))), stored)
                    batches.append(self.learner.update(state, window, self.now(step, self._noise(draws))))
            whole = (iteration + 1 - first) % CHECKED == 0 or iteration + 1 == last
            checks.look(state if whole else {}, rollout, batches, step + self.quantum)
            means.add(batches)
        checks.mark(state)
        return means.records() | collector.episodes.records()

    def now(self, step: int, noise: Mapping[str, Tensor] | None = None) -> Now:
        """What a pair is told at `step`."""
        fraction = torch.tensor(step / self.spec.steps, dtype=torch.float32)
        return Now(torch.tensor(step).to(self.device), fraction.to(self.device), self.rows, noise or {})

    def _noise(self, draws: Streams) -> dict[str, Tensor]:
        return {role: draws.take(role, draw) for role, draw in self.learner.randomness.items()}

    @staticmethod
    def mark(state: State, broken: np.ndarray, step: int | np.ndarray) -> None:
        """Those of `broken` [P] that were sound before have diverged at `step`."""
        known = state["diverged_at"].numpy()
        known[:] = np.where((known < 0) & broken, step, known)


def fix_arithmetic() -> None:
    """Torch as every member's numbers need it: one thread, deterministic kernels.

    Denormal numbers, into which the moments of idle units decay, are flushed to zero: they are slow, and flushing is part of the numbers.
    """
    torch.set_num_threads(1)
    # As use_deterministic_algorithms(True), which imports the compiler: seconds.
    torch.set_deterministic_debug_mode("error")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # it would write every new tensor twice
    torch.set_flush_denormal(True)


class Means:
    """Metrics [P] averaged over a segment's updates; NaN where there was none."""

    def __init__(self, cohort: Cohort) -> None:
        self.cohort = cohort
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    def add(self, batches: Sequence[Metrics]) -> None:
        for metrics in batches:
            for name, value in metrics.items():
                self.sums[name] = self.sums[name] + value if name in self.sums else value
                self.counts[name] = self.counts.get(name, 0) + 1

    def records(self) -> Records:
        found = {name: (total / self.counts[name]).double().cpu().numpy() for name, total in self.sums.items()}
        nothing = np.full(len(self.cohort.seeds), np.nan)
        return {name: found.get(name, nothing.copy()) for name in self.cohort.learner.metrics}


class Checks:
    """Members with a parameter, metric, observation or reward that is not finite, or a broken environment, and when that was seen.

    It is noted on the device: nothing here waits for it until the end.
    """

    def __init__(self, cohort: Cohort) -> None:
        self.cohort, members = cohort, len(cohort.seeds)
        self.at = torch.full((members,), -1, dtype=torch.int64, device=cohort.device)
        self.fault_at = np.full(members, -1)

    def look(self, state: State, rollout: object, batches: Sequence[Metrics], step: int) -> None:
        """`state`: what of it is to be looked at."""
        may_be_nan = {name for name, metric in self.cohort.learner.metrics.items() if not metric.finite}
        checked = [rollout.reward, rollout.observation]  # type: ignore[attr-defined]
        checked += [values for name, values in state.items() if not name.startswith("replay.")]
        sums = [values.reshape(len(values), -1).sum(1) for values in checked if values.is_floating_point()]
        sums += [value for metrics in batches for name, value in metrics.items() if name not in may_be_nan]
        broken = ~torch.isfinite(torch.stack([total.to(self.at.device).float() for total in sums])).all(0)
        self.at = torch.where(broken & (self.at < 0), step, self.at)
        faults = self.cohort.training.faults().reshape(len(self.fault_at), -1).any(1)
        self.fault_at = np.where(faults & (self.fault_at < 0), step, self.fault_at)

    def mark(self, state: State) -> None:
        """Note what was seen in `diverged_at`."""
        for at in (self.at.cpu().numpy(), self.fault_at):
            self.cohort.mark(state, at >= 0, at)
