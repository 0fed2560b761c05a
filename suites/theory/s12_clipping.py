"""12. PPO's clipped objective: a lower bound, flat outside the clip range. Wei, PPO; Liu et al. 2020, Eq. 38-41."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from algorithms import maxent
from algorithms.pairs import ppo
from algorithms.policies import Categorical
from suites.theory.problems import Problem, distance, draw, excess, gradient, make_ppo, over
from suites.theory.statement import Errors, Mutant, Statement

ARMS = ("ppo", "ppo-bonus", "sppo-38", "sppo-40", "sppo-38-baselines", "sppo-40-baselines")


def check(cases: int, seed: int) -> Errors:
    def one(p: Problem) -> Errors:
        clip = float(0.02 + 0.6 * torch.rand(1, generator=p.generator))
        size = 10 ** (-2 + 2 * torch.rand(p.count, 1, 1, generator=p.generator, dtype=torch.float64))
        leaf = (p.logits + size * p.normal(*p.logits.shape)).requires_grad_()
        new, old = torch.log_softmax(leaf, -1), p.log_policy
        mean, deviation = p.normal(p.count, 1), p.normal(p.count, 1).exp()
        estimate, alpha = (p.q - mean.unsqueeze(2)) / deviation.unsqueeze(2), (p.tau / deviation).unsqueeze(2)
        ratio = (new - old).exp()
        entropy = -(new.exp() * new).sum(-1, keepdim=True)

        rows = leaf.repeat_interleave(p.actions, 1).flatten(0, 1).unsqueeze(1)
        action = torch.arange(p.actions).repeat(p.count, p.states, 1).view(-1, 1)
        scale = [each.repeat_interleave(p.states * p.actions, 0) for each in (mean, deviation, p.tau)]
        samples = action, old.reshape(-1, 1), p.q.reshape(-1, 1), *scale

        def objective(arm: str) -> Tensor:
            """What the arm maximizes, for every state and action [N, S, A]."""
            loss, _ = make_ppo(p, arm, clip=clip).policy_loss(Categorical(rows), *samples)
            return -loss.view_as(new)

        def slope(arm: str) -> Tensor:
            """What its logits climb by, for every state and action [N, S, A, A]: the code that trains."""
            policy = Categorical(rows.detach())
            slopes = make_ppo(p, arm, clip=clip).policy_slope(policy, *samples)
            return -policy.slope(action, *slopes).view(*new.shape, p.actions)

        def clipped(advantage: Tensor) -> Tensor:
            """Liu et al. 2020, Eq. 38 without its entropy, with Eq. 39's g written as it stands there."""
            return torch.minimum(
                ratio * advantage, torch.where(advantage > 0, (1 + clip) * advantage, (1 - clip) * advantage)
            )

        found = objective("ppo")
        flat = torch.where(estimate > 0, ratio > 1 + clip, ratio < 1 - clip)
        taken = slope("ppo")
        slopes, steep = taken * flat.unsqueeze(3), (taken * ~flat.unsqueeze(3)).sum(2)
        temperature = p.tau.unsqueeze(2)
        value, before, target = (p.normal(p.count, 6) for _ in range(3))
        learner, value = make_ppo(p, "ppo", clip=clip), value.requires_grad_()
        error = learner.value_loss(value, before, target)
        kept = before + (value - before).clamp(-clip, clip)
        return {
            **{
                f"the slope of {arm}'s loss": distance(slope(arm).sum(2), gradient(objective(arm), leaf))
                for arm in ARMS
            },
            "the slope of the value loss": distance(
                learner.value_slope(value.detach(), before, target), gradient(error, value)
            ),
            "lower bound": excess(found, ratio * estimate),
            "zero gradient where flat": slopes.abs().flatten(1).amax(1),
            "unclipped gradient elsewhere": distance(steep, gradient(ratio * estimate * ~flat, leaf)),
            "Eq. 38-39 without entropy": distance(found, clipped(estimate)),
            "Eq. 38, sppo-38": distance(objective("sppo-38"), clipped(estimate) + alpha * entropy),
            "Eq. 40-41, sppo-40": distance(objective("sppo-40"), clipped(estimate - alpha * old)),
            **{
                f"Eq. 38's bonus, not scaled: {arm}": distance(
                    objective(arm), clipped(estimate) + temperature * entropy
                )
                for arm in ("ppo-bonus", "sppo-38-baselines")
            },
            "Eq. 40-41, not scaled: sppo-40-baselines": distance(
                objective("sppo-40-baselines"), clipped(estimate - temperature * old)
            ),
            "value loss: the larger of two": distance(
                error, 0.5 * torch.maximum((value - target) ** 2, (kept - target) ** 2).mean(1)
            ),
        }

    return over(draw(cases, seed, 12), one)


