from __future__ import annotations

import pytest
import torch
from reference import now, rollouts, started

from algorithms.learner import Rollout, Spaces
from algorithms.pairs.reinforce import Reinforce, Settings
from algorithms.policies import Categorical, Gaussian

CHOICES, NUMBERS = Spaces((3,), 2), Spaces((3,), 2, ((-1.0, -1.0), (1.0, 1.0)))
SOFT = {"pg": False, "pg-bonus": False, "spg": True}
BONUS = {"pg": False, "pg-bonus": True, "spg": True}
NEITHER, FIRST, LAST = [False, False, False], [False, True, False], [False, False, True]


def learner(arm, spaces=CHOICES, **settings):
    defaults = {"environments": 1, "horizon": 3, "discount": 0.5, "hidden": (32,)}
    return Reinforce(Settings(**{**defaults, **settings}), spaces, Reinforce.arms[arm].switches)


def close(actual, expected, tolerance=1e-9):
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=actual.dtype), rtol=0, atol=tolerance)


def column(*rows, dtype=torch.float64):
    return torch.tensor(rows, dtype=dtype).unsqueeze(-1)


def returns_of(arm, terminated, truncated, tau):
    """Rewards 1, 2, 4, entropies 0.5, 0.25, 0.75, V = 6, 10, 8 after the steps, discount 1/2; a member for each ending."""
    members = len(terminated)
    nothing, flags = (
        torch.zeros(members, 4, 1, 3),
        [column(*rows, dtype=torch.bool) for rows in (terminated, truncated)],
    )
    rollout = Rollout(nothing, nothing, nothing[:, :3], column(*[[1.0, 2.0, 4.0]] * members), *flags)
    entropy, following = (column(*[row] * members) for row in ([0.5, 0.25, 0.75], [6.0, 10.0, 8.0]))
    taus = torch.tensor(tau, dtype=torch.float64).unsqueeze(1)
    return learner(arm).returns(rollout, entropy, following, taus).squeeze(-1)


@pytest.mark.parametrize("arm", Reinforce.arms)
def test_returns_to_go_by_hand(arm):
    """Ends: the rollout's alone; the task's own at the second step, and at the last; a time limit at the second step, and at the last."""
    terminated = [NEITHER, FIRST, LAST, NEITHER, NEITHER]
    truncated = [NEITHER, NEITHER, NEITHER, FIRST, LAST]
    hard = [[4.0, 6.0, 8.0], [2.0, 2.0, 8.0], [3.0, 4.0, 4.0], [4.5, 7.0, 8.0], [4.0, 6.0, 8.0]]
    close(returns_of(arm, terminated, truncated, [0.0] * 5), hard)
    # Eq. 3-4: temperature 2 adds 1, 0.5 and 1.5 to the rewards, the first step's among them; nothing beyond an end.
    more, ended = [1.625, 1.25, 1.5], [1.25, 0.5, 1.5]
    soft = [
        [a + b for a, b in zip(h, m, strict=True)] for h, m in zip(hard, [more, ended, more, ended, more], strict=True)
    ]
    close(returns_of(arm, terminated, truncated, [2.0] * 5), soft if SOFT[arm] else hard)


@pytest.mark.parametrize("arm", Reinforce.arms)
def test_each_member_has_its_own_temperature(arm):
    more = [1.625, 1.25, 1.5] if SOFT[arm] else [0.0] * 3
    hard = torch.tensor([4.0, 6.0, 8.0], dtype=torch.float64)
    found = returns_of(arm, [NEITHER] * 2, [NEITHER] * 2, [0.0, 4.0])
    close(found - hard, [[0.0] * 3, [2 * each for each in more]])


@pytest.mark.parametrize("arm", Reinforce.arms)
def test_policy_loss_by_hand(arm):
    """Eq. 19 or 48: minus log pi A, less alpha H where there is a bonus, each member's own alpha; the slope by log pi is minus A."""
    log_prob, advantage, entropy = (column(row).squeeze(-1) for row in ([-1.0, -2.0], [3.0, -0.5], [0.5, 0.25]))
    two = [each.expand(2, 2) for each in (log_prob, advantage, entropy)]
    tau = torch.tensor([[2.0], [0.0]], dtype=torch.float64)
    loss, slope, bonus = learner(arm).policy_loss(*two, tau)
    close(loss, [[2.0, -1.5] if BONUS[arm] else [3.0, -1.0], [3.0, -1.0]])
    close(slope, [[-3.0, 0.5]] * 2)
    assert torch.equal(bonus, tau) if BONUS[arm] else bonus is None


