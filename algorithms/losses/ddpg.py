"""Policy losses of deterministic and of reparametrized policies: DDPG, SDDPG and SAC1. For the ddpg and sac pairs.

Convention 2 (Liu) or 1: the gradients agree, since the conventions' q differ by what no action changes.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from algorithms.policies import Gaussian

Critic = Callable[[Tensor], Tensor]
"""Q(s, a) [P, B] of actions [P, B, A] at the batch's states, differentiable in the actions."""


def ddpg_policy_loss(action: Tensor, critic: Critic) -> Tensor:
    """-mean Q(s, mu(s)) [P] of a deterministic policy's actions [P, B, A]; Liu et al. 2020, Eq. 27; Wei, Theorem 1."""
    return -critic(action).mean(1)


def sddpg_policy_loss(policy: Gaussian, noise: Tensor, critic: Critic, tau: Tensor) -> Tensor:
    """Surrogate [P] whose gradient is minus Liu et al. 2020, Eq. 26 with the entropy of Eq. 28: the chain rule written out.

    grad_a q at a = mu + sigma eps, held constant, times the action, plus tau H(pi) in closed form. noise [P, B, A], tau [P, 1].
    """
    action = policy.sample(noise)
    fixed = action.detach().requires_grad_()
    with torch.enable_grad():
        (slope,) = torch.autograd.grad(critic(fixed).sum(), fixed)
    return -((slope.detach() * action).sum(-1) + tau * policy.entropy()).mean(1)


def sac1_policy_loss(policy: Gaussian, noise: Tensor, critic: Critic, tau: Tensor) -> Tensor:
    """-mean[Q(s, a) - tau log pi(a|s)] [P], a = mu + sigma eps, tau [P, 1]; Liu et al. 2020, Eq. 32 and Fig. 1, line 14."""
    action = policy.sample(noise)
    return -(critic(action) - tau * policy.log_prob(action)).mean(1)
