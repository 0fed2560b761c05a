"""What Stable-Baselines3 reaches on suite `minatar`: `python tests/suites/reference_minatar.py ppo MinAtar/Breakout-v1 900`. No test.

It plays the games of package `minatar` itself, one by one, with the suite's settings of a pair, its budget and time limit, and with our
network; for `published` of the suite. Prints the mean return of 100 episodes by sampled (dqn: greedy) actions after training, and of the
training episodes that ended in the last 5 %.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import gymnasium
import minatar
import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from harness.bench.peers import MODELS
from harness.plan.cells import cell_specs
from harness.run.environments import spaces
from harness.run.spec import make_learner
from harness.schema.suite import load_suite


class Game(gymnasium.Env[Any, Any]):
    """A game of the package with its minimal actions, images as floats with channels first."""

    def __init__(self, name: str) -> None:
        self.game = minatar.Environment(name)
        self.actions = self.game.minimal_action_set()
        rows, columns, channels = self.game.state_shape()
        self.observation_space = gymnasium.spaces.Box(0, 1, (channels, rows, columns), np.float32)
        self.action_space = gymnasium.spaces.Discrete(len(self.actions))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            self.game.seed(seed)
        self.game.reset()
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward, ended = self.game.act(self.actions[action])
        return self._seen(), float(reward), bool(ended), False, {}

    def _seen(self) -> Any:
        return np.moveaxis(self.game.state(), 2, 0).astype(np.float32)


class Torso(BaseFeaturesExtractor):
    """Young and Tian 2019: 16 filters of 3 x 3, a layer of 128."""

    def __init__(self, observation_space: gymnasium.spaces.Box) -> None:
        super().__init__(observation_space, 128)
        channels, rows, columns = observation_space.shape
        layers = torch.nn.Conv2d(channels, 16, 3), torch.nn.ReLU(), torch.nn.Flatten()
        width = 16 * (rows - 2) * (columns - 2)
        self.net = torch.nn.Sequential(*layers, torch.nn.Linear(width, 128), torch.nn.ReLU())

    def forward(self, observations: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.net(observations)
        return found


class Returns(BaseCallback):
    """(step, return) of every training episode."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, float]] = []

    def _on_step(self) -> bool:
        ended = [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
        self.found += [(self.num_timesteps, each) for each in ended]
        return True


def vector(name: str, limit: int, count: int, seed: int) -> Any:
    made = VecMonitor(DummyVecEnv([lambda: gymnasium.wrappers.TimeLimit(Game(name), limit)] * count))
    made.seed(seed)
    return made


def main(pair: str, task: str, seed: int) -> None:
    torch.set_num_threads(1)
    spec = next(iter(cell_specs(load_suite("minatar"), pair, task).values()))
    offered = spaces(task, spec.backend)
    learner = make_learner(spec, offered)
    settings, name = learner.settings, task.removeprefix("MinAtar/").removesuffix("-v1").lower()
    network = {"features_extractor_class": Torso, "net_arch": []}
    model = MODELS[pair](vector(name, offered.limit, settings.environments, seed), settings, learner, network, seed)
    training, start = Returns(), time.monotonic()
    model.learn(total_timesteps=spec.steps, callback=training)
    greedy = spec.modes[0] == "greedy"
    mean, spread = evaluate_policy(
        model, vector(name, offered.limit, 10, seed + 1), n_eval_episodes=100, deterministic=greedy
    )
    late = [each for step, each in training.found if step > 0.95 * spec.steps]
    found = {
        "arm": spec.arm,
        "task": task,
        "seed": seed,
        "mean": float(mean),
        "spread": float(spread),
        "training": float(np.mean(late)),
    }
    print(json.dumps(found | {"seconds": round(time.monotonic() - start)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
