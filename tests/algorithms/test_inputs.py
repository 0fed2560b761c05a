"""Values of numbers beside an observation and their gradient, against autograd through torch's plain operations."""

from __future__ import annotations

import pytest
import torch

from algorithms.learner import Spaces
from algorithms.population import Network, inputs, networks
from algorithms.population.inputs import first_value
from harness.run.streams import Streams

SPACES = Spaces((3,), 2, ((-1.0, -1.0), (1.0, 1.0)))


def made(activation, hidden, copies, members=(1, 2, 3), dtype=torch.float64):
    """A network, its parameters, and observations, numbers and slopes of 50 samples a member, each member's by its seed."""
    network = Network("critics", SPACES, hidden, (1,), activation, copies=copies, extra=2)
    flat = network.initial(Streams(list(members), 0, torch.device("cpu"))).to(dtype)

    def normal(*shape):
        rows = [torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) for seed in members]
        return torch.stack(rows).to(dtype)

    return network, flat, normal(50, 3), normal(50, 2).requires_grad_(), normal(50)


def found(network, flat, observation, beside, slopes):
    values = first_value(network, flat, observation, beside)
    (slope,) = torch.autograd.grad((slopes * values).sum(), beside)
    return values.detach(), slope


@pytest.mark.parametrize("way", ["by hand", "by torch"])
@pytest.mark.parametrize("hidden", [(16, 8), (8,), ()])
@pytest.mark.parametrize(("activation", "copies"), [("relu", 1), ("tanh", 2)])
def test_values_and_slopes_are_those_of_autograd(way, activation, hidden, copies, monkeypatch):
    network, flat, observation, beside, slopes = made(activation, hidden, copies)
    if way == "by torch":
        for module in (inputs, networks):
            monkeypatch.setattr(module, "by_hand", lambda flat: False)
    values, slope = found(network, flat.requires_grad_(), observation, beside, slopes)
    expected = network.plain(flat.detach(), torch.cat([observation, beside], -1))[:, 0, :, 0]
    (by_beside,) = torch.autograd.grad((slopes * expected).sum(), beside)
    torch.testing.assert_close(values, expected.detach(), rtol=0, atol=1e-12)
    torch.testing.assert_close(slope, by_beside, rtol=0, atol=1e-12)
    assert not first_value(network, flat, observation, beside.detach()).requires_grad, "no gradient by parameters"


def test_what_is_held_is_never_overwritten():
    network, flat, observation, beside, slopes = made("relu", (16, 8), 2)
    one = first_value(network, flat, observation, beside)
    before = one.detach().clone()
    values, slope = found(network, flat, observation + 1, beside, slopes)
    again = slope.clone()
    (first,) = torch.autograd.grad((slopes * one).sum(), beside)
    assert torch.equal(one, before) and torch.equal(slope, again) and not torch.equal(values, before)
    torch.testing.assert_close(first, found(network, flat, observation, beside, slopes)[1], rtol=0, atol=0)


def test_a_member_has_the_same_bits_in_any_company():
    alone, among = (
        found(*made("relu", (64, 64), 2, members, torch.float32)) for members in ((3,), (5, 9, 3, 11, 2, 7, 8))
    )
    for one, other in zip(alone, among, strict=True):
        assert torch.equal(one[0], other[2])
