"""The surrogate of TRPO and the bound that justifies it. For the trpo pair. Wei, trust region policy optimization; Schulman et al. 2015."""

from __future__ import annotations

from torch import Tensor


def surrogate(log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor) -> Tensor:
    """Importance-weighted advantages ratio x A [P, B]; their mean over old visits and actions is (1 - gamma)(V_t(theta) - V_old)."""
    return (log_prob - old_log_prob).exp() * advantage


def penalty_coefficient(discount: Tensor, largest_advantage: Tensor) -> Tensor:
    """2 gamma eps/(1 - gamma)^2 [P], eps = max |A|: V >= V_t - this x max_s KL(old || new)."""
    return 2 * discount * largest_advantage / (1 - discount).square()
