"""Natural policy gradient, and damped soft Q-learning, which is the same step. For the npg pair.

Wei, natural policy gradient; Schulman et al. 2017, section 5.
"""

from __future__ import annotations

import torch
from torch import Tensor


def natural_gradient(fisher: Tensor, gradient: Tensor) -> Tensor:
    """F^+ g [P, K] of F [P, K, K] and g [P, K]; directions that F does not see (below 1e-12 of its largest eigenvalue) stay 0."""
    return torch.einsum("pkl,pl->pk", torch.linalg.pinv(fisher, rtol=1e-12, hermitian=True), gradient)


def damped_target(q: Tensor, target: Tensor, step: float, tau: Tensor) -> Tensor:
    """Q + eps (Q-hat - Q), Schulman et al. 2017, Eq. 74, with eps = step tau: a natural step of `step` in log pi. tau broadcasts with Q.

    The print of Eq. 78 loses tau and so takes eps itself for the natural step, which is eps/tau.
    """
    return q + step * tau * (target - q)
