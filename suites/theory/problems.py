"""Random problems for the statements, paths by enumeration, and the learners whose code is checked.

A statement's problems come in batches: the processes of a batch share size, kind, discount, temperature and kind of reference, because
the learners' code takes one discount and one temperature. Over the batches, all of them vary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algorithms import tabular
from algorithms.learner import Rollout, Spaces
from algorithms.pairs import a2c, dqn, ppo
from algorithms.tabular import FLOAT, MDP
from suites.theory.statement import Errors

TEMPERATURES = (1e-3, 1e-2, 0.1, 1.0, 10.0)
DISCOUNTS = (0.0, 0.5, 0.9, 0.99)
BATCHES = 20
SIZES = ((2, 2), (3, 4), (5, 3), (7, 2))
SMALL = ((2, 2), (3, 2), (2, 3))


@dataclass(frozen=True)
class Problem:
    """A batch of N processes with a random policy (logits [N, S, A]), a random Q [N, S, A] and a reference log ref [N, 1, A]."""

    mdp: MDP
    discount: float
    temperature: float
    uniform: bool
    log_reference: Tensor
    logits: Tensor
    q: Tensor
    generator: torch.Generator

    @property
    def log_policy(self) -> Tensor:
        return torch.log_softmax(self.logits, -1)

    @property
    def states(self) -> int:
        return self.q.shape[1]

    @property
    def actions(self) -> int:
        return self.q.shape[2]

    @property
    def count(self) -> int:
        return self.q.shape[0]

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(*shape, generator=self.generator, dtype=FLOAT)


def draw(
    cases: int, seed: int, statement: int, sizes: Sequence[tuple[int, int]] = SIZES, layouts: bool = True
) -> list[Problem]:
    """`cases` random problems in at most BATCHES batches. With `layouts` some are chains and grids, else all have the given sizes."""
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence([seed, statement]).generate_state(1)[0]))
    batches = min(BATCHES, cases)

    def spread(values: Sequence[Any]) -> list[Any]:
        """Every value in turn, in random order."""
        return [values[int(index) % len(values)] for index in torch.randperm(batches, generator=generator)]

    temperatures, discounts, chosen = spread(TEMPERATURES), spread(DISCOUNTS), spread(sizes)
    kinds = spread(("random", "deterministic", "chain", "grid") if layouts else ("random", "deterministic"))
    terminating, uniform = spread((True, False)), spread((True, False))
    problems = []
    for batch in range(batches):
        count = cases // batches + (batch < cases % batches)
        gamma, ends, (states, actions) = discounts[batch], terminating[batch], chosen[batch]
        if kinds[batch] == "chain":
            mdp = tabular.chain(generator, count, 5, gamma, 0.1, ends)
        elif kinds[batch] == "grid":
            mdp = tabular.grid(generator, count, 2, 3, gamma, 0.1, ends)
        else:
            mdp = tabular.random_mdp(generator, count, states, actions, gamma, kinds[batch] == "deterministic", ends)
        actions = mdp.reward.shape[2]
        reference = torch.randn(count, 1, actions, generator=generator, dtype=FLOAT) * (not uniform[batch])
        logits, q = (1.5 * torch.randn(mdp.reward.shape, generator=generator, dtype=FLOAT) for _ in range(2))
        log_reference = torch.log_softmax(reference, -1)
        problems.append(Problem(mdp, gamma, temperatures[batch], uniform[batch], log_reference, logits, q, generator))
    return problems


def over(problems: Sequence[Problem], check: Callable[[Problem], Errors]) -> Errors:
    """`check` on every batch; the errors of all cases by part. A part that a batch does not have counts 0 there."""
    found = [check(problem) for problem in problems]
    names = dict.fromkeys(name for errors in found for name in errors)
    return {
        name: torch.cat(
            [
                errors.get(name, torch.zeros(p.count, dtype=FLOAT)).detach()
                for errors, p in zip(found, problems, strict=True)
            ]
        )
        for name in names
    }


def distance(found: Tensor, expected: Tensor, scale: float | Tensor = 1.0) -> Tensor:
    """Largest |found - expected| of a case over scale + its largest |expected|; [N, ...] -> [N]."""
    return _largest(found - expected) / (scale + _largest(expected))


def excess(small: Tensor, large: Tensor, scale: float | Tensor = 1.0) -> Tensor:
    """By how much small <= large is violated at worst, relative to scale + the largest |large|; [N, ...] -> [N]."""
    return _largest((small - large).clamp(min=0)) / (scale + _largest(large))


def _largest(values: Tensor) -> Tensor:
    return values.detach().abs().reshape(values.shape[0], -1).amax(1)


def gradient(value: Tensor, leaf: Tensor) -> Tensor:
    """Gradient of each case's own value: value [N] (or more, summed) of leaf [N, ...]."""
    (found,) = torch.autograd.grad(value.sum(), leaf, retain_graph=True)
    return found


def one_hot(index: Tensor, size: int) -> Tensor:
    return torch.nn.functional.one_hot(index, size).to(FLOAT)