def with_torch_min(change: Any) -> Any:
    """PPO's policy loss of its hard arm with another function for the minimum."""

    def make(right: Any) -> Any:
        def changed(
            self: ppo.PPO, policy: Categorical, action: Tensor, old: Tensor, advantage: Tensor, *scale: Tensor
        ) -> tuple[Tensor, Tensor]:
            mean, deviation, _ = scale
            if self.bonus or self.log_policy:
                return right(self, policy, action, old, advantage, *scale)  # type: ignore[no-any-return]
            ratio, standard = (policy.log_prob(action) - old).exp(), (advantage - mean) / deviation
            inner = change(ratio * standard, ratio.clamp(1 - self.settings.clip, 1 + self.settings.clip) * standard)
            return -inner.mean(1), ratio

        return changed

    return make


def unclipped(right: Any) -> Any:
    def changed(self: ppo.PPO, policy: Categorical, action: Tensor, old: Tensor, *rest: Tensor) -> Any:
        by_log_prob, by_entropy = right(self, policy, action, policy.log_prob(action), *rest)  # at ratio 1
        return by_log_prob * (policy.log_prob(action) - old).exp(), by_entropy

    return changed


def plus_log_policy(right: Any) -> Any:
    def changed(
        self: ppo.PPO, policy: Categorical, action: Tensor, old: Tensor, advantage: Tensor, *scale: Tensor
    ) -> Any:
        mean, deviation, tau = scale
        if self.log_policy:
            advantage = advantage + 2 * deviation * self.scaled(self.log_policy, tau, deviation) * old
        return right(self, policy, action, old, advantage, mean, deviation, tau)

    return changed


STATEMENT = Statement(
    number=12,
    name="PPO's clipped objective",
    title="The minimum makes PPO's clipped objective a lower bound of the unclipped one; where the clip acts its gradient is exactly 0.",
    formula=r"\min( r_\theta A, \operatorname{clip}( r_\theta, 1 - \varepsilon, 1 + \varepsilon ) A ) \le r_\theta A",
    source="Wei, proximal policy optimization; Liu, Gu, Liu 2020, Eq. 33, 38-41",
    computed=(
        "All state-action pairs of random policies, near and far; objectives and slopes of PPO's arms at random mean and deviation; "
        "its clipped value loss."
    ),
    tolerance=1e-13,
    reason="float64 rounding (2e-16) of a few products; ratios here stay below 1e4",
    check=check,
    mutants=(
        Mutant("maximum for minimum", ppo.PPO, "policy_loss", with_torch_min(torch.maximum)),
        Mutant("clipped term alone", ppo.PPO, "policy_loss", with_torch_min(lambda plain, clipped: clipped)),
        Mutant("no clip", ppo.PPO, "policy_loss", with_torch_min(lambda plain, clipped: plain)),
        Mutant("a slope where the clip acts", ppo.PPO, "policy_slope", unclipped),
        Mutant(
            "a slope where the value's clip acts",
            ppo.PPO,
            "value_slope",
            lambda right: lambda self, value, old, target: (value - target) / value.shape[1],
        ),
        Mutant("entropy with the wrong sign", maxent, "entropy", lambda right: lambda log_policy: -right(log_policy)),
        Mutant(
            "Liu et al. Eq. 41 with + for −",
            ppo.PPO,
            "policy_loss",
            plus_log_policy,
        ),
    ),
)
