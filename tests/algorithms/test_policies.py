from __future__ import annotations

import math

import pytest
import torch

from algorithms.policies import Categorical, Gaussian
from harness.run.streams import Streams


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gaussian(scheme):
    return Gaussian(randn(2, 5, 3), randn(2, 1 if scheme == "global" else 5, 3, seed=1))


def test_categorical_log_probability_and_entropy_are_torchs():
    logits, action = 4 * randn(2, 5, 3), torch.arange(10).view(2, 5) % 3
    ours, theirs = Categorical(logits), torch.distributions.Categorical(logits=logits)
    torch.testing.assert_close(ours.log_prob(action), theirs.log_prob(action))
    torch.testing.assert_close(ours.entropy(), theirs.entropy())


def test_categorical_by_hand():
    policy = Categorical(torch.tensor([[0.0, math.log(3)]]))
    assert policy.log_prob(torch.tensor([1])).item() == pytest.approx(math.log(0.75), abs=1e-6)
    assert policy.entropy().item() == pytest.approx(0.5623351446, abs=1e-6)


@pytest.mark.parametrize("scheme", ["global", "local"])
def test_gaussian_log_probability_and_entropy_are_torchs(scheme):
    policy, action = gaussian(scheme), randn(2, 5, 3, seed=2)
    theirs = torch.distributions.Independent(
        torch.distributions.Normal(policy.mean, policy.log_std.exp().expand_as(policy.mean)), 1
    )
    torch.testing.assert_close(policy.log_prob(action), theirs.log_prob(action))
    torch.testing.assert_close(policy.entropy(), theirs.entropy())
    assert policy.entropy().shape == (2, 5)


def test_gaussian_by_hand():
    policy = Gaussian(torch.zeros(1, 1, 2), torch.tensor([[[0.0, math.log(2)]]]))
    action = torch.tensor([[[1.0, 2.0]]])
    assert policy.log_prob(action).item() == pytest.approx(
        -0.5 - 0.5 - 1.8378770664 - 0.6931471806, abs=1e-6
    )  # -ln 2 pi - ln 2
    assert policy.entropy().item() == pytest.approx(2 * 1.4189385332 + 0.6931471806, abs=1e-6)


def test_zero_noise_gives_the_greedy_action():
    logits = randn(2, 50, 4)
    assert torch.equal(Categorical(logits).sample(torch.zeros(2, 50, 4)), logits.argmax(-1))
    policy = gaussian("global")
    assert torch.equal(policy.sample(torch.zeros(2, 5, 3)), policy.mean)


def test_gumbel_noise_gives_the_policys_frequencies():
    probabilities, count = torch.tensor([0.5, 0.3, 0.15, 0.05]), 200_000
    noise = Streams([7], 0, torch.device("cpu")).gumbel("action", (count, 4))
    actions = Categorical(probabilities.log()).sample(noise).flatten()
    frequencies = torch.bincount(actions, minlength=4) / count
    deviation = (probabilities * (1 - probabilities) / count).sqrt()
    assert ((frequencies - probabilities).abs() < 4 * deviation).all()


def test_normal_noise_gives_the_policys_moments():
    count = 100_000
    noise = Streams([7], 0, torch.device("cpu")).normal("action", (count, 1))
    actions = Gaussian(torch.full((1, count, 1), 3.0), torch.full((1, 1, 1), math.log(0.5))).sample(noise).flatten()
    assert actions.mean().item() == pytest.approx(3.0, abs=4 * 0.5 / math.sqrt(count))
    assert actions.std().item() == pytest.approx(0.5, rel=4 / math.sqrt(2 * count))


def test_gradients_are_those_of_finite_differences():
    logits, action = randn(2, 3, 4).requires_grad_(), torch.tensor([[0, 1, 2], [3, 0, 1]])
    assert torch.autograd.gradcheck(lambda x: Categorical(x).log_prob(action), (logits,))
    assert torch.autograd.gradcheck(lambda x: Categorical(x).entropy(), (logits,))
    mean, log_std, sample = (
        randn(2, 3, 2).requires_grad_(),
        randn(2, 1, 2, seed=1).requires_grad_(),
        randn(2, 3, 2, seed=2),
    )
    assert torch.autograd.gradcheck(lambda m, s: Gaussian(m, s).log_prob(sample), (mean, log_std))
    assert torch.autograd.gradcheck(lambda m, s: Gaussian(m, s).entropy(), (mean, log_std))
    assert torch.autograd.gradcheck(lambda m, s: Gaussian(m, s).sample(sample), (mean, log_std))
