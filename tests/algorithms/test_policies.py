from __future__ import annotations

import math
from itertools import product

import pytest
import torch
from torch.distributions import Independent, Normal, TanhTransform, TransformedDistribution

from algorithms.learner import Spaces
from algorithms.policies import Categorical, Deterministic, Gaussian, Head, SigmaScheme, SquashedGaussian, stretch

SCHEMES = [SigmaScheme(number) for number in (1, 2, 3, 4)]


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def gaussian(scheme):
    return Gaussian(randn(2, 5, 3), randn(2, 1 if scheme == "global" else 5, 3, seed=1))


def independent(policy):
    return Independent(Normal(policy.mean, policy.log_std.exp().expand_as(policy.mean)), 1)


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
    torch.testing.assert_close(policy.log_prob(action), independent(policy).log_prob(action))
    torch.testing.assert_close(policy.entropy(), independent(policy).entropy())
    assert policy.entropy().shape == (2, 5)


def test_gaussian_by_hand():
    policy = Gaussian(torch.zeros(1, 1, 2), torch.tensor([[[0.0, math.log(2)]]]))
    action = torch.tensor([[[1.0, 2.0]]])
    assert policy.log_prob(action).item() == pytest.approx(
        -0.5 - 0.5 - 1.8378770664 - 0.6931471806, abs=1e-6
    )  # -ln 2 pi - ln 2
    assert policy.entropy().item() == pytest.approx(2 * 1.4189385332 + 0.6931471806, abs=1e-6)


def test_the_mode_is_the_greedy_action():
    logits, outputs = randn(2, 50, 4), randn(2, 5, 6)
    assert torch.equal(Categorical(logits).mode, logits.argmax(-1))
    assert torch.equal(gaussian("global").mode, gaussian("global").mean)
    assert torch.equal(SquashedGaussian(outputs).mode, outputs[..., :3].tanh())
    assert torch.equal(Deterministic(outputs).mode, outputs.tanh())


def test_zero_noise_gives_the_greedy_action():
    assert torch.equal(Categorical(randn(2, 50, 4)).sample(torch.zeros(2, 50, 4)), randn(2, 50, 4).argmax(-1))
    for policy in (gaussian("global"), SquashedGaussian(randn(2, 5, 6)), Deterministic(randn(2, 5, 3))):
        assert torch.equal(policy.sample(torch.zeros(2, 5, 3)), policy.mode)


def test_gumbel_noise_gives_the_policys_frequencies():
    probabilities, count = torch.tensor([0.5, 0.3, 0.15, 0.05]), 200_000
    noise = -torch.empty(1, count, 4).exponential_(generator=torch.Generator().manual_seed(7)).log()
    actions = Categorical(probabilities.log()).sample(noise).flatten()
    frequencies = torch.bincount(actions, minlength=4) / count
    deviation = (probabilities * (1 - probabilities) / count).sqrt()
    assert ((frequencies - probabilities).abs() < 4 * deviation).all()


def test_normal_noise_gives_the_policys_moments():
    count = 100_000
    noise = randn(1, count, 1, seed=7)
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
    assert torch.autograd.gradcheck(lambda x: SquashedGaussian(x).sample_log_prob(sample), (logits[:, :, :4],))
    assert torch.autograd.gradcheck(lambda x: Deterministic(x).sample_log_prob(sample)[0], (mean,))


# Sigma schemes of Liu et al. 2020, Table 1 ------------------------------------------------------------------------------

MEAN, LOCAL, FREE = [0.5, -2.0], [0.7, -0.4], [0.1, 0.3]
LOG_STD = {1: [0.1, 0.3], 2: [0.7, -0.4], 3: [0.8, -0.1], 4: [0.1, -0.1]}


