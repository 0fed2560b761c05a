"""The uniform policy's return: as suites record it, and as every task's own environments give it."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import numpy as np
import pytest

from harness.plan.floor import floor, floors
from harness.schema.suite import load_suite

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["classic", "minatar", "pendulum", "sensitivity", "smoke"])
def test_recorded_floors_are_those_that_are_computed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    suite = load_suite(name)
    recorded = {task: suite.references[task].floor for task in floors(suite)}
    assert recorded == pytest.approx(floors(suite), abs=0.02)


def test_a_floor_is_the_mean_return_of_whole_first_episodes() -> None:
    """Gymnasium's own CartPole, one after the other: the uniform policy's mean return, known to be near 22, within chance."""
    env, draw, returns = gymnasium.make("CartPole-v1"), np.random.default_rng(7), []
    for seed in range(300):
        env.reset(seed=seed)
        done, total = False, 0.0
        while not done:
            _, reward, terminated, truncated, _ = env.step(int(draw.integers(2)))
            total, done = total + float(reward), terminated or truncated
        returns.append(total)
    error = float(np.std(returns) * (1 / 300 + 1 / 100) ** 0.5)
    assert floor("CartPole-v1", "batched") == pytest.approx(np.mean(returns), abs=4 * error)
    assert floor("CartPole-v1", "gymnasium", 20) == pytest.approx(
        np.mean(returns), abs=4 * float(np.std(returns)) / 20**0.5
    )
    assert floor("Pendulum-v1", "gymnasium", 5) < -600, "continuous actions"
