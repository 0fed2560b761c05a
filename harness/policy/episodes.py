"""Episodes of a policy, one after the other: what it sees, what it gets, and, where it is asked for, a picture of each step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium
import numpy as np
import torch

from algorithms.learner import Draw, Spaces
from harness.errors import InputError
from harness.policy.policy import Policy
from harness.run import environments
from harness.run.spec import Spec
from harness.run.streams import Streams

SIDE = 160
"""Pixels of the smaller side of a picture that is made of an observation, at the least."""
COLOURS = np.array(
    [[230, 159, 0], [86, 180, 233], [0, 158, 115], [240, 228, 66], [0, 114, 178], [213, 94, 0], [204, 121, 167]],
    np.uint8,
)
"""Of the channels of an image that are no colours (Okabe and Ito 2008)."""


@dataclass(frozen=True)
class Moment:
    """A step of an episode: the observation before it [*shape], and what it gave."""

    observation: np.ndarray
    reward: float


class Scene(Protocol):
    """One environment that may be looked at."""

    speed: float
    """Pictures a second."""

    def reset(self, seed: int) -> np.ndarray:
        """The first observation [1, *shape]."""

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool]:
        """The next observation [1, *shape], the reward, and whether the episode ended."""

    def picture(self) -> np.ndarray:
        """[height, width, 3], uint8."""


class OwnScene:
    """The environment that trained it; its pictures are its observations, where these are images."""

    speed = 10.0

    def __init__(self, spec: Spec, spaces: Spaces) -> None:
        self.spaces = spaces
        self.environment = environments.make(spec.task, spec.backend, 1)
        self.seen = np.zeros(0)

    def reset(self, seed: int) -> np.ndarray:
        self.seen = self.environment.reset([seed])
        return self.seen

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool]:
        self.seen, reward, terminated, truncated, final = self.environment.step(action)
        ended = bool(terminated[0] | truncated[0])
        self.seen = final if ended else self.seen
        return self.seen, float(reward[0]), ended

    def picture(self) -> np.ndarray:
        return image_picture(self.seen[0], self.spaces)


class RenderedScene:
    """Gymnasium's environment of the same name, which our batched ones equal step by step, with its own pictures."""

    def __init__(self, spec: Spec, spaces: Spaces) -> None:
        self.task, self.dtype = spec.task, spaces.dtype
        # No window is opened, so SDL need not complain that there is no screen.
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        try:
            self.environment: gymnasium.Env[Any, Any] = gymnasium.make(self.task, render_mode="rgb_array")
            self.environment.reset(seed=0)
            self.picture()
        except Exception as error:  # of the environment, or of what it draws with
            raise InputError(f"--video: {self.task} has no pictures here: {type(error).__name__}: {error}") from error
        self.speed = float(self.environment.metadata.get("render_fps") or 30)
        self.choices = spaces.kind == "choices"

    def reset(self, seed: int) -> np.ndarray:
        return self._row(self.environment.reset(seed=seed)[0])

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool]:
        seen, reward, terminated, truncated, _ = self.environment.step(int(action[0]) if self.choices else action[0])
        return self._row(seen), float(reward), terminated or truncated

    def picture(self) -> np.ndarray:
        return np.asarray(self.environment.render(), np.uint8)

    def _row(self, observation: Any) -> np.ndarray:
        return np.asarray(observation, self.dtype)[None]


def scene(spec: Spec, spaces: Spaces, pictures: bool) -> Scene:
    """Where policies of a run can be watched. Raises InputError where pictures are asked for and there are none."""
    if not pictures or (len(spaces.observation) == 3 and spec.backend != "gymnasium"):
        return OwnScene(spec, spaces)
    if spec.backend not in ("batched", "gymnasium"):
        raise InputError(f"--video: the environments of {spec.backend} draw no pictures of {spec.task}")
    return RenderedScene(spec, spaces)


def episode(policy: Policy, on: Scene, mode: str, number: int) -> Iterator[Moment]:
    """Episode `number` (from 1) of a policy with `sampled` or `greedy` actions: always the same, however many others there are."""
    draws = Streams([policy.seed], number, torch.device("cpu"))
    observation, last = on.reset(draws.environment_seeds("watched environment", 1)[0]), False
    draw = Draw(policy.noise.kind, (1, *policy.noise.shape))
    while not last:
        noise = draws.take("watched action", draw)[0].numpy() if mode == "sampled" else None
        before = observation[0].copy()
        observation, reward, last = on.step(policy.act(observation, noise))
        yield Moment(before, reward)


def image_picture(image: np.ndarray, spaces: Spaces) -> np.ndarray:
    """A picture of an observation [height, width, channels]: of stacked frames the newest; channels that are no colours get some."""
    newest = image[..., -(image.shape[-1] // spaces.frames) :]
    if newest.shape[-1] in (1, 3):
        picture = np.broadcast_to(newest, (*newest.shape[:2], 3))
    else:
        picture = np.zeros((*newest.shape[:2], 3), np.uint8)
        for channel in range(newest.shape[-1]):
            picture[newest[..., channel] > 0] = COLOURS[channel % len(COLOURS)]
    times = -(-SIDE // min(picture.shape[:2]))
    return picture.repeat(times, 0).repeat(times, 1)
