"""IMPALA and SIMPALA by hand: V-trace, whose policy acts, and what lag 0 is."""

from __future__ import annotations

import pytest
import torch
from numeric import doubled
from reference import now, rollouts, started

from algorithms.learner import Rollout, Spaces
from algorithms.pairs import a2c
from algorithms.pairs.impala import Impala, Settings
from algorithms.policies import Categorical
from algorithms.returns import n_step
from harness.run.streams import Streams

SPACES = Spaces((3,), 2)
QUANTUM = 12


def learner(arm, spaces=SPACES, **settings):
    defaults = {"environments": 3, "horizon": 4, "hidden": (8,)}
    return Impala(Settings(**{**defaults, **settings}), spaces, Impala.arms[arm].switches)


def close(actual, expected, tolerance=1e-12):
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=actual.dtype), rtol=0, atol=tolerance)


def column(*values, dtype=torch.float64):
    return torch.tensor(values, dtype=dtype).view(1, -1, 1)


NO, CUT = (column(first, False, dtype=torch.bool) for first in (False, True))


@pytest.mark.parametrize(
    ("clips", "ends", "v", "q"),
    [
        ({}, (NO, NO), [3.25, 4.5], [3.25, 5.0]),
        ({}, (NO, CUT), [3.0, 4.5], [3.0, 5.0]),
        ({}, (CUT, NO), [1.0, 4.5], [1.0, 5.0]),
        ({"clip_rho": 2.0}, (NO, NO), [3.25, 4.5], [3.25, 5.0]),
        ({"clip_c": 2.0}, (NO, NO), [3.5, 4.5], [3.25, 5.0]),
    ],
)
def test_v_trace_by_hand(clips, ends, v, q):
    """Rewards 1, 2, V = 3, 4, V' = 4, 6, ratios 2 and 1/2, discount 1/2; uncut rho = c = (1, 1/2): deltas 0 and 1/2 (1 + 1/2 x 1/2)."""
    made = learner("impala", discount=0.5, **clips)
    found = made.v_trace(column(1.0, 2.0), column(3.0, 4.0), column(4.0, 6.0), column(2.0, 0.5), *ends)
    for each, expected in zip(found, (v, q, [min(2.0, made.settings.clip_rho), 0.5]), strict=True):
        close(each.flatten(), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ratios_of_one_leave_the_n_step_return_to_the_bit(dtype):
    for rollout in rollouts(3, 20, 16, SPACES, dtype=dtype, limit=0.2):
        value, following = (torch.randn(1, 20, 16, dtype=dtype) * 100 for _ in range(2))
        ends = rollout.terminated, rollout.truncated
        made = learner("impala", discount=0.99, clip_rho=1.5)
        v, q, rho = made.v_trace(rollout.reward, value, following, torch.ones_like(value), *ends)
        expected = n_step(rollout.reward, following, *ends, 0.99)
        assert torch.equal(v, expected) and torch.equal(q, expected) and torch.equal(rho, torch.ones_like(v))


@pytest.mark.parametrize("arm", Impala.arms)
def test_the_reward_has_the_entropy_in_simpala_alone(arm):
    reward, entropy = (torch.tensor(each, dtype=torch.float64).view(2, 1, 1) for each in ([1.0, 2.0], [0.5, 0.5]))
    tau = torch.tensor([[0.2], [0.0]], dtype=torch.float64)
    close(learner(arm).reward(reward, entropy, tau).flatten(), [1.1 if arm == "simpala" else 1.0, 2.0])


@pytest.mark.parametrize("arm", Impala.arms)
def test_policy_loss_by_hand_and_its_slope_by_autograd(arm):
    """rho log pi A: minus 1/2 x -1 x 3 and minus 1 x -2 x -1/2, less 2 x H; the second member has temperature 0."""
    log_prob, rho, advantage, entropy = (
        torch.tensor([row, row], dtype=torch.float64) for row in ([-1.0, -2.0], [0.5, 1.0], [3.0, -0.5], [0.5, 0.25])
    )
    tau, bonus = torch.tensor([[2.0], [0.0]], dtype=torch.float64), arm != "impala"
    loss, slope, weight = learner(arm).policy_loss(log_prob, rho, advantage, entropy, tau)
    close(loss, [[0.5, -1.5] if bonus else [1.5, -1.0], [1.5, -1.0]])
    close(slope, [[-1.5, 0.5]] * 2)
    assert torch.equal(weight, tau) if bonus else weight is None

    logits = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    action, given = torch.tensor([[0, 1, 1, 2, 0]] * 2), [torch.linspace(0.1, 2, 5).double().expand(2, 5)] * 2
    policy = Categorical(logits)
    loss, slope, weight = learner(arm).policy_loss(policy.log_prob(action), *given, policy.entropy(), tau)
    (expected,) = torch.autograd.grad(loss.sum(), logits)
    torch.testing.assert_close(Categorical(logits.detach()).slope(action, slope.detach(), weight), expected)


@pytest.mark.parametrize("lag", [0, 1, 3])
def test_the_policy_that_acts_is_exactly_lag_updates_old(lag):
    made = learner("impala", lag=lag)
    state, known = started(made, 1, torch.float32), []
    seen, noise = torch.randn(1, 50, 3), torch.zeros(1, 50, 2)
    assert state["ring"].shape == (1, lag + 1, state["nets"].shape[1])
    for update, rollout in enumerate(rollouts(8, 4, 3, SPACES)):
        when = now(QUANTUM * update, 1000, learning_rate=0.1, temperature=0.0)
        known.append(state["nets"].clone())
        for use, parameters in (("collect", known[max(update - lag, 0)]), ("sample", known[-1]), ("greedy", known[-1])):
            expected = made.nets.head(0, parameters)(seen).argmax(-1)
            assert torch.equal(made.behaviour(state, use, when)(seen, noise), expected), (update, use)
        metrics = made.update(state, rollout, when)
        assert bool(metrics["kl"] == 0) == (lag == 0 or update == 0)
    assert len({tuple(each[0].tolist()) for each in known}) == 8


def same(*learners, spaces=SPACES, members=3, updates=6, **rows):
    """The networks of learners that start alike after the same experience."""
    ends = []
    for made in learners:
        state = made.initial(Streams([1] * members, 0, torch.device("cpu")))
        state["nets"] += 0.3 * torch.sin(torch.arange(state["nets"].shape[1]))  # away from a uniform policy
        if "ring" in state:
            state["ring"].copy_(state["nets"].unsqueeze(1))
        for update, one in enumerate(rollouts(updates, 4, 3, spaces)):
            batch = Rollout(*(torch.cat([field] * members) for field in vars(one).values()))
            made.update(state, batch, now(QUANTUM * update, 1000, **rows))
        ends.append(state["nets"])
    return ends


@pytest.mark.parametrize("spaces", [SPACES, Spaces((10, 10, 2), 3)])
def test_lag_0_is_a2c_to_the_bit(spaces):
    """impala-bonus is a2c-naive: ratios are 1, and what is left is the n-step return; with a clip above 1, too."""
    made = learner("impala-bonus", spaces, lag=0, clip_rho=1.7, anneal=False)
    shared = made.settings.model_dump(exclude={"lag", "clip_rho", "clip_c", "anneal"})
    other = a2c.A2C(a2c.Settings(**shared), spaces, a2c.A2C.arms["a2c-naive"].switches)
    found, expected = same(made, other, spaces=spaces, members=2, learning_rate=[0.01, 0.002], temperature=[0.3, 0.0])
    assert torch.equal(found, expected)


def test_each_member_has_its_own_rate_and_temperature():
    """A rate of 0 moves nothing; at temperature 0 all arms are the hard one, elsewhere none is another."""
    arms = [learner(arm, lag=2) for arm in Impala.arms]
    hard, bonus, soft = same(*arms, learning_rate=[0.0, 0.1, 0.1], temperature=[3.0, 0.0, 3.0])
    assert torch.equal(hard[0], soft[0]) and not torch.equal(hard[0], hard[1])
    assert torch.equal(hard[1], bonus[1]) and torch.equal(hard[1], soft[1])
    assert len({tuple(each[2].tolist()) for each in (hard, bonus, soft)}) == 3


def test_the_entropy_in_the_return_is_the_present_policys():
    """Actors of another policy change the ratios alone: with rewards and values of 0 the critic is drawn to the present entropy."""
    made = learner("simpala", lag=1, discount=0.0, environments=1, horizon=1)
    state = doubled(started(made, 1, torch.float32))
    state["nets"].zero_()
    state["ring"].zero_()
    logits = made.nets.layout.tensors(state["ring"][:, 0])[-1][:, 0, -1]  # the actor's last biases, of the old policy
    logits += torch.tensor([3.0, 0.0], dtype=torch.float64)
    (one,) = rollouts(1, 1, 1, SPACES, dtype=torch.float64)
    batch = Rollout(
        one.observation, one.final, torch.ones(1, 1, 1, dtype=torch.int64), 0 * one.reward, NO[:, :1], NO[:, :1]
    )
    metrics = made.update(state, batch, now(0, 100, torch.float64, learning_rate=0.1, temperature=2.0))
    target = 2.0 * torch.tensor(2.0, dtype=torch.float64).log()
    close(metrics["value_loss"], [0.5 * target.item() ** 2])
    assert metrics["entropy"].item() < 0.25 and metrics["rho"].item() == 1
