"""Random problems for the statements, paths by enumeration, and the learners whose code is checked.

A statement's problems come in batches: the processes of a batch share size, kind, discount, temperature and kind of reference, because
the learners' code takes one discount. Over the batches, all of them vary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algorithms import experience, tabular
from algorithms.learner import Rollout, Spaces, Window
from algorithms.pairs import a2c, a3c, dqn, impala, pgql, ppo, reinforce, trpo
from algorithms.policies import Categorical
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
    def tau(self) -> Tensor:
        """The temperature of each process [N, 1]."""
        return torch.full((self.count, 1), self.temperature, dtype=FLOAT)

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


def by_state(paths: Paths, slope: Tensor, states: int) -> Tensor:
    """Slopes [N, W, A] at the first states of paths, by their probabilities, as a gradient of each state's own [N, S, A]."""
    weighted = paths.weight.detach().unsqueeze(2) * slope
    return torch.zeros_like(weighted[:, :1]).expand(-1, states, -1).index_add(1, paths.state[:, 0], weighted)


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
            return index.expand(self.weight.shape[0], *index.shape).flatten(0, 1).unsqueeze(2)

        truncated = torch.zeros_like(self.terminated)
        truncated[:, -1] = True
        if cut is not None:
            truncated[:, cut] = True
        truncated &= ~self.terminated
        # Where truncations led, in the order of time: at the cut, where there is one, then at the end.
        first = self.next_state[:, -1 if cut is None else cut]
        final = torch.stack(
            [torch.where(truncated[:, :-1].any(1), first, self.next_state[:, -1]), self.next_state[:, -1]], 1
        )
        return Rollout(
            one_hot(rows(torch.cat([self.state, self.next_state[:, -1:]], 1)), states),
            one_hot(rows(final), states),
            rows(self.action),
            self.reward.reshape(members, steps, 1),
            rows(self.terminated),
            rows(truncated),
        )


def enumerate_paths(mdp: MDP, log_policy: Tensor, steps: int, initial: Tensor) -> Paths:
    """Every path of `steps` steps under the policy from `initial` [N, S], those of probability 0 left out."""
    _, states, actions = mdp.reward.shape
    policy = log_policy.detach().exp()
    # [N, S, A, S + 1]; the last one ends the episode.
    outcomes = torch.cat([mdp.transition, mdp.terminating.unsqueeze(-1)], -1)
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
    """DQN whose KL form has any reference policy, log ref [P, 1, 1, A]."""

    reference: Tensor

    def log_reference(self) -> Any:
        return self.reference


def make_dqn(problem: Problem, arm: str, steps: int, reference: Tensor | None = None, **settings: Any) -> dqn.DQN:
    """An arm with another number of steps; `reference`: log ref [P, 1, A] of its KL form, where it is not uniform."""
    chosen = dqn.Settings(discount=problem.discount, hidden=(), **settings)
    spaces = Spaces((problem.states,), problem.actions)
    switches = {**dqn.DQN.arms[arm].switches, "steps": steps}
    if reference is None:
        return dqn.DQN(chosen, spaces, switches)
    learner = ReferencedDQN(chosen, spaces, switches)
    learner.reference = reference.unsqueeze(1)
    return learner


def make_a2c(problem: Problem, arm: str, **settings: Any) -> a2c.A2C:
    chosen = a2c.Settings(discount=problem.discount, hidden=(), **settings)
    return a2c.A2C(chosen, Spaces((problem.states,), problem.actions), a2c.A2C.arms[arm].switches)


def make_a3c(problem: Problem, arm: str, **settings: Any) -> a3c.A3C:
    chosen = a3c.Settings(discount=problem.discount, hidden=(), **settings)
    return a3c.A3C(chosen, Spaces((problem.states,), problem.actions), a3c.A3C.arms[arm].switches)


def make_ppo(problem: Problem, arm: str, trace: float = 1.0, **settings: Any) -> ppo.PPO:
    chosen = ppo.Settings(discount=problem.discount, gae_lambda=trace, hidden=(), **settings)
    return ppo.PPO(chosen, Spaces((problem.states,), problem.actions), ppo.PPO.arms[arm].switches)


