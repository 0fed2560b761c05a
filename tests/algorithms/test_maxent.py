from __future__ import annotations

import math

import pytest
import torch

from algorithms import maxent

LN2, LN3 = 0.6931471805599453, 1.0986122886681098
# Temperature 1/2 and Q = (0, ln(3)/2): exp(Q/tau) = (1, 3), so the Boltzmann policy is (1/4, 3/4).
TAU, Q = torch.tensor(0.5, dtype=torch.float64), torch.tensor([0.0, LN3 / 2], dtype=torch.float64)
ENTROPY = 0.5623351446188083  # of (1/4, 3/4)
KL = 0.1308120359411370  # of (1/4, 3/4) to uniform: ln 2 - entropy


def close(actual, expected, tolerance=1e-12):
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype), rtol=0, atol=tolerance)


def at(tau):
    return torch.tensor(tau, dtype=torch.float64)


def random_q(*shape, scale=3.0, seed=0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_soft_value_by_hand():
    close(maxent.soft_value(Q, TAU), 0.6931471805599453)  # tau ln(1 + 3) = ln(4)/2
    close(maxent.soft_value(Q, TAU, maxent.log_uniform(2)), 0.3465735902799727)  # tau ln((1 + 3)/2)
    close(maxent.soft_value(torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64), at(1.0)), 3.4076059644443806)


def test_boltzmann_policy_entropy_and_kl_by_hand():
    policy = maxent.log_boltzmann(Q, TAU)
    close(policy.exp(), [0.25, 0.75])
    close(maxent.log_boltzmann(Q, TAU, maxent.log_uniform(2)).exp(), [0.25, 0.75])
    close(maxent.entropy(policy), ENTROPY)
    close(maxent.kl(policy, maxent.log_uniform(2)), KL)


def test_penalty_by_hand():
    close(maxent.penalty(Q, TAU, maxent.log_uniform(2)), 0.0654060179705685)  # tau KL
    close(maxent.penalty(Q, TAU), -0.28116757230940415)  # -tau H
    close(maxent.penalty(Q.expand(3, 2), at(0.0), maxent.log_uniform(2)), [0.0, 0.0, 0.0])


def test_non_uniform_reference_by_hand():
    reference = torch.tensor([0.8, 0.2], dtype=torch.float64).log()
    q = torch.tensor([0.0, LN2], dtype=torch.float64)
    policy = maxent.log_boltzmann(q, at(1.0), reference)
    close(maxent.soft_value(q, at(1.0), reference), 0.1823215567939546)  # ln(0.8 + 0.2 * 2)
    close(policy.exp(), [2 / 3, 1 / 3])
    close(maxent.kl(policy, reference), 0.0487275033926938)  # 2/3 ln(5/6) + 1/3 ln(5/3)
    close(maxent.penalty(q, at(1.0), reference), 0.0487275033926938)


def test_reference_may_differ_from_state_to_state():
    references = torch.tensor([[0.8, 0.2], [0.5, 0.5]], dtype=torch.float64).log()
    q = torch.tensor([[0.0, LN2], [0.0, LN2]], dtype=torch.float64)
    close(maxent.soft_value(q, at(1.0), references), [0.1823215567939546, 0.4054651081081644])  # ln 1.2, ln 1.5


def test_temperature_zero_is_the_maximum_exactly():
    q = random_q(4, 5, 3)
    for reference in (0.0, maxent.log_uniform(3)):
        assert torch.equal(maxent.soft_value(q, at(0.0), reference), q.max(-1).values)
    assert torch.equal(maxent.penalty(q, at(0.0)), torch.zeros(4, 5, dtype=torch.float64))


@pytest.mark.parametrize("reference", [0.0, maxent.log_uniform(6)])
def test_small_temperatures_approach_the_maximum(reference):
    q = random_q(100, 6)
    previous = math.inf
    for tau in (1.0, 1e-1, 1e-2, 1e-4, 1e-8):
        gap = (maxent.soft_value(q, at(tau), reference) - q.max(-1).values).abs().max().item()
        assert gap <= tau * math.log(6) + 1e-12
        assert gap < max(previous, 1e-12)
        previous = gap


@pytest.mark.parametrize("tau", [1e-3, 0.1, 1.0, 30.0])
def test_soft_value_lies_between_the_maximum_and_tau_log_actions_above_it(tau):
    q = random_q(200, 5)
    value, highest = maxent.soft_value(q, at(tau)), q.max(-1).values
    assert (value >= highest - 1e-12).all()
    assert (value <= highest + tau * math.log(5) + 1e-12).all()


