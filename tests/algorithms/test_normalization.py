from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from algorithms.learner import Rollout
from algorithms.normalization import Normalization, merge_, statistic


def draws(members, device="cpu"):
    return SimpleNamespace(members=members, device=torch.device(device))


def close(found, expected, tolerance=1e-6):
    torch.testing.assert_close(found, torch.tensor(expected, dtype=found.dtype), rtol=0, atol=tolerance)


def rollout(reward, observation=None, terminated=(), truncated=()):
    """Rewards [P, T, E]; ends as (t, e) of every member."""
    reward = torch.as_tensor(reward, dtype=torch.float32)
    members, horizon, environments = reward.shape
    if observation is None:
        observation = torch.zeros(members, horizon + 1, environments, 1)
    flags = [torch.zeros(reward.shape, dtype=torch.bool) for _ in range(2)]
    for flag, ends in zip(flags, (terminated, truncated), strict=True):
        for t, e in ends:
            flag[:, t, e] = True
    return Rollout(observation, observation[:, :1], torch.zeros(reward.shape), reward, *flags)


def experience(members, horizon, environments, shape=(2,), seed=0):
    """Random experience with ends in it."""
    generator = torch.Generator().manual_seed(seed)
    observation = 3 + 2 * torch.randn(members, horizon + 1, environments, *shape, generator=generator)
    reward = torch.randn(members, horizon, environments, generator=generator) - 0.5
    terminated, truncated = (torch.rand(reward.shape, generator=generator) < 0.15 for _ in range(2))
    return Rollout(observation, observation[:, :1], torch.zeros(reward.shape), reward, terminated, truncated)


def made(members=1, environments=1, discount=0.5, shape=(1,)):
    normalization = Normalization(True, shape, environments, discount)
    return normalization, normalization.initial(draws(members))


def scaled(*rollouts):
    """The scaled rewards of the last of one member's rollouts."""
    normalization, state = made()
    for each in rollouts:
        reward = normalization.scale_(state, each)
    return reward.flatten()


def test_rewards_are_scaled_by_the_deviation_of_the_discounted_return():
    """Returns so far: 1, 2 + 1/2: deviation 0.75. They start anew after an end: 1, 2: deviation 0.5."""
    close(scaled(rollout([[[1.0], [2.0]]])), [4 / 3, 8 / 3])
    close(scaled(rollout([[[1.0], [2.0]]], terminated=[(0, 0)])), [2.0, 4.0])
    close(scaled(rollout([[[1.0], [2.0]]], truncated=[(0, 0)])), [2.0, 4.0])
    close(scaled(rollout([[[0.01], [1e-9]]])), [4.0, 4e-7], tolerance=0.01)
    close(scaled(rollout([[[0.0], [0.0]]])), [0.0, 0.0])
    close(scaled(rollout([[[100.0], [100.1]]], terminated=[(0, 0)])), [10.0, 10.0])
    close(scaled(rollout([[[-100.0], [-100.1]]], terminated=[(0, 0)])), [-10.0, -10.0])


def test_the_discounted_return_is_carried_over_rollouts_to_an_episodes_end():
    """Returns 1, 2.5, 4.25, and, had the first rollout ended an episode, 1, 2.5, 3."""
    close(scaled(rollout([[[1.0], [2.0]]]), rollout([[[3.0]]])), [3 / np.std([1, 2.5, 4.25])])
    for end in ("terminated", "truncated"):
        first = rollout([[[1.0], [2.0]]], **{end: [(1, 0)]})
        close(scaled(first, rollout([[[3.0]]])), [3 / np.std([1, 2.5, 3])])


def test_returns_do_not_depend_on_where_rollouts_are_cut():
    whole = experience(2, 12, 3)
    parts = [
        Rollout(whole.observation[:, a : b + 1], whole.final, *(x[:, a:b] for x in (whole.action, whole.reward)), *ends)
        for a, b in ((0, 1), (1, 5), (5, 12))
        for ends in [(whole.terminated[:, a:b], whole.truncated[:, a:b])]
    ]
    states = []
    for rollouts in ([whole], parts):
        normalization, state = made(2, 3, 0.9, (2,))
        for each in rollouts:
            normalization.scale_(state, each)
            normalization.track_(state, each)
        states.append(state)
    assert states[0].keys() == states[1].keys()
    for name in states[0]:
        torch.testing.assert_close(states[0][name], states[1][name])


