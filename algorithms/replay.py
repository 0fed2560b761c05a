"""A replay a member, as tensors [P, slots, E, ...] inside the learner's state: a ring of time that holds each observation once.

What a step led to is the next observation, but where it was truncated: such ones have a ring of their own, since the next observation is
another episode's then. Of stacked frames the newest alone is kept; stacks are made when they are read.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from algorithms.learner import Replay, Rollout, Settings, Spaces, State, Window


def check(replay: Replay, settings: Settings) -> None:
    """Raises ValueError where a replay cannot hold what an update needs; it names the settings by the names that all pairs use."""
    least = settings.horizon * settings.environments + replay.window * settings.environments
    for name, value in (("learning_starts", replay.starts), ("replay_size", replay.size)):
        if value < least:
            raise ValueError(f"{name}: must be at least {least} (a rollout and the steps of a target)")
    if replay.size < replay.batch:
        raise ValueError(f"replay_size: must be at least the batch of {replay.batch}")


class Ring:
    """The last `replay.size` environment steps of each member."""

    def __init__(self, replay: Replay, spaces: Spaces, environments: int) -> None:
        self.replay, self.spaces, self.environments = replay, spaces, environments
        self.steps = replay.size // environments
        self.slots = self.steps + spaces.frames  # what to act on next, and the older frames of the oldest stack
        self.finals = self.steps // spaces.limit + 2
        *size, channels = spaces.observation
        self.newest = channels // spaces.frames
        self.frame = (*size, self.newest)

    def empty(self, members: int, device: torch.device) -> State:
        """The state's part `replay.*` before the first step."""
        shape = (members, self.slots, self.environments)
        numbers = (self.spaces.actions,) if self.spaces.kind == "numbers" else ()
        dtype = getattr(torch, self.spaces.dtype)
        made = {
            "observation": torch.zeros(*shape, *self.frame, dtype=dtype),
            "final": torch.zeros(members, self.finals, self.environments, *self.frame, dtype=dtype),
            "truncations": torch.zeros(members, self.environments, dtype=torch.int64),
            "place": torch.zeros(shape, dtype=torch.int32),
            "action": torch.zeros(*shape, *numbers, dtype=torch.float32 if numbers else torch.int64),
            "reward": torch.zeros(shape),
            "terminated": torch.zeros(shape, dtype=torch.bool),
            "truncated": torch.zeros(shape, dtype=torch.bool),
        }
        if self.spaces.frames > 1:
            made["age"] = torch.zeros(shape, dtype=torch.int64)
        return {f"replay.{name}": tensor.to(device) for name, tensor in made.items()}

    def remember(self, state: State, rollout: Rollout, step: int) -> None:
        """Store a rollout over the oldest steps, in place. `step`: environment steps of a member before it."""
        horizon, device = rollout.reward.shape[1], rollout.reward.device
        slot = (step // self.environments + torch.arange(horizon + 1, device=device)) % self.slots
        count = state["replay.truncations"]
        rank = rollout.truncated.cumsum(1) - 1
        values = {
            "action": rollout.action,
            "reward": rollout.reward,
            "terminated": rollout.terminated,
            "truncated": rollout.truncated,
            "place": ((count.unsqueeze(1) + rank) % self.finals).int(),
        }
        for name, value in values.items():
            state[f"replay.{name}"].index_copy_(1, slot[:-1], value)
        state["replay.observation"].index_copy_(1, slot, rollout.observation[..., -self.newest :])
        self._remember_finals(state, rollout)
        if self.spaces.frames > 1:
            self._remember_ages(state, step // self.environments, horizon)

    def _remember_finals(self, state: State, rollout: Rollout) -> None:
        count, number = state["replay.truncations"], rollout.truncated.sum(1)
        final = rollout.final[..., -self.newest :]
        place = torch.arange(final.shape[1], device=final.device).view(1, -1, 1)
        index = _like((count.unsqueeze(1) + place) % self.finals, final)
        kept = state["replay.final"].gather(1, index)
        state["replay.final"].scatter_(1, index, torch.where(_like(place < number.unsqueeze(1), final), final, kept))
        count.add_(number)

    def _remember_ages(self, state: State, first: int, horizon: int) -> None:
        """Steps since the episode began, at most `frames`: so many older frames are of the same episode. `first`: step of all time."""
        age, ended = state["replay.age"], state["replay.terminated"] | state["replay.truncated"]
        for time in range(max(first, 1), first + horizon + 1):
            before, now = (time - 1) % self.slots, time % self.slots
            grown = (age[:, before] + 1).clamp(max=self.spaces.frames)
            age[:, now] = torch.where(ended[:, before], 0, grown)

    def recall(self, state: State, uniform: Tensor, step: int) -> Window:
        """Windows of `replay.window` consecutive steps, none across the newest one; `uniform` [P, B] in [0, 1) chooses their starts.

        `step`: environment steps that a member has taken.
        """
        length, device = self.replay.window, uniform.device
        stored = step // self.environments
        held = min(stored, self.steps)
        start = (uniform * ((held - length + 1) * self.environments)).long()
        lane = (start % self.environments).unsqueeze(-1)
        time = (start // self.environments + (stored - held)).unsqueeze(-1) + torch.arange(length, device=device)
        slot = time % self.slots

        index, following = self._index(slot, lane), self._index((slot + 1) % self.slots, lane)

        def take(name: str, index: Tensor = index) -> Tensor:
            store = state[f"replay.{name}"].flatten(0, 2)
            return store.index_select(0, index).view(*slot.shape, *store.shape[1:])

        observation, truncated, terminated = take("observation"), take("truncated"), take("terminated")
        after, place = take("observation", following), take("place").long()
        members, finals = torch.arange(len(slot), device=device).view(-1, 1, 1) * self.finals, self.environments
        final = take("final", ((members + place) * finals + lane).flatten())
        if self.spaces.frames > 1:
            observation, after = (
                self._stacked(take, at, lane, newest) for at, newest in ((slot, observation), (slot + 1, after))
            )
            final = torch.cat([observation[..., self.newest :], final], -1)  # after the frames before it
        return Window(
            observation=observation,
            next_observation=torch.where(_like(truncated, after), final, after),
            action=take("action"),
            reward=take("reward"),
            terminated=terminated,
            ends=terminated | truncated,
        )

    def _index(self, slot: Tensor, lane: Tensor) -> Tensor:
        """Rows of a store [P slots E, ...] of each member's slots [P, B, n] in its environments `lane`."""
        member = torch.arange(len(slot), device=slot.device).view(-1, 1, 1)
        return ((member * self.slots + slot) * self.environments + lane).flatten()

    def _stacked(self, take: Callable[[str, Tensor], Tensor], slot: Tensor, lane: Tensor, newest: Tensor) -> Tensor:
        """Stacks of frames at `slot` [P, B, n]: the newest comes last, and those before the episode began are 0."""
        age, parts = take("age", self._index(slot % self.slots, lane)), [newest]
        for lag in range(1, self.spaces.frames):
            older = take("observation", self._index((slot - lag) % self.slots, lane))
            parts.insert(0, torch.where(_like(age >= lag, older), older, 0))
        return torch.cat(parts, -1)


def _like(row: Tensor, values: Tensor) -> Tensor:
    """[P, x, E] or [P, B, n] beside values with more axes, expanded to them."""
    return row.view(*row.shape, *[1] * (values.dim() - row.dim())).expand_as(values)
