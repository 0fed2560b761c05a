from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch

from algorithms.learner import Now, Spaces
from algorithms.policies import Gaussian
from algorithms.temperature import Temperature

DEVICE = torch.device("cpu")
NUMBERS, CHOICES = Spaces((4,), 3, ((-1.0,) * 3, (1.0,) * 3)), Spaces((4,), 6)


def draws(members, device=DEVICE):
    return SimpleNamespace(members=members, device=device)


def now(*settings, device=DEVICE):
    rows = {"temperature": torch.tensor(settings, device=device)}
    return Now(torch.zeros((), dtype=torch.int64), torch.zeros(()), rows, {})


def rates(*values, device=DEVICE):
    return torch.tensor(values, device=device)


def learned(members, target_entropy=-1.0):
    temperature = Temperature(True, target_entropy, NUMBERS)
    return temperature, temperature.initial(draws(members))


def test_a_fixed_temperature_is_its_row_and_keeps_nothing():
    temperature = Temperature(False, 3.0, NUMBERS)
    state = temperature.initial(draws(2))
    temperature.descend_(state, torch.ones(2, 5), rates(1.0, 1.0))
    assert state == {} and torch.equal(temperature(state, now(0.2, 0.5)), torch.tensor([[0.2], [0.5]]))


def test_the_usual_targets():
    assert Temperature(True, None, NUMBERS).target_entropy == -3
    assert Temperature(True, None, CHOICES).target_entropy == pytest.approx(math.log(6) / 2)
    assert Temperature(True, 0.0, CHOICES).target_entropy == 0


def test_a_learned_temperature_starts_at_its_row():
    temperature, state = learned(2)
    assert torch.equal(temperature(state, now(0.2, 0.5)), torch.tensor([[0.2], [0.5]]))


def test_it_rises_while_the_entropy_is_below_its_target_and_falls_while_it_is_above():
    temperature, state = learned(3, target_entropy=-1.0)
    entropy = torch.tensor([[-1.5, -2.5], [0.5, 1.5], [-0.5, -1.5]])
    for step in range(1, 4):
        temperature.descend_(state, -entropy, rates(0.1, 0.1, 0.1))
        expected = torch.tensor([[0.2 * math.exp(0.1 * step)], [0.5 * math.exp(-0.1 * step)], [0.7]])
        torch.testing.assert_close(temperature(state, now(0.2, 0.5, 0.7)), expected)


def test_the_gradient_is_the_printed_one_whatever_the_temperature():
    """Line 15: minus the target and the mean log-density; no factor alpha. Adam's mean is a tenth of the first gradient."""
    temperature, state = learned(2, target_entropy=-3.0)
    state["temperature"].copy_(torch.tensor([[5.0], [-5.0]]))
    log_prob = torch.tensor([[1.0, 2.0, 6.0], [0.0, 0.0, 3.0]], requires_grad=True)
    temperature.descend_(state, log_prob, rates(0.1, 0.1))
    torch.testing.assert_close(state["temperature.adam_mean"], 0.1 * torch.tensor([[0.0], [2.0]]))
    assert not state["temperature"].requires_grad and log_prob.grad is None


def test_it_stays_positive_and_a_row_of_zero_stays_zero():
    temperature, state = learned(2)
    for _ in range(200):
        temperature.descend_(state, torch.full((2, 4), -9.0), rates(0.1, 0.1))
    alpha = temperature(state, now(0.2, 0.0)).flatten().tolist()
    assert 0 < alpha[0] < 1e-8 and alpha[1] == 0


@pytest.mark.parametrize("closed_form", [True, False], ids=["on-policy", "off-policy"])
def test_it_finds_the_temperature_of_the_target_entropy(closed_form):
    """The policy climbs E[-c a^2] + alpha H, so sigma^2 = alpha / (2 c): with H(sigma) as wanted, alpha = 2 c sigma^2."""
    sigma, curvature = 0.5, torch.tensor([[0.5], [2.0]])
    target = math.log(sigma) + 0.5 * math.log(2 * math.pi * math.e)
    temperature, state = learned(2, target)
    settings, generator = now(3.0, 0.01), torch.Generator().manual_seed(0)
    log_std = torch.zeros(2, 1, 1, requires_grad=True)
    for _ in range(1500):
        policy = Gaussian(torch.zeros(2, 64, 1), log_std)
        action = policy.sample(torch.randn(2, 64, 1, generator=generator))
        log_prob = -policy.entropy() if closed_form else policy.log_prob(action)
        alpha = temperature(state, settings)
        loss = curvature.flatten() * log_std.exp().square().flatten() - alpha.flatten() * policy.entropy().mean(1)
        (gradient,) = torch.autograd.grad(loss.sum(), log_std)
        log_std = (log_std - 0.1 * gradient).detach().requires_grad_()
        temperature.descend_(state, log_prob, rates(0.02, 0.02))
    tolerance = 1e-2 if closed_form else 0.15
    torch.testing.assert_close(log_std.exp().flatten(), torch.full((2,), sigma), rtol=tolerance, atol=0)
    torch.testing.assert_close(
        temperature(state, settings), 2 * curvature * sigma**2, rtol=2 * tolerance, atol=0, check_dtype=False
    )


def test_a_row_has_the_same_bits_alone_and_in_company():
    settings, speeds = (0.1, 0.2, 0.7, 0.0, 3.0), (1e-3, 3e-4, 0.1, 0.2, 0.05)
    log_prob = torch.randn(20, 5, 37, generator=torch.Generator().manual_seed(0))

    def trained(chosen):
        temperature, state = learned(len(chosen))
        for step in log_prob:
            temperature.descend_(state, step[chosen], rates(*(speeds[index] for index in chosen)))
        return state | {"alpha": temperature(state, now(*(settings[index] for index in chosen)))}

    company = trained([0, 1, 2, 3, 4])
    for chosen in ([0], [3], [4, 1], [2, 0, 4]):
        for name, tensor in trained(chosen).items():
            assert torch.equal(tensor, company[name][chosen]), name


@pytest.mark.parametrize("is_learned", [True, False])
def test_it_never_waits_for_the_host(is_learned):
    temperature = Temperature(is_learned, -1.0, NUMBERS)
    state = temperature.initial(draws(3, torch.device("meta")))
    temperature.descend_(state, torch.empty(3, 8, device="meta"), torch.empty(3, device="meta"))
    assert temperature(state, now(0.1, 0.2, 0.3, device="meta")).is_meta
    assert all(tensor.is_meta for tensor in state.values())
