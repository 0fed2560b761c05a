"""A backend of tasks that end within seven steps, by themselves or by a limit: choices, bounded numbers, and images.

A point walks on a plane, is pushed by its actions and by noise of its environment's own, and falls off at the edge.
"""

from __future__ import annotations

import gymnasium
import numpy as np

EDGE = 1.5
SIDE = 10
SPACES = {
    "choices": (gymnasium.spaces.Box(-EDGE, EDGE, (2,)), gymnasium.spaces.Discrete(3)),
    "numbers": (
        gymnasium.spaces.Box(-EDGE, EDGE, (2,)),
        gymnasium.spaces.Box(np.float32([-2, -1]), np.float32([2, 3])),
    ),
    "images": (gymnasium.spaces.Box(0, 1, (SIDE, SIDE, 2), np.uint8), gymnasium.spaces.Discrete(3)),
}
SPACES["pushed images"] = (SPACES["images"][0], SPACES["numbers"][1])


class Walk:
    limit, frames = 7, 1

    def __init__(self, task, count):
        self.observation_space, self.action_space = SPACES[task]
        self.count = count

    def reset(self, seeds):
        self.generators = [np.random.default_rng(seed) for seed in seeds]
        self.place, self.elapsed = np.zeros((self.count, 2)), np.zeros(self.count, int)
        self._restart(range(self.count))
        return self._observe()

    def step(self, actions):
        noise = np.stack([generator.normal(size=2) for generator in self.generators])
        by = actions if actions.ndim > 1 else np.stack([actions - 1.0, 0.5 * actions], 1)
        assert self.action_space.contains(actions[0]) if actions.ndim > 1 else (actions < self.action_space.n).all()
        self.place = 0.9 * self.place + 0.2 * by + 0.3 * noise
        self.elapsed += 1
        reward = (1 - np.square(self.place).sum(1)).astype(np.float32)
        terminated, truncated = (np.abs(self.place) > EDGE).any(1), self.elapsed >= self.limit
        self.place = self.place.clip(-EDGE, EDGE)
        final = self._observe()
        self._restart(np.flatnonzero(terminated | truncated))
        return self._observe(), reward, terminated, truncated, final

    def faults(self):
        return np.zeros(self.count, bool)

    def _restart(self, which):
        for index in which:
            self.place[index], self.elapsed[index] = self.generators[index].uniform(-0.5, 0.5, 2), 0

    def _observe(self):
        if self.observation_space.dtype != np.uint8:
            return self.place.astype(np.float32)
        image = np.zeros((self.count, SIDE, SIDE, 2), np.uint8)
        row, column = np.floor((self.place + EDGE) / (2 * EDGE + 1e-9) * SIDE).astype(int).T
        image[np.arange(self.count), row, column, 0] = 1
        image[np.arange(self.count), column, :, 1] = 1
        return image


def make(task, count):
    return Walk(task, count)
