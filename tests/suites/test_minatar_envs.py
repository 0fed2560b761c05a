"""The batched games are the package's games, step by step, and no environment depends on its company."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest
from numpy.typing import NDArray

from harness.run import environments
from suites.envs.minatar import BATCHED, Asterix, Breakout, MinAtar, make

TASKS = sorted(BATCHED)
GAMES = {"MinAtar/Asterix-v1": "asterix", "MinAtar/Breakout-v1": "breakout"}
Array = NDArray[Any]
Policy = Callable[[MinAtar, Array, np.random.Generator], Array]

package = pytest.mark.skipif(
    importlib.util.find_spec("minatar") is None, reason="the package minatar is a test extra and not installed"
)


def uniform(batch: MinAtar, obs: Array, generator: np.random.Generator) -> Array:
    return generator.integers(len(batch.actions), size=batch.count)


def tracking(batch: MinAtar, obs: Array, generator: np.random.Generator) -> Array:
    """Breakout: the paddle goes where the ball will be. It is late when an action sticks."""
    paddle, ball, trail = (obs[..., channel].any(axis=1).argmax(axis=1) for channel in range(3))
    aim = np.clip(2 * ball - trail, 0, 9)
    return np.select([aim < paddle, aim > paddle], [1, 2])


class Spared(Asterix):
    """No enemy ends an episode, so that the difficulty rises to the full."""

    def play(self, action: Array) -> tuple[Array, Array]:
        reward, caught = super().play(action)
        return reward, np.zeros_like(caught)


class Fed:
    """In place of the package's RandomState: gives out the row of draws of one step."""

    def __init__(self) -> None:
        self.draws: list[float] = []

    def rand(self) -> float:
        return self.draws.pop(0)

    def randint(self, high: int) -> int:
        return int(self.draws.pop(0) * high)


class Game:
    """A game of the package with our draws."""

    def __init__(self, task: str) -> None:
        from minatar import Environment

        self.outer = Environment(GAMES[task])
        self.inner = self.outer.env
        self.fed = self.outer.random = self.inner.random = Fed()
        self.actions = self.outer.minimal_action_set()

    def reset(self, draws: Array) -> None:
        self.fed.draws = list(draws[1:])
        self.outer.reset()

    def step(self, draws: Array, action: int) -> tuple[float, bool]:
        self.fed.draws = list(draws)
        return self.outer.act(self.actions[action])

    def restart(self) -> None:
        self.outer.reset()  # with what the step has left of its draws

    def state(self) -> dict[str, Any]:
        """What we hold too, in the package's words."""
        game = self.inner
        if self.outer.env_name == "breakout":
            return {
                name: getattr(game, name)
                for name in ("pos", "ball_x", "ball_y", "last_x", "last_y", "ball_dir", "strike")
            } | {"left": np.count_nonzero(game.brick_map)}
        things = [None if thing is None else (thing[0], thing[2], thing[3]) for thing in game.entities]
        return {"player": (game.player_x, game.player_y), "things": things}


