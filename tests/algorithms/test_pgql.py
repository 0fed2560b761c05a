"""The two rules of pgql by hand; what they share, and where they are the same."""

from __future__ import annotations

import math

import pytest
import torch
from reference import now, rollouts

from algorithms.learner import Rollout, Spaces
from algorithms.pairs import a2c
from algorithms.pairs.pgql import PGQL, Settings
from algorithms.policies import Categorical
from harness.run.streams import Streams

SPACES = Spaces((3,), 2)
IMAGE = Spaces((10, 10, 2), 3)


def learner(rule, spaces=SPACES, **settings):
    defaults = {"environments": 3, "horizon": 4, "hidden": (8,)}
    return PGQL(Settings(**{**defaults, **settings}), spaces, PGQL.arms[rule].switches)


def row(*values):
    return torch.tensor([values, values], dtype=torch.float64)


def close(actual, expected, tolerance=1e-12):
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=actual.dtype), rtol=0, atol=tolerance)


TAU = torch.tensor([[0.1], [0.0]], dtype=torch.float64)
# V = 3 and 2, log pi/ref = 2 and -1, V-hat = 1 and 4, KL = 5 and 0.
GIVEN = row(3.0, 2.0), row(2.0, -1.0), row(1.0, 4.0), row(5.0, 0.0)


@pytest.mark.parametrize("rule", PGQL.arms)
def test_the_error_of_q_by_hand(rule):
    """3 + 0.2 - (1 + 0.5) and 2 - 0.1 - 4; at temperature 0 that of V."""
    close(learner(rule).error(*GIVEN, TAU), [[1.7, -2.1], [2.0, -2.0]])


def test_slopes_by_hand():
    """Soft Q: the error of Q, and half of it; policy gradient: that of V, and half of it, with a penalty beside it."""
    by_log_prob, by_value, bonus = learner("soft-q-rule").slopes(*GIVEN, TAU)
    close(by_log_prob, [[1.7, -2.1], [2.0, -2.0]])
    close(by_value, [[0.85, -1.05], [1.0, -1.0]])
    assert bonus is None
    by_log_prob, by_value, bonus = learner("pg-rule", value_coefficient=0.25).slopes(*GIVEN, TAU)
    close(by_log_prob, [[2.0, -2.0]] * 2)
    close(by_value, [[0.5, -0.5]] * 2)
    assert torch.equal(bonus, TAU)


@pytest.mark.parametrize("rule", PGQL.arms)
def test_returns_have_the_penalty_in_both_rules(rule):
    """Rewards 1 and 2 less 0.1 x (5, 1), V = 7 after the last, discount 1/2; a termination after the first; temperature 0."""
    tau, none = torch.tensor([[0.1], [0.1], [0.0]], dtype=torch.float64), torch.zeros(3, 2, 1, dtype=torch.bool)
    terminated = none.clone()
    terminated[1, 0] = True
    reward, kl, after = (
        torch.tensor(each, dtype=torch.float64).view(1, 2, 1).expand(3, 2, 1)
        for each in ([1.0, 2.0], [5.0, 1.0], [9.0, 7.0])
    )
    found = learner(rule, discount=0.5).returns(Rollout(none, none, none, reward, terminated, none), kl, after, tau)
    close(found.squeeze(2), [[0.5 + 0.5 * 5.4, 5.4], [0.5, 5.4], [1.0 + 0.5 * 5.5, 5.5]])


def test_a_step_of_both_rules_is_the_same_in_expectation_of_the_action():
    """Of one state, by a sum over actions: slopes by logits and by V."""
    logits, tau = torch.tensor([[[1.0, -0.5, 0.3]]], dtype=torch.float64), torch.tensor([[0.7]], dtype=torch.float64)
    policy, found = Categorical(logits), {}
    kl = math.log(3) - policy.entropy()
    for rule in PGQL.arms:
        found[rule] = torch.zeros(4, dtype=torch.float64)
        for choice, target in enumerate([2.0, -1.0, 0.5]):
            action = torch.tensor([[choice]])
            ratio = policy.log_prob(action) + math.log(3)
            by_log_prob, by_value, bonus = learner(rule).slopes(0 * kl + 0.4, ratio, 0 * kl + target, kl, tau)
            slopes = torch.cat([policy.slope(action, by_log_prob, bonus).flatten(), by_value.flatten()])
            found[rule] += policy.log_prob(action).exp().item() * slopes
    torch.testing.assert_close(*found.values(), rtol=0, atol=1e-14)
    assert found["pg-rule"].abs().min() > 0.01


def trained(*learners, spaces=SPACES, members=3, **rows):
    """The networks of learners that start alike after the same experience."""
    ends = []
    for made in learners:
        state = made.initial(Streams([1] * members, 0, torch.device("cpu")))
        state["nets"] += 0.3 * torch.sin(torch.arange(state["nets"].shape[1]))  # away from a uniform policy
        for one in rollouts(4, 4, 3, spaces):
            made.update(
                state, Rollout(*(torch.cat([field] * members) for field in vars(one).values())), now(0, 1, **rows)
            )
        ends.append(state["nets"])
    return ends


@pytest.mark.parametrize("spaces", [SPACES, IMAGE])
def test_the_policy_gradient_rule_is_proper_a2c_to_the_bit(spaces):
    made = learner("pg-rule", spaces)
    other = a2c.A2C(a2c.Settings(**made.settings.model_dump()), spaces, a2c.A2C.arms["a2c-proper"].switches)
    found, expected = trained(
        made, other, spaces=spaces, members=2, learning_rate=[0.01, 0.002], temperature=[0.3, 0.0]
    )
    assert torch.equal(found, expected)


def test_each_member_has_its_own_rate_and_temperature():
    """A rate of 0 moves nothing; the rules are one at temperature 0, and elsewhere they differ by their samples."""
    rows = {"learning_rate": [0.0, 0.1, 0.1], "temperature": [3.0, 0.0, 3.0]}
    hard, soft = trained(learner("pg-rule"), learner("soft-q-rule"), **rows)
    assert torch.equal(hard[0], soft[0]) and torch.equal(hard[1], soft[1]) and not torch.equal(hard[2], soft[2])
    assert not torch.equal(hard[0], hard[1])