def make_impala(problem: Problem, arm: str, **settings: Any) -> impala.Impala:
    chosen = impala.Settings(discount=problem.discount, hidden=(), **settings)
    return impala.Impala(chosen, Spaces((problem.states,), problem.actions), impala.Impala.arms[arm].switches)


def make_pgql(problem: Problem, arm: str, **settings: Any) -> pgql.PGQL:
    chosen = pgql.Settings(discount=problem.discount, hidden=(), **settings)
    return pgql.PGQL(chosen, Spaces((problem.states,), problem.actions), pgql.PGQL.arms[arm].switches)


def make_reinforce(problem: Problem, arm: str, **settings: Any) -> reinforce.Reinforce:
    chosen = reinforce.Settings(discount=problem.discount, hidden=(), **settings)
    spaces = Spaces((problem.states,), problem.actions)
    return reinforce.Reinforce(chosen, spaces, reinforce.Reinforce.arms[arm].switches)


def spg_gradient(problem: Problem, paths: Paths, arm: str, value: Tensor) -> Tensor:
    """Expected gradient [N, S, A] of the objective of an arm of `reinforce`: its own `returns` with exact V, its own `policy_loss`."""
    learner, rollout = make_reinforce(problem, arm), paths.rollout(problem.states)
    values, tau = rows_of(value, paths), rows_of(problem.tau, paths)
    entropy = Categorical(read(rows_of(problem.logits, paths), rollout.observation[:, :-1])).entropy()
    target = learner.returns(rollout, entropy, following(rollout, values), tau)[:, 0].view(problem.count, -1)
    policy, action = Categorical(problem.logits[:, paths.state[:, 0]]), paths.action[:, 0].expand(problem.count, -1)
    advantage = target - value[:, paths.state[:, 0]]
    _, slope, bonus = learner.policy_loss(policy.log_prob(action), advantage, policy.entropy(), problem.tau)
    return -by_state(paths, policy.slope(action, slope, bonus), problem.states)


def make_trpo(problem: Problem, arm: str, trace: float = 1.0, **settings: Any) -> trpo.TRPO:
    chosen = trpo.Settings(discount=problem.discount, gae_lambda=trace, hidden=(), **settings)
    return trpo.TRPO(chosen, Spaces((problem.states,), problem.actions), trpo.TRPO.arms[arm].switches)


def read(table: Tensor, observation: Tensor) -> Tensor:
    """A table of each member [P, S, ...] at one-hot observations [P, ..., S] -> [P, ..., ...]."""
    state = observation.argmax(-1)
    rows = torch.arange(len(table)).view(-1, *[1] * (state.dim() - 1))
    return table[rows, state]


def following(rollout: Rollout, value: Tensor) -> Tensor:
    """V(s') [P, T, E] of a table [P, S], as the learners find it."""
    ahead = experience.ahead(rollout)
    return experience.following(rollout, read(value, rollout.observation[:, :-1]).flatten(1), read(value, ahead))


def windows(paths: Paths, states: int, cut: int | None = None) -> Window:
    """The paths as replay windows [N W, 1, n, ...]."""
    rollout = paths.rollout(states, cut)
    truncated = torch.zeros_like(rollout.truncated)  # a window's own end is no end of the episode
    if cut is not None:
        truncated[:, cut] = True
    observation = rollout.observation
    parts = observation[:, :-1], observation[:, 1:], rollout.action, rollout.reward, rollout.terminated
    return Window(*(part.transpose(1, 2) for part in (*parts, rollout.terminated | truncated)))


def exact_value(problem: Problem, log_policy: Tensor, temperature: float, log_reference: Tensor | float) -> Tensor:
    """V of a policy [N, S] from the textbook's formulas alone: no function of maxent.py, so that it can judge them."""
    policy = log_policy.exp()
    ratio = log_policy - log_reference
    reward = (policy * (problem.mdp.reward - temperature * ratio)).sum(-1)
    kept = (policy.unsqueeze(-1) * problem.mdp.transition).sum(2)
    system = torch.eye(problem.states, dtype=FLOAT) - problem.discount * kept
    value: Tensor = torch.linalg.solve(system, reward)
    return value