def state(batch: MinAtar, index: int) -> dict[str, Any]:
    if isinstance(batch, Breakout):
        ball, trail = int(batch.ball[index]), int(batch.trail[index])
        (y, x), (last_y, last_x) = divmod(ball // 4, 10), divmod(trail // 4, 10)
        return {
            "pos": batch.paddle[index], "ball_x": x, "ball_y": y, "last_x": last_x, "last_y": last_y,
            "ball_dir": [0, 1, 3, 2][ball % 4], "strike": batch.struck[index] == 1, "left": batch.left[index],
        }  # fmt: skip
    assert isinstance(batch, Asterix)
    things = [(thing - 1) // 4 if thing else None for thing in batch.things[index].tolist()]
    return {
        "player": (batch.column[index], batch.row[index]),
        "things": [
            None if column is None else (column, bool(thing - 1 & 2), bool(thing - 1 & 1))
            for column, thing in zip(things[1:9], batch.things[index, 1:9].tolist(), strict=True)
        ],
    }


def compare(batch: MinAtar, policy: Policy, steps: int) -> tuple[int, int]:
    """Play `steps` steps beside the package. Returns how many episodes ended, and how often new bricks came."""
    generator = np.random.default_rng(2)
    batch.limit = steps  # the package has none
    games = [Game(batch.id) for _ in range(batch.count)]
    obs = batch.reset(range(batch.count))
    for index, game in enumerate(games):
        game.reset(batch.drawn[:, index])
        np.testing.assert_array_equal(obs[index], game.outer.state())
    ends = renewals = 0
    for _ in range(steps // batch.count):
        actions, before = policy(batch, obs, generator), obs
        obs, reward, terminated, truncated, final_obs = batch.step(actions)
        assert not truncated.any()
        for index, game in enumerate(games):
            gain, end = game.step(batch.drawn[:, index], actions[index])
            if isinstance(batch, Spared):
                game.inner.terminal = end = False
            assert (gain, end) == (reward[index], terminated[index])
            np.testing.assert_array_equal(final_obs[index], game.outer.state())
            if end:
                game.restart()
            np.testing.assert_array_equal(obs[index], game.outer.state())
            assert state(batch, index) == game.state()
            ends += end
            renewals += int(final_obs[index, ..., 3].sum()) == 30 > before[index, ..., 3].sum()
    return ends, renewals


@package
@pytest.mark.parametrize("task", TASKS)
def test_games_equal_the_package_step_by_step(task: str) -> None:
    ends, _ = compare(BATCHED[task](10), uniform, 5_000)
    assert ends > 50, "the comparison must cross restarts"


@package
@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_games_equal_the_package_over_100000_random_steps(task: str) -> None:
    ends, _ = compare(BATCHED[task](10), uniform, 100_000)
    assert ends > 1000


@package
def test_breakout_equals_the_package_when_all_bricks_are_broken() -> None:
    ends, renewals = compare(Breakout(4), tracking, 6_000)
    assert ends > 10 and renewals


@package
def test_asterix_equals_the_package_up_to_its_full_difficulty() -> None:
    batch = Spared(2)
    compare(batch, uniform, 3_000)
    assert (batch.elapsed == 1500).all() and batch.comes[-50:].all() and batch.moves[-50:].all()


@package
@pytest.mark.parametrize("task", TASKS)
def test_the_actions_are_the_package_s_minimal_ones(task: str) -> None:
    game, batch = Game(task), BATCHED[task](1)
    assert list(batch.actions) == game.actions
    names = [game.inner.action_map[action] for action in batch.actions]
    assert names == {"MinAtar/Breakout-v1": ["n", "l", "r"], "MinAtar/Asterix-v1": ["n", "l", "u", "r", "d"]}[task]
    assert batch.action_space == gymnasium.spaces.Discrete(len(names))
    assert batch.observation_space.shape == tuple(game.outer.state_shape())


@pytest.mark.parametrize("task", TASKS)
def test_actions_move_the_player(task: str) -> None:
    """Also where the package is not installed: the player's cell after each action, without sticking."""
    batch = BATCHED[task](len(BATCHED[task].actions))
    batch.reset([4] * batch.count)
    batch.drawn[0] = 1.0
    here = np.argwhere(batch.observations()[..., 0])[:, 1:]
    batch._turn = lambda: None  # type: ignore[method-assign]
    there = np.argwhere(batch.step(np.arange(batch.count))[0][..., 0])[:, 1:]
    wanted = {"MinAtar/Breakout-v1": [(0, 0), (0, -1), (0, 1)]}.get(task, [(0, 0), (0, -1), (-1, 0), (0, 1), (1, 0)])
    assert [tuple(move) for move in (there - here).tolist()] == wanted


@pytest.mark.parametrize("task", TASKS)
def test_spaces_and_time_limit(task: str) -> None:
    batch = BATCHED[task](3)
    assert batch.observation_space == gymnasium.spaces.Box(0, 1, (10, 10, 4), np.uint8)
    first = batch.reset([3, 4, 5])
    assert first.dtype == np.uint8 and all(image in batch.observation_space for image in first)
    assert batch.limit == 1000
    batch.limit = 5  # before a ball or an enemy can end an episode
    batch.last[:] = 1
    for step in range(1, 12):
        obs, reward, terminated, truncated, final_obs = batch.step([1, 1, 1])
        assert reward.dtype == np.float32 and terminated.dtype == truncated.dtype == np.bool_
        assert all(image in batch.observation_space for image in (*obs, *final_obs))
        assert not terminated.any() and truncated.tolist() == 3 * [step % 5 == 0]
        np.testing.assert_array_equal((final_obs != obs).any(axis=(1, 2, 3)), truncated)
        np.testing.assert_array_equal((obs[..., 0] == first[..., 0]).all(axis=(1, 2)), truncated)


def trajectory(batch: MinAtar, seeds: Sequence[int], actions: Array) -> list[Array]:
    """First observations, then every array of every step, environments on axis 1 (on axis 0 of the first)."""
    first = batch.reset(seeds)
    steps = [batch.step(action) for action in actions]
    return [first, *(np.array(values) for values in zip(*steps, strict=True))]


def random_actions(batch: MinAtar, steps: int) -> Array:
    return np.random.default_rng(4).integers(len(batch.actions), size=(steps, batch.count))


@pytest.mark.parametrize("task", TASKS)
def test_numbers_do_not_depend_on_company(task: str) -> None:
    everyone = BATCHED[task](64)
    everyone.limit = 150
    actions = random_actions(everyone, 300)
    seeds = [int(seed) for seed in np.random.default_rng(5).integers(2**40, size=64)]
    whole = trajectory(everyone, seeds, actions)
    assert whole[3].any() and (task != "MinAtar/Asterix-v1" or whole[4].any())
    for members in ([0], [41], [63], [63, 3, 41, 0, 17, 8], list(range(64))[::-1]):
        company = BATCHED[task](len(members))
        company.limit = 150
        part = trajectory(company, [seeds[member] for member in members], actions[:, members])
        for axis, (alone, together) in enumerate(zip(part, whole, strict=True)):
            assert alone.tobytes() == together.take(members, axis=min(axis, 1)).tobytes()


@pytest.mark.parametrize("task", TASKS)
def test_a_reset_begins_anew(task: str) -> None:
    """Also where the first action of the second run could stick to the last one of the first."""
    batch = BATCHED[task](60)
    actions, seeds = random_actions(batch, 40), list(range(60))
    batch.reset(seeds)
    assert (batch.drawn[0] < 0.1).any()
    first = trajectory(batch, seeds, actions)
    for one, other in zip(first, trajectory(batch, seeds, actions), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not all(np.array_equal(*pair) for pair in zip(first, trajectory(batch, seeds[::-1], actions), strict=True))


@pytest.mark.parametrize("task", TASKS)
def test_returned_arrays_are_the_callers(task: str) -> None:
    batch, twin = BATCHED[task](3), BATCHED[task](3)
    actions = random_actions(batch, 200)
    expected = trajectory(twin, [1, 2, 3], actions)
    batch.reset([1, 2, 3])[:] = 7
    for step, action in enumerate(actions):
        arrays = batch.step(action)
        action[:] = 0  # the last action is ours
        assert not any(np.shares_memory(one, other) for i, one in enumerate(arrays) for other in arrays[:i])
        for array, wanted in zip(arrays, expected[1:], strict=True):
            np.testing.assert_array_equal(array, wanted[step])
            array[:] = True  # whoever keeps or changes them disturbs nothing


@pytest.mark.parametrize("task", TASKS)
def test_misuse_is_refused(task: str) -> None:
    batch = BATCHED[task](3)
    with pytest.raises(RuntimeError, match="reset"):
        batch.step([0, 0, 0])
    with pytest.raises(ValueError, match="seeds"):
        batch.reset([1, 2])
    with pytest.raises(ValueError, match="at least one"):
        BATCHED[task](0)
    batch.reset([1, 2, 3])
    for bad in ([0, 0], [[0], [0], [0]], 0):
        with pytest.raises(ValueError, match="shape"):
            batch.step(bad)
    with pytest.raises(IndexError):
        batch.step([0, 0, len(batch.actions)])
    with pytest.raises(TypeError):
        batch.step([0.0, 0.0, 0.0])
    with pytest.raises(
        gymnasium.error.NameNotFound, match=r"MinAtar/Seaquest-v1 has no batched version; there are MinAtar/Breakout-v1"
    ):
        make("MinAtar/Seaquest-v1", 1)


def test_the_harness_knows_the_games() -> None:
    for task in TASKS:
        assert environments.default_backend(task) == "minatar"
        assert type(environments.make(task, "minatar", 2)) is BATCHED[task]
