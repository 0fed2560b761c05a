"""5. The soft policy gradient theorem: Eq. 19 = Eq. 20 = the gradient of J. Liu et al. 2020, section 3."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from algorithms import maxent, tabular
from algorithms.pairs import ppo
from algorithms.policies import Categorical
from suites.theory.problems import (
    SMALL,
    Paths,
    Problem,
    distance,
    draw,
    enumerate_paths,
    exact_value,
    gradient,
    make_ppo,
    over,
    rows_of,
)
from suites.theory.statement import SUMMED, Errors, Mutant, Statement

STEPS, TRACE = 2, 0.9


def ppo_gradient(p: Problem, paths: Paths, arm: str, value: Tensor) -> tuple[Tensor, Tensor]:
    """Expected gradient [N, S, A] of the arm's policy objective at the old policy, advantages from its own `returns` with exact V;
    and by how much its value target misses V in expectation [N, S].
    """
    learner = make_ppo(p, arm, TRACE)
    rollout = paths.rollout(p.states)
    table = rows_of(p.logits, paths)
    old = Categorical(torch.bmm(rollout.observation.squeeze(2), table))
    values = rows_of(value, paths)
    now = values.gather(1, rollout.observation.squeeze(2).argmax(-1)).unsqueeze(-1)
    following = values.gather(1, rollout.next_observation.squeeze(2).argmax(-1)).unsqueeze(-1)
    advantage, target = learner.returns(rollout, rollout.reward, old, now, following)
    leaf = p.logits.clone().requires_grad_()
    policy = Categorical(leaf[:, paths.state[:, 0]].flatten(0, 1).unsqueeze(1))
    action = rollout.action[:, 0]
    loss, _ = learner.policy_loss(policy, action, policy.log_prob(action).detach(), advantage[:, 0])
    bias = torch.zeros_like(value).index_add(
        1, paths.state[:, 0], paths.weight * (target - now)[:, 0].view(p.count, -1)
    )
    return -gradient(paths.weight * loss.view(p.count, -1), leaf), bias


def check(cases: int, seed: int) -> Errors:
    def one(p: Problem) -> Errors:
        leaf = p.logits.clone().requires_grad_()
        errors: Errors = {}
        visits = tabular.occupancy(p.mdp, p.log_policy) / (1 - p.discount)
        paths = enumerate_paths(p.mdp, p.log_policy, STEPS, visits)
        arms = {
            "Eq. 19: sppo-38": (p.temperature, "sppo-38"),
            "Eq. 20: sppo-40": (p.temperature, "sppo-40"),
            "hard: ppo": (0.0, "ppo"),
        }
        for name, (tau, arm) in arms.items():
            value = exact_value(p, torch.log_softmax(leaf, -1), tau, 0.0)
            expected = gradient((p.mdp.start * value).sum(-1), leaf)
            found, bias = ppo_gradient(p, paths, arm, value.detach())
            errors[f"{name} is the gradient of J"] = distance(found, expected, 1 + tau)
            errors[f"{name}, value target is V in expectation"] = distance(
                bias, torch.zeros_like(bias), 1 + value.abs().amax(1).detach()
            )
        return errors

    return over(draw(cases, seed, 5, SMALL, layouts=False), one)


def no_bonus(right: Any) -> Any:
    def changed(self: ppo.PPO, *arguments: Any) -> Any:
        kept, self.bonus = self.bonus, False
        try:
            return right(self, *arguments)
        finally:
            self.bonus = kept

    return changed


def bonus_by_action(right: Any) -> Any:
    def changed(self: ppo.PPO, policy: Categorical, *arguments: Any) -> Any:
        loss, ratio = right(self, policy, *arguments)
        return loss - (self.spaces.actions - 1) * self.bonus * self.settings.temperature * policy.entropy().mean(
            1
        ), ratio

    return changed


STATEMENT = Statement(
    number=5,
    name="soft policy gradient theorem",
    title="Soft policy gradient theorem: Eq. 19 = Eq. 20 = the gradient of the entropy-regularized return, under discounted visits.",
    formula=(
        r"\nabla J = \sum_s \eta(s) \left( \sum_a q_\pi(s, a) \nabla \pi(a|s) + \alpha \nabla H(s) \right)"
        r" = \sum_s \eta(s) \sum_a [ q_\pi(s, a) - \alpha \log \pi(a|s) ] \nabla \pi(a|s)"
    ),
    source="Liu, Gu, Liu 2020, Eq. 19-20; the code's Eq. 35-41",
    computed="All two-step paths weighted by discounted visits; advantages and loss of PPO's arms at the old policy; autodiff of J.",
    tolerance=1e-10,
    reason=SUMMED,
    check=check,
    mutants=(
        Mutant(
            "descent on the objective",
            ppo.PPO,
            "policy_loss",
            lambda right: lambda *arguments: tuple(-each for each in right(*arguments)),
            "Liu, Gu, Liu 2020, Algorithm 1, line 9: θ ← θ − λ∇L with L of Eq. 38 or 40, which is maximized",
            "θ ← θ + λ∇L",
        ),
        Mutant(
            "α∇H inside the sum over actions, so that each action counts it",
            ppo.PPO,
            "policy_loss",
            bonus_by_action,
            "Liu, Gu, Liu 2020, Eq. 11-19: Σ_a [q ∇π + α∇H]",
            "Σ_a [q ∇π] + α∇H",
        ),
        Mutant("Eq. 19 without α∇H", ppo.PPO, "policy_loss", no_bonus),
        Mutant("entropy with the wrong sign", maxent, "entropy", lambda right: lambda log_policy: -right(log_policy)),
        Mutant(
            "no γ in the advantage",
            ppo,
            "gae",
            lambda right: (
                lambda reward, v, after, ended, cut, discount, trace: right(reward, v, after, ended, cut, 1.0, trace)
            ),
        ),
        Mutant(
            "`done` on time limits",
            ppo,
            "gae",
            lambda right: (
                lambda reward, v, after, ended, cut, discount, trace: right(
                    reward, v, after, ended | cut, cut, discount, trace
                )
            ),
        ),
        Mutant(
            "visits not discounted: the first state alone",
            tabular,
            "occupancy",
            lambda right: lambda mdp, log_policy: mdp.start,
        ),
    ),
)
