"""The kernel and the direction of SVGD by hand; statement 17 tests them on a known density. The pair is not here yet."""

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
    kappa, slope = svgd.kernel(particles)
    close(kappa[0, 0], [1.0, 1 / 4, 4.0**-9])
    close(slope[0, 0, 1], [2 * math.log(4) / 4])  # d kappa(a, 1)/da at a = 0: upwards
    close(
        svgd.direction(particles, torch.zeros_like(particles), double([3.0]))[0, 1],
        [3 * (2 * math.log(4) / 4 - 4 * math.log(4) * 4.0**-4) / 3],
    )
    climb = svgd.direction(particles, torch.ones_like(particles), double([0.0]))
    close(climb[0, 0], [(1 + 1 / 4 + 4.0**-9) / 3])
