from __future__ import annotations

import pytest
import torch

from algorithms import replay
from algorithms.learner import Rollout

CAPACITY, CHUNK = 7, 3


def rollout(first, count, members=2):
    """Steps first, first + 1, ...: every field tells its step; member 1 has 1000 more."""
    steps = (first + torch.arange(count)).expand(members, count) + 1000 * torch.arange(members).unsqueeze(1)
    steps = steps.unsqueeze(-1)
    observation = torch.stack([steps, -steps], -1).float()
    return Rollout(observation, steps, steps.float(), observation + 1, steps % 4 == 0, steps % 5 == 0)


def filled(stored, capacity=CAPACITY, chunk=CHUNK):
    state = replay.empty(2, capacity, 2, torch.device("cpu"))
    for step in range(0, stored, chunk):
        replay.append(state, rollout(step, chunk), step)
    return state


def grid(count):
    """Evenly spread numbers in [0, 1), the same for both members."""
    return ((torch.arange(count, dtype=torch.float64) + 0.5) / count).expand(2, count)


@pytest.mark.parametrize("stored", [3, 6, 9, 12, 21, 30])
def test_the_newest_entries_replace_the_oldest_in_ring_order(stored):
    state = filled(stored)
    for step in range(max(0, stored - CAPACITY), stored):
        place = step % CAPACITY
        assert state["replay.reward"][:, place].tolist() == [step, 1000 + step]
        assert state["replay.action"][:, place].tolist() == [step, 1000 + step]
        assert state["replay.observation"][:, place, 1].tolist() == [-step, -1000 - step]
        assert state["replay.next_observation"][:, place, 0].tolist() == [step + 1, 1001 + step]
        assert state["replay.terminated"][:, place].tolist() == [step % 4 == 0] * 2
        assert state["replay.ends"][:, place].tolist() == [
            step % 4 == 0 or step % 5 == 0,
            (step % 4 == 0) or step % 5 == 0,
        ]


@pytest.mark.parametrize("length", [1, 3, 5])
@pytest.mark.parametrize("stored", [6, 9, 12, 21, 30])
def test_windows_are_consecutive_steps_that_are_still_held(stored, length):
    window = replay.sample(filled(stored), grid(200), length, stored)
    first = window["reward"][..., 0]
    assert window["observation"].shape == (2, 200, length, 2)
    assert torch.equal(window["reward"], first.unsqueeze(-1) + torch.arange(length))
    assert torch.equal(window["next_observation"][..., 0], window["reward"] + 1)
    assert torch.equal(window["action"], window["reward"].long())
    assert torch.equal(window["terminated"], window["action"] % 4 == 0)
    own = first - torch.tensor([[0.0], [1000.0]])
    assert own.min() == max(0, stored - CAPACITY)
    assert own.max() + length - 1 == stored - 1


@pytest.mark.parametrize("length", [1, 5])
@pytest.mark.parametrize("stored", [6, 12, 21])
def test_valid_starts_are_covered_uniformly(stored, length):
    starts = min(stored, CAPACITY) - length + 1
    window = replay.sample(filled(stored), grid(100 * starts), length, stored)
    _, counts = window["reward"][0, :, 0].unique(return_counts=True)
    assert counts.tolist() == [100] * starts


def test_the_largest_uniform_number_stays_within_the_buffer():
    edge = torch.full((2, 1), 1 - 2**-53, dtype=torch.float64)
    assert replay.sample(filled(12), edge, 3, 12)["reward"][0, 0].tolist() == [9, 10, 11]
    assert replay.sample(filled(12), torch.zeros(2, 1, dtype=torch.float64), 3, 12)["reward"][0, 0].tolist() == [
        5,
        6,
        7,
    ]


def test_each_member_draws_from_its_own_row():
    uniform = torch.rand(2, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    reward = replay.sample(filled(21), uniform, 1, 21)["reward"][..., 0]
    assert (reward[0] < 1000).all()
    assert (reward[1] >= 1000).all()
    assert not torch.equal(reward[0], reward[1] - 1000)
