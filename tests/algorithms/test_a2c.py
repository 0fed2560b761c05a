from __future__ import annotations

import pytest
import torch
from reference import now, rollouts, started

from algorithms import maxent
from algorithms.learner import Rollout, Spaces
from algorithms.pairs import a2c
from algorithms.policies import Categorical

LN3 = 1.0986122886681098
TAU_KL = 0.0654060179705685  # temperature 1/2 x KL of (1/4, 3/4) to uniform, 0.1308120359


def learner(arm, **settings):
    defaults = {"environments": 1, "horizon": 2, "discount": 0.5, "hidden": (32,)}
    return a2c.A2C(a2c.Settings(**{**defaults, **settings}), Spaces((3,), 2), a2c.A2C.arms[arm].switches)


def close(actual, expected, tolerance=1e-9):
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=actual.dtype), rtol=0, atol=tolerance)


def column(*rows, dtype=torch.float64):
    return torch.tensor(rows, dtype=dtype).unsqueeze(-1)


# Two steps, rewards 1 and 2, V = 7 and 3 after them. Policies: uniform, then (1/4, 3/4); member 2 the other way round.
LATE, EARLY = [[0.0, 0.0], [0.0, LN3]], [[0.0, LN3], [0.0, 0.0]]


def returns_of(arm, logits, terminated, truncated, tau=0.5):
    members = len(logits)
    flags = [column(*rows, dtype=torch.bool) for rows in (terminated, truncated)]
    nothing = torch.zeros(members, 3, 1, 3)
    rollout = Rollout(nothing, nothing, nothing[:, :2], column(*[[1.0, 2.0]] * members), *flags)
    policy = Categorical(torch.tensor(logits, dtype=torch.float64).unsqueeze(2))
    kl = maxent.kl(policy.log_policy, maxent.log_uniform(2))
    taus = torch.full((members, 1), tau, dtype=torch.float64)
    return learner(arm).returns(rollout, kl, column(*[[7.0, 3.0]] * members), taus).squeeze(-1)


def test_naive_returns_by_hand():
    """A cut; terminated at the end; terminated after the first step; truncated there."""
    no, last, first = [False, False], [False, True], [True, False]
    close(
        returns_of("a2c-naive", [LATE, LATE, LATE, LATE], [no, last, first, no], [no, no, no, first]),
        [[2.75, 3.5], [2.0, 2.0], [1.0, 3.5], [4.5, 3.5]],
    )


def test_proper_returns_take_the_penalty_off_every_reward():
    """Schulman et al. 2017, Eq. 80: r - tau KL in the return, the first step's as well."""
    no, last = [False, False], [False, True]
    close(
        returns_of("a2c-proper", [LATE, EARLY, LATE], [no, no, last], [no, no, no]),
        [[2.75 - TAU_KL / 2, 3.5 - TAU_KL], [2.75 - TAU_KL, 3.5], [2.0 - TAU_KL / 2, 2.0 - TAU_KL]],
    )
    close(returns_of("a2c-proper", [LATE], [no], [no]), [[2.7172969910147158, 3.4345939820294315]])


def test_arms_differ_in_the_return_only_where_the_policy_is_not_uniform_and_the_temperature_not_zero():
    no = [False, False]
    uniform = [[[0.0, 0.0], [0.0, 0.0]]]
    assert torch.equal(returns_of("a2c-naive", uniform, [no], [no]), returns_of("a2c-proper", uniform, [no], [no]))
    assert torch.equal(returns_of("a2c-naive", [LATE], [no], [no]), returns_of("a2c-proper", [LATE], [no], [no], 0.0))
    assert not torch.equal(returns_of("a2c-naive", [LATE], [no], [no]), returns_of("a2c-proper", [LATE], [no], [no]))


def test_each_member_has_its_own_temperature():
    no = torch.zeros(2, 2, 1, dtype=torch.bool)
    rollout = Rollout(no, no, no, column([1.0, 2.0], [1.0, 2.0]), no, no)
    kl, taus = column([0.5, 1.0], [0.5, 1.0]), torch.tensor([[0.0], [2.0]], dtype=torch.float64)
    found = learner("a2c-proper").returns(rollout, kl, torch.zeros_like(kl), taus)
    close(found.squeeze(-1), [[2.0, 2.0], [0.0, 0.0]])  # member 1: rewards 1 - 1 and 2 - 2


