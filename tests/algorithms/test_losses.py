"""Targets, samplers and losses of pairs that do not train yet, by hand; the exact statements test them on random problems."""

from __future__ import annotations

import math

import torch

from algorithms import svgd
from algorithms.losses import ddpg
from algorithms.policies import Gaussian


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


def close(found, expected):
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


def test_svgd_kernel_and_direction_by_hand():
    """Particles 0, 1, 3: squared distances 0 0 0 1 1 4 4 9 9, median 1, width 1/ln 4; kappa = 4^-d."""
    particles = double([0.0], [1.0], [3.0]).unsqueeze(0)
    kappa, slope = svgd.kernel(particles)
    close(kappa[0, 0], [1.0, 1 / 4, 4.0**-9])
    close(slope[0, 0, 1], [2 * math.log(4) / 4])  # d kappa(a, 1)/da at a = 0: upwards
    close(
        svgd.direction(particles, torch.zeros_like(particles), double([3.0]))[0, 1],
        [3 * (2 * math.log(4) / 4 - 4 * math.log(4) * 4.0**-4) / 3],
    )
    climb = svgd.direction(particles, torch.ones_like(particles), double([0.0]))
    close(climb[0, 0], [(1 + 1 / 4 + 4.0**-9) / 3])


def test_ddpg_losses_by_hand():
    action = double([[0.5, 1.0], [2.0, 0.0]])
    close(ddpg.ddpg_policy_loss(action, lambda a: a.sum(-1)), [-1.75])
    policy = Gaussian(double([[1.0]]), torch.zeros(1, 1, dtype=torch.float64))
    entropy = 0.5 * math.log(2 * math.pi * math.e)
    noise = double([[2.0]])
    close(
        ddpg.sac1_policy_loss(policy, noise, lambda a: 3 * a.squeeze(-1), double([0.1])),
        [-9 + 0.1 * (-2 - 0.5 * math.log(2 * math.pi))],
    )
    close(ddpg.sddpg_policy_loss(policy, noise, lambda a: 3 * a.squeeze(-1), double([0.1])), [-9 - 0.1 * entropy])