# Paths --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Paths:
    """All W paths of n steps with their probabilities [N, W]; indices [W, n] are the same for all processes.

    After a termination a path goes on in state 0, as a replay buffer or a rollout goes on with the next episode.
    """

    state: Tensor
    action: Tensor
    next_state: Tensor
    terminated: Tensor
    reward: Tensor
    weight: Tensor

    @property
    def count(self) -> int:
        return self.state.shape[0]

    def rollout(self, states: int, cut: int | None = None) -> Rollout:
        """The paths as members of a rollout [N W, n, 1], one-hot observations; truncated at the end, and at step `cut` where given."""
        members, steps = self.weight.numel(), self.state.shape[1]

        def rows(index: Tensor) -> Tensor:
            return index.expand(self.weight.shape[0], *index.shape).reshape(members, steps, 1)

        truncated = torch.zeros(members, steps, 1, dtype=torch.bool)
        truncated[:, -1] = True
        if cut is not None:
            truncated[:, cut] = True
        return Rollout(
            one_hot(rows(self.state), states),
            rows(self.action),
            self.reward.reshape(members, steps, 1),
            one_hot(rows(self.next_state), states),
            rows(self.terminated),
            truncated,
        )


def enumerate_paths(mdp: MDP, log_policy: Tensor, steps: int, initial: Tensor) -> Paths:
    """Every path of `steps` steps under the policy from `initial` [N, S], those of probability 0 left out."""
    _, states, actions = mdp.reward.shape
    policy = log_policy.detach().exp()
    outcomes = torch.cat(
        [mdp.transition, mdp.terminating.unsqueeze(-1)], -1
    )  # [N, S, A, S + 1]; the last one ends the episode
    state, weight = torch.arange(states), initial
    columns: dict[str, list[Tensor]] = {"state": [], "action": [], "next": [], "terminated": []}
    for _ in range(steps):
        now, action, outcome = (each.reshape(-1) for each in torch.meshgrid(
            torch.arange(len(state)), torch.arange(actions), torch.arange(states + 1), indexing="ij"))  # fmt: skip
        before = state[now]
        weight = weight[:, now] * policy[:, before, action] * outcomes[:, before, action, outcome]
        kept = weight.amax(0) > 0
        now, action, outcome, before, weight = now[kept], action[kept], outcome[kept], before[kept], weight[:, kept]
        state = torch.where(outcome == states, 0, outcome)
        columns = {name: [column[now] for column in earlier] for name, earlier in columns.items()}
        for name, column in (("state", before), ("action", action), ("next", state), ("terminated", outcome == states)):
            columns[name].append(column)
    tables = {name: torch.stack(each, 1) for name, each in columns.items()}
    reward = mdp.reward[:, tables["state"], tables["action"]]
    return Paths(tables["state"], tables["action"], tables["next"], tables["terminated"], reward, weight)


def rows_of(table: Tensor, paths: Paths) -> Tensor:
    """A table of each process [N, ...] for each of its paths [N W, ...]."""
    return table.unsqueeze(1).expand(-1, paths.count, *table.shape[1:]).flatten(0, 1)


# Learners -----------------------------------------------------------------------------------------------------------------


class ReferencedDQN(dqn.DQN):
    """DQN whose KL form has any reference policy, log ref [P, 1, A]."""

    reference: Tensor

    def log_reference(self) -> Any:
        return self.reference


def make_dqn(problem: Problem, arm: str, steps: int, reference: Tensor | None = None) -> dqn.DQN:
    settings = dqn.Settings(
        discount=problem.discount, temperature=problem.temperature, learning_starts=100, replay_size=100
    )
    spaces = Spaces(problem.states, problem.actions, False)
    switches = {**dqn.DQN.arms[arm].switches, "backup_steps": steps}
    if reference is None:
        return dqn.DQN(settings, spaces, 1000, **switches)
    learner = ReferencedDQN(settings, spaces, 1000, **switches)
    learner.reference = reference
    return learner


def make_a2c(problem: Problem, arm: str) -> a2c.A2C:
    settings = a2c.Settings(discount=problem.discount, temperature=problem.temperature)
    return a2c.A2C(settings, Spaces(problem.states, problem.actions, False), 1000, **a2c.A2C.arms[arm].switches)


def make_ppo(problem: Problem, arm: str, trace: float = 1.0) -> ppo.PPO:
    settings = ppo.Settings(discount=problem.discount, temperature=problem.temperature, gae_lambda=trace)
    return ppo.PPO(settings, Spaces(problem.states, problem.actions, False), 1000, **ppo.PPO.arms[arm].switches)


def table_network(name: str, table: Tensor) -> dict[str, Tensor]:
    """Parameters that make the learners' perceptron read `table` [P, S, K] at one-hot observations: a single linear layer."""
    return {f"{name}.0.weight": table, f"{name}.0.bias": torch.zeros_like(table[:, :1])}


def dqn_windows(paths: Paths, states: int, cut: int | None = None) -> dict[str, Tensor]:
    """The paths as replay windows [N W, 1, n, ...]."""
    rollout = paths.rollout(states, cut)
    fields = {name: value.squeeze(2).unsqueeze(1) for name, value in vars(rollout).items()}
    inner = rollout.truncated.clone()
    inner[:, -1] = cut == inner.shape[1] - 1  # a window's own end is no end of the episode
    return {**fields, "ends": (rollout.terminated | inner).squeeze(2).unsqueeze(1)}


def exact_value(problem: Problem, log_policy: Tensor, temperature: float, log_reference: Tensor | float) -> Tensor:
    """V of a policy [N, S] from the textbook's formulas alone: no function of maxent.py, so that it can judge them."""
    policy = log_policy.exp()
    ratio = log_policy - log_reference
    reward = (policy * (problem.mdp.reward - temperature * ratio)).sum(-1)
    kept = (policy.unsqueeze(-1) * problem.mdp.transition).sum(2)
    system = torch.eye(problem.states, dtype=FLOAT) - problem.discount * kept
    value: Tensor = torch.linalg.solve(system, reward)
    return value