def built(scheme, dtype=torch.float64):
    """The Gaussian of one member in one state, its outputs and its free parameters."""
    outputs = torch.tensor([[MEAN + (LOCAL if scheme.outputs == 2 else [])]], dtype=dtype, requires_grad=True)
    free = torch.tensor([FREE if scheme.free else []], dtype=dtype, requires_grad=True)
    return scheme.gaussian(outputs, free), outputs, free


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_sigma_scheme_by_hand(scheme):
    assert (scheme.outputs, scheme.free) == {1: (1, 1), 2: (2, 0), 3: (2, 1), 4: (2, 1)}[scheme.number]
    policy, *_ = built(scheme)
    expected = torch.tensor(LOG_STD[scheme.number], dtype=torch.float64)
    torch.testing.assert_close(policy.mean, torch.tensor([[MEAN]], dtype=torch.float64))
    torch.testing.assert_close(policy.log_std.expand_as(policy.mean)[0, 0], expected)
    assert policy.entropy().item() == pytest.approx(expected.sum().item() + 2 * 1.4189385332)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_gradients_reach_what_makes_sigma_and_stop_where_it_is_clipped(scheme):
    """An entropy's gradient in each log sigma is 1."""
    policy, outputs, free = built(scheme)
    by_outputs, by_free = torch.autograd.grad(policy.entropy().sum(), (outputs, free), allow_unused=True)
    local = {1: None, 2: [1, 1], 3: [1, 1], 4: [0, 1]}[scheme.number]
    if local is not None:
        assert by_outputs[0, 0].tolist() == [0, 0, *local]
    assert by_free is None if scheme.free == 0 else by_free[0].tolist() == [1, 1]


def test_a_clipped_local_scale_never_widens_and_starts_with_a_gradient():
    outputs = torch.cat([torch.zeros(1, 9, 1), torch.linspace(-4, 4, 9).view(1, 9, 1)], -1).requires_grad_()
    policy = SigmaScheme(4).gaussian(outputs, torch.full((1, 1), 0.25))
    assert policy.log_std.flatten().tolist() == [-3.75, -2.75, -1.75, -0.75, 0.25, 0.25, 0.25, 0.25, 0.25]
    (gradient,) = torch.autograd.grad(policy.entropy().sum(), outputs)
    assert gradient[0, :, 1].tolist() == [1, 1, 1, 1, 1, 0, 0, 0, 0]  # at 0, where a new network is, it moves


def test_a_members_free_parameters_are_its_own():
    outputs, free = randn(3, 4, 4), randn(3, 2, seed=1).requires_grad_()
    policy = SigmaScheme(3).gaussian(outputs, free)
    torch.testing.assert_close(policy.log_std, outputs[..., 2:] + free[:, None])
    (gradient,) = torch.autograd.grad(policy.entropy()[1].sum(), free)
    assert gradient.tolist() == [[0, 0], [4, 4], [0, 0]]


# Slopes in closed form, beside autograd ----------------------------------------------------------------------------------


@pytest.mark.parametrize("bonus", [None, torch.tensor([[0.3], [2.0]], dtype=torch.float64)], ids=["plain", "bonus"])
@pytest.mark.parametrize("scheme", [None, 1, 2, 3, 4])
def test_slopes_are_autograds(scheme, bonus):
    """Of a loss that is a mean over the batch, without the 1/B in what is by the outputs."""
    head = Head(Spaces((4,), 3) if scheme is None else Spaces((4,), 3, ((-1.0,) * 3, (1.0,) * 3)), scheme or 1)
    outputs = randn(2, 5, head.outputs).requires_grad_()
    free, weight = randn(2, head.free, seed=1).requires_grad_(), randn(2, 5, seed=2)
    action = torch.arange(10).view(2, 5) % 3 if scheme is None else randn(2, 5, 3, seed=3)
    policy = head.policy(outputs, free)
    loss = weight * policy.log_prob(action)
    if bonus is not None:
        loss = loss - bonus * policy.entropy()
    expected = torch.autograd.grad(loss.mean(1).sum(), (outputs, free), allow_unused=True)
    with torch.no_grad():
        by_outputs, by_free = head.slope(head.policy(outputs, free), outputs, action, weight, bonus)
    torch.testing.assert_close(by_outputs / 5, expected[0])
    assert (by_free is None) == (head.free == 0)
    if by_free is not None:
        torch.testing.assert_close(by_free, expected[1])


# Actions in (-1, 1) ------------------------------------------------------------------------------------------------------


def squashed_by_torch(outputs, noise):
    """The same action and its log-density by torch.distributions, which remembers u of a = tanh u."""
    mean, spread = outputs.chunk(2, -1)
    std = (-5 + 3.5 * (torch.tanh(spread) + 1)).exp()
    squash = TanhTransform(cache_size=1)
    action = squash(mean + std * noise)
    return action, Independent(TransformedDistribution(Normal(mean, std), [squash]), 1).log_prob(action)


