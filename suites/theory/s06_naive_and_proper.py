"""6. Same loss, other value backup: the proper gradient is that of the entropy-augmented return, the naive one is not.

Liu et al. 2020, section 3; Schulman et al. 2017, section 3.6, Eq. 48-50, 79-80.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from algorithms import maxent, tabular
from algorithms.learner import Rollout
from algorithms.pairs import a2c, a3c, reinforce
from algorithms.policies import Categorical
from algorithms.population import rmsprop_state
from suites.theory.problems import (
    SMALL,
    TEMPERATURES,
    Paths,
    Problem,
    by_state,
    distance,
    draw,
    enumerate_paths,
    exact_value,
    following,
    gradient,
    make_a2c,
    make_a3c,
    make_ppo,
    make_reinforce,
    over,
    read,
    rows_of,
    spg_gradient,
)
from suites.theory.statement import SUMMED, Errors, Mutant, Plot, Statement
from suites.theory.updates import on_some, random_rollout, rmsprop_gradient, tables_of, tabulated, updated

STEPS = 2
HORIZON, ENVIRONMENTS = 4, 3  # of an update


def a2c_gradient(p: Problem, paths: Paths, arm: str, value: Tensor) -> Tensor:
    """Expected gradient [N, S, A] of the policy objective of an arm of a2c or a3c: its `returns` with exact V, its `policy_loss`."""
    learner, rollout = make_a3c(p, arm) if arm in a3c.A3C.arms else make_a2c(p, arm), paths.rollout(p.states)
    values, tau, uniform = rows_of(value, paths), rows_of(p.tau, paths), maxent.log_uniform(p.actions)
    policy = Categorical(read(rows_of(p.logits, paths), rollout.observation[:, :-1]))
    kl = maxent.kl(policy.log_policy, uniform)
    target = learner.returns(rollout, kl, following(rollout, values), tau)[:, 0]
    policy, action = Categorical(p.logits[:, paths.state[:, 0]]), paths.action[:, 0].expand(p.count, -1)
    advantage = target.view(p.count, -1) - value[:, paths.state[:, 0]]
    kl = maxent.kl(policy.log_policy, uniform)
    _, slope = learner.policy_loss(policy.log_prob(action), advantage, kl, p.tau)
    return -by_state(paths, policy.slope(action, slope, p.tau), p.states)


PAIRS = {
    "a2c": (a2c_gradient, "a2c-naive", "a2c-proper"),
    "a3c": (a2c_gradient, "a3c", "sa3c"),
    "reinforce": (spg_gradient, "pg-bonus", "spg"),
}
"""How an arm's expected gradient is had, and which are the naive and the proper one: in KL and in entropy form."""


def gradients(p: Problem, pair: str = "a2c") -> dict[str, Tensor]:
    """By the pair's code (naive, proper), by autodiff of J, and the difference that the theory predicts."""
    expected, naive, proper = PAIRS[pair]
    reference = 0.0 if pair == "reinforce" else -math.log(p.actions)
    leaf = p.logits.clone().requires_grad_()
    log_policy = torch.log_softmax(leaf, -1)
    value = exact_value(p, log_policy, p.temperature, reference)
    visits = tabular.occupancy(p.mdp, p.log_policy) / (1 - p.discount)
    paths = enumerate_paths(p.mdp, p.log_policy, STEPS, visits)
    hard = exact_value(p, p.log_policy, 0.0, reference)
    # What the naive gradient leaves out: how actions change later penalties, V_hard - V_soft, or later entropies.
    later = p.discount * torch.einsum("nsat,nt->nsa", p.mdp.transition, value.detach() - hard)
    return {
        "J": gradient((p.mdp.start * value).sum(-1), leaf),
        "proper": expected(p, paths, proper, value.detach()),
        "naive": expected(p, paths, naive, hard),
        "left out": gradient((visits.detach().unsqueeze(-1) * log_policy.exp() * later).sum((1, 2)), leaf),
    }


