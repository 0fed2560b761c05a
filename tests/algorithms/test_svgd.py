"""The kernel, the score and the direction of SVGD by hand; statement 17 tests them on a known density."""

from __future__ import annotations

import math

import torch

from algorithms import svgd


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


def close(found, expected):
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


def test_svgd_kernel_and_direction_by_hand():
    """Particles 0, 1, 3: squared distances 0 0 0 1 1 4 4 9 9, median 1, width 1/ln 4; kappa = 4^-d."""
    particles = double([0.0], [1.0], [3.0]).unsqueeze(0)
    kappa, slope = svgd.kernel(particles, particles)
    close(kappa[0, 0], [1.0, 1 / 4, 4.0**-9])
    close(slope[0, 0, 1], [2 * math.log(4) / 4])  # d kappa(a, 1)/da at a = 0: upwards
    close(
        svgd.direction(particles, torch.zeros_like(particles), 3.0, particles)[0, 1],
        [3 * (2 * math.log(4) / 4 - 4 * math.log(4) * 4.0**-4) / 3],
    )
    climb = svgd.direction(particles, torch.ones_like(particles), 0.0, particles)
    close(climb[0, 0], [(1 + 1 / 4 + 4.0**-9) / 3])


def test_one_half_of_the_particles_moves_the_other():
    """Fixed 0 and 2, moved 1, 2, 4: squared distances 1 4 16 1 0 4, of which 1 is the lower median; kappa = 3^-d."""
    fixed, moved = double([0.0], [2.0]).unsqueeze(0), double([1.0], [2.0], [4.0]).unsqueeze(0)
    kappa, _ = svgd.kernel(fixed, moved)
    close(kappa[0], [[1 / 3, 3.0**-4, 3.0**-16], [1 / 3, 1.0, 3.0**-4]])
    close(svgd.direction(fixed, double([5.0], [7.0]).unsqueeze(0), 0.0, moved)[0, 0], [(5 + 7) / 6])
    close(svgd.direction(fixed, 0 * fixed, 1.0, moved)[0, 0], [0.0])  # pushed as much from both sides


def test_particles_that_have_met_have_a_kernel():
    kappa, slope = svgd.kernel(torch.zeros(1, 4, 2), torch.zeros(1, 3, 2))
    assert (kappa == 1).all() and (slope == 0).all()
    kappa, _ = svgd.kernel(double([0.0]).unsqueeze(0), double([0.01]).unsqueeze(0))
    close(kappa, [[[math.exp(-0.1)]]])  # the bandwidth is at least 1e-3


def test_the_score_is_that_of_the_density_of_u():
    u = double([0.3, -1.2], [2.0, 0.0]).requires_grad_()
    weights = double(1.5, -0.5)
    q = (u.tanh().square() * weights).sum()
    log_density = q / 0.7 + torch.log(1 - u.tanh() ** 2 + 1e-6).sum()
    (expected,) = torch.autograd.grad(log_density, u)
    action = u.detach().tanh()
    found = svgd.score(action, 2 * action * weights, 0.7)
    torch.testing.assert_close(found, 0.7 * expected)
    hard = svgd.score(action, 2 * action * weights, 0.0)
    torch.testing.assert_close(hard, (1 - action**2) * 2 * action * weights)
