"""A replay buffer a member, as tensors [P, capacity, ...] inside the learner's state, in the order of time."""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.learner import Rollout
from algorithms.population import State

FIELDS = ("observation", "action", "reward", "next_observation", "terminated", "ends")


def empty(members: int, capacity: int, observation: int, device: torch.device) -> State:
    """An empty buffer for one environment a member and discrete actions."""
    shape = (members, capacity)
    return {
        "replay.observation": torch.zeros(*shape, observation, device=device),
        "replay.action": torch.zeros(shape, dtype=torch.int64, device=device),
        "replay.reward": torch.zeros(shape, device=device),
        "replay.next_observation": torch.zeros(*shape, observation, device=device),
        "replay.terminated": torch.zeros(shape, dtype=torch.bool, device=device),
        "replay.ends": torch.zeros(shape, dtype=torch.bool, device=device),
    }


def append(state: State, rollout: Rollout, step: int) -> None:
    """Store a rollout [P, T, 1, ...] over the oldest entries, in place. `step`: entries ever stored before."""
    capacity, count = state["replay.reward"].shape[1], rollout.reward.shape[1]
    values = {**vars(rollout), "ends": rollout.terminated | rollout.truncated}
    start = step % capacity
    first = min(count, capacity - start)
    for name in FIELDS:
        value, store = values[name].flatten(1, 2), state[f"replay.{name}"]
        store[:, start : start + first] = value[:, :first]
        if first < count:
            store[:, : count - first] = value[:, first:]


def sample(state: State, uniform: Tensor, length: int, stored: int) -> dict[str, Tensor]:
    """Windows of `length` consecutive entries, [P, B, length, ...] by field, none across the newest entry.

    `uniform` [P, B] in [0, 1) chooses the windows' starts; `stored`: entries ever stored.
    """
    members, capacity = state["replay.reward"].shape
    held = min(stored, capacity)
    oldest = stored - held
    start = (uniform * (held - length + 1)).long() + oldest
    index = (start.unsqueeze(-1) + torch.arange(length, device=uniform.device)) % capacity
    row = torch.arange(members, device=uniform.device).view(-1, 1, 1) * capacity
    flat = (index + row).flatten()
    return {
        name: state[f"replay.{name}"]
        .flatten(0, 1)
        .index_select(0, flat)
        .view(*index.shape, *state[f"replay.{name}"].shape[2:])
        for name in FIELDS
    }