def in_training(p: Problem) -> Errors:
    """A whole update of each arm on random experience of several environments: the gradient that it descends, by its equation."""
    rollout, value = random_rollout(p, HORIZON, ENVIRONMENTS), p.q.amax(-1)
    observation, action = rollout.observation[:, :-1].flatten(1, 2), rollout.action.flatten(1)
    leaf, table = p.logits.clone().requires_grad_(), value.clone().requires_grad_()
    log_policy = torch.log_softmax(leaf, -1)
    penalty = p.tau * (log_policy.exp() * (log_policy + math.log(p.actions))).sum(-1)
    log_prob = read(log_policy, observation).gather(2, action.unsqueeze(2)).squeeze(2)
    errors: Errors = {}
    for arm in a2c.A2C.arms:
        learner = make_a2c(p, arm, horizon=HORIZON, environments=ENVIRONMENTS, max_gradient_norm=1e12)
        state = rmsprop_state("nets", tabulated(learner.nets, p.logits, value.unsqueeze(-1)))
        before = state["nets"].clone()
        updated(learner, p, state, rollout)
        found, by_value = tables_of(learner.nets, rmsprop_gradient(state, "nets", before))
        taken = read(penalty.detach(), rollout.observation[:, :-1]) * (arm == "a2c-proper")
        target = returns(p, rollout, value, rollout.reward - taken).flatten(1)
        policy_loss = (-log_prob * (target - read(value, observation)) + read(penalty, observation)).mean(1)
        errors[f"{arm}: what an update descends"] = distance(found, gradient(policy_loss, leaf), 1 + p.temperature)
        value_loss = 0.25 * (read(table, observation) - target).square().mean(1)
        errors[f"{arm}: what its critic descends"] = distance(by_value.squeeze(-1), gradient(value_loss, table))
    return errors


def returns(p: Problem, rollout: Rollout, value: Tensor, reward: Tensor) -> Tensor:
    """Eq. 54, corrected: rewards to the first end or the last step, then V [P, T, E]; no function of the code."""
    now, led = read(value, rollout.observation), read(value, rollout.final)
    total, place = torch.zeros_like(reward), rollout.truncated.cumsum(1) - rollout.truncated.long()
    for first in range(HORIZON):
        weight = torch.ones_like(reward[:, 0])
        for t in range(first, HORIZON):
            cut, ended = rollout.truncated[:, t], rollout.terminated[:, t]
            after = torch.where(cut, led.gather(1, place[:, t : t + 1]).squeeze(1), now[:, t + 1])
            stops = cut | ended | (t == HORIZON - 1)
            total[:, first] += weight * (reward[:, t] + p.discount * torch.where(stops & ~ended, after, 0.0))
            weight = weight * p.discount * ~stops
    return total


def check(cases: int, seed: int) -> Errors:
    def of_pair(p: Problem, pair: str) -> Errors:
        g, (_, naive, proper) = gradients(p, pair), PAIRS[pair]
        predicted, found = (each.flatten(1).norm(dim=1) for each in (g["left out"], g["J"] - g["naive"]))
        return {
            f"{proper} is the gradient of J": distance(g["proper"], g["J"], 1 + p.temperature),
            f"{naive} lacks what actions change later": distance(g["naive"] + g["left out"], g["J"], 1 + p.temperature),
            f"{naive} is not the gradient of J": ((predicted > 1e-6) & (found < predicted / 2)).double(),
        }

    def check_one(p: Problem) -> Errors:
        policy, action, advantage = Categorical(p.logits), p.q.argmax(-1), p.q[..., 0]
        log_prob, kl = policy.log_prob(action), maxent.kl(policy.log_policy, maxent.log_uniform(p.actions))
        naive, proper = (
            make_a2c(p, arm).policy_loss(log_prob, advantage, kl, p.tau)[0] for arm in ("a2c-naive", "a2c-proper")
        )

        def spg_loss(arm: str) -> Tensor:
            return make_reinforce(p, arm).policy_loss(log_prob, advantage, policy.entropy(), p.tau)[0]

        def ppo_loss(arm: str) -> Tensor:
            """Of each state, as a member's batch."""
            learner = make_ppo(p, arm)
            weight, bonus = learner.weights(advantage, log_prob + 0.1, p.tau)
            loss, _ = learner.policy_loss(torch.full_like(log_prob, -0.1).exp(), weight)
            return loss if bonus is None else loss - bonus * policy.entropy()

        return {
            **of_pair(p, "a2c"),
            **of_pair(p, "a3c"),
            **of_pair(p, "reinforce"),
            "the arms of a2c share the loss": distance(naive, proper),
            "pg-bonus and spg share the loss": distance(spg_loss("pg-bonus"), spg_loss("spg")),
            "ppo-bonus and sppo-38-baselines share the loss": distance(
                ppo_loss("ppo-bonus"), ppo_loss("sppo-38-baselines")
            ),
            **slopes_in_closed_form(p),
        }

    problems = draw(cases, seed, 6, SMALL, layouts=False)
    return over(problems, check_one) | on_some(problems, in_training)


