"""Whole updates of the learners on random experience: the gradient that trains, to be held to its equation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from algorithms.learner import Learner, Metrics, Now, Rollout, State, Window
from algorithms.population import Network
from algorithms.population.optimizers import BETAS
from algorithms.tabular import FLOAT
from suites.theory.problems import Problem, one_hot, over
from suites.theory.statement import Errors

UPDATED = 5  # batches of problems on which updates are checked: each takes milliseconds


def on_some(problems: Sequence[Problem], check: Callable[[Problem], Errors]) -> Errors:
    """`check` on the first UPDATED batches; 0 for the others' cases."""
    left = sum(p.count for p in problems[UPDATED:])
    return {
        name: torch.cat([error, torch.zeros(left, dtype=FLOAT)])
        for name, error in over(problems[:UPDATED], check).items()
    }


def random_rollout(problem: Problem, steps: int, environments: int) -> Rollout:
    """Experience of any kind: random states, actions, rewards, terminations and truncations."""
    shape, generator = (problem.count, steps, environments), problem.generator

    def states(count: int) -> Tensor:
        return one_hot(
            torch.randint(problem.states, (shape[0], count, environments), generator=generator), problem.states
        )

    action = torch.randint(problem.actions, shape, generator=generator)
    terminated, truncated = (torch.rand(shape, generator=generator) < 0.2 for _ in range(2))
    return Rollout(
        states(steps + 1), states(steps), action, problem.normal(*shape), terminated, truncated & ~terminated
    )


def tabulated(network: Network, *tables: Tensor) -> Tensor:
    """Parameters [P, n] with which a network without hidden layers reads `tables` [P, S, width], one a head, at one-hot observations."""
    flat = torch.zeros(len(tables[0]), network.engine.nets * network.layout.size, dtype=FLOAT)
    for found, table in zip(tables_of(network, flat), tables, strict=True):
        found.copy_(table)
    return flat


def tables_of(network: Network, flat: Tensor) -> list[Tensor]:
    """The tables [P, S, width] within parameters, or within a gradient by them."""
    (matrix,) = network.layout.tensors(flat)
    return [matrix[:, head, :-1, :width] for head, width in enumerate(network.heads)]


def adam_gradient(state: State, name: str) -> Tensor:
    """The gradient of the one step that Adam has taken on state[name]."""
    return state[f"{name}.adam_mean"] / (1 - BETAS[0])


def rmsprop_gradient(state: State, name: str, before: Tensor) -> Tensor:
    """The gradient of the one step that RMSProp has taken on state[name], which was `before`; with a decay of 0.99."""
    return (state[f"{name}.rms_square"] / (1 - 0.99)).sqrt() * (before - state[name]).sign()


def updated(
    learner: Learner, problem: Problem, state: State, batch: Rollout | Window, rate: float = 1e-3, **noise: Tensor
) -> Metrics:
    """One update of the learner, in place."""
    rows = {"learning_rate": torch.full((problem.count,), rate, dtype=FLOAT), "temperature": problem.tau.squeeze(1)}
    return learner.update(state, batch, Now(torch.tensor(0), torch.tensor(0.0), rows, noise))
