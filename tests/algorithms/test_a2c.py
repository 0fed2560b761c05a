from __future__ import annotations

import pytest
import torch
from numeric import RememberedGradient, assert_gradient, doubled

from algorithms.learner import Rollout, Spaces
from algorithms.pairs import a2c
from algorithms.policies import Categorical
from harness.run.streams import Streams

LN3 = 1.0986122886681098
TAU_KL = 0.0654060179705685  # temperature 1/2 x KL of (1/4, 3/4) to uniform, 0.1308120359


def learner(arm, **settings):
    defaults = {"environments": 1, "horizon": 2, "temperature": 0.5, "discount": 0.5, "hidden": 32}
    return a2c.A2C(a2c.Settings(**{**defaults, **settings}), Spaces(3, 2, False), 1000, **a2c.A2C.arms[arm].switches)


def close(actual, expected, tolerance=1e-9):
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=actual.dtype), rtol=0, atol=tolerance)


def column(*rows, dtype=torch.float64):
    return torch.tensor(rows, dtype=dtype).unsqueeze(-1)


# Two steps, rewards 1 and 2, V = 7 and 3 after them. Policies: uniform, then (1/4, 3/4); member 2 the other way round.
LATE, EARLY = [[0.0, 0.0], [0.0, LN3]], [[0.0, LN3], [0.0, 0.0]]


def returns_of(arm, logits, terminated, truncated):
    members = len(logits)
    nothing = torch.zeros(members, 2, 1, 3)
    flags = [column(*rows, dtype=torch.bool) for rows in (terminated, truncated)]
    rollout = Rollout(nothing, nothing, column(*[[1.0, 2.0]] * members), nothing, *flags)
    policy = Categorical(torch.tensor(logits, dtype=torch.float64))
    return learner(arm).returns(rollout, policy, column(*[[7.0, 3.0]] * members)).squeeze(-1)


def test_naive_returns_by_hand():
    no, last, first = [False, False], [False, True], [True, False]
    close(
        returns_of("a2c-naive", [LATE, LATE, LATE, LATE], [no, last, first, no], [no, no, no, first]),
        [
            [2.75, 3.5],
            [2.0, 2.0],
            [1.0, 3.5],
            [4.5, 3.5],
        ],  # cut; terminated at the end; terminated and truncated after the first step
    )


def test_proper_returns_take_the_penalty_off_every_reward():
    """Schulman et al. 2017, Eq. 80: r - tau KL in the return, the first step's as well."""
    no, last = [False, False], [False, True]
    close(
        returns_of("a2c-proper", [LATE, EARLY, LATE], [no, no, last], [no, no, no]),
        [[2.75 - TAU_KL / 2, 3.5 - TAU_KL], [2.75 - TAU_KL, 3.5], [2.0 - TAU_KL / 2, 2.0 - TAU_KL]],
    )
    close(returns_of("a2c-proper", [LATE], [no], [no]), [[2.7172969910147158, 3.4345939820294315]])


@pytest.mark.parametrize("arm", list(a2c.A2C.arms))
def test_policy_loss_by_hand(arm):
    """Eq. 84 in both arms: member 0: (2 ln 4 + tau KL - ln 2)/2; member 1: advantages 0, so only the penalties, 0 and 0."""
    policy = Categorical(torch.tensor([EARLY, [[0.0, 0.0], [0.0, 0.0]]], dtype=torch.float64))
    action, advantage = torch.tensor([[0, 1], [0, 1]]), torch.tensor([[2.0, -1.0], [0.0, 0.0]], dtype=torch.float64)
    close(learner(arm).policy_loss(policy, action, advantage), [1.0724237798953025, 0.0])


@pytest.mark.parametrize("arm", list(a2c.A2C.arms))
def test_gradient_of_the_policy_loss_is_that_of_finite_differences(arm):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64).requires_grad_()
    action = torch.randint(3, (2, 5), generator=generator)
    advantage = torch.randn(2, 5, generator=generator, dtype=torch.float64)
    made = a2c.A2C(a2c.Settings(temperature=0.3), Spaces(3, 3, False), 1000, **a2c.A2C.arms[arm].switches)
    assert torch.autograd.gradcheck(lambda x: made.policy_loss(Categorical(x), action, advantage), (logits,))


def rollout_and_state(made):
    streams = Streams([1, 2], 0, torch.device("cpu"))
    state = doubled(made.initial(streams))
    generator = torch.Generator().manual_seed(0)
    state["parameters"] += 0.5 * torch.randn(state["parameters"].shape, generator=generator, dtype=torch.float64)
    shape = (2, made.horizon, made.environments)
    observation, following = (torch.randn(*shape, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    reward = torch.randn(shape, generator=generator, dtype=torch.float64)
    terminated, truncated = (torch.rand(shape, generator=generator) < 0.2 for _ in range(2))
    return Rollout(
        observation, torch.randint(2, shape, generator=generator), reward, following, terminated, truncated
    ), state


@pytest.mark.parametrize("arm", list(a2c.A2C.arms))
def test_update_descends_the_loss_at_fixed_targets_and_advantages(arm, monkeypatch):
    """Eq. 84-86, from the networks' outputs: the captured gradient against finite differences of the loss written out."""
    remembered = RememberedGradient()
    monkeypatch.setattr(a2c, "gradient", remembered)
    made = learner(arm, environments=3, horizon=4, discount=0.9)
    rollout, state = rollout_and_state(made)
    parameters, observation = state["parameters"].clone(), rollout.observation.flatten(1, 2)

    def outputs(flat):
        tensors = made.layout.split(flat)
        return made.policy(tensors, observation), made.value(tensors, observation)

    policy, value = outputs(parameters)
    following = made.value(made.layout.split(parameters), rollout.next_observation.flatten(1, 2)).view_as(
        rollout.reward
    )
    target = made.returns(rollout, policy, following).flatten(1)
    advantage = target - value

    def loss(flat):
        new, new_value = outputs(flat)
        probability = new.log_policy.exp()
        penalty = 0.6931471805599453 + (probability * new.log_policy).sum(-1)
        surrogate = -new.log_prob(rollout.action.flatten(1)) * advantage
        return (surrogate + 0.5 * penalty + 0.5 * 0.5 * (new_value - target) ** 2).mean(1)

    metrics = made.update(state, rollout, Streams([1, 2], 1, torch.device("cpu")), 0)
    torch.testing.assert_close(metrics["policy_loss"] + 0.5 * metrics["value_loss"], loss(parameters))
    assert_gradient(loss, parameters, remembered.last)
    torch.testing.assert_close(metrics["gradient_norm"], remembered.last.norm(dim=1))
    clipped = remembered.last * (0.5 / remembered.last.norm(dim=1, keepdim=True)).clamp(max=1)
    step = (
        -made.settings.learning_rate * clipped / (0.1 * clipped.abs() + 1e-5)
    )  # first RMSProp step: the mean square is 0.01 g^2
    torch.testing.assert_close(state["parameters"] - parameters, step, rtol=1e-4, atol=1e-9)


def test_arms_differ_in_the_return_only_where_the_policy_is_not_uniform():
    no = [False, False]
    uniform = [[[0.0, 0.0], [0.0, 0.0]]]
    assert torch.equal(returns_of("a2c-naive", uniform, [no], [no]), returns_of("a2c-proper", uniform, [no], [no]))
    assert not torch.equal(returns_of("a2c-naive", [LATE], [no], [no]), returns_of("a2c-proper", [LATE], [no], [no]))