def slopes_in_closed_form(p: Problem) -> Errors:
    """What trains against autodiff of the loss."""
    leaf, action, advantage = p.logits.clone().requires_grad_(), p.q.argmax(-1), p.q[..., 0]
    policy, learner = Categorical(leaf), make_a2c(p, "a2c-proper")
    kl = maxent.kl(policy.log_policy, maxent.log_uniform(p.actions))
    loss, slope = learner.policy_loss(policy.log_prob(action), advantage, kl, p.tau)
    found = Categorical(p.logits).slope(action, slope, p.tau)
    return {"the slope of a2c's loss": distance(found, gradient(loss, leaf))}


def figure(seed: int) -> Plot:
    gaps: dict[float, list[float]] = {tau: [] for tau in TEMPERATURES}
    for p in draw(120, seed, 6, SMALL, layouts=False):
        if p.discount > 0:
            g = gradients(p)
            gaps[p.temperature] += (
                (g["J"] - g["naive"]).flatten(1).norm(dim=1) / g["J"].flatten(1).norm(dim=1)
            ).tolist()
    points = [(tau, gap) for tau, found in gaps.items() for gap in found if gap > 1e-9]
    series = [
        {"label": "a problem with γ > 0", "x": [x for x, _ in points], "y": [y for _, y in points], "line": False}
    ]
    caption = "How much of the true gradient the naive one misses: as much as all of it at high temperatures."
    return Plot(
        "Error of the naive gradient", caption, "temperature", "‖∇J − naive‖ / ‖∇J‖", series, log_x=True, log_y=True
    )


def naive_returns(right: Any) -> Any:
    """Returns of no penalty."""
    return lambda self, rollout, kl, after, tau: right(self, rollout, kl, after, 0 * tau)


def printed_eq_49(right: Any) -> Any:
    """The gradient of a KL that multiplies the score is lost: tau grad KL is taken off again, all else is left."""
    return lambda self, action, by_log_prob, bonus=None: right(self, action, by_log_prob, None)


STATEMENT = Statement(
    number=6,
    name="naive and proper gradient",
    title=(
        "Naive and proper share the loss and differ in the value backup; only the proper gradient is that of the entropy-augmented return."
    ),
    formula=(
        r"g_\mathrm{proper} = \nabla J, \quad \nabla J - g_\mathrm{naive} = -\tau \sum_s \eta(s) \sum_a \nabla \pi(a|s) "
        r"\mathbb{E}\left[ \sum_{d \ge 1} \gamma^d \mathrm{KL}_d \right]"
    ),
    source="Schulman et al. 2017, Eq. 48-50, 79-80; Liu, Gu, Liu 2020, after Eq. 20",
    computed=(
        "All two-step paths weighted by discounted visits; returns and loss of A2C's and A3C's arms (KL) and of PG and SPG (entropy) with "
        "exact V; autodiff of J. Whole updates on random experience of three environments against the sampled equations."
    ),
    tolerance=1e-10,
    reason=SUMMED,
    check=check,
    mutants=(
        Mutant("naive for proper", a2c.A2C, "returns", naive_returns),
        Mutant("A3C for SA3C", a3c.A3C, "returns", naive_returns),
        Mutant(
            "PG with a bonus for SPG",
            reinforce.Reinforce,
            "returns",
            lambda right: lambda self, rollout, entropy, *rest: right(self, rollout, 0 * entropy, *rest),
        ),
        Mutant(
            "KL of another step where there are several environments",
            a2c.A2C,
            "returns",
            lambda right: lambda self, rollout, kl, *rest: right(self, rollout, kl.mT.reshape(kl.shape), *rest),
        ),
        Mutant("KL with the wrong sign", maxent, "kl", lambda right: lambda log_policy, ref: -right(log_policy, ref)),
        Mutant("entropy form for KL: log|A| missing", maxent, "log_uniform", lambda right: lambda actions: 0.0),
        Mutant(
            "no γ in the return",
            a2c,
            "n_step",
            lambda right: lambda reward, after, ended, cut, discount: right(reward, after, ended, cut, 1.0),
        ),
        Mutant(
            "`done` on time limits",
            a2c,
            "n_step",
            lambda right: lambda reward, after, ended, cut, discount: right(reward, after, ended | cut, cut, discount),
        ),
        Mutant(
            "KL term inside the bracket that multiplies the score, where it vanishes",
            Categorical,
            "slope",
            printed_eq_49,
            "Schulman et al. 2017, Eq. 49: ∇log π (r_0 + Σ γ^d (r − τKL) − τ∇KL)",
            "∇log π (r_t + Σ γ^d (r − τKL)) − τ∇KL",
        ),
    ),
    figure=figure,
)
