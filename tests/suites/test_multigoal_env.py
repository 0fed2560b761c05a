"""The multi-goal task: its costs, ends and starts by hand, and no environment depends on its company."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

import harness.plan  # noqa: F401  # which knows the backend
from harness.run import environments
from suites.envs.multigoal import BATCHED, GOALS, MultiGoal, MultiGoalFixed, make, reached


def at(*places: tuple[float, float], task: type[MultiGoal] = MultiGoal) -> MultiGoal:
    """Environments whose points stand here."""
    batch = task(len(places))
    batch.reset(range(len(places)))
    batch.places = np.array(places, dtype=np.float64)
    return batch


def test_a_step_costs_its_action_and_the_distance_to_the_nearest_goal() -> None:
    observation, reward, terminated, truncated, led = at((0, 0), (3, 1), (-1, -2)).step(
        np.array([[0.5, 0], [0.5, -1], [0, 0]])
    )
    np.testing.assert_array_equal(led, np.float32([[0.5, 0], [3.5, 0], [-1, -2]]))
    np.testing.assert_array_equal(observation, led)
    np.testing.assert_allclose(reward, [-30 * 0.25 - 4.5**2, -30 * 1.25 - 1.5**2, -(1 + 9)])
    assert not terminated.any() and not truncated.any()


def test_within_radius_1_of_a_goal_at_the_next_place_the_episode_ends_with_10_more() -> None:
    batch = at((3.5, 0), (0, -3.5), (-4, 0.9), (0, 3.5))
    observation, reward, terminated, _, led = batch.step(
        np.array([[0.5, 0], [0, -0.51], [0, 0.1], [0, 0.6]], np.float32)
    )
    assert terminated.tolist() == [False, True, False, True], "at distance 1 it has not arrived"
    np.testing.assert_allclose(reward[[1, 3]], 10 - 30 * np.square([0.51, 0.6]) - np.square([0.99, 0.9]), rtol=1e-5)
    assert reached(led.astype(np.float64)).tolist() == [-1, 3, -1, 2]
    assert reached(GOALS).tolist() == [0, 1, 2, 3]
    assert np.abs(observation[terminated]).max() < 1 < np.abs(led[terminated]).max(), "a new episode has begun"


def test_the_point_stays_on_the_field_and_larger_actions_are_cut() -> None:
    _, reward, *_, led = at((6.8, 6.9), (-6.5, -6)).step(np.array([[9, 1], [-1, -9]]))
    np.testing.assert_array_equal(led, [[7, 7], [-7, -7]])
    np.testing.assert_allclose(reward, -60 - (4 + 49))


@pytest.mark.parametrize(("task", "deviation"), [(MultiGoal, 0.1), (MultiGoalFixed, 0.0)])
def test_starts(task: type[MultiGoal], deviation: float) -> None:
    first = make(task.id, 2000).reset(range(2000))
    assert first.dtype == np.float32 and first.std() == pytest.approx(deviation, rel=0.05)
    assert abs(first.mean()) < 0.01


def test_30_steps_are_a_time_limit_and_no_end() -> None:
    batch = at((0, 0), task=MultiGoalFixed)
    for step in range(1, 61):
        observation, _, terminated, truncated, led = batch.step(np.array([[0.05, 0]]))
        assert not terminated[0] and truncated[0] == (step % 30 == 0)
        assert led[0, 0] == pytest.approx(0.05 * ((step - 1) % 30 + 1))
    assert observation.tolist() == [[0, 0]]


def test_no_number_depends_on_other_environments() -> None:
    actions = np.random.default_rng(0).uniform(-1, 1, (70, 5, 2))
    many, alone = make("MultiGoal-v0", 5), make("MultiGoal-v0", 1)
    seen, own = many.reset([7, 1, 5, 3, 9]), alone.reset([5])
    for action in actions:
        assert (seen[2] == own[0]).all()
        seen, *rest = many.step(action)
        own, *its = alone.step(action[2:3])
        assert all((one[2] == other[0]).all() for one, other in zip(rest, its, strict=True))


def test_the_harness_knows_the_task_by_its_backend() -> None:
    spaces = environments.spaces("MultiGoal-v0", "multigoal")
    assert (spaces.observation, spaces.actions, spaces.limit) == ((2,), 2, 30)
    assert spaces.bounds == ((-1.0, -1.0), (1.0, 1.0))
    with pytest.raises(gymnasium.error.NameNotFound, match="there are MultiGoal-v0, MultiGoalFixed-v0"):
        environments.make("MultiGoal-v1", "multigoal", 1)
    assert set(BATCHED) == {"MultiGoal-v0", "MultiGoalFixed-v0"}
