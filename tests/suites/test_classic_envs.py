"""The batched classic-control tasks are Gymnasium's tasks, and no environment depends on its company."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray

from harness.run import environments
from suites.envs.classic import BATCHED, ClassicEnv

TASKS = sorted(BATCHED)
ROUNDING = 1e-12  # of the state, relative to 1 + its size
SEEDS = [0, 1, 7, 123456789, 2**63 + 5]
REACH: dict[
    str, NDArray[np.float64]
] = {  # random states are drawn from a box of this half-width, goals and bounds included
    "CartPole-v1": np.array([2.5, 3.0, 0.22, 3.0]),
    "Acrobot-v1": np.array([np.pi, np.pi, 4 * np.pi, 9 * np.pi]),
    "MountainCar-v0": np.array([1.2, 0.07]),
    "Pendulum-v1": np.array([20.0, 8.0]),
}

Array = NDArray[Any]


def random_actions(batch: ClassicEnv, generator: np.random.Generator, steps: int) -> Array:
    """[steps, count], for Pendulum [steps, count, 1]. Slice one such array to give an environment the same actions elsewhere."""
    if isinstance(batch.action_space, gymnasium.spaces.Discrete):
        return generator.integers(batch.action_space.n, size=(steps, batch.count))
    return generator.uniform(-2.5, 2.5, size=(steps, batch.count, 1)).astype(np.float32)  # beyond the bounds too


def random_states(task: str, generator: np.random.Generator, count: int) -> NDArray[np.float64]:
    states = generator.uniform(-REACH[task], REACH[task], size=(count, len(REACH[task])))
    if task == "MountainCar-v0":
        states[:, 0] = states[:, 0] * 0.75 - 0.3  # from wall to wall
        states[: count // 8, 0] = -1.2
        states[count // 8 : count // 4, 0] = 0.49
    return states


def trajectory(batch: ClassicEnv, seeds: list[int], actions: Array) -> list[Array]:
    """First observations, then every array of every step and the states, environments on axis 1 (on axis 0 of the first)."""
    first = batch.reset(seeds)
    steps = [(*batch.step(action), batch.state.T.copy()) for action in actions]
    return [first, *(np.array(values) for values in zip(*steps, strict=True))]


@pytest.mark.parametrize("task", TASKS)
def test_same_spaces_and_time_limit(task: str) -> None:
    batch, reference = BATCHED[task](2), gymnasium.make(task)
    assert batch.observation_space == reference.observation_space
    assert batch.action_space == reference.action_space
    assert reference.spec is not None and batch.limit == reference.spec.max_episode_steps
    first = batch.reset([3, 4])
    assert first.dtype == np.float32 and all(row in batch.observation_space for row in first)


@pytest.mark.parametrize("task", TASKS)
def test_same_starts_and_same_later_starts(task: str) -> None:
    batch, reference = BATCHED[task](len(SEEDS)), gymnasium.make(task)
    batch.limit = 1  # every step ends an episode, so that every step shows a start
    starts = [batch.reset(SEEDS)]
    states = [batch.state.copy()]
    for actions in random_actions(batch, np.random.default_rng(1), 5):
        starts.append(batch.step(actions)[0])
        states.append(batch.state.copy())
    for index, seed in enumerate(SEEDS):
        for episode in range(len(starts)):
            expected, _ = reference.reset(seed=seed if episode == 0 else None)
            np.testing.assert_array_equal(starts[episode][index], expected, strict=True)
            np.testing.assert_array_equal(
                states[episode][:, index], np.asarray(reference.unwrapped.state, dtype=np.float64)
            )  # type: ignore[attr-defined]


@pytest.mark.parametrize("task", TASKS)
def test_same_step_from_random_states(task: str) -> None:
    count = 3000
    generator = np.random.default_rng(2)
    batch, reference = BATCHED[task](count), gymnasium.make(task).unwrapped
    states, actions = random_states(task, generator, count), random_actions(batch, generator, 1)[0]
    batch.state[:] = states.T
    reward, terminated = batch.advance(actions)
    obs = batch.observe(batch.state)
    expected: list[tuple[Array, Array, float, bool]] = []
    for state, action in zip(states, actions, strict=True):
        reference.reset()
        reference.state = state.copy()  # type: ignore[attr-defined]
        next_obs, next_reward, end, _, _ = reference.step(action)
        expected.append((np.asarray(reference.state), next_obs, float(next_reward), end))  # type: ignore[attr-defined]
    next_states, observations, rewards, ends = (np.array(column) for column in zip(*expected, strict=True))
    np.testing.assert_allclose(batch.state.T, next_states, rtol=ROUNDING, atol=ROUNDING)
    np.testing.assert_allclose(obs, observations, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(reward, rewards, rtol=1e-6)
    np.testing.assert_array_equal(terminated, ends)
    assert task == "Pendulum-v1" or 0 < ends.sum() < count, "the random states must show both outcomes"


@pytest.mark.parametrize("task", TASKS)
def test_same_trajectories_through_several_episodes(task: str) -> None:
    seeds, steps = SEEDS[:3], 1010 if task == "Acrobot-v1" else 650
    batch, reference = BATCHED[task](len(seeds)), gymnasium.make(task)
    actions = random_actions(batch, np.random.default_rng(3), steps)
    if task in (
        "MountainCar-v0",
        "Acrobot-v1",
    ):  # chance seldom reaches their goals; the first environment pushes along its velocity
        scout = BATCHED[task](1)
        seen = scout.reset(seeds[:1])
        for step in range(steps):
            actions[step, 0] = 2 if seen[0, -1] > 0 else 0
            seen = scout.step(actions[step, :1])[0]
    first, obs, reward, terminated, truncated, final_obs, _ = trajectory(batch, seeds, actions)
    assert (
        obs.dtype == final_obs.dtype == reward.dtype == np.float32 and terminated.dtype == truncated.dtype == np.bool_
    )
    for index, seed in enumerate(seeds):
        np.testing.assert_array_equal(first[index], reference.reset(seed=seed)[0])
        for step in range(steps):
            seen, gain, end, cut, _ = reference.step(actions[step, index])
            # Rounding errors grow along an episode, in Acrobot the most; resets are exact.
            np.testing.assert_allclose(final_obs[step, index], seen, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(reward[step, index], float(gain), rtol=1e-5, atol=1e-6)
            assert (terminated[step, index], truncated[step, index]) == (end, cut)
            if end or cut:
                np.testing.assert_array_equal(obs[step, index], reference.reset()[0])
            else:
                np.testing.assert_array_equal(obs[step, index], final_obs[step, index])
    ends = (terminated | truncated).sum(axis=0)
    assert (ends >= 2).all(), "the comparison must cross several resets"
    assert truncated.any() or task == "CartPole-v1"
    assert terminated.any() or task == "Pendulum-v1"


def test_cartpole_reaches_its_time_limit() -> None:
    """A pole held up for 500 steps is cut off at the 500th, as Gymnasium does it."""
    batch, reference = BATCHED["CartPole-v1"](1), gymnasium.make("CartPole-v1")
    obs = batch.reset([5])
    reference.reset(seed=5)
    for step in range(1, 501):
        action = int(obs[0] @ np.array([0.1, 0.4, 3.0, 1.0]) > 0)
        obs, reward, terminated, truncated, final_obs = batch.step([action])
        seen, gain, end, cut, _ = reference.step(action)
        np.testing.assert_allclose(final_obs[0], seen, rtol=1e-5, atol=1e-5)
        assert (reward[0], terminated[0], truncated[0]) == (gain, end, cut) == (1.0, False, step == 500)
    np.testing.assert_array_equal(obs[0], reference.reset()[0])


def test_termination_at_the_time_limit_sets_both_flags() -> None:
    batch, reference = BATCHED["CartPole-v1"](2), gymnasium.make("CartPole-v1", max_episode_steps=3)
    batch.limit = 3
    batch.reset([0, 1])
    reference.reset(seed=0)
    for _ in range(2):
        batch.step([0, 0])
        reference.step(0)
    batch.state[:, 0] = falling = np.array([0.0, 0.0, 0.2, 3.0])
    reference.unwrapped.state = falling  # type: ignore[attr-defined]
    _, _, terminated, truncated, _ = batch.step([0, 0])
    assert (terminated[0], truncated[0]) == reference.step(0)[2:4] == (True, True)
    assert (terminated[1], truncated[1]) == (False, True)


@pytest.mark.parametrize("task", TASKS)
def test_numbers_do_not_depend_on_company(task: str) -> None:
    steps, count = 260, 80
    everyone = BATCHED[task](count)
    generator = np.random.default_rng(4)
    seeds = [int(seed) for seed in generator.integers(2**40, size=count)]
    actions = random_actions(everyone, generator, steps)
    whole = trajectory(everyone, seeds, actions)
    for members in ([0], [41], [79], [79, 3, 41, 0, 17, 64, 8], list(range(count))[::-1]):
        part = trajectory(BATCHED[task](len(members)), [seeds[member] for member in members], actions[:, members])
        for axis, (alone, together) in enumerate(zip(part, whole, strict=True)):
            expected = together.take(members, axis=0 if axis == 0 else 1)
            assert alone.tobytes() == expected.tobytes()


@pytest.mark.parametrize("poison", [np.nan, np.inf, 1e30])
def test_a_bad_action_spoils_only_its_own_environment(poison: float) -> None:
    steps, count = 230, 9
    clean = BATCHED["Pendulum-v1"](count)
    actions = random_actions(clean, np.random.default_rng(5), steps)
    poisoned = actions.copy()
    poisoned[20, 4] = poison
    expected = trajectory(clean, list(range(count)), actions)
    seen = trajectory(BATCHED["Pendulum-v1"](count), list(range(count)), poisoned)
    others = [index for index in range(count) if index != 4]
    for axis, (one, other) in enumerate(zip(seen, expected, strict=True)):
        assert one.take(others, axis=min(axis, 1)).tobytes() == other.take(others, axis=min(axis, 1)).tobytes()
    assert np.isnan(seen[1][21:199, 4]).all() == np.isnan(poison)
    np.testing.assert_array_equal(seen[1][199, 4], expected[1][199, 4])  # the next episode starts clean


@pytest.mark.parametrize("task", TASKS)
def test_returned_arrays_are_the_callers(task: str) -> None:
    batch, twin = BATCHED[task](3), BATCHED[task](3)
    actions = random_actions(batch, np.random.default_rng(6), 30)
    expected = trajectory(twin, [1, 2, 3], actions)
    batch.reset([1, 2, 3])[:] = np.nan
    for step, action in enumerate(actions):
        arrays = batch.step(action)
        assert not any(np.shares_memory(one, other) for i, one in enumerate(arrays) for other in arrays[:i])
        for array, wanted in zip(arrays, expected[1:-1], strict=True):
            np.testing.assert_array_equal(array, wanted[step])
            array[:] = True  # whoever keeps or changes them disturbs nothing


@pytest.mark.parametrize("task", TASKS)
def test_misuse_is_refused(task: str) -> None:
    batch = BATCHED[task](3)
    good = random_actions(batch, np.random.default_rng(7), 1)[0]
    with pytest.raises(RuntimeError, match="reset"):
        batch.step(good)
    with pytest.raises(ValueError, match="seeds"):
        batch.reset([1, 2])
    with pytest.raises(ValueError, match="at least one"):
        BATCHED[task](0)
    batch.reset([1, 2, 3])
    for bad in (good[:2], good[:, None]):
        with pytest.raises(ValueError, match="shape"):
            batch.step(bad)
    if task != "Pendulum-v1":
        with pytest.raises(IndexError):
            batch.step(good + 9)
        with pytest.raises(TypeError):
            batch.step(good.astype(np.float64))


def test_the_harness_knows_every_batched_task():
    assert {environments.default_backend(task) for task in TASKS} == {"batched"}
    assert [environments.default_backend(task) for task in ("ALE/Pong-v5", "Blackjack-v1")] == ["atari", "gymnasium"]
    for task in TASKS:
        assert isinstance(environments.make(task, environments.default_backend(task), 1), ClassicEnv)
