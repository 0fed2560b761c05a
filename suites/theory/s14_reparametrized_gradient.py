"""14. The reparametrized gradient, and SDDPG = SAC1. Liu et al. 2020, section 3.1, Eq. 26-32."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from algorithms import policies
from algorithms.pairs import ddpg
from algorithms.policies import Gaussian
from algorithms.tabular import FLOAT
from suites.theory.linear_quadratic import draw_tasks, gauss_hermite, make_ddpg, quadrature
from suites.theory.off_policy import in_training
from suites.theory.problems import TEMPERATURES, distance, gradient
from suites.theory.statement import Errors, Mutant, Statement

NODES = 8
Critic = Callable[[Tensor], Tensor]
"""Q(s, a) [P, B] of actions [P, B, A]."""


def sddpg_loss(policy: Gaussian, noise: Tensor, critic: Critic, tau: Tensor) -> Tensor:
    """[P]: rpg's (Eq. 26), and the entropy of Eq. 28 in closed form."""
    action = policy.sample(noise)
    without = make_ddpg("rpg").policy_loss(critic(action), torch.zeros_like(action[..., 0]), tau)
    return (without - tau * policy.entropy()).mean(1)


def sac1_loss(policy: Gaussian, noise: Tensor, critic: Critic, tau: Tensor) -> Tensor:
    """[P]: sddpg's own (Eq. 32)."""
    action = policy.sample(noise)
    return make_ddpg("sddpg").policy_loss(critic(action), policy.log_prob(action), tau).mean(1)


def ddpg_loss(policy: Gaussian, noise: Tensor, critic: Critic, tau: Tensor) -> Tensor:
    """[P]: ddpg's own, of the mean (Eq. 27)."""
    return make_ddpg("ddpg").policy_loss(critic(policy.mode), torch.zeros_like(noise[..., 0]), tau).mean(1)


def on_the_task(cases: int, seed: int, temperature: float) -> Errors:
    """Both losses under exact visits against autodiff of the entropy-regularized J in closed form, in gain and log sigma."""
    task = draw_tasks(cases, seed, 14)
    generator = torch.Generator().manual_seed(seed)
    log_std = torch.rand(cases, generator=generator, dtype=FLOAT) * 2 - 1.5
    noise, chance = gauss_hermite(NODES)
    state, weight = quadrature(task.visited(log_std))
    members = 2 * NODES
    gain, spread = task.gain.clone().requires_grad_(), log_std.clone().requires_grad_()
    # A member each state and draw [N 2 NODES, 1], so that they can be weighted.
    at = state.repeat_interleave(NODES, 1).reshape(-1, 1)
    mean = -gain.repeat_interleave(members).view(-1, 1, 1) * at.unsqueeze(-1)
    policy = Gaussian(mean, spread.repeat_interleave(members).view(-1, 1, 1))
    draws = noise.repeat(2 * cases).view(-1, 1, 1)
    each = (weight.unsqueeze(-1) * chance).flatten(1) / (1 - task.discount.unsqueeze(1))
    objective = task.objective(gain, spread, temperature)
    expected = torch.stack([gradient(objective, gain), gradient(objective, spread)], 1)

    def critic(actions: Tensor) -> Tensor:
        return task.q(at, actions.squeeze(-1), members, log_std, temperature)

    errors = {}
    for name, loss in (("Eq. 26 and 28, SDDPG", sddpg_loss), ("Eq. 32, SAC1", sac1_loss)):
        total = -(each * loss(policy, draws, critic, torch.tensor(temperature, dtype=FLOAT)).view(cases, -1)).sum(1)
        found = torch.stack([gradient(total, gain), gradient(total, spread)], 1)
        errors[f"{name}: the gradient of J"] = distance(found, expected, 1 + temperature)
    return errors


