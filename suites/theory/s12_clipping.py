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


def check(cases: int, seed: int) -> Errors:
    def one(p: Problem) -> Errors:
        clip = float(0.02 + 0.6 * torch.rand(1, generator=p.generator))
        size = 10 ** (-2 + 2 * torch.rand(p.count, 1, 1, generator=p.generator, dtype=torch.float64))
        leaf = (p.logits + size * p.normal(*p.logits.shape)).requires_grad_()
        new, old = torch.log_softmax(leaf, -1), p.log_policy
        ratio, entropy = (new - old).exp(), -(new.exp() * new).sum(-1, keepdim=True)
        # All states and actions are a member's batch: so their mean and deviation scale the advantages.
        mean, deviation = (each.view(-1, 1, 1) for each in (p.q.flatten(1).mean(1), p.q.flatten(1).std(1) + 1e-8))
        estimate, temperature = (p.q - mean) / deviation, p.tau.unsqueeze(2)
        action = torch.arange(p.actions).repeat(p.count, p.states)

        def objective(arm: str) -> tuple[Tensor, Tensor]:
            """What the arm maximizes for every state and action [N, S, A], and what their logits climb by [N, S, A, A]."""
            learner = make_ppo(p, arm, clip=clip)
            policy = Categorical(leaf.repeat_interleave(p.actions, 1))
            weight, bonus = learner.weights(p.q.flatten(1), old.flatten(1), p.tau)
            loss, by_log_prob = learner.policy_loss((policy.log_prob(action) - old.flatten(1)).exp(), weight)
            if bonus is not None:
                loss = loss - bonus * policy.entropy()
            slope = policy.slope(action, by_log_prob, bonus)
            return -loss.view_as(new), -slope.detach().view(*new.shape, p.actions)

        def clipped(advantage: Tensor) -> Tensor:
            """Liu et al. 2020, Eq. 38 without its entropy, with Eq. 39's g written as it stands there."""
            return torch.minimum(
                ratio * advantage, torch.where(advantage > 0, (1 + clip) * advantage, (1 - clip) * advantage)
            )

        (found, taken), errors = objective("ppo"), {}
        flat = torch.where(estimate > 0, ratio > 1 + clip, ratio < 1 - clip)
        slopes, steep = taken * flat.unsqueeze(3), (taken * ~flat.unsqueeze(3)).sum(2)
        alpha = temperature / deviation
        right = {
            "sppo-38": ("Eq. 38", clipped(estimate) + alpha * entropy),
            "sppo-40": ("Eq. 40-41", clipped(estimate - alpha * old)),
            "ppo-bonus": ("Eq. 38's bonus, not scaled", clipped(estimate) + temperature * entropy),
            "sppo-38-baselines": ("Eq. 38, not scaled", clipped(estimate) + temperature * entropy),
            "sppo-40-baselines": ("Eq. 40-41, not scaled", clipped(estimate - temperature * old)),
        }
        for arm, (name, expected) in right.items():
            value, slope = objective(arm)
            errors[f"{name}: {arm}"] = distance(value, expected)
            errors[f"{name}: the slope of {arm}"] = distance(slope.sum(2), gradient(expected, leaf))
        before, target, value = p.normal(p.count, 6), p.normal(p.count, 6), p.normal(p.count, 6).requires_grad_()
        error, by_value = make_ppo(p, "ppo", clip_value=False).value_loss(value, before, target)
        kept, by_kept = make_ppo(p, "ppo", clip=clip).value_loss(value, before, target)
        near = before + (value - before).clamp(-clip, clip)
        worse = 0.5 * torch.maximum((value - target) ** 2, (near - target) ** 2)
        return errors | {
            "lower bound": excess(found, ratio * estimate),
            "zero gradient where flat": slopes.abs().flatten(1).amax(1),
            "unclipped gradient elsewhere": distance(steep, gradient(ratio * estimate * ~flat, leaf)),
            "Eq. 38-39 without entropy": distance(found, clipped(estimate)),
            "Eq. 33, the value loss": distance(error, 0.5 * (value - target) ** 2),
            "Eq. 33: its slope": distance(by_value, gradient(error, value)),
            "value clipping": distance(kept, worse),
            "value clipping: its slope": distance(by_kept, gradient(worse, value)),
        }

    return over(draw(cases, seed, 12), one)


def with_torch_min(change: Any) -> Any:
    """PPO's policy loss with another function for the minimum."""

    def changed(self: ppo.PPO, ratio: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        loss = -change(ratio * weight, ratio.clamp(1 - self.settings.clip, 1 + self.settings.clip) * weight)
        return loss, -ratio * weight * (ratio * weight <= -loss)

    return lambda right: changed


def without_clip(right: Any) -> Any:
    """The slope by log pi is kept where the clip acts."""
    return lambda self, ratio, weight: (right(self, ratio, weight)[0], -ratio * weight)


def without_value_clip(right: Any) -> Any:
    """The slope by the value is kept where its clip acts."""
    return lambda self, value, old, target: (right(self, value, old, target)[0], value - target)


def plus_log_policy(right: Any) -> Any:
    def changed(self: ppo.PPO, advantage: Tensor, old_log_prob: Tensor, tau: Tensor) -> Any:
        return right(self, advantage, -old_log_prob, tau)

    return changed


STATEMENT = Statement(
    number=12,
    name="PPO's clipped objective",
    title="The minimum makes PPO's clipped objective a lower bound of the unclipped one; where the clip acts its gradient is exactly 0.",
    formula=r"\min( r_\theta A, \operatorname{clip}( r_\theta, 1 - \varepsilon, 1 + \varepsilon ) A ) \le r_\theta A",
    source="Wei, proximal policy optimization; Liu, Gu, Liu 2020, Eq. 33, 38-41",
    computed=(
        "All state-action pairs of random policies, near and far; objectives and slopes of PPO's arms at random mean and deviation; "
        "its value loss, with value clipping as CleanRL's and without."
    ),
    tolerance=1e-13,
    reason="float64 rounding (2e-16) of a few products; ratios here stay below 1e4",
    check=check,
    mutants=(
        Mutant("maximum for minimum", ppo.PPO, "policy_loss", with_torch_min(torch.maximum)),
        Mutant("clipped term alone", ppo.PPO, "policy_loss", with_torch_min(lambda plain, clipped: clipped)),
        Mutant("no clip", ppo.PPO, "policy_loss", with_torch_min(lambda plain, clipped: plain)),
        Mutant("a slope where the clip acts", ppo.PPO, "policy_loss", without_clip),
        Mutant(
            "value loss with the wrong factor",
            ppo.PPO,
            "value_loss",
            lambda right: lambda *arguments: tuple(2 * each for each in right(*arguments)),
        ),
        Mutant("a slope where value clipping acts", ppo.PPO, "value_loss", without_value_clip),
        Mutant("entropy with the wrong sign", maxent, "entropy", lambda right: lambda log_policy: -right(log_policy)),
        Mutant(
            "Liu et al. Eq. 41 with + for −",
            ppo.PPO,
            "weights",
            plus_log_policy,
        ),
    ),
)
