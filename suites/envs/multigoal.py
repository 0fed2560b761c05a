"""The multi-goal task, many at once: a point on a plane with four goals that are equally good (Haarnoja et al. 2017; Vitay, Fig. 33).

Constants are those of the authors' `softqlearning/environments/multigoal.py`, which scales the reward by 0.1 in its script: its temperature
of 1 is 10 in units of this reward. The authors cut episodes at 30 steps, and do not take the cut for an end; so do we.
"""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import gymnasium
import numpy as np
from numpy.typing import ArrayLike, NDArray

from suites.envs import batched
from suites.envs.batched import BatchedEnv, Bools, Float32s

__all__ = ["BATCHED", "MultiGoal", "MultiGoalFixed", "make"]

GOALS = np.array([[5, 0], [-5, 0], [0, 5], [0, -5]], dtype=np.float64)
"""[4, 2]"""
RADIUS = 1.0
EDGE = 7.0
STATES = np.array([[-2.5, 0], [0, 0], [2.5, 2.5]], dtype=np.float32)
"""At which the authors' script draws the policy [3, 2]: near a goal, between all, between two."""


def distances(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distance of places [N, 2] to each goal [N, 4]."""
    found: NDArray[np.float64] = np.square(places[:, None] - GOALS).sum(-1)
    return found


def reached(places: NDArray[np.float64]) -> NDArray[np.intp]:
    """The goal in which each place [N, 2] lies, -1 for none. No two goals are nearer than 2 radii."""
    far = distances(places)
    return np.where(far.min(1) < RADIUS**2, far.argmin(1), -1)


class MultiGoal(BatchedEnv):
    """Move to a goal: the action, each part of it within [-1, 1], is added to the place, which stays within [-7, 7] on both axes.

    Reward: - 30 |action|^2 - squared distance of the next place to the nearest goal, and + 10 within 1 of it, where the episode ends.
    Starts are normal with deviation 0.1 around the middle.
    """

    id = "MultiGoal-v0"
    limit = 30
    deviation: ClassVar[float] = 0.1

    def __init__(self, count: int) -> None:
        box = gymnasium.spaces.Box
        super().__init__(count, box(-EDGE, EDGE, (2,), np.float32), box(-1, 1, (2,), np.float32))
        self.places = np.full((count, 2), np.nan)

    def restart(self, which: NDArray[np.intp]) -> Float32s:
        for index in which:
            self.places[index] = self.deviation * self.generators[index].standard_normal(2)
        return self.observations()[which]

    def advance(self, actions: ArrayLike) -> tuple[Float32s, Bools]:
        action = self._checked(actions, np.float64).clip(-1, 1)
        self.places = (self.places + action).clip(-EDGE, EDGE)
        nearest = distances(self.places).min(1)
        ended = nearest < RADIUS**2
        reward = -30 * np.square(action).sum(1) - nearest + 10 * ended
        return reward.astype(np.float32), ended

    def observations(self) -> Float32s:
        return self.places.astype(np.float32)


class MultiGoalFixed(MultiGoal):
    """The same from the middle itself, always: the best deterministic policy reaches one goal from there."""

    id = "MultiGoalFixed-v0"
    deviation = 0.0


BATCHED: dict[str, type[MultiGoal]] = {task.id: task for task in (MultiGoal, MultiGoalFixed)}
make = partial(batched.make, BATCHED)

NAMES = ("east", "west", "north", "south")
"""Of the goals."""


def histogram(last: NDArray[np.float64]) -> dict[str, float]:
    """Where episodes of one policy ended [N, 2]: shares of the goals, how many of the four were reached, and the entropy between these."""
    goals = reached(last)
    shares = np.array([(goals == index).mean() for index in range(len(GOALS))])
    among = shares[shares > 0] / max(shares.sum(), 1e-9)
    found = {"goals": float((shares > 0).sum()), "goal_entropy": float(-(among * np.log(among)).sum()) + 0.0}
    return found | {f"share_{name}": float(share) for name, share in zip(NAMES, shares, strict=True)}


OUTCOMES = {
    MultiGoal.id: (
        histogram,
        {"fixed": MultiGoalFixed.id, "normal": MultiGoal.id},
        {
            "goals": "goals of 4 that episodes of sampled actions reached",
            "goal_entropy": "entropy in nats of the histogram of the goals reached, 0 where none was",
            **{f"share_{name}": f"share of episodes that reached the goal in the {name}" for name in NAMES},
        },
    )
}
"""Task -> what is made of the last places of its evaluation's episodes, on which tasks these are played, and what each number is."""
