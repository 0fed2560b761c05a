"""Soft and hard values, Boltzmann policies, entropy and KL: the equations, batched over any leading axes.

Convention 1 (Schulman, Wei, CMU): Q(s, a) leaves out the entropy of s itself, so V(s) = E_a[Q(s, a) - tau log pi(a|s)/ref(a|s)].
The reference policy enters as `log_reference`, the log of its probabilities [..., A] (or one number for all actions):
`log_uniform(A)` gives the KL form, 0.0 (the counting measure) the entropy form; the two differ by tau log A.
A temperature is a tensor that broadcasts with a state's values [...]; at 0, row by row, every function is its limit.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def log_uniform(actions: int) -> float:
    """Log-probability of each of `actions` actions under the uniform policy."""
    return -math.log(actions)


def soft_value(q: Tensor, temperature: Tensor, log_reference: Tensor | float = 0.0) -> Tensor:
    """V = tau log sum_a ref(a) exp(Q(s, a)/tau); tau = 0 is the limit max_a Q(s, a). q [..., A] -> [...].

    Schulman et al. 2017, Eq. 29; Wei, soft Bellman optimality.
    """
    soft = temperature * torch.logsumexp(_over(q, temperature) + log_reference, -1)
    return torch.where(temperature > 0, soft, q.amax(-1))


def log_boltzmann(q: Tensor, temperature: Tensor, log_reference: Tensor | float = 0.0) -> Tensor:
    """log pi(a|s) = log ref(a) + (Q(s, a) - V(s)) / tau, for tau > 0. q [..., A] -> [..., A]. Schulman et al. 2017, Eq. 30.

    At tau = 0 it is that of tau = 1: the limit is not defined where actions tie.
    """
    return torch.log_softmax(_over(q, temperature) + log_reference, -1)


def entropy(log_policy: Tensor) -> Tensor:
    """H(pi) in nats. log_policy [..., A], normalized -> [...]."""
    return -(log_policy.exp() * log_policy).sum(-1)


def kl(log_policy: Tensor, log_reference: Tensor | float) -> Tensor:
    """KL(pi || ref) in nats. log_policy [..., A] -> [...]. Against the uniform policy it is log A - H(pi)."""
    return (log_policy.exp() * (log_policy - log_reference)).sum(-1)


def penalty(q: Tensor, temperature: Tensor, log_reference: Tensor | float = 0.0) -> Tensor:
    """tau KL(pi_Q || ref) of the Boltzmann policy of q, 0 at tau = 0. q [..., A] -> [...].

    With the counting measure (0.0) this is -tau H(pi_Q). Schulman et al. 2017, Eq. 31.
    """
    return temperature * kl(log_boltzmann(q, temperature, log_reference), log_reference)


def _over(q: Tensor, temperature: Tensor) -> Tensor:
    """Q/tau, and Q where tau is 0."""
    return q / torch.where(temperature > 0, temperature, 1.0).unsqueeze(-1)