def test_a_squashed_density_and_its_gradients_are_torchs():
    ours, theirs = (2 * randn(2, 5, 6)).requires_grad_(), (2 * randn(2, 5, 6)).requires_grad_()
    noise, weight = randn(2, 5, 3, seed=1), randn(2, 5, 3, seed=2)
    results = SquashedGaussian(ours).sample_log_prob(noise), squashed_by_torch(theirs, noise)
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)
    assert results[0][1].shape == (2, 5)
    gradients = [
        torch.autograd.grad((weight * action).sum() + (weight[..., 0] * log_prob).sum(), leaf)[0]
        for leaf, (action, log_prob) in zip((ours, theirs), results, strict=True)
    ]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize(
    ("mean", "spread"), [(0.0, 0.0), (0.7, 0.3), (-1.5, 0.6), (0.3, -0.8), (0.0, 0.9), (2.0, -1e9)]
)
def test_a_squashed_density_integrates_to_one(mean, spread):
    noise = torch.linspace(-12, 12, 200_001, dtype=torch.float64).view(1, -1, 1)
    outputs = torch.tensor([mean, spread], dtype=torch.float64).expand(1, noise.shape[1], 2)
    action, log_prob = SquashedGaussian(outputs).sample_log_prob(noise)
    assert torch.trapezoid(log_prob[0].exp(), action[0, :, 0]).item() == pytest.approx(1, abs=1e-6)


def test_a_squashed_density_of_two_numbers_integrates_to_one():
    line = torch.linspace(-8, 8, 801, dtype=torch.float64)
    noise = torch.cartesian_prod(line, line).unsqueeze(0)
    outputs = torch.tensor([0.4, -0.9, 0.2, -0.1], dtype=torch.float64).expand(1, len(line) ** 2, 4)
    action, log_prob = SquashedGaussian(outputs).sample_log_prob(noise)
    density, action = log_prob.exp().view(801, 801), action.view(801, 801, 2)
    inner = torch.trapezoid(density, action[..., 1], dim=1)
    assert torch.trapezoid(inner, action[:, 0, 0]).item() == pytest.approx(1, abs=1e-5)


def test_a_squashed_log_sigma_lies_between_its_bounds():
    log_std = SquashedGaussian(torch.tensor([[[0.0, 0.0, 0.0, -1e9, 0.0, 1e9]]])).log_std
    assert log_std.flatten().tolist() == [-5.0, -1.5, 2.0]


@pytest.mark.parametrize("size", [1e1, 1e4, 1e30])
def test_extreme_outputs_stay_finite(size):
    outputs = torch.tensor(list(product([-size, 0.0, size], repeat=2))).view(1, 9, 2).requires_grad_()
    for noise in (torch.full((1, 9, 1), number) for number in (-6.0, 0.0, 6.0)):
        action, log_prob = SquashedGaussian(outputs).sample_log_prob(noise)
        (gradient,) = torch.autograd.grad(action.sum() + log_prob.sum(), outputs)
        assert action.abs().max() <= 1 and log_prob.isfinite().all() and gradient.isfinite().all()


@pytest.mark.parametrize("log_std", [-80.0, -20.0, 0.0, 20.0, 80.0])
def test_a_gaussian_of_extreme_sigma_is_finite_at_its_own_samples(log_std):
    mean = torch.tensor([-1e6, 0.0, 1e6]).view(1, 3, 1).requires_grad_()
    spread = torch.full((1, 1, 1), log_std, requires_grad=True)
    policy = Gaussian(mean, spread)
    action = policy.sample(torch.tensor([-3.0, 0.0, 3.0]).view(1, 3, 1))
    log_prob = policy.log_prob(action.detach())
    assert action.isfinite().all() and log_prob.isfinite().all() and policy.entropy().isfinite().all()
    assert torch.autograd.grad(policy.entropy().sum(), spread)[0].item() == 3


def test_extreme_logits_stay_finite():
    logits = torch.tensor([[[-1e30, 0.0, 1e30], [1e4, 0.0, -1e4]]], requires_grad=True)
    policy = Categorical(logits)
    assert policy.log_policy.isfinite().all() and policy.entropy().tolist() == [[0, 0]]
    assert torch.autograd.grad(policy.entropy().sum(), logits)[0].isfinite().all()


def test_a_deterministic_policy_takes_no_notice_of_noise():
    outputs = randn(2, 5, 3).requires_grad_()
    policy = Deterministic(outputs)
    action, log_prob = policy.sample_log_prob(randn(2, 5, 3, seed=1))
    assert torch.equal(action, policy.mode) and torch.equal(policy.sample(randn(2, 5, 3, seed=2)), policy.mode)
    assert log_prob.tolist() == [[0] * 5] * 2
    (gradient,) = torch.autograd.grad(action.sum(), outputs)
    torch.testing.assert_close(gradient, 1 - outputs.tanh() ** 2)