@pytest.mark.parametrize("arm", list(a2c.A2C.arms))
def test_policy_loss_by_hand(arm):
    """Eq. 84 in both arms: member 0: 2 ln 4 + tau KL, and -ln 2; member 1: advantages 0, so only the penalties, 0 and 0."""
    policy = Categorical(torch.tensor([EARLY, [[0.0, 0.0], [0.0, 0.0]]], dtype=torch.float64))
    action, advantage = torch.tensor([[0, 1], [0, 1]]), torch.tensor([[2.0, -1.0], [0.0, 0.0]], dtype=torch.float64)
    kl, tau = maxent.kl(policy.log_policy, maxent.log_uniform(2)), torch.full((2, 1), 0.5, dtype=torch.float64)
    loss, slope = learner(arm).policy_loss(policy.log_prob(action), advantage, kl, tau)
    close(loss.mean(1), [1.0724237798953025, 0.0])
    close(slope, [[-2.0, 1.0], [0.0, 0.0]])


@pytest.mark.parametrize("arm", list(a2c.A2C.arms))
def test_the_slope_of_the_policy_loss_is_autograds(arm):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64).requires_grad_()
    action = torch.randint(3, (2, 5), generator=generator)
    advantage = torch.randn(2, 5, generator=generator, dtype=torch.float64)
    tau, policy = torch.tensor([[0.3], [0.0]], dtype=torch.float64), Categorical(logits)
    kl = maxent.kl(policy.log_policy, maxent.log_uniform(3))
    loss, by_log_prob = learner(arm).policy_loss(policy.log_prob(action), advantage, kl, tau)
    (expected,) = torch.autograd.grad(loss.sum(), logits)
    torch.testing.assert_close(Categorical(logits.detach()).slope(action, by_log_prob, tau), expected)


def test_an_update_reads_each_members_own_rate_and_temperature():
    """A member with rate 0 stays where it is; one with temperature 0 is the other arm's."""
    experience = next(rollouts(1, 4, 3, Spaces((3,), 2)))
    two = Rollout(*(torch.cat([field, field]) for field in vars(experience).values()))
    ends = {}
    for arm in a2c.A2C.arms:
        made = learner(arm, environments=3, horizon=4)
        state = {name: torch.cat([x, x]) for name, x in started(made, 1, torch.float32).items()}
        before = state["nets"].clone()
        made.update(state, two, now(0, 100, learning_rate=[0.0, 0.1], temperature=[3.0, 0.0]))
        assert torch.equal(state["nets"][0], before[0]) and not torch.equal(state["nets"][1], before[1])
        ends[arm] = state["nets"][1]
    assert torch.equal(*ends.values())


@pytest.mark.parametrize("anneal", [True, False])
def test_learning_rate_falls_to_zero_over_the_budget(anneal):
    """What is learned at three quarters of the budget is what is learned at its start, at a quarter of the rate or at all of it."""
    made, experience, ends = learner("a2c-naive", anneal=anneal), next(rollouts(1, 4, 3, Spaces((3,), 2))), []
    for step, rate in ((75, 0.4), (0, 0.1 if anneal else 0.4)):
        state = started(made, 1, torch.float32)
        made.update(state, experience, now(step, 100, learning_rate=[rate], temperature=[0.1]))
        ends.append(state["nets"])
    assert torch.equal(*ends)


@pytest.mark.parametrize("use", ["collect", "sample", "greedy"])
def test_the_behaviour_is_the_policy_or_its_mode(use):
    made = learner("a2c-naive")
    state = started(made, 1, torch.float32)
    observation, noise = torch.randn(1, 50, 3), torch.randn(1, 50, 2)
    logits = made.nets.head(0, state["nets"])(observation)
    action = made.behaviour(state, use, now(0, 1))(observation, noise)
    assert torch.equal(action, (logits if use == "greedy" else logits + noise).argmax(-1))
