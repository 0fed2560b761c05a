"""The floor of a task: what a policy reaches that knows nothing, the mean return of uniformly drawn actions. Suites record it."""

from __future__ import annotations

import gymnasium
import numpy as np

from harness.plan.tasks import offered
from harness.run import environments
from harness.schema.suite import Suite

EPISODES = 100
DIGITS = 2


def floor(task: str, backend: str, episodes: int = EPISODES) -> float:
    """Mean undiscounted return of the uniform policy over `episodes`: environment i has seed i, the actions are always the same.

    Raises InputError where the task cannot be made.
    """
    offered(task, backend)
    copies = environments.make(task, backend, episodes)
    copies.reset(range(episodes))
    draw = np.random.Generator(np.random.Philox(np.random.SeedSequence(0)))
    returns, running = np.zeros(episodes), np.ones(episodes, dtype=bool)
    while running.any():
        _, reward, terminated, truncated, _ = copies.step(_uniform(copies.action_space, episodes, draw))
        returns += np.where(running, reward, 0.0)
        running &= ~(terminated | truncated)
    return round(float(returns.mean()), DIGITS)


def floors(suite: Suite) -> dict[str, float]:
    """task -> its floor, for the tasks of the suite's cells."""
    used = {task for tasks in suite.cells.values() for task in tasks}
    return {
        task: floor(task, environments.default_backend(task) if its.backend == "auto" else its.backend)
        for task, its in suite.tasks.items()
        if task in used
    }


def _uniform(space: gymnasium.Space, count: int, draw: np.random.Generator) -> np.ndarray:
    """Uniform actions `[count]` of a discrete space, `[count, A]` of a box."""
    if isinstance(space, gymnasium.spaces.Discrete):
        return draw.integers(int(space.n), size=count)
    assert isinstance(space, gymnasium.spaces.Box), "`offered` lets no other through"
    return draw.uniform(space.low, space.high, (count, *space.shape)).astype(space.dtype)