def elementwise(cases: int, seed: int, temperature: float) -> Errors:
    """A cubic Q of one state: gradients in mean and log sigma, draw by draw (SDDPG + score term = SAC1) and in expectation."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=FLOAT)

    size = 2
    mean, log_std = normal(cases, 1, size).requires_grad_(), (0.5 * normal(cases, 1, size)).requires_grad_()
    linear, square, cubic = normal(cases, size), normal(cases, size, size), 0.3 * normal(cases, size)
    noise, chance = gauss_hermite(NODES)
    grid = torch.cartesian_prod(noise, noise)
    weight = torch.cartesian_prod(chance, chance).prod(-1)
    count = len(grid)

    def q(actions: Tensor) -> Tensor:
        """[N, B] of actions [N, B, 2]."""
        quadratic = torch.einsum("nbi,nij,nbj->nb", actions, square, actions)
        return torch.einsum("nbi,ni->nb", actions, linear) + quadratic + torch.einsum("nbi,ni->nb", actions**3, cubic)

    def expected_gradient(loss: Callable[..., Tensor]) -> Tensor:
        """By a learner's loss: a member each draw, so that the draws can be weighted."""
        policy = Gaussian(mean.repeat_interleave(count, 0), log_std.repeat_interleave(count, 0))

        def critic(actions: Tensor) -> Tensor:
            return q(actions.view(cases, count, size)).view(-1, 1)

        tau = torch.tensor(temperature, dtype=FLOAT)
        value = weight * loss(policy, grid.repeat(cases, 1).unsqueeze(1), critic, tau).view(cases, count)
        slopes = torch.autograd.grad(value.sum(), (mean, log_std), allow_unused=True, materialize_grads=True)
        return torch.cat([each.flatten(1) for each in slopes], 1)

    # Eq. 28-29, no reparametrization: sum over actions of grad pi times [q - tau log pi], by the same exact quadrature.
    actions = (mean + log_std.exp() * grid).detach()
    policy = Gaussian(mean, log_std)
    log_prob = policy.log_prob(actions)
    score_form = (weight * log_prob * (q(actions) - temperature * log_prob.detach())).sum(1)
    by_score = torch.cat([gradient(score_form, each).flatten(1) for each in (mean, log_std)], 1)
    # CMU's and SAC's form: tau KL(pi || exp(Q/tau)/Z), whose normalizer no parameter of the policy changes.
    varied = mean + log_std.exp() * grid
    entropy = (log_std + 0.5 * torch.tensor(2 * torch.pi * torch.e, dtype=FLOAT).log()).sum(-1).squeeze(1)
    divergence = -temperature * entropy - (weight * q(varied)).sum(1)
    by_divergence = torch.cat([gradient(divergence, each).flatten(1) for each in (mean, log_std)], 1)
    sddpg, sac1, hard = (expected_gradient(loss) for loss in (sddpg_loss, sac1_loss, ddpg_loss))
    # By the mean, Eq. 26 is Eq. 27 but for what sigma^2 does with the cubic term.
    left = hard[:, :size] - 3 * cubic * (2 * log_std.detach()).exp().flatten(1)
    scale = 1 + temperature
    return {
        "Eq. 26 - Eq. 27 = 3 c σ², 0 where σ is 0": distance(sddpg[:, :size], left, scale),
        "SDDPG = SAC1, element by element": distance(sddpg, sac1, scale),
        "SDDPG = score form (Eq. 28-29)": distance(-sddpg, by_score, scale),
        "SAC1 = gradient of τ KL(π ‖ exp(Q/τ)/Z)": distance(sac1, by_divergence, scale),
    }


def check(cases: int, seed: int) -> Errors:
    found: Errors = {}
    for first, tau in enumerate(TEMPERATURES[:cases]):
        rows = torch.arange(first, cases, len(TEMPERATURES))
        key = seed * len(TEMPERATURES) + first
        parts = (part(len(rows), key, tau) for part in (on_the_task, elementwise, in_training))
        for name, error in {name: error for errors in parts for name, error in errors.items()}.items():
            found.setdefault(name, torch.zeros(cases, dtype=FLOAT))[rows] = error
    return found


STATEMENT = Statement(
    number=14,
    name="SDDPG = SAC1",
    title="The reparametrized gradient is the gradient of J, and the policy gradients of SDDPG and SAC1 are equal element by element.",
    formula=(
        r"\nabla J \propto \sum_s \rho(s) \mathbb{E}_{\varepsilon \thicksim \mathcal{N}(0, 1)}[ \nabla_\theta ( "
        r"q_\pi(s, \tilde{a}_\theta^\varepsilon) - \alpha \log \pi_\theta(\tilde{a}_\theta^\varepsilon|s) ) ]"
    ),
    source="Liu, Gu, Liu 2020, Eq. 26-32, Fig. 1 line 14; Fragkiadaki, CMU 10-703, KL form of the policy update",
    computed=(
        "Linear-quadratic tasks under exact visits against autodiff of J; cubic Q by Gauss-Hermite quadrature, exact for it; "
        "whole updates of DDPG, SDDPG and what lies between on random experience."
    ),
    tolerance=1e-11,
    reason=(
        "float64 rounding (2e-16) in closed forms that divide by 1 − γ(a − bθ)² and 1 − γ, both at least 0.01; "
        "quadrature exact to degree 15"
    ),
    check=check,
    mutants=(
        Mutant(
            "entropy with the wrong sign",
            ddpg.DDPG,
            "policy_loss",
            lambda right: lambda self, q, log_prob, tau: right(self, q, log_prob, -tau),
        ),
        Mutant(
            "entropy left out",
            ddpg.DDPG,
            "policy_loss",
            lambda right: lambda self, q, log_prob, tau: right(self, q, 0 * log_prob, tau),
        ),
        Mutant(
            "log π of a fixed action",
            Gaussian,
            "log_prob",
            lambda right: lambda self, action: right(self, action.detach()),
        ),
        Mutant(
            "the greater of two critics",
            ddpg.DDPG,
            "value",
            lambda right: lambda self, q, *rest: right(self, q.amax(1, keepdim=True), *rest),
        ),
        Mutant(
            "time goes on after the end",
            ddpg.DDPG,
            "target",
            lambda right: lambda self, reward, terminated, value: right(self, reward, terminated & False, value),
        ),
        Mutant(
            "density of u for that of tanh u",
            policies.SquashedGaussian,
            "sample_log_prob",
            lambda right: (
                lambda self, eps: (
                    right(self, eps)[0],
                    Gaussian(self.mean, self.log_std).log_prob(self.mean + self.log_std.exp() * eps),
                )
            ),
        ),
        Mutant(
            "variance for deviation",
            policies.Gaussian,
            "sample",
            lambda right: lambda self, eps: self.mean + (2 * self.log_std).exp() * eps,
        ),
        Mutant(
            "log density without log σ",
            policies.Gaussian,
            "log_prob",
            lambda right: lambda self, action: right(self, action) + self.log_std.sum(-1),
        ),
    ),
)
