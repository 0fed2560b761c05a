"""DDPG, SDDPG and what lies between by hand: targets, what is climbed, how it explores, what follows, what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from reference import now, started

from algorithms.learner import Draw, Spaces, Window
from algorithms.pairs.ddpg import DDPG, Settings
from harness.run.spec import Spec, make_learner
from harness.run.streams import Streams

LOW, HIGH = (-2.0, 0.0), (2.0, 3.0)
SPACES = Spaces((3,), 2, (LOW, HIGH))
STOCHASTIC = ("rpg", "saclite", "sddpg", "sac1-auto", "sac-v")
HALF = torch.tensor([[0.5]], dtype=torch.float64)


def learner(arm, spaces=SPACES, **settings):
    defaults = {"batch": 4, "learning_starts": 10, "replay_size": 40, "hidden": (8,)}
    return DDPG(Settings(**{**defaults, **settings}), spaces, DDPG.arms[arm].switches)


def close(actual, expected, tolerance=1e-12):
    torch.testing.assert_close(actual, torch.tensor(expected, dtype=actual.dtype), rtol=0, atol=tolerance)


# Critics say 3 and 2, then -1 and 4; log pi is -0.4 and 0.6 at temperature 1/2.
Q = torch.tensor([[[3.0, -1.0], [2.0, 4.0]]], dtype=torch.float64)
LOG_PROB = torch.tensor([[-0.4, 0.6]], dtype=torch.float64)


@pytest.mark.parametrize("arm", DDPG.arms)
def test_value_of_line_12_by_hand(arm):
    """The least of two critics; less alpha log pi where entropy is in the target."""
    expected = [[2.2, -1.3]] if arm in ("sddpg", "sac1-auto", "sac-v") else [[2.0, -1.0]]
    close(learner(arm).value(Q, LOG_PROB, HALF), expected)


def test_target_of_line_12_by_hand():
    reward, value = torch.tensor([[1.0, 2.0], [3.0, 5.0]], dtype=torch.float64)
    found = learner("ddpg", discount=0.5).target(reward, torch.tensor([False, True]), value)
    close(found, [2.5, 2.0])


@pytest.mark.parametrize("arm", DDPG.arms)
def test_what_line_14_climbs_by_hand(arm):
    soft = arm in ("saclite", "sddpg", "sac1-auto", "sac-v")
    close(learner(arm).policy_loss(Q[:, 0], LOG_PROB, HALF), [[-3.2, 1.3]] if soft else [[-3.0, 1.0]])


def test_scaling_rewards_is_one_over_the_temperature():
    """Haarnoja et al. 2018: rewards times 5 at temperature 1 are the losses at temperature 1/5, times 5."""
    one, fifth = torch.ones(1, 1, dtype=torch.float64), torch.full((1, 1), 0.2, dtype=torch.float64)
    made = learner("sac-v")
    close(made.value(5 * Q, LOG_PROB, one), (5 * made.value(Q, LOG_PROB, fifth)).tolist())
    close(made.policy_loss(5 * Q[:, 0], LOG_PROB, one), (5 * made.policy_loss(Q[:, 0], LOG_PROB, fifth)).tolist())


def acting(arm, use, step, count=20_000, **settings):
    """Actions of many environments at one observation, in the task's units, and their noise."""
    made = learner(arm, **settings)
    state = started(made, 1, torch.float32)
    noise = Streams([1], 1, torch.device("cpu")).take("action", Draw("normal", (count, 2)))
    observation = torch.tensor([0.3, -0.2, 0.5]).expand(1, count, 3)
    return made.behaviour(state, use, now(step, 1000))(observation, noise)[0], noise[0]


@pytest.mark.parametrize("arm", DDPG.arms)
@pytest.mark.parametrize("noise", ["normal", "ornstein-uhlenbeck"])
def test_actions_are_uniform_at_first(arm, noise):
    action, _ = acting(arm, "collect", 9, noise=noise)
    low, high = (torch.tensor(each) for each in (LOW, HIGH))
    assert ((action >= low) & (action <= high)).all()
    share = (action - low) / (high - low)
    close(share.mean(0), [0.5, 0.5], 0.01)
    close(share.std(0), [math.sqrt(1 / 12)] * 2, 0.005)


@pytest.mark.parametrize("arm", ["ddpg", "ddpg-twin"])
def test_a_deterministic_arm_adds_noise_within_the_bounds(arm):
    """0.2 of the noise in (-1, 1) is 0.4 and 0.3 in these units."""
    best, _ = acting(arm, "greedy", 10)
    action, noise = acting(arm, "collect", 10, exploration=0.2)
    expected = best + noise * torch.tensor([0.4, 0.3])
    low, high = (torch.tensor(each) for each in (LOW, HIGH))
    close(action, torch.minimum(torch.maximum(expected, low), high).tolist(), 1e-5)
    assert torch.equal(acting(arm, "sample", 10)[0], best)


