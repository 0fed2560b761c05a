"""Environments of a user's own module that break in one way each, made or at their fifth step: tasks `broken_envs:Raises-v0` and so on."""

import ctypes
import os
import signal
import time

import gymnasium
import numpy as np


class Sound(gymnasium.Env):
    """A walk of ten steps; `fault` is called at the fifth of each episode and may change the observation."""

    observation_space = gymnasium.spaces.Box(-10, 10, (3,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position, self.steps = self.np_random.uniform(-1, 1, 3).astype(np.float32), 0
        return self.position.copy(), {}

    def step(self, action):
        self.steps += 1
        self.position[0] += 0.1 if action else -0.1
        observation = self.position.copy()
        if self.steps == 5:
            observation = self.fault(observation)
        return observation, 1.0, self.steps == 10, False, {}

    def fault(self, observation):
        return observation


class Raises(Sound):
    def fault(self, observation):
        raise RuntimeError("the simulator is out of fuel\nand says so in two lines")


class Hangs(Sound):
    def fault(self, observation):
        time.sleep(10_000)


class HangsNatively(Sound):
    """In native code that keeps Python's lock: no thread of the process can run."""

    def fault(self, observation):
        ctypes.PyDLL(None).sleep(10_000)


class Crashes(Sound):
    def fault(self, observation):
        os.kill(os.getpid(), signal.SIGSEGV)


class NotANumber(Sound):
    def fault(self, observation):
        return np.full_like(observation, np.nan)


class WrongShape(Sound):
    def fault(self, observation):
        return np.zeros(7, np.float32)


class Slow(Sound):
    def step(self, action):
        time.sleep(0.15)
        return super().step(action)


class Unmakeable(Sound):
    def __init__(self):
        raise RuntimeError("no licence")


class HangsWhenMade(Sound):
    def __init__(self):
        ctypes.PyDLL(None).sleep(10_000)


class CrashesWhenMade(Sound):
    def __init__(self):
        os.kill(os.getpid(), signal.SIGSEGV)


class ExitsWhenMade(Sound):
    def __init__(self):
        raise SystemExit(0)


MAKING = (Unmakeable, HangsWhenMade, CrashesWhenMade, ExitsWhenMade)
for kind in (Sound, Raises, Hangs, HangsNatively, Crashes, NotANumber, WrongShape, Slow, *MAKING):
    gymnasium.register(f"{kind.__name__}-v0", kind, max_episode_steps=20, disable_env_checker=True)
