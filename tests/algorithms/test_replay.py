"""The ring of time against a plain list of transitions, over random rollouts in which it wraps several times."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import replace

import numpy as np
import pytest
import torch

from algorithms import replay
from algorithms.learner import Replay, Rollout, Settings, Spaces, Window

MEMBERS = 2
SEGMENT = 3  # rollouts between two cuts


class Life:
    """One environment: frames that are told apart by their numbers, episodes that terminate or are truncated."""

    def __init__(self, rng, spaces, numbers):
        self.rng, self.spaces, self.numbers = rng, spaces, numbers
        self.reset()

    def reset(self):
        self.frames, self.age = deque(maxlen=self.spaces.frames), 0
        return self.seen()

    def seen(self):
        """The newest frame last, zeros for those before the episode began."""
        *size, channels = self.spaces.observation
        shape = (*size, channels // self.spaces.frames)
        self.frames.append(np.full(shape, next(self.numbers)) + np.arange(np.prod(shape)).reshape(shape) % 2)
        missing = [np.zeros(shape)] * (self.spaces.frames - len(self.frames))
        return np.concatenate([*missing, *self.frames], -1)

    def step(self):
        """(what it led to, before any reset; terminated; truncated), at most one truncation in `limit` steps."""
        self.age += 1
        terminated = self.rng.random() < 0.1
        return self.seen(), terminated, not terminated and self.age >= self.spaces.limit and self.rng.random() < 0.4


def recorded(spaces, environments, horizon, count, seed):
    """`count` rollouts of all members, and for each what a plain list of transitions gets from it [member][environment][step]."""
    rng, numbers = np.random.default_rng(seed), itertools.cycle(range(1, 250))
    lives = [[Life(rng, spaces, numbers) for _ in range(environments)] for _ in range(MEMBERS)]
    now = [[life.reset() for life in own] for own in lives]
    dtype = getattr(torch, spaces.dtype)
    for rollout in range(count):
        cut = rollout % SEGMENT == SEGMENT - 1
        shape, places = (MEMBERS, horizon, environments), horizon // spaces.limit + 2
        observation = torch.zeros(MEMBERS, horizon + 1, environments, *spaces.observation, dtype=dtype)
        final = torch.zeros(MEMBERS, places, environments, *spaces.observation, dtype=dtype)
        numbered = spaces.kind == "numbers"
        action = torch.from_numpy(rng.random((*shape, spaces.actions), np.float32)) if numbered else None
        action = torch.from_numpy(rng.integers(0, 5, shape)) if action is None else action
        reward = torch.from_numpy(rng.random(shape, np.float32))
        terminated, truncated = torch.zeros(shape, dtype=torch.bool), torch.zeros(shape, dtype=torch.bool)
        plain = [[[] for _ in range(environments)] for _ in range(MEMBERS)]
        for m, e in np.ndindex(MEMBERS, environments):
            life, place = lives[m][e], 0
            for t in range(horizon):
                before = now[m][e]
                led, ended, late = life.step()
                late = late or (cut and t + 1 == horizon and not ended)
                now[m][e] = life.reset() if ended or late else led
                observation[m, t, e] = torch.from_numpy(before)
                terminated[m, t, e], truncated[m, t, e] = bool(ended), bool(late)
                if late:
                    final[m, place, e] = torch.from_numpy(led)
                    place += 1
                after = led if late else now[m][e]
                taken = action[m, t, e].numpy(), reward[m, t, e].item(), ended, ended or late
                plain[m][e].append((before, after, *taken))
            observation[m, horizon, e] = torch.from_numpy(now[m][e])
            if cut:  # environments start anew
                now[m][e] = life.reset()
                if ended:  # nothing was stored of what the reset after it showed
                    plain[m][e][-1] = (before, None, *plain[m][e][-1][2:])
        yield Rollout(observation, final, action, reward, terminated, truncated), plain


VECTOR = Spaces((3,), 2, limit=1)
CASES = {
    "vector": VECTOR,
    "long episodes": Spaces((3,), 2, limit=4),
    "numbers": Spaces((2,), 3, ((-1.0,) * 3, (1.0,) * 3)),
    "bytes": Spaces((2, 1, 4), 2, dtype="uint8", frames=4),
    "colours": Spaces((1, 2, 6), 2, frames=2, limit=3),
    "one frame": Spaces((2, 1, 3), 2, dtype="uint8"),
}


@pytest.mark.parametrize("window", [1, 5])
@pytest.mark.parametrize(("environments", "horizon"), [(1, 4), (3, 4), (2, 1)])
@pytest.mark.parametrize("spaces", CASES.values(), ids=CASES)
def test_windows_are_those_of_a_plain_list(spaces, environments, horizon, window):
    capacity, quantum = 23, horizon * environments
    plan = Replay(capacity * environments, 64, 1, window)
    segment = SEGMENT * horizon
    limit = max(1, spaces.limit * segment // (spaces.limit + segment))  # a cut truncates too
    ring = replay.Ring(plan, replace(spaces, limit=limit), environments)
    assert ring.steps == capacity
    state, lists = ring.empty(MEMBERS, torch.device("cpu")), [[[] for _ in range(environments)] for _ in range(MEMBERS)]
    rng, checked = np.random.default_rng(1), 0
    for count, (rollout, plain) in enumerate(recorded(spaces, environments, horizon, 4 * capacity // horizon, 0)):
        ring.remember(state, rollout, count * quantum)
        for m, e in np.ndindex(MEMBERS, environments):
            lists[m][e] = (lists[m][e] + plain[m][e])[-capacity:]
        if len(lists[0][0]) < window or count % 3:
            continue
        uniform = torch.from_numpy(np.concatenate([rng.random((MEMBERS, 12)), [[0.0, 1 - 2**-53]] * MEMBERS], 1))
        found = ring.recall(state, uniform, (count + 1) * quantum)
        assert found.observation.dtype == getattr(torch, spaces.dtype)
        found = Window(*(field.numpy() for field in vars(found).values()))
        for m, b in np.ndindex(*uniform.shape):
            starts = len(lists[m][0]) - window + 1
            first, lane = divmod(int(uniform[m, b].item() * starts * environments), environments)
            for n, step in enumerate(lists[m][lane][first : first + window]):
                observation, after, action, reward, ended, ends = step
                assert np.array_equal(found.observation[m, b, n], observation)
                assert after is None or np.array_equal(found.next_observation[m, b, n], after)
                assert np.array_equal(found.action[m, b, n], action) and found.reward[m, b, n] == reward
                assert (found.terminated[m, b, n], found.ends[m, b, n]) == (ended, ends)
                checked += 1
    assert checked > 200


@pytest.mark.parametrize("window", [1, 5])
def test_valid_starts_are_covered_uniformly(window):
    plan = Replay(24, 8, 1, window)
    ring = replay.Ring(plan, VECTOR, 2)
    state = ring.empty(MEMBERS, torch.device("cpu"))
    for count, (rollout, _) in enumerate(recorded(VECTOR, 2, 3, 10, 0)):
        ring.remember(state, rollout, count * 6)
        starts = (min(3 * (count + 1), 12) - window + 1) * 2
        if starts < 1:
            continue
        uniform = ((torch.arange(100 * starts) + 0.5) / (100 * starts)).expand(MEMBERS, -1).double()
        first = ring.recall(state, uniform, (count + 1) * 6).observation[0, :, 0, 0]
        _, counts = first.unique(return_counts=True)
        assert counts.tolist() == [100] * starts


def test_each_member_draws_from_its_own_rows():
    ring = replay.Ring(Replay(20, 8, 1), VECTOR, 1)
    state = ring.empty(MEMBERS, torch.device("cpu"))
    rollout, _ = next(recorded(VECTOR, 1, 20, 1, 0))
    ring.remember(state, rollout, 0)
    uniform = torch.rand(MEMBERS, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = ring.recall(state, uniform, 20).reward.squeeze(2)
    for member in range(MEMBERS):
        assert torch.isin(found[member], rollout.reward[member]).all()
        other = Rollout(*(field.flip(0) for field in vars(rollout).values()))
        swapped = ring.empty(MEMBERS, torch.device("cpu"))
        ring.remember(swapped, other, 0)
        flipped = ring.recall(swapped, uniform.flip(0), 20).reward.squeeze(2)
        assert torch.equal(flipped[1 - member], found[member])


def test_frames_are_kept_once():
    ring = replay.Ring(Replay(100, 8, 1), CASES["bytes"], 2)
    state = ring.empty(MEMBERS, torch.device("cpu"))
    assert state["replay.observation"].shape == (MEMBERS, 50 + 4, 2, 2, 1, 1)
    assert state["replay.observation"].dtype == torch.uint8


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (Replay(10, 4, 30, 5), "replay_size: must be at least 18"),
        (Replay(40, 4, 17, 5), "learning_starts: must be at least 18"),
        (Replay(40, 64, 30), "replay_size: must be at least the batch of 64"),
    ],
)
def test_a_replay_that_cannot_hold_an_update_is_refused(plan, message):
    with pytest.raises(ValueError, match=message):
        replay.check(plan, Settings(environments=2, horizon=4))
    replay.check(Replay(40, 4, 18, 5), Settings(environments=2, horizon=4))
