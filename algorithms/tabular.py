"""Finite Markov decision processes and their exact solvers, batched over processes, temperatures and discounts, in float64.

Shapes: N processes, S states, A actions. Policies enter as log pi(a|s) [N, S, A], references as log ref(a|s) that broadcast to it
(0.0, the counting measure, stands for the entropy form). `temperature` is a number, or [N], one a process; 0 is the hard problem.
Convention 1 (Schulman, Wei): Q(s, a) leaves out the entropy of s, so V(s) = E_a[Q(s, a)] - tau KL(pi || ref)(s).
Everything but `policy_iteration` can be differentiated. Wrong shapes or values raise ValueError.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms import maxent

FLOAT = torch.float64


@dataclass(frozen=True)
class MDP:
    """`transition` [N, S, A, S]: probability of going on to s'; what its last axis lacks to 1 ends the episode.

    `reward` [N, S, A], its mean; `discount` [N] in [0, 1); `start` [N, S], the distribution of the first state.
    """

    transition: Tensor
    reward: Tensor
    discount: Tensor
    start: Tensor

    def __post_init__(self) -> None:
        count, states, actions = self.reward.shape
        shapes = {"transition": (count, states, actions, states), "discount": (count,), "start": (count, states)}
        for name, shape in shapes.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name}: must have shape {shape}, has {tuple(getattr(self, name).shape)}")
        if bool(((self.discount < 0) | (self.discount >= 1)).any()):
            raise ValueError("discount: must be at least 0 and below 1")
        if bool((self.transition < 0).any()) or bool((self.transition.sum(-1) > 1 + 1e-12).any()):
            raise ValueError("transition: must be probabilities that sum to at most 1")
        if bool((self.start < 0).any()) or not torch.allclose(
            self.start.sum(-1), torch.ones(count, dtype=FLOAT), atol=1e-12
        ):
            raise ValueError("start: must be probabilities that sum to 1")

    @property
    def terminating(self) -> Tensor:
        """Probability that a step from (s, a) ends the episode [N, S, A]."""
        return (1 - self.transition.sum(-1)).clamp(min=0)


# Processes ----------------------------------------------------------------------------------------------------------------


def random_mdp(
    generator: torch.Generator,
    count: int,
    states: int,
    actions: int,
    discount: float,
    deterministic: bool,
    terminating: bool,
) -> MDP:
    """Rewards are standard normal. Successors are one state, or Dirichlet(1); a step ends with probability 0 to 1/2 where `terminating`."""
    shape = (count, states, actions)
    if deterministic:
        successor = torch.randint(states, shape, generator=generator)
        transition = torch.nn.functional.one_hot(successor, states).to(FLOAT)
    else:
        transition = _dirichlet(generator, (*shape, states))
    if terminating:
        transition = transition * (1 - 0.5 * torch.rand(*shape, 1, generator=generator, dtype=FLOAT))
    reward = torch.randn(shape, generator=generator, dtype=FLOAT)
    return MDP(transition, reward, torch.full((count,), discount, dtype=FLOAT), _dirichlet(generator, (count, states)))


def chain(generator: torch.Generator, count: int, states: int, discount: float, slip: float, terminating: bool) -> MDP:
    """A line of states, actions left and right; with probability `slip` the other way. Right of the last one the episode ends with
    reward 1, or goes on there where not `terminating`; each other step costs a random amount below 0.1. Starts are random."""
    moves = torch.tensor([-1, 1])
    successor = torch.arange(states)[:, None] + moves
    ends = (successor == states) & terminating
    intended = torch.nn.functional.one_hot(successor.clamp(0, states - 1), states).to(FLOAT) * ~ends.unsqueeze(-1)
    transition = (1 - slip) * intended + slip * intended.flip(1)
    arrives = (successor == states).to(FLOAT)
    cost = 0.1 * torch.rand(count, states, 2, generator=generator, dtype=FLOAT)
    reward = (1 - slip) * arrives + slip * arrives.flip(1) - cost
    start = _dirichlet(generator, (count, states))
    return MDP(transition.expand(count, -1, -1, -1), reward, torch.full((count,), discount, dtype=FLOAT), start)


def grid(
    generator: torch.Generator, count: int, height: int, width: int, discount: float, slip: float, terminating: bool
) -> MDP:
    """A grid with walls around it, actions up, down, left, right; with probability `slip` a random one of them. Entering the last cell
    gives reward 1 and ends the episode where `terminating`; each step costs a random amount below 0.1. Starts are random."""
    states = height * width
    row, column = torch.arange(states) // width, torch.arange(states) % width
    rows = torch.stack([row - 1, row + 1, row, row], 1).clamp(0, height - 1)
    columns = torch.stack([column, column, column - 1, column + 1], 1).clamp(0, width - 1)
    intended = torch.nn.functional.one_hot(rows * width + columns, states).to(FLOAT)
    moved = (1 - slip) * intended + slip * intended.mean(1, keepdim=True)
    goal = moved[..., -1]
    transition = moved.clone()
    if terminating:
        transition[..., -1] = 0
    reward = goal - 0.1 * torch.rand(count, states, 4, generator=generator, dtype=FLOAT)
    start = _dirichlet(generator, (count, states))
    return MDP(transition.expand(count, -1, -1, -1), reward, torch.full((count,), discount, dtype=FLOAT), start)


def _dirichlet(generator: torch.Generator, shape: tuple[int, ...]) -> Tensor:
    weights = -torch.rand(shape, generator=generator, dtype=FLOAT).clamp(min=1e-9).log()
    return weights / weights.sum(-1, keepdim=True)


# Values -------------------------------------------------------------------------------------------------------------------


def _column(temperature: Tensor | float) -> Tensor:
    """[N, 1], or [1, 1] of a number: beside values [N, S]."""
    return torch.as_tensor(temperature, dtype=FLOAT).view(-1, 1)


def look_ahead(mdp: MDP, value: Tensor) -> Tensor:
    """Q(s, a) = E[r + gamma V(s')] [N, S, A] of V [N, S]; an ended episode is worth 0."""
    return mdp.reward + mdp.discount.view(-1, 1, 1) * torch.einsum("nsat,nt->nsa", mdp.transition, value)


def soft_value(q: Tensor, temperature: Tensor | float, log_reference: Tensor | float = 0.0) -> Tensor:
    """Value of acting best on Q: the soft maximum, the hard one at temperature 0. [N, S, A] -> [N, S]. Wei, soft Bellman optimality."""
    return maxent.soft_value(q, _column(temperature), log_reference)


def boltzmann(q: Tensor, temperature: Tensor | float, log_reference: Tensor | float = 0.0) -> Tensor:
    """log pi of the Boltzmann policy of Q [N, S, A]. ValueError at temperature 0: the limit is not defined where actions tie."""
    if bool((torch.as_tensor(temperature) <= 0).any()):
        raise ValueError("temperature: must be above 0; the Boltzmann policy has no limit at 0 where actions tie")
    return maxent.log_boltzmann(q, _column(temperature), log_reference)


def policy_reward(
    mdp: MDP, log_policy: Tensor, temperature: Tensor | float = 0.0, log_reference: Tensor | float = 0.0
) -> Tensor:
    """E_a[r] - tau KL(pi || ref) [N, S]."""
    penalty = _column(temperature) * maxent.kl(log_policy, log_reference)
    return (log_policy.exp() * mdp.reward).sum(-1) - penalty


def policy_transition(mdp: MDP, log_policy: Tensor) -> Tensor:
    """Probability of going on from s to s' under the policy [N, S, S]."""
    return torch.einsum("nsa,nsat->nst", log_policy.exp(), mdp.transition)


def evaluate(
    mdp: MDP, log_policy: Tensor, temperature: Tensor | float = 0.0, log_reference: Tensor | float = 0.0
) -> Tensor:
    """V of a policy [N, S], hard (temperature 0) or soft: (I - gamma P_pi) V = r_pi - tau KL, solved. Wei, soft Bellman equation."""
    system = torch.eye(mdp.reward.shape[1], dtype=FLOAT) - mdp.discount.view(-1, 1, 1) * policy_transition(
        mdp, log_policy
    )
    value: Tensor = torch.linalg.solve(system, policy_reward(mdp, log_policy, temperature, log_reference))
    return value


def fixed_backup(
    mdp: MDP, q: Tensor, log_policy: Tensor, temperature: Tensor | float = 0.0, log_reference: Tensor | float = 0.0
) -> Tensor:
    """T_pi Q [N, S, A]: E[r + gamma (E_a' Q(s', a') - tau KL(s'))]. Schulman et al. 2017, Eq. 33."""
    penalty = _column(temperature) * maxent.kl(log_policy, log_reference)
    return look_ahead(mdp, (log_policy.exp() * q).sum(-1) - penalty)


def optimal_backup(
    mdp: MDP, q: Tensor, temperature: Tensor | float = 0.0, log_reference: Tensor | float = 0.0
) -> Tensor:
    """T Q [N, S, A]: E[r + gamma V_Q(s')]. Schulman et al. 2017, Eq. 39; the hard one at temperature 0."""
    return look_ahead(mdp, soft_value(q, temperature, log_reference))


def value_iteration(
    mdp: MDP,
    temperature: Tensor | float = 0.0,
    log_reference: Tensor | float = 0.0,
    tolerance: float = 1e-10,
    limit: int = 100_000,
) -> Tensor:
    """Q* [N, S, A] to within `tolerance` in the sup norm, by repeated backups. RuntimeError if `limit` of them do not suffice."""
    q = torch.zeros_like(mdp.reward)
    contraction = mdp.discount.view(-1, 1, 1)
    for _ in range(limit):
        following = optimal_backup(mdp, q, temperature, log_reference)
        step, q = (following - q).abs(), following
        # ||Q - Q*|| <= gamma/(1 - gamma) ||last step||.
        if bool((contraction / (1 - contraction) * step <= tolerance).all()):
            return q
    raise RuntimeError(f"value iteration: more than {limit} backups needed for a tolerance of {tolerance}")


def policy_iteration(
    mdp: MDP, temperature: Tensor | float = 0.0, log_reference: Tensor | float = 0.0, limit: int = 200
) -> Tensor:
    """Q* [N, S, A] by policy iteration, soft or hard, from the best reply to reward alone, until no value rises by more than rounding.

    Wei, soft policy iteration. RuntimeError if `limit` evaluations do not suffice.
    """
    tau = torch.as_tensor(temperature, dtype=FLOAT).expand(mdp.reward.shape[0])
    q, best = mdp.reward, torch.full_like(mdp.reward[..., 0], -torch.inf)
    for _ in range(limit):
        value = evaluate(mdp, best_reply(q, tau, log_reference), tau, log_reference)
        rounding = 1e-13 * (1 + value.abs().amax(1, keepdim=True)) / (1 - mdp.discount.view(-1, 1))
        done, best = bool((value - best <= rounding).all()), value
        q = look_ahead(mdp, value)
        if done:
            return q
    raise RuntimeError(f"policy iteration: more than {limit} evaluations needed")


def best_reply(q: Tensor, temperature: Tensor, log_reference: Tensor | float = 0.0) -> Tensor:
    """log pi [N, S, A] of the policy that maximizes E_a[Q] - tau KL; at temperature 0 the first of the greedy actions."""
    hard = torch.nn.functional.one_hot(q.argmax(-1), q.shape[-1]).to(FLOAT).log().clamp(min=torch.finfo(FLOAT).min)
    soft = boltzmann(q, torch.where(temperature > 0, temperature, 1.0), log_reference)
    return torch.where((temperature > 0).view(-1, 1, 1), soft, hard)


# Visits and curvature -----------------------------------------------------------------------------------------------------


def occupancy(mdp: MDP, log_policy: Tensor) -> Tensor:
    """d(s) = (1 - gamma) sum_t gamma^t P(s_t = s) [N, S]; it sums to less than 1 where episodes end. Wei, natural policy gradient."""
    discount = mdp.discount.view(-1, 1, 1)
    system = torch.eye(mdp.reward.shape[1], dtype=FLOAT) - discount * policy_transition(mdp, log_policy).mT
    visits: Tensor = torch.linalg.solve(system, mdp.start)
    return (1 - mdp.discount).unsqueeze(1) * visits


def objective(
    mdp: MDP, log_policy: Tensor, temperature: Tensor | float = 0.0, log_reference: Tensor | float = 0.0
) -> Tensor:
    """J = E[V(s_0)] [N]."""
    return (mdp.start * evaluate(mdp, log_policy, temperature, log_reference)).sum(-1)


def fisher(visits: Tensor, log_policy: Tensor, score: Tensor) -> Tensor:
    """F = E_{s ~ visits, a ~ pi}[psi psi^T] [N, K, K] of scores psi = grad log pi(a|s) [N, S, A, K]. Wei, discounted case."""
    return torch.einsum("ns,nsa,nsak,nsal->nkl", visits, log_policy.exp(), score, score)


def natural_gradient(fisher: Tensor, gradient: Tensor) -> Tensor:
    """F^+ g [N, K] of F [N, K, K] and g [N, K]; directions that F does not see (below 1e-12 of its largest eigenvalue) stay 0."""
    return torch.einsum("nkl,nl->nk", torch.linalg.pinv(fisher, rtol=1e-12, hermitian=True), gradient)
