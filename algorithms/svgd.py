"""Stein variational gradient descent towards the Boltzmann density exp(Q/tau) of a squashed action a = tanh u: the sampler of the sql pair.

Fragkiadaki (CMU 10-703), after Haarnoja et al. 2017, Eq. 13, and Liu and Wang 2016. Particles [..., M, D] are numbers u without bounds.
exp(Q(a)/tau) over a is exp(Q(tanh u)/tau) times the product of (1 - tanh^2 u) over u: score and kernel are taken in u, so that the fixed
point is the density meant. The authors' code takes both in a with that same product, and so aims at exp(Q(a)/tau) times that of (1 - a^2).
"""

from __future__ import annotations

import math

from torch import Tensor

FLOOR = 1e-3
"""Of the kernel's bandwidth, where the particles have met; the authors' own, and so is EPSILON."""
EPSILON = 1e-6


def score(action: Tensor, q_gradient: Tensor, tau: Tensor | float) -> Tensor:
    """tau times the gradient by u of the log density of u = atanh a, at actions [..., M, D] with gradients of Q by them.

    By u: Q(tanh u)/tau + sum log(1 - tanh^2 u + EPSILON). The factor tau leaves a limit at 0, where only Q is climbed.
    """
    slope = 1 - action.square()  # of tanh
    return slope * (q_gradient - 2 * tau * action / (slope + EPSILON))


def kernel(fixed: Tensor, moved: Tensor) -> tuple[Tensor, Tensor]:
    """RBF kernel kappa(u_i, f_j) [..., M, N] of fixed [..., M, D] and moved [..., N, D], and its gradient by u_i [..., M, N, D].

    kappa = exp(-|u_i - f_j|^2 / h), h = median of the squared distances / log(M + 1), of an even number of them the lower one.
    """
    difference = fixed.unsqueeze(-2) - moved.unsqueeze(-3)
    square = difference.square().sum(-1)
    pairs = square.flatten(-2)
    median = pairs.topk(pairs.shape[-1] // 2 + 1, sorted=False).values.amin(-1)
    width = (median / math.log(fixed.shape[-2] + 1)).clamp(min=FLOOR)[..., None, None]
    kappa = (-square / width).exp()
    return kappa, -2 / width.unsqueeze(-1) * difference * kappa.unsqueeze(-1)


def direction(fixed: Tensor, score: Tensor, tau: Tensor | float, moved: Tensor) -> Tensor:
    """Delta f of each moved particle [..., N, D]: (1/M) sum_i [kappa(u_i, f) score_i + tau grad_{u_i} kappa(u_i, f)].

    The first term climbs Q, the second drives particles apart. `score` [..., M, D] as above; tau broadcasts to [..., M, N, D].
    """
    kappa, slope = kernel(fixed, moved)
    return (kappa.unsqueeze(-1) * score.unsqueeze(-2) + tau * slope).mean(-3)