@pytest.mark.parametrize("arm", STOCHASTIC)
def test_a_stochastic_arm_explores_by_itself(arm):
    action, _ = acting(arm, "collect", 10, exploration=5.0)
    assert torch.equal(action, acting(arm, "sample", 10)[0])
    best, _ = acting(arm, "greedy", 10)
    assert (best == best[0]).all() and (action.std(0) > 0.1).all()


@pytest.mark.parametrize("arm", STOCHASTIC)
def test_noise_that_goes_on_moves_every_arm_alike(arm):
    best, _ = acting(arm, "greedy", 10)
    action, noise = acting(arm, "collect", 10, noise="ornstein-uhlenbeck", exploration=0.01)
    close(action - best, (noise * torch.tensor([0.02, 0.015])).tolist(), 1e-5)
    assert learner(arm, noise="ornstein-uhlenbeck").exploration.kind == "ornstein-uhlenbeck"


def updated(arm, reward=1.0, terminated=False, **settings):
    """The state of one member before and after an update on four equal transitions that a time limit cuts, and its metrics."""
    made = learner(arm, **settings)
    state = started(made, 1, torch.float64)
    before = {name: each.clone() for name, each in state.items()}
    flag, shape = torch.ones(1, 4, 1, dtype=torch.bool), (1, 4, 1)
    seen, action = (torch.full((*shape, size), 0.3, dtype=torch.float64) for size in (3, 2))
    window = Window(seen, seen + 1, action, torch.full(shape, reward, dtype=torch.float64), flag & terminated, flag)
    noise = {role: torch.full((1, 4, 2), 0.7, dtype=torch.float64) for role in ("target", "policy")}
    rows = {name: getattr(made.settings, name) for name in made.settings.rows()}
    return before, state, made.update(state, window, now(0, 1000, torch.float64, noise=noise, **rows))


@pytest.mark.parametrize("arm", DDPG.arms)
def test_targets_follow_by_line_16(arm):
    before, after, _ = updated(arm, keep=0.75)
    names = {name for name in after if name.endswith(".target")}
    wanted = {"sac-v": {"value.target"}, "ddpg": {"critics.target", "actor.target"}}
    assert names == wanted.get("ddpg" if arm.startswith("ddpg") else arm, {"critics.target"})
    for name in names:
        kept, learned = before[name], after[name.removesuffix(".target")]
        torch.testing.assert_close(after[name], 0.75 * kept + 0.25 * learned)
        assert not torch.equal(kept, learned)


@pytest.mark.parametrize("arm", DDPG.arms)
def test_a_time_limit_bootstraps_and_a_true_end_does_not(arm):
    """At discount 0 nothing follows: that is what a true end must be like."""
    end, cut, nothing = (
        updated(arm, terminated=terminated, discount=discount)[2]["critic_loss"]
        for terminated, discount in ((True, 0.9), (False, 0.9), (False, 0.0))
    )
    assert torch.equal(end, nothing) and not torch.equal(cut, end)


def test_what_is_told():
    for arm in DDPG.arms:
        _, after, told = updated(arm, temperature=0.3)
        assert told["temperature"].item() == pytest.approx(0.3), "that of this update"
        assert told["entropy"].isnan().item() == (arm not in STOCHASTIC)
        assert ("temperature" in after) == (arm == "sac1-auto")


def test_a_policy_below_its_target_entropy_makes_the_temperature_rise():
    """Line 15."""
    entropy = updated("sac1-auto")[2]["entropy"].item()
    for sign in (1, -1):
        _, after, _ = updated("sac1-auto", target_entropy=entropy + 0.01 * sign)
        assert sign * after["temperature"].item() > 0


@pytest.mark.parametrize(
    ("spaces", "line"),
    [
        (Spaces((3,), 1, ((-math.inf,), (1.0,))), r"^task: must bound its actions, from \(-inf,\) to \(1\.0,\)$"),
        (Spaces((9, 9, 1), 2, (LOW, HIGH), dtype="uint8"), "^observation: an image takes no numbers beside it$"),
    ],
)
def test_a_task_that_does_not_fit_is_told(spaces, line):
    with pytest.raises(ValueError, match=line):
        learner("ddpg", spaces)


def test_a_replay_smaller_than_a_batch_is_told():
    settings = {"batch": 256, "replay_size": 255}
    with pytest.raises(ValueError, match=r"^replay_size: must be at least the batch of 256$"):
        make_learner(Spec("ddpg", "sddpg", "Pendulum-v1", "batched", settings, 1000, 1, 1, "bootstrap"), SPACES)
