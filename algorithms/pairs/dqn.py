"""DQN and soft DQN: the same learner, exploration and schedule; only the backup differs.

Schulman, Chen, Abbeel 2017, section 6.2, Eq. 81-83 (the print of Eq. 82-83 loses a factor tau; see `backup`), each also with 5-step
returns (Eq. 46). Settings of CleanRL's dqn.py. Convention 1 (Schulman): Q(s, a) leaves out the entropy of s.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from algorithms import learner, maxent, replay
from algorithms.learner import Arm, Behaviour, Metrics, Rollout, Spaces
from algorithms.population import (
    Draws,
    Layout,
    State,
    adam_,
    fan_in_uniform,
    gradient,
    mlp,
    mlp_shapes,
    optimizer_state,
)
from algorithms.returns import n_step_windows

Backup = Literal["max", "kl", "entropy"]
Width = Annotated[int, Field(ge=4, multiple_of=4)]
"""Of a hidden layer; other products round differently alone than in company."""


class Settings(learner.Settings):
    horizon: int = Field(default=10, ge=1)
    """Environment steps between two updates."""
    replay_size: int = Field(default=10_000, ge=1)
    learning_starts: int = Field(default=10_000, ge=1)
    batch: int = Field(default=128, ge=1)
    learning_rate: float = Field(default=2.5e-4, gt=0)
    discount: float = Field(default=0.99, ge=0, le=1)
    temperature: float = Field(default=0.1, ge=0)
    target_period: int = Field(default=500, ge=1)
    """Environment steps between two copies to the target network."""
    exploration_start: float = Field(default=1.0, ge=0, le=1)
    exploration_end: float = Field(default=0.05, ge=0, le=1)
    exploration_fraction: float = Field(default=0.5, gt=0, le=1)
    hidden: tuple[Width, Width] = (120, 84)


def _arms() -> dict[str, Arm]:
    titles = {
        "dqn": "DQN, max backup",
        "soft-dqn-kl": "soft DQN, KL penalty",
        "soft-dqn-entropy": "soft DQN, entropy bonus",
    }
    backups: dict[str, Backup] = {"dqn": "max", "soft-dqn-kl": "kl", "soft-dqn-entropy": "entropy"}
    arms = {}
    for suffix, steps in (("", 1), ("-5step", 5)):
        for name, title in titles.items():
            soft = backups[name] != "max"
            switches = {"backup_form": backups[name], "backup_steps": steps}
            arms[name + suffix] = Arm(f"{title}, {steps}-step", soft, switches, hard=f"dqn{suffix}" if soft else None)
    return arms


class DQN(learner.Learner):
    source = "Schulman, Chen, Abbeel 2017, section 6.2, Eq. 81-83 and 46; Mnih et al. 2015 (DQN)"
    arms = _arms()
    settings_type = Settings
    metrics = {
        "entropy": "mean entropy of the behaviour policy (epsilon-greedy) in nats",
        "td_loss": "mean squared temporal-difference error",
        "q_mean": "mean Q(s, a) of the sampled transitions",
    }

    def __init__(self, settings: Settings, spaces: Spaces, steps: int, backup_form: Backup, backup_steps: int):
        self.settings, self.spaces, self.steps = settings, spaces, steps
        self.environments, self.horizon = 1, settings.horizon
        self.backup_form, self.backup_steps = backup_form, backup_steps
        least = settings.horizon + backup_steps
        for name in ("learning_starts", "replay_size"):
            if getattr(settings, name) < least:
                raise ValueError(f"{name}: must be at least {least} (horizon + steps of the backup)")
        if settings.learning_starts > steps:
            raise ValueError(f"learning_starts: must be at most the budget of {steps} steps, or nothing is learned")
        self.layout = Layout(mlp_shapes("q", [spaces.observation, *settings.hidden, spaces.actions]))

    # What is soft: the backup. ------------------------------------------------------------------------------------------

    def backup(self, q: Tensor) -> Tensor:
        """V(s) [...] of Q [..., A]: Eq. 81 (max), 82 (KL, corrected), 83 (entropy, corrected)."""
        tau = self.settings.temperature if self.backup_form != "max" else 0.0
        return maxent.soft_value(
            q, tau, self.log_reference()
        )  # Eq. 82: tau log sum_a exp(Q/tau) - tau log|A|; Eq. 83: without log|A|

    def penalty(self, q: Tensor) -> Tensor:
        """tau KL (or -tau H) of the Boltzmann policy of Q [..., A], for the inner steps of Eq. 46 -> [...]."""
        tau = self.settings.temperature if self.backup_form != "max" else 0.0
        return maxent.penalty(q, tau, self.log_reference())

    def log_reference(self) -> float:
        return 0.0 if self.backup_form == "entropy" else maxent.log_uniform(self.spaces.actions)

    def target(self, q_target: dict[str, Tensor], window: dict[str, Tensor]) -> Tensor:
        """Targets y [P, B] for windows [P, B, n, ...] (Eq. 46; n = 1: Eq. 45)."""
        length, ends, last = window["reward"].shape[2], window["ends"], window["next_observation"]
        if length > 1:
            stop = torch.where(ends, torch.arange(length, device=ends.device), length - 1).amin(-1)
            last = last.take_along_dim(stop[..., None, None], 2)
        next_value = self.backup(self.q(q_target, last.squeeze(2)))
        penalty = torch.zeros_like(window["reward"])
        if length > 1 and self.backup_form != "max":
            inner = window["observation"][:, :, 1:]
            penalty[..., 1:] = self.penalty(self.q(q_target, inner.flatten(1, 2))).view(inner.shape[:3])
        return n_step_windows(window["reward"], penalty, next_value, window["terminated"], ends, self.settings.discount)

    def loss(self, q_online: dict[str, Tensor], window: dict[str, Tensor], target: Tensor) -> tuple[Tensor, Tensor]:
        """Mean squared error [P] of Q(s, a) [P, B], returned as well, at the windows' first steps (Eq. 44 without its 1/2)."""
        q = self.q(q_online, window["observation"][:, :, 0])
        chosen = q.gather(-1, window["action"][:, :, 0].unsqueeze(-1)).squeeze(-1)
        return (target - chosen).square().mean(1), chosen

    # What is common. ----------------------------------------------------------------------------------------------------

    def q(self, parameters: dict[str, Tensor], observation: Tensor) -> Tensor:
        """Q [P, B, A] at observation [P, B, D]."""
        return mlp(parameters, "q", observation, torch.relu_, self.spaces.actions)

    def epsilon(self, step: int) -> float:
        """Probability of a uniform action after `step` steps: linear, then constant."""
        s = self.settings
        progress = min(1.0, step / (s.exploration_fraction * self.steps))
        return s.exploration_start + progress * (s.exploration_end - s.exploration_start)

    def initial(self, draws: Draws) -> State:
        tensors, sizes = {}, [self.spaces.observation, *self.settings.hidden, self.spaces.actions]
        for index, (inputs, outputs) in enumerate(pairwise(sizes)):
            tensors[f"q.{index}.weight"] = fan_in_uniform(draws, f"q.{index}.weight", (inputs, outputs), inputs).cpu()
            tensors[f"q.{index}.bias"] = fan_in_uniform(draws, f"q.{index}.bias", (1, outputs), inputs).cpu()
        parameters = self.layout.join(tensors).to(draws.device)
        return {
            **optimizer_state("parameters", parameters, "adam_mean", "adam_square"),
            "target": parameters.clone(),
            **replay.empty(draws.members, self.settings.replay_size, self.spaces.observation, draws.device),
        }

    def noise(self, draws: Draws, role: str, shape: tuple[int, ...]) -> Tensor:
        return draws.uniform(role, (*shape, 2))

    def behaviour(self, state: State) -> Behaviour:
        parameters = self.layout.split(state["parameters"])

        def act(observation: Tensor, noise: Tensor, step: int) -> Tensor:
            greedy = self.q(parameters, observation).argmax(-1)
            draw, choice = noise.unbind(-1)
            return torch.where(
                draw > 1 - self.epsilon(step), (choice * self.spaces.actions).long(), greedy
            )  # zero noise never explores

        return act

    def update(self, state: State, rollout: Rollout, draws: Draws, step: int) -> Metrics:
        s = self.settings
        replay.append(state, rollout, step)
        stored = step + self.horizon
        uniform = draws.uniform("replay", (s.batch,))
        epsilon, choices = self.epsilon(step), self.spaces.actions
        greedy, other = 1 - epsilon + epsilon / choices, epsilon / choices
        bits = -greedy * math.log(greedy) - (choices - 1) * (other * math.log(other) if other else 0.0)
        entropy = torch.full((draws.members,), bits, device=draws.device)
        if stored < s.learning_starts:
            return {"entropy": entropy}
        window = replay.sample(state, uniform, self.backup_steps, stored)
        leaf = state["parameters"].detach().requires_grad_()
        with torch.no_grad():
            y = self.target(self.layout.split(state["target"]), window)
        loss, chosen = self.loss(self.layout.split(leaf), window, y)
        count = (stored - s.learning_starts) // self.horizon + 1
        adam_(state, "parameters", gradient(loss, leaf), count, s.learning_rate, epsilon=1e-8)
        if stored // s.target_period > step // s.target_period:
            state["target"].copy_(state["parameters"])
        return {"entropy": entropy, "td_loss": loss.detach(), "q_mean": chosen.detach().mean(1)}


LEARNER: Any = DQN
