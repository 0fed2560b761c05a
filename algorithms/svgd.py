"""Stein variational gradient descent towards the Boltzmann density exp(Q/tau): the sampler of the sql pair.

Fragkiadaki (CMU 10-703), after Haarnoja et al. 2017 and Liu and Wang 2016. Shapes: particles (actions) [P, M, D].
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def kernel(particles: Tensor) -> tuple[Tensor, Tensor]:
    """RBF kernel kappa(a_i, a_j) [P, M, M] and its gradient in a_i [P, M, M, D]; bandwidth by the median heuristic.

    kappa = exp(-|a_i - a_j|^2 / h), h = median of the squared distances / log(M + 1).
    """
    difference = particles.unsqueeze(2) - particles.unsqueeze(1)
    square = difference.square().sum(-1)
    width = square.flatten(1).median(1).values.view(-1, 1, 1) / math.log(particles.shape[1] + 1)
    kappa = (-square / width).exp()
    return kappa, -2 / width.unsqueeze(-1) * difference * kappa.unsqueeze(-1)


def direction(particles: Tensor, q_gradient: Tensor, tau: Tensor) -> Tensor:
    """Delta f of each particle [P, M, D]: (1/M) sum_i [kappa(a_i, f) grad Q(a_i) + tau grad_{a_i} kappa(a_i, f)].

    q_gradient [P, M, D]: gradient of Q at the particles; tau [P, 1]. The first term climbs Q, the second drives the particles apart.
    """
    kappa, kappa_gradient = kernel(particles)
    climb = torch.einsum("pij,pid->pjd", kappa, q_gradient)
    return (climb + tau.unsqueeze(2) * kappa_gradient.sum(1)) / particles.shape[1]
