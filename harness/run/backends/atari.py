"""Atari by ale-py's own vector environment (native code, one thread: workers are the parallel axis).

A task is named as in Gymnasium (`ALE/Pong-v5`) and preprocessed as Machado et al. 2018 recommend, each choice spelled out: sticky
actions with probability 0.25, 4 frames an action with a maximum over the last two, no loss of life as an end, the task's minimal
action set, the true reward, up to 30 no-ops at the start. Observations are the last 4 grey frames, the newest last: images of 84 x 84 x 4
in uint8.
"""

from __future__ import annotations

from collections.abc import Sequence

import ale_py.roms
import gymnasium
import numpy as np
from ale_py.vector_env import AtariVectorEnv

from harness.run.environments import Step

FRAME_LIMIT = 108_000  # frames an episode: 30 minutes at 60 Hz
FRAMESKIP = 4


class AtariEnvironments:
    frames = 4
    limit = FRAME_LIMIT // FRAMESKIP

    def __init__(self, game: str, count: int) -> None:
        self.vector = AtariVectorEnv(
            game,
            count,
            num_threads=1,
            autoreset_mode="SameStep",
            max_num_frames_per_episode=FRAME_LIMIT,
            repeat_action_probability=0.25,
            frameskip=FRAMESKIP,
            maxpool=True,
            noop_max=30,
            episodic_life=False,
            life_loss_info=False,
            reward_clipping=False,
            use_fire_reset=False,
            full_action_space=False,
        )
        stack, *size = self.vector.single_observation_space.shape or ()
        self.observation_space = gymnasium.spaces.Box(0, 255, (*size, stack), np.uint8)
        self.action_space = self.vector.single_action_space
        self.count = count

    def reset(self, seeds: Sequence[int]) -> np.ndarray:
        observation, _ = self.vector.reset(seed=np.array(seeds) % 2**31)  # the native code takes 32 signed bits
        return _image(observation)

    def step(self, actions: np.ndarray) -> Step:
        observation, reward, terminated, truncated, infos = self.vector.step(actions)
        image = _image(observation)
        done = terminated | truncated
        following = image
        if done.any():
            following = image.copy()
            following[done] = _image(infos["final_obs"])[done]
        return image, reward.astype(np.float32), terminated, truncated, following

    def faults(self) -> np.ndarray:
        return np.zeros(self.count, dtype=np.bool_)


def _image(frames: np.ndarray) -> np.ndarray:
    """[N, 4, 84, 84] -> [N, 84, 84, 4]"""
    return np.ascontiguousarray(np.moveaxis(frames, 1, -1))


def make(task: str, count: int) -> AtariEnvironments:
    """`count` environments of `task`, such as `ALE/Pong-v5`. Raises gymnasium.error.Error for an unknown one."""
    game = gymnasium.spec(task).kwargs.get("game") if task in gymnasium.registry else None
    if game is None or ale_py.roms.get_rom_path(game) is None:
        raise gymnasium.error.NameNotFound(f"{task} is no Atari task of ale-py")
    return AtariEnvironments(game, count)
