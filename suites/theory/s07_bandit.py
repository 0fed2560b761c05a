"""7. The bandit: the objective by KL to the Boltzmann policy, and the squared error's gradient. Schulman et al. 2017, Eq. 6, 13, 23."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from algorithms import maxent
from algorithms.learner import Window
from algorithms.pairs import dqn
from algorithms.tabular import FLOAT, MDP
from suites.theory.problems import Problem, distance, draw, gradient, make_dqn, over
from suites.theory.statement import EXPONENTIATED, Errors, Mutant, Statement

OUTCOMES = 3  # rewards that an action can give


def bandit(p: Problem) -> Problem:
    """The same random tables with one state, in which every step ends the episode."""
    ending = MDP(
        p.mdp.transition[:, :1, :, :1] * 0, p.mdp.reward[:, :1], p.mdp.discount, torch.ones(p.count, 1, dtype=FLOAT)
    )
    return replace(p, mdp=ending, logits=p.logits[:, :1], q=p.q[:, :1])


def loss_gradient(p: Problem, q: Tensor, rewards: Tensor, chances: Tensor, weight: Tensor) -> Tensor:
    """Gradient [N, 1, A] in q of half the DQN loss (Eq. 8), over all actions and rewards with `weight` [N, A] and `chances` [N, A, R]."""

    def rows(table: Tensor) -> Tensor:
        """A row for each action and outcome."""
        return table.repeat_interleave(p.actions * OUTCOMES, 0)

    learner, members = make_dqn(p, "soft-dqn-kl", 1, rows(p.log_reference)), p.actions * OUTCOMES
    action = torch.arange(p.actions).repeat_interleave(OUTCOMES).repeat(p.count).view(-1, 1, 1)
    seen = torch.ones(p.count * members, 1, 1, 1, dtype=FLOAT)
    ended = torch.ones_like(action, dtype=torch.bool)
    window = Window(seen, seen, action, rewards.view(-1, 1, 1), ended, ended)
    target = learner.target(window, rows(q).unsqueeze(1), rows(p.tau))
    _, slope = learner.loss(rows(q), action[:, :, 0], target)
    chance = (weight.unsqueeze(-1) * chances).detach().reshape(-1, 1, 1)
    return (0.5 * chance * slope).view(p.count, members, 1, -1).sum(1)


def check(cases: int, seed: int) -> Errors:
    def one(full: Problem) -> Errors:
        p, tau = bandit(full), full.temperature
        # Half of the tables are so flat that at low temperatures, too, every action has its probability.
        flat = (torch.arange(p.count) % 2 == 0).view(-1, 1, 1)
        q = torch.where(flat, 1 + tau * p.q, p.q)
        rewards = p.mdp.reward.squeeze(1).unsqueeze(-1) + p.normal(p.count, p.actions, OUTCOMES)
        chances = torch.softmax(p.normal(p.count, p.actions, OUTCOMES), -1)
        mean = (rewards * chances).sum(-1)

        policy = p.log_policy.exp().squeeze(1)
        kl = maxent.kl(p.log_policy, p.log_reference).squeeze(1)
        to_boltzmann = maxent.kl(p.log_policy, maxent.log_boltzmann(mean.unsqueeze(1), p.tau, p.log_reference)).squeeze(
            1
        )
        best = maxent.soft_value(mean.unsqueeze(1), p.tau, p.log_reference).squeeze(1)
        objective = (policy * mean).sum(-1) - tau * kl

        leaf = q.clone().requires_grad_()
        ratio = leaf / tau - torch.logsumexp(p.log_reference + leaf / tau, -1, keepdim=True)  # log pi/ref
        value = tau * torch.logsumexp(p.log_reference + leaf / tau, -1).squeeze(1)
        boltzmann = (ratio + p.log_reference).exp().squeeze(1)
        penalty = tau * (boltzmann * ratio.squeeze(1)).sum(-1)
        return_ = (boltzmann * mean).sum(-1) - penalty
        error = 0.5 * (value.unsqueeze(-1).unsqueeze(-1) - (rewards - penalty.detach().view(-1, 1, 1))).square()
        error = ((boltzmann.unsqueeze(-1) * chances).detach() * error).sum((1, 2))
        expected = gradient(-tau * return_ + error, leaf)
        return {
            "Eq. 6": distance(objective, best - tau * to_boltzmann, 1 + tau),
            "Eq. 13: v = E q − τ KL": distance((boltzmann * q.squeeze(1)).sum(-1) - penalty, value, 1 + tau),
            "Eq. 31: the code's τ KL": distance(maxent.penalty(q, p.tau, p.log_reference).squeeze(1), penalty, 1 + tau),
            "Eq. 23": distance(loss_gradient(p, q, rewards, chances, boltzmann.detach()), expected),
        }

    return over(draw(cases, seed, 7, layouts=False), one)


STATEMENT = Statement(
    number=7,
    name="bandit: squared error gradient",
    title="In a bandit the gradient of the squared error of q is −τ times the policy gradient plus the gradient of the value error.",
    formula=(
        r"\nabla L = -\tau \nabla \mathbb{E}[ r - \tau \mathrm{KL} ]"
        r" + \nabla \mathbb{E}\left[ \frac{1}{2} \left( v_\theta - ( r - \tau \mathrm{KL} ) \right)^2 \right]"
    ),
    source="Schulman et al. 2017, Eq. 6, 13, 23",
    computed=(
        "Expectations over all actions and rewards; the gradient of DQN's own loss; autodiff of the right-hand side; uniform and other π̄."
    ),
    tolerance=1e-10,
    reason=EXPONENTIATED,
    check=check,
    mutants=(
        Mutant("KL with the wrong sign", maxent, "kl", lambda right: lambda log_policy, ref: -right(log_policy, ref)),
        Mutant(
            "exp(q)/τ for exp(q/τ)",
            maxent,
            "soft_value",
            lambda right: lambda q, tau, ref=0.0: tau * (torch.logsumexp(q + ref, -1) - tau.log()),
            "Schulman et al. 2017, Eq. 11: v = τ log E[exp(q)/τ]",
            "v = τ log E[exp(q/τ)]",
        ),
        Mutant(
            "KL without its logarithm",
            maxent,
            "kl",
            lambda right: lambda log_policy, ref: (log_policy.exp() * (log_policy - ref).exp()).sum(-1),
            "Schulman et al. 2017, after Eq. 63 (**): E[π/π̄] = KL",
            "E[log π/π̄] = KL",
        ),
        Mutant(
            "policy without its reference",
            maxent,
            "log_boltzmann",
            lambda right: lambda q, tau, ref=0.0: right(q, tau, 0.0),
        ),
        Mutant(
            "loss with the wrong factor",
            dqn.DQN,
            "loss",
            lambda right: lambda *arguments: tuple(2 * each for each in right(*arguments)),
        ),
        Mutant(
            "an ended episode bootstraps",
            dqn.DQN,
            "target",
            lambda right: (
                lambda self, window, *rest: right(self, replace(window, terminated=window.terminated & False), *rest)
            ),
        ),
    ),
)