@pytest.mark.parametrize("shape", [(2,), (4, 3, 2)])
def test_running_statistics_are_numpys_over_all_that_was_seen(shape):
    members, environments, discount = 2, 3, 0.9
    normalization, state = made(members, environments, discount, shape)
    seen, returns = [[] for _ in range(members)], [[] for _ in range(members)]
    total = np.zeros((members, environments))
    for seed, horizon in enumerate((4, 1, 7)):
        each = experience(members, horizon, environments, shape, seed)
        reward = normalization.scale_(state, each)
        normalization.track_(state, each)
        ends = (each.terminated | each.truncated).numpy()
        for t in range(horizon):
            total = each.reward[:, t].numpy() + discount * total
            for member in range(members):
                returns[member].append(total[member])
                seen[member].append(each.observation[member, t].numpy())
            total = total * ~ends[:, t]
        for member in range(members):
            observed, deviation = np.concatenate(seen[member]), np.std(returns[member])
            np.testing.assert_allclose(state["observation.mean"][member], observed.mean(0), rtol=1e-5)
            np.testing.assert_allclose(state["observation.variance"][member], observed.var(0), rtol=1e-5)
            np.testing.assert_allclose(reward[member], (each.reward[member] / deviation).clip(-10, 10), rtol=1e-5)
            assert state["observation.count"][member] == state["return.count"][member] == len(observed)


def test_a_far_mean_and_a_long_run_keep_the_variance():
    state = statistic(draws(1), "x", ())
    values = 1e4 + np.random.default_rng(0).standard_normal(50_000).astype(np.float32)
    for part in np.split(values, 500):
        merge_(state, "x", torch.from_numpy(part).unsqueeze(0))
    assert state["x.mean"].item() == pytest.approx(values.mean(dtype=np.float64), rel=1e-6)
    assert state["x.variance"].item() == pytest.approx(values.var(dtype=np.float64), rel=0.01)


def test_the_count_goes_on_where_float32_stops():
    state = statistic(draws(1), "x", ())
    state["x.count"].fill_(2**24)
    merge_(state, "x", torch.zeros(1, 1))
    assert state["x.count"].item() == 2**24 + 1


def test_observations_are_centred_scaled_and_clipped():
    normalization, state = made(2)
    state |= {"observation.mean": torch.tensor([[1.0], [0.0]]), "observation.variance": torch.tensor([[4.0], [1.0]])}
    given = torch.tensor([[5.0], [-3.0], [1e6], [-1e6]]).expand(2, 4, 1)
    close(normalization.normalize(state, given).flatten(), [2.0, -2.0, 10.0, -10.0, 5.0, -3.0, 10.0, -10.0])
    close(normalization.normalize(state, given.unsqueeze(2)).flatten(1)[0], [2.0, -2.0, 10.0, -10.0])
    constant = state | {"observation.variance": torch.zeros(2, 1)}
    assert normalization.normalize(constant, state["observation.mean"].unsqueeze(1)).tolist() == [[[0.0]], [[0.0]]]


def test_an_update_sees_observations_as_the_acting_before_it_did():
    normalization, state = made(2, 3, 0.9, (2,))
    each = experience(2, 5, 3)
    acted = normalization.normalize(state, each.observation)
    normalization.scale_(state, each)
    assert torch.equal(normalization.normalize(state, each.observation), acted)
    normalization.track_(state, each)
    assert not torch.equal(normalization.normalize(state, each.observation), acted)


def test_off_it_keeps_nothing_and_changes_nothing():
    normalization, each = Normalization(False, (2,), 3, 0.9), experience(2, 5, 3)
    state = normalization.initial(draws(2))
    normalization.track_(state, each)
    assert normalization.normalize(state, each.observation) is each.observation
    assert normalization.scale_(state, each) is each.reward
    assert state == {}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1,), (3,), (17,), (5, 5, 2)])
def test_a_row_has_the_same_bits_alone_and_in_company(shape, dtype):
    rollouts = [experience(7, horizon, 3, shape, horizon) for horizon in (1, 5, 11)]

    def tracked(chosen):
        normalization, state = made(len(chosen), 3, 0.9, shape)
        state = {name: tensor.to(torch.float64 if name.endswith("count") else dtype) for name, tensor in state.items()}
        for each in rollouts:
            mine = Rollout(*(getattr(each, name)[chosen] for name in Rollout.__dataclass_fields__))
            mine = replace(mine, observation=mine.observation.to(dtype), reward=mine.reward.to(dtype))
            reward = normalization.scale_(state, mine)
            normalization.track_(state, mine)
            seen = normalization.normalize(state, mine.observation)
        return state | {"reward": reward, "seen": seen}

    company = tracked(list(range(7)))
    for chosen in ([0], [3], [6, 2, 4]):
        for name, tensor in tracked(chosen).items():
            assert torch.equal(tensor, company[name][chosen]), name


def test_it_never_waits_for_the_host():
    normalization = Normalization(True, (2,), 3, 0.9)
    state = normalization.initial(draws(2, "meta"))
    each = experience(2, 5, 3)
    each = Rollout(*(getattr(each, name).to("meta") for name in Rollout.__dataclass_fields__))
    reward = normalization.scale_(state, each)
    normalization.track_(state, each)
    assert reward.is_meta and normalization.normalize(state, each.observation).is_meta
    assert all(tensor.is_meta for tensor in state.values())