def test_arms_are_two_switches():
    """pg-bonus and spg share the loss (Liu et al. 2020, after Eq. 20); pg and pg-bonus share the return."""
    assert {name: tuple(arm.switches.values()) for name, arm in Reinforce.arms.items()} == {
        "pg": (False, False),
        "pg-bonus": (False, True),
        "spg": (True, True),
    }


def test_value_loss_by_hand():
    loss, slope = learner("pg").value_loss(torch.tensor([[1.0, 3.0]]), torch.tensor([[2.0, -1.0]]))
    close(loss, [[0.5, 8.0]])
    close(slope, [[-1.0, 4.0]])


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("arm", Reinforce.arms)
@pytest.mark.parametrize("scheme", [None, 1, 2, 3, 4])
def test_slopes_are_autograds(arm, scheme):
    """Of the losses by all outputs and by a global log sigma, of choices and in each scheme of sigma."""
    made = learner(arm, CHOICES if scheme is None else NUMBERS, **({} if scheme is None else {"scheme": scheme}))
    outputs, free = normal(2, 5, made.head.outputs), 0.3 * normal(2, made.head.free, seed=1)
    action = normal(2, 5, 2, seed=2) if scheme else torch.tensor([[0, 1, 1, 0, 1]] * 2)
    advantage, tau = normal(2, 5, seed=3), torch.tensor([[0.3], [0.0]], dtype=torch.float64)

    leaves = outputs.requires_grad_(), free.requires_grad_()
    policy = made.head.policy(*leaves)
    loss, by_log_prob, bonus = made.policy_loss(policy.log_prob(action), advantage, policy.entropy(), tau)
    expected = torch.autograd.grad(loss.sum(), leaves, allow_unused=True)

    fixed = made.head.policy(outputs.detach(), free.detach())
    found, by_free = made.head.slope(fixed, outputs.detach(), action, by_log_prob.detach(), bonus)
    assert isinstance(fixed, Gaussian if scheme else Categorical)
    torch.testing.assert_close(found, expected[0])
    if made.head.free:
        torch.testing.assert_close(5 * by_free, expected[1])  # a mean over the batch

    value, target = normal(2, 5, seed=4).requires_grad_(), normal(2, 5, seed=5)
    loss, slope = made.value_loss(value, target)
    torch.testing.assert_close(slope, *torch.autograd.grad(loss.sum(), value))


def test_an_update_reads_each_members_own_rate_and_temperature():
    """A member with rate 0 stays where it is; one with temperature 0 is that of pg, another one is not."""
    experience = next(rollouts(1, 4, 3, CHOICES))
    three = Rollout(*(torch.cat([field] * 3) for field in vars(experience).values()))
    ends = {}
    for arm in Reinforce.arms:
        made = learner(arm, environments=3, horizon=4)
        state = {name: torch.cat([x] * 3) for name, x in started(made, 1, torch.float32).items()}
        state["nets"] += torch.sin(torch.arange(state["nets"].shape[1]))  # away from a uniform policy
        before = state["nets"].clone()
        made.update(state, three, now(0, 100, learning_rate=[0.0, 0.1, 0.1], temperature=[3.0, 0.0, 3.0]))
        assert torch.equal(state["nets"][0], before[0]) and not torch.equal(state["nets"][1], before[1])
        ends[arm] = state["nets"]
    for arm in ("pg-bonus", "spg"):
        assert torch.equal(ends[arm][1], ends["pg"][1]) and not torch.equal(ends[arm][2], ends["pg"][2])
    assert not torch.equal(ends["pg-bonus"][2], ends["spg"][2])


@pytest.mark.parametrize("spaces", [CHOICES, NUMBERS])
@pytest.mark.parametrize("use", ["collect", "sample", "greedy"])
def test_the_behaviour_is_the_policy_or_its_mode(use, spaces):
    made = learner("spg", spaces)
    state = started(made, 1, torch.float32)
    if made.nets.free:
        made.nets.globals(state["nets"]).fill_(-1)
    observation, noise = torch.randn(1, 50, 3), torch.randn(1, 50, 2)
    outputs = made.nets.head(0, state["nets"])(observation)
    action = made.behaviour(state, use, now(0, 1))(observation, noise)
    if use != "greedy":
        outputs = outputs + noise if spaces is CHOICES else outputs + torch.tensor(-1.0).exp() * noise
    assert torch.equal(action, outputs.argmax(-1) if spaces is CHOICES else outputs)
