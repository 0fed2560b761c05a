"""Whole updates of the learners on random experience: the gradient, or the step, that trains, to be held to its equation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.learner import Learner, Metrics, Now, Rollout, State, Window
from algorithms.population import Network, adam_state
from algorithms.population.optimizers import BETAS
from algorithms.tabular import FLOAT
from suites.theory.problems import Problem, following, make_trpo, one_hot, over, read
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
    values = {name: getattr(learner.settings, name) for name in learner.settings.rows()} | {"learning_rate": rate}
    rows = {name: torch.full((problem.count,), value, dtype=FLOAT) for name, value in values.items()}
    rows["temperature"] = problem.tau.squeeze(1)
    return learner.update(state, batch, Now(torch.tensor(0), torch.tensor(0.0), rows, noise))


@dataclass(frozen=True)
class Climb:
    """A whole update of an arm of trpo on random experience: what it did, and what the step is made of, by textbook formulas."""

    before: Tensor
    """Parameters [P, K] of logits: a table of states and actions, and a bias."""
    after: Tensor
    advantage: Tensor
    """Of one step, centred [P, B], and its deviation [P, 1]."""
    deviation: Tensor
    ratio: Tensor
    """log pi/ref of the actions taken [P, B], and KL of their states, for the uniform reference."""
    kl: Tensor
    score: Tensor
    """grad log pi of each sample and action [P, B, A, K], and of the actions taken [P, B, K]."""
    taken: Tensor
    action: Tensor
    """[P, B]."""
    inputs: Tensor
    """What parameters are multiplied by [P, B, S + 1]."""
    log_policy: Tensor
    """log pi(.|s) before [P, B, A]."""
    metrics: Metrics

    def natural(self, gradient: Tensor, damping: float) -> Tensor:
        """(F + damping)^-1 g of the batch [P, K]."""
        fisher = torch.einsum("nba,nbak,nbal->nkl", self.log_policy.exp(), self.score, self.score) / self.kl.shape[1]
        system = fisher + damping * torch.eye(fisher.shape[1], dtype=FLOAT)
        solved: Tensor = torch.linalg.solve(system, gradient)
        return solved


def climb(p: Problem, arm: str, horizon: int, environments: int, soft: bool, **settings: float) -> Climb:
    """`soft`: rewards have tau H of the state, as the arm's own should."""
    size, unknowns = horizon * environments, (p.states + 1) * p.actions
    made = {"horizon": horizon, "environments": environments, "epochs": 1, "minibatches": 1, "cg_steps": 3 * unknowns}
    learner, rollout = make_trpo(p, arm, 0.0, **made, **settings), random_rollout(p, horizon, environments)
    value = p.q.amax(-1)
    state = {"actor": tabulated(learner.actor, p.logits)}
    state |= adam_state("critic", tabulated(learner.critic, value.unsqueeze(-1)))

    def parameters() -> Tensor:
        (matrix,) = learner.actor.layout.tensors(state["actor"])
        return matrix[:, 0].flatten(1).clone()

    before = parameters()
    metrics = updated(learner, p, state, rollout, minibatch=torch.arange(size).expand(p.count, 1, size))
    observation, action = rollout.observation[:, :-1].flatten(1, 2), rollout.action.flatten(1)
    log_policy = read(p.log_policy, observation)
    ratio = log_policy + torch.tensor(p.actions, dtype=FLOAT).log()
    kl = (log_policy.exp() * ratio).sum(-1)
    reward = rollout.reward
    if soft:
        reward = reward - p.tau.unsqueeze(2) * (log_policy.exp() * log_policy).sum(-1).view_as(reward)
    led = p.discount * following(rollout, value) * ~rollout.terminated
    advantage = (reward + led).flatten(1) - read(value, observation)
    inputs = torch.cat([observation, torch.ones_like(observation[..., :1])], -1)
    outputs = torch.eye(p.actions, dtype=FLOAT) - log_policy.exp().unsqueeze(2)  # d log pi(a) / d logits [P, B, A, A]
    score = torch.einsum("nbi,nbac->nbaic", inputs, outputs).flatten(3)
    chosen = action.view(*action.shape, 1, 1).expand(-1, -1, 1, unknowns)
    return Climb(
        before,
        parameters(),
        advantage - advantage.mean(1, keepdim=True),
        advantage.std(1, keepdim=True) + 1e-8,
        ratio.gather(2, action.unsqueeze(2)).squeeze(2),
        kl,
        score,
        score.gather(2, chosen).squeeze(2),
        action,
        inputs,
        log_policy,
        metrics,
    )
