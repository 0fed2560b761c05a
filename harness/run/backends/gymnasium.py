"""Any registered Gymnasium task with flat observations or uint8 images: N copies, stepped one after the other."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode

from harness.run.environments import Step


class Watched(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Notes when MuJoCo has reset a bad state (NaN, infinite or huge) by itself, which it tells in a counter alone."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        self.fault = False

    def step(self, action: Any) -> Any:
        result = self.env.step(action)
        data = getattr(self.unwrapped, "data", None)
        if data is not None and hasattr(data, "warning"):
            # mj_checkPos, mj_checkVel and mj_checkAcc reset the state; other warnings (contacts, constraints) do not
            self.fault |= any(data.warning[kind].number > 0 for kind in self._resetting())
        return result

    @staticmethod
    def _resetting() -> tuple[Any, ...]:
        import mujoco

        kinds = mujoco.mjtWarning
        return (kinds.mjWARN_BADQPOS, kinds.mjWARN_BADQVEL, kinds.mjWARN_BADQACC)


class GymnasiumEnvironments:
    def __init__(self, task: str, count: int) -> None:
        known = gymnasium.registry.get(task)  # None for `module:Task-v0`, whose module is imported below
        if known is not None and "mujoco" in str(known.entry_point):
            import mujoco

            mujoco.set_mju_user_warning(_warn)
        self.vector = gymnasium.make_vec(
            task,
            count,
            vectorization_mode="sync",
            wrappers=[Watched],
            vector_kwargs={"autoreset_mode": AutoresetMode.SAME_STEP},
        )
        self.observation_space = self.vector.single_observation_space
        self.action_space = self.vector.single_action_space
        self.dtype = np.uint8 if self.observation_space.dtype == np.uint8 else np.float32
        self.limit, self.frames = _limit(task), 1
        self.watched: list[Watched] = self.vector.unwrapped.envs  # type: ignore[attr-defined]

    def reset(self, seeds: Sequence[int]) -> np.ndarray:
        for env in self.watched:
            env.fault = False
        observation, _ = self.vector.reset(seed=list(seeds))  # type: ignore[arg-type]
        return np.array(observation, dtype=self.dtype)

    def step(self, actions: np.ndarray) -> Step:
        observation, reward, terminated, truncated, infos = self.vector.step(actions)
        observation = np.array(observation, dtype=self.dtype)
        following = observation.copy()
        for index in np.flatnonzero(terminated | truncated):
            following[index] = infos["final_obs"][index]
        return observation, reward.astype(np.float32), terminated, truncated, following

    def faults(self) -> np.ndarray:
        return np.array([env.fault for env in self.watched])


def _warn(message: str) -> None:
    """MuJoCo's warnings on stderr, but for one about its own models that says nothing to us; by default it also writes a log file."""
    if "settotalmass" not in message:
        print(f"MuJoCo: {message}", file=sys.stderr)


def _limit(task: str) -> int:
    """Steps between two truncations: of Gymnasium's own tasks the time limit, which alone truncates; of others nothing is known."""
    spec = gymnasium.spec(task.rpartition(":")[2])
    own = str(spec.entry_point).startswith("gymnasium.")
    return spec.max_episode_steps or 1 if own else 1


def make(task: str, count: int) -> GymnasiumEnvironments:
    """`count` environments of `task`. Raises gymnasium.error.Error for an unknown one."""
    return GymnasiumEnvironments(task, count)