@pytest.mark.parametrize("tau", [1e-3, 0.1, 1.0, 30.0])
def test_soft_value_is_expected_q_less_the_penalty(tau):
    q = random_q(50, 4)
    reference = torch.log_softmax(random_q(50, 4, seed=1), -1)
    for log_reference in (0.0, maxent.log_uniform(4), reference):
        policy = maxent.log_boltzmann(q, at(tau), log_reference)
        expected = (policy.exp() * q).sum(-1) - maxent.penalty(q, at(tau), log_reference)
        close(maxent.soft_value(q, at(tau), log_reference), expected, 1e-10)


def test_no_other_policy_reaches_the_soft_value():
    q, tau, reference = random_q(20, 4), at(0.7), torch.log_softmax(random_q(4, seed=1), -1)
    for seed in range(20):
        other = torch.log_softmax(random_q(20, 4, seed=seed + 2), -1)
        assert (
            (other.exp() * q).sum(-1) - tau * maxent.kl(other, reference) < maxent.soft_value(q, tau, reference)
        ).all()


def test_kl_form_and_entropy_form_differ_by_tau_log_actions():
    q, uniform, shift = random_q(50, 7), maxent.log_uniform(7), 0.3 * 1.9459101490553132  # tau ln 7
    close(
        maxent.soft_value(q, at(0.3)) - maxent.soft_value(q, at(0.3), uniform),
        torch.full((50,), shift, dtype=torch.float64),
    )
    close(
        maxent.penalty(q, at(0.3), uniform) - maxent.penalty(q, at(0.3)), torch.full((50,), shift, dtype=torch.float64)
    )
    close(maxent.log_boltzmann(q, at(0.3)), maxent.log_boltzmann(q, at(0.3), uniform))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_huge_values_do_not_overflow(sign):
    q = sign * torch.tensor([1e30, 1e30, 9e29])
    assert torch.equal(maxent.soft_value(q, torch.tensor(0.1)), q.max())
    q = sign * torch.tensor([1e6, 1e6 - 1, 0.0], dtype=torch.float64)
    for reference in (0.0, maxent.log_uniform(3)):
        policy = maxent.log_boltzmann(q, at(0.01), reference)
        for number in (
            maxent.soft_value(q, at(0.01), reference),
            maxent.entropy(policy),
            maxent.penalty(q, at(0.01), reference),
        ):
            assert torch.isfinite(number).all()
        close(maxent.entropy(policy), 0.0)


def test_gradients_are_those_of_finite_differences():
    q = random_q(3, 4).requires_grad_()
    reference = torch.log_softmax(random_q(4, seed=1), -1)
    for function in (
        lambda x: maxent.soft_value(x, at(0.5)),
        lambda x: maxent.soft_value(x, at(0.5), reference),
        lambda x: maxent.log_boltzmann(x, at(0.5), reference),
        lambda x: maxent.penalty(x, at(0.5), reference),
        lambda x: maxent.entropy(torch.log_softmax(x, -1)),
        lambda x: maxent.kl(torch.log_softmax(x, -1), reference),
    ):
        assert torch.autograd.gradcheck(function, (q,))


def test_gradient_of_the_soft_value_is_the_boltzmann_policy():
    q = Q.clone().requires_grad_()
    maxent.soft_value(q, TAU).backward()
    close(q.grad, [0.25, 0.75])


def test_temperatures_may_differ_from_row_to_row_and_be_zero():
    """Each row of a batch [P, B, A] is what it is alone; at 0 it is the limit, and its gradient is that of the maximum."""
    q, taus = random_q(4, 3, 5).requires_grad_(), at([[0.0], [0.2], [0.0], [3.0]])
    reference = torch.log_softmax(random_q(4, 1, 5, seed=1), -1)
    for function in (maxent.soft_value, maxent.penalty, maxent.log_boltzmann):
        together = function(q, taus, reference)
        for row in range(4):
            assert torch.equal(together[row], function(q[row], taus[row], reference[row]))
    value, penalty = maxent.soft_value(q, taus, reference), maxent.penalty(q, taus, reference)
    assert torch.equal(value[0], q[0].amax(-1)) and torch.equal(penalty[2], torch.zeros(3, dtype=torch.float64))
    (gradient,) = torch.autograd.grad(value.sum() + penalty.sum(), q)
    assert torch.equal(gradient[0], torch.nn.functional.one_hot(q[0].argmax(-1), 5).double())
    assert gradient.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_tiny_temperature_is_finite(dtype):
    q, tau = random_q(9, 4).to(dtype).requires_grad_(), torch.tensor(1e-30, dtype=dtype)
    value = maxent.soft_value(q, tau) + maxent.penalty(q, tau)
    assert value.isfinite().all() and torch.autograd.grad(value.sum(), q)[0].isfinite().all()
    torch.testing.assert_close(maxent.soft_value(q, tau), q.amax(-1))