def test_actions_are_stretched_to_the_bounds():
    low, high = torch.tensor([-2.0, -7.0, -3e-7]), torch.tensor([2.0, 0.3, 1e6])
    action = torch.tensor([[-1.0] * 3, [0.0] * 3, [1.0] * 3]).requires_grad_()
    stretched = stretch(action, low, high)
    assert torch.equal(stretched[0], low) and torch.equal(stretched[2], high)
    torch.testing.assert_close(stretched[1], (low + high) / 2)
    (gradient,) = torch.autograd.grad(stretched.sum(), action)
    torch.testing.assert_close(gradient, ((high - low) / 2).expand(3, 3))
    many = torch.empty(10_000, 3).uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
    assert (stretch(many, low, high) >= low).all() and (stretch(many, low, high) <= high).all()


def test_the_density_in_the_tasks_units_is_lower_by_the_log_of_half_the_range():
    low, high = torch.tensor([-2.0], dtype=torch.float64), torch.tensor([5.0], dtype=torch.float64)
    noise = torch.linspace(-12, 12, 100_001, dtype=torch.float64).view(1, -1, 1)
    action, log_prob = SquashedGaussian(torch.zeros(1, 100_001, 2, dtype=torch.float64)).sample_log_prob(noise)
    density = (log_prob - ((high - low) / 2).log().sum()).exp()
    assert torch.trapezoid(density[0], stretch(action, low, high)[0, :, 0]).item() == pytest.approx(1, abs=1e-6)


# Company and devices -----------------------------------------------------------------------------------------------------


def everything(outputs, free, noise, choice):
    """All that policies give for outputs [P, B, 2 A] and free parameters [P, A], and its gradients; each [P, ...]."""
    outputs, free = outputs.detach().requires_grad_(), free.detach().requires_grad_()
    categorical, squashed = Categorical(outputs), SquashedGaussian(outputs)
    gaussians = [scheme.gaussian(outputs[..., : scheme.outputs * free.shape[1]], free) for scheme in SCHEMES]
    deterministic = Deterministic(outputs[..., : free.shape[1]])
    results = [categorical.log_prob(choice), categorical.entropy(), *squashed.sample_log_prob(noise)]
    for scheme, policy in zip(SCHEMES, gaussians, strict=True):
        results += [policy.sample(noise), policy.log_prob(0.7 * noise), policy.entropy()]
        slopes = policy.slope(noise, results[0].detach(), free[:, :1])
        results += [
            slope
            for slope in scheme.slope(outputs[..., : scheme.outputs * free.shape[1]], *slopes)
            if slope is not None
        ]
    results += [categorical.slope(choice, results[0].detach(), free[:, :1])]
    results += [*deterministic.sample_log_prob(noise), squashed.mode, stretch(squashed.mode, free[0], free[0] + 1)]
    total = sum(result.flatten(1).sum(1) for result in results[:-1]).sum()
    gradients = torch.autograd.grad(total, (outputs, free))
    return [*(result.detach() for result in results[:-1]), *gradients, categorical.mode, categorical.sample(outputs)]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6, 17])
@pytest.mark.parametrize("batch", [1, 3, 8, 31, 64, 129])
def test_a_row_has_the_same_bits_alone_and_in_company(size, batch):
    members = 7
    outputs, free, noise = (
        3 * randn(members, *shape, seed=seed, dtype=torch.float32)
        for seed, shape in enumerate([(batch, 2 * size), (size,), (batch, size)])
    )
    choice = torch.randint(2 * size, (members, batch), generator=torch.Generator().manual_seed(3))
    given = outputs, free, noise, choice
    company, turned = everything(*given), everything(*(tensor.flip(0) for tensor in given))
    for index in range(members):
        alone = everything(*(tensor[index : index + 1].clone() for tensor in given))
        for one, among, other in zip(alone, company, turned, strict=True):
            assert torch.equal(one[0], among[index]) and torch.equal(one[0], other[members - 1 - index])


def test_policies_never_wait_for_the_host():
    shapes = (2, 5, 6), (2, 3), (2, 5, 3)
    outputs, free, noise = (torch.empty(shape, device="meta") for shape in shapes)
    results = everything(outputs, free, noise, torch.empty(2, 5, dtype=torch.int64, device="meta"))
    assert all(result.is_meta for result in results)
    assert stretch(noise, free[0], free[1]).is_meta
