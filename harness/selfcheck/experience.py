"""A few updates of an arm as data: what it was given by real training on the CPU in float32, so that it can be given again elsewhere."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from algorithms.learner import Draw, Draws, Kind, Learner, Metrics, Now, Rollout, Settings, Spaces, State, Use
from harness.run import environments
from harness.run.cohort import Cohort
from harness.run.spec import Spec, learner_class, make_learner
from harness.run.streams import Streams

USES: tuple[Use, ...] = ("collect", "sample", "greedy")
Map = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Task:
    """A task by its name, and whose environments it has."""

    name: str
    backend: str


@dataclass(frozen=True)
class Step:
    """One update: its batch (a Rollout or a Window), what it is told, and what acting is given after it."""

    batch: Any
    now: Now
    observation: Tensor
    noise: Tensor

    def map(self, change: Map) -> Step:
        """All of its tensors changed; `step` and `fraction` have no members."""
        batch = replace(
            self.batch, **{each.name: change(getattr(self.batch, each.name)) for each in fields(self.batch)}
        )
        rows, noise = ({name: change(each) for name, each in part.items()} for part in (self.now.rows, self.now.noise))
        return Step(batch, replace(self.now, rows=rows, noise=noise), change(self.observation), change(self.noise))

    def to(self, device: torch.device, dtype: torch.dtype) -> Step:
        """On a device, its float32 in another type."""
        moved = self.map(lambda tensor: cast(tensor, device, dtype))
        step, fraction = (cast(each, device, dtype) for each in (self.now.step, self.now.fraction))
        return replace(moved, now=replace(moved.now, step=step, fraction=fraction))


def cast(tensor: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """A copy on a device, float32 in another type; float64, whole numbers and images as they are."""
    return tensor.to(device, dtype if tensor.dtype == torch.float32 else tensor.dtype, copy=True)


def small_specs(
    pair: str, tasks: Mapping[Kind, Sequence[Task]], segments: int, updates: int, **settings: Any
) -> list[Spec]:
    """Each arm of a pair with its small settings on each task that it can take, long enough that the ring of a replay wraps.

    A task is left out where the pair itself refuses it (ValueError), as one may refuse images. Images are slow, and all that they change
    is the network, so that they are given to the first soft arm alone.
    """
    kind, found = learner_class(pair), []
    made = kind.settings_type(**{**kind.small, **settings})
    for task in (each for of in tasks if kind.actions in ("both", of) for each in tasks[of]):
        offered = environments.spaces(task.name, task.backend)
        image = len(offered.observation) == 3
        chosen = [name for name, arm in kind.arms.items() if arm.role == "soft"][:1] if image else kind.arms
        for arm in chosen:
            its = kind.arms[arm]
            if its.actions in (None, offered.kind) and (learner := _made(kind, made, offered, its.switches)):
                steps = _steps(learner, segments, updates)
                dumped = made.model_dump(mode="json")
                found.append(Spec(pair, arm, task.name, task.backend, dumped, steps, segments, 1, "bootstrap"))
    return found


def _made(kind: type[Learner], settings: Settings, spaces: Spaces, switches: Mapping[str, Any]) -> Learner | None:
    try:
        return kind(settings, spaces, switches)
    except ValueError:
        return None


def _steps(learner: Learner, segments: int, updates: int) -> int:
    """Environment steps of so many updates a segment; of a replay also once and a half its size, at the least."""
    quantum: int = learner.settings.horizon * learner.settings.environments
    needed = segments * updates
    if learner.replay is not None:
        needed = max(needed, math.ceil(1.5 * learner.replay.size / quantum))
    return -(-needed // segments) * segments * quantum


def record(spec: Spec, seeds: list[int], updates: int) -> tuple[State, list[Step]]:
    """The pair's state before the first step, and what its first updates are given."""
    cohort = Cohort(spec, seeds)
    plan = cohort.learner.replay
    first = max(1, math.ceil(plan.starts / cohort.quantum)) if plan else 1
    recorder = Recorder(cohort.learner, Streams(seeds, 0, cohort.device))
    cohort.learner = recorder  # type: ignore[assignment]
    cohort.train(cohort.initial(), Streams(seeds, 1, cohort.device), 0, first - 1 + updates)
    return recorder.before, recorder.steps[:updates]


class Recorder:
    """A learner that keeps copies of its initial state and of what its updates are given."""

    def __init__(self, learner: Learner, draws: Streams) -> None:
        self.learner, self.draws = learner, draws
        self.before: State = {}
        self.steps: list[Step] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.learner, name)

    def initial(self, draws: Draws) -> State:
        state = self.learner.initial(draws)
        self.before = {name: each.clone() for name, each in state.items()}
        return state

    def update(self, state: State, batch: Any, now: Now) -> Metrics:
        exploration = self.learner.exploration
        observation = batch.observation[:, 0] if isinstance(batch, Rollout) else batch.observation[:, :, 0]
        noise = self.draws.take("selfcheck", Draw(exploration.kind, (observation.shape[1], *exploration.shape)))
        self.steps.append(Step(batch, now, observation, noise).map(Tensor.clone))
        return self.learner.update(state, batch, now)


def play(learner: Learner, state: State, steps: Sequence[Step]) -> State:
    """Update `state` in place by these steps. Returns what was told and done: metrics and actions [P, ...] by name."""
    told: State = {}
    for number, step in enumerate(steps):
        metrics = learner.update(state, step.batch, step.now)
        told |= {f"{name} of update {number}": each for name, each in metrics.items()}
        now = replace(step.now, noise={})
        with torch.no_grad():
            for use in USES:
                told[f"{use} after update {number}"] = learner.behaviour(state, use, now)(step.observation, step.noise)
    return told


def learner_of(spec: Spec) -> Learner:
    """A fresh learner of an arm, in which nothing can be left from an earlier run."""
    return make_learner(spec, environments.spaces(spec.task, spec.backend))
