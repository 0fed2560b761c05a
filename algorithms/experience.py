"""What is read from a rollout: values of what each step led to, and minibatches. Shapes as in `learner.Rollout`."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from algorithms.learner import Rollout


def ahead(rollout: Rollout) -> Tensor:
    """Observations [P, (1 + F) E, *shape] whose values are needed besides those of the steps: the last one, and where truncations led."""
    return torch.cat([rollout.observation[:, -1:], rollout.final], 1).flatten(1, 2)


def following(rollout: Rollout, value: Tensor, ahead: Tensor) -> Tensor:
    """V(s_{t+1}), before any reset [P, T, E]: that of the next observation, but at truncations that of where they led.

    `value` [P, T E] of the steps' observations, `ahead` [P, (1 + F) E] of those of `ahead`. After a termination it has no meaning.
    """
    members, _, environments = rollout.reward.shape
    last, final = ahead.view(members, -1, environments).tensor_split([1], 1)
    after = torch.cat([value.view(rollout.reward.shape)[:, 1:], last], 1)
    place = (rollout.truncated.cumsum(1) - 1).clamp(min=0)
    return torch.where(rollout.truncated, final.take_along_dim(place, 1), after)


def minibatches(order: Tensor, count: int, fields: dict[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """`count` parts an epoch [P, about N / count, ...] of fields [P, N, ...], each member's own shuffle. order [P, epochs, N]."""
    members, epochs, size = order.shape
    rows = order + torch.arange(members, device=order.device).view(-1, 1, 1) * size
    for epoch in range(epochs):
        index = rows[:, epoch].flatten()
        shuffled = {name: x.flatten(0, 1).index_select(0, index).view(x.shape) for name, x in fields.items()}
        for part in range(count):
            chosen = slice(part * size // count, (part + 1) * size // count)
            yield {name: x[:, chosen] for name, x in shuffled.items()}
