"""What is read from a rollout, against plain loops."""

from __future__ import annotations

import pytest
import torch
from reference import followers, rollouts, shuffles

from algorithms import experience
from algorithms.learner import Rollout, Spaces


def several(members, horizon, environments, seed=0, limit=0.3):
    """A rollout of several members, and each one's own."""
    own = [next(rollouts(1, horizon, environments, Spaces((1,), 2), seed + m, limit=limit)) for m in range(members)]
    return Rollout(*(torch.cat(fields) for fields in zip(*(vars(each).values() for each in own), strict=True))), own


@pytest.mark.parametrize("limit", [0.0, 0.3, 0.9])
@pytest.mark.parametrize(("horizon", "environments"), [(1, 1), (1, 4), (7, 1), (12, 3)])
def test_values_of_what_each_step_led_to(horizon, environments, limit):
    """The value is twice the observation: that of the next one, and at truncations that of where they led."""
    rollout, own = several(4, horizon, environments, limit=limit)
    value = 2 * rollout.observation[:, :-1].flatten(1, 2).squeeze(-1)
    found = experience.following(rollout, value, 2 * experience.ahead(rollout).squeeze(-1))
    expected = torch.stack([2 * followers(each).squeeze(-1) for each in own])
    reads = ~rollout.terminated  # after a termination it has no meaning
    assert torch.equal(found[reads], expected[reads])
    assert found.shape == rollout.reward.shape


@pytest.mark.parametrize(("size", "count"), [(12, 3), (13, 4), (5, 5), (8, 1)])
def test_minibatches_are_each_members_own_shuffles(size, count):
    members, epochs = 3, 2
    order = torch.cat(list(shuffles(members, epochs, size)))
    number = torch.arange(members * size).view(members, size)
    fields = {"number": number, "pair": torch.stack([number, -number], 2)}
    parts = list(experience.minibatches(order, count, fields))
    assert len(parts) == epochs * count
    for part in parts:
        assert torch.equal(part["pair"], torch.stack([part["number"], -part["number"]], 2))
        assert size // count <= part["number"].shape[1] <= -(-size // count)
    for epoch in range(epochs):
        whole = torch.cat([part["number"] for part in parts[epoch * count : (epoch + 1) * count]], 1)
        expected = order[:, epoch] + torch.arange(members).unsqueeze(1) * size
        assert torch.equal(whole, expected)
