"""What episodes come to beyond their returns, for tasks whose module says so: `OUTCOMES`, as suites.envs.multigoal has it.

Nothing that has no outcomes depends on this module, which is therefore no part of the identity of other results.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from algorithms.learner import Draw, State
from harness.run import environments
from harness.run.cohort import Cohort, Records
from harness.run.collection import to_environment
from harness.run.streams import Streams

EPISODES = 100
"""Of a member, by sampled actions, on each variant of its task."""

Outcomes = tuple[Callable[[np.ndarray], Mapping[str, float]], Mapping[str, str], Mapping[str, str]]
"""What is made of the observations in which episodes ended; name -> task of its variants; name -> meaning of its numbers."""


def offered(task: str, backend: str) -> Outcomes | None:
    """None where a task has none."""
    known: dict[str, Any] = getattr(importlib.import_module(environments.BACKENDS[backend]), "OUTCOMES", {})
    return known.get(task)


def meanings(task: str, backend: str) -> dict[str, str]:
    """Column -> meaning, with its unit."""
    if (its := offered(task, backend)) is None:
        return {}
    _, variants, names = its
    on = {variant: f", on {variants[variant]} (NaN: diverged)" for variant in variants}
    return {f"{name}_{variant}": meaning + on[variant] for variant in variants for name, meaning in names.items()}


def outcomes(cohort: Cohort, state: State, number: int) -> Records:
    """Column -> [P] at the end of segment `number`; {} where the task has none. Streams of its own: no other number changes."""
    if (its := offered(cohort.spec.task, cohort.spec.backend)) is None:
        return {}
    summary, variants, _ = its
    records: Records = {}
    diverged = state["diverged_at"].numpy() >= 0
    for variant, task in variants.items():
        last = _last(cohort, state, number, variant, task, ~diverged)
        found = [summary(places) for places in last.astype(np.float64)]
        for name in found[0]:
            values = np.array([each[name] for each in found])
            records[f"{name}_{variant}"] = np.where(diverged, np.nan, values)
    return records


@torch.no_grad()
def _last(cohort: Cohort, state: State, number: int, variant: str, task: str, sound: np.ndarray) -> np.ndarray:
    """The observations [P, EPISODES, *shape] in which a member's episodes ended; of those that are not `sound` the first ones."""
    members = len(cohort.seeds)
    draws = Streams(cohort.seeds, number, cohort.device)
    act = cohort.learner.behaviour(state, "sample", cohort.now(cohort.boundary(number) * cohort.quantum))
    batch = environments.make(task, cohort.spec.backend, members * EPISODES)
    exploration = Draw(cohort.learner.exploration.kind, (EPISODES, *cohort.learner.exploration.shape))
    observation = batch.reset(draws.environment_seeds(f"outcome {variant} environment", EPISODES))
    last, running = observation.copy(), np.repeat(sound, EPISODES)
    while running.any():
        noise = draws.take(f"outcome {variant} action", exploration)
        seen = torch.from_numpy(observation).view(members, EPISODES, *observation.shape[1:]).to(cohort.device)
        flat = to_environment(cohort, act(seen, noise).cpu().numpy())
        observation, _, terminated, truncated, led = batch.step(flat)
        last[running] = led[running]
        running &= ~(terminated | truncated)
    return last.reshape(members, EPISODES, *last.shape[1:])
