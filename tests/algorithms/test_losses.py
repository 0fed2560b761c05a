"""Targets, samplers and losses of pairs that do not train yet, by hand; the exact statements test them on random problems."""

from __future__ import annotations

import math

import pytest
import torch

from algorithms import svgd, traces
from algorithms.losses import ddpg, npg, pgql, trpo
from algorithms.policies import Gaussian


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


def close(found, expected):
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-12)


def column(*values, dtype=torch.float64):
    return torch.tensor(values, dtype=dtype).view(1, -1, 1)


NO = column(False, False, dtype=torch.bool)


def test_td_lambda_by_hand():
    """delta = (1 - .5 + 2 - 3, 2 - .25 + 3 - 4) at discount 1/2, V = (3, 4, 6); trace 1/2: y = V + penalty + delta_0 + delta_1/4."""
    arguments = (column(1.0, 2.0), column(0.5, 0.25), column(3.0, 4.0), column(4.0, 6.0), NO)
    close(traces.td_lambda(*arguments, NO, 0.5, 0.5).flatten(), [3.5 - 0.5 + 0.75 / 4, 4.25 + 0.75])


def test_v_trace_by_hand():
    """rho = c = (1, 1/2) after the clip of (2, 1/2) at 1: delta = (0, 1/2); v_0 = 3 + 0 + 1/2 x 1/2. An end stops the trace."""
    arguments = (column(1.0, 2.0), column(3.0, 4.0), column(4.0, 6.0), column(math.log(2), math.log(0.5)))
    close(traces.v_trace(*arguments, NO, NO, 0.5).flatten(), [3.25, 4.5])
    cut = column(True, False, dtype=torch.bool)
    close(traces.v_trace(*arguments, NO, cut, 0.5).flatten(), [3.0, 4.5])
    close(traces.v_trace(*arguments, cut, NO, 0.5).flatten(), [1.0, 4.5])
    close(traces.v_trace(*arguments, NO, NO, 0.5, clip_rho=2.0).flatten(), [3.25, 4.5])
    close(traces.v_trace(*arguments, NO, NO, 0.5, clip_c=2.0).flatten(), [3.5, 4.5])


def test_svgd_kernel_and_direction_by_hand():
    """Particles 0, 1, 3: squared distances 0 0 0 1 1 4 4 9 9, median 1, width 1/ln 4; kappa = 4^-d."""
    particles = double([0.0], [1.0], [3.0]).unsqueeze(0)
    kappa, slope = svgd.kernel(particles)
    close(kappa[0, 0], [1.0, 1 / 4, 4.0**-9])
    close(slope[0, 0, 1], [2 * math.log(4) / 4])  # d kappa(a, 1)/da at a = 0: upwards
    close(
        svgd.direction(particles, torch.zeros_like(particles), 3.0)[0, 1],
        [3 * (2 * math.log(4) / 4 - 4 * math.log(4) * 4.0**-4) / 3],
    )
    climb = svgd.direction(particles, torch.ones_like(particles), 0.0)
    close(climb[0, 0], [(1 + 1 / 4 + 4.0**-9) / 3])


def test_ddpg_losses_by_hand():
    action = double([[0.5, 1.0], [2.0, 0.0]])
    close(ddpg.ddpg_policy_loss(action, lambda a: a.sum(-1)), [-1.75])
    policy = Gaussian(double([[1.0]]), torch.zeros(1, 1, dtype=torch.float64))
    entropy = 0.5 * math.log(2 * math.pi * math.e)
    noise = double([[2.0]])
    close(
        ddpg.sac1_policy_loss(policy, noise, lambda a: 3 * a.squeeze(-1), 0.1),
        [-9 + 0.1 * (-2 - 0.5 * math.log(2 * math.pi))],
    )
    close(ddpg.sddpg_policy_loss(policy, noise, lambda a: 3 * a.squeeze(-1), 0.1), [-9 - 0.1 * entropy])


def test_natural_gradient_inverts_where_it_can():
    fisher = torch.diag(double(2.0, 4.0, 0.0)).unsqueeze(0)
    close(npg.natural_gradient(fisher, double([2.0, 2.0, 5.0])), [[1.0, 0.5, 0.0]])


def test_damped_target_by_hand():
    close(npg.damped_target(double(1.0), double(3.0), 0.5, 0.1), [1.1])


def test_trust_region_by_hand():
    close(trpo.surrogate(double([math.log(0.5)]), double([math.log(0.25)]), double([3.0])), [[6.0]])
    close(trpo.penalty_coefficient(double(0.5), double(3.0)), [12.0])


def test_pgql_loss_and_its_two_streams_by_hand():
    """Q - y = 0.1 x 2 + 3 - (0.5 + 1) = 1.7; the gradient is 1.7 in log pi and 0.5 x 1.7 in V."""
    ratio, value = double([2.0]).requires_grad_(), double([3.0]).requires_grad_()
    loss = pgql.loss(ratio, value, double([1.0]), double([0.5]), 0.1, 0.5)
    close(loss.detach(), [0.5 * 1.7**2])
    slopes = torch.autograd.grad(loss.sum(), (ratio, value))
    close(torch.cat(slopes).flatten(), [1.7, 0.85])


@pytest.mark.parametrize("discount", [0.0, 0.9])
def test_td_lambda_does_not_reach_over_an_end(discount):
    reward, zero = column(1.0, 100.0), column(0.0, 0.0)
    end = column(True, False, dtype=torch.bool)
    close(traces.td_lambda(reward, zero, zero, zero, end, NO, discount, 1.0)[:, 0].flatten(), [1.0])
