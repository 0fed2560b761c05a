"""Policies over the outputs of a network: each turns noise into actions, and zero noise into the greedy action."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms import maxent


class Categorical:
    """Softmax policy of logits [..., A]. `log_policy` [..., A] is log pi(.|s)."""

    def __init__(self, logits: Tensor) -> None:
        self.log_policy = torch.log_softmax(logits, -1)

    def sample(self, noise: Tensor) -> Tensor:
        """Actions [...] (int64): the Gumbel-max trick with standard Gumbel noise [..., A]; noise 0 gives the mode."""
        return (self.log_policy + noise).argmax(-1)

    def log_prob(self, action: Tensor) -> Tensor:
        """log pi(a|s), action [...] -> [...]."""
        return self.log_policy.gather(-1, action.unsqueeze(-1)).squeeze(-1)

    def entropy(self) -> Tensor:
        """H(pi) in nats [...]."""
        return maxent.entropy(self.log_policy)


@dataclass(frozen=True)
class Gaussian:
    """Diagonal Gaussian policy. `mean` [P, B, A]; `log_std` broadcasts to it.

    The scale schemes of Liu et al. 2020, Table 1, differ in where log_std comes from: a parameter [P, 1, A] (scheme 1, global)
    or a network output [P, B, A] (schemes 2 to 4); this class serves all.
    """

    mean: Tensor
    log_std: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """Actions [P, B, A] from standard normal noise [P, B, A]; noise 0 gives the mean."""
        return self.mean + self.log_std.exp() * noise

    def log_prob(self, action: Tensor) -> Tensor:
        """log density of action [P, B, A] -> [P, B]."""
        scaled = (action - self.mean) / self.log_std.exp()
        return (-0.5 * scaled * scaled - self.log_std - 0.5 * math.log(2 * math.pi)).sum(-1)

    def entropy(self) -> Tensor:
        """Differential entropy in nats, in closed form [P, B]."""
        return (self.log_std + 0.5 * math.log(2 * math.pi * math.e)).expand_as(self.mean).sum(-1)


Policy = Categorical | Gaussian
