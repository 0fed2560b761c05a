"""Whole updates of the pair `ddpg` on random experience: the gradients that train, by plain autograd and textbook densities."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.learner import Now, State, Window
from algorithms.pairs.ddpg import DDPG
from algorithms.population import adam_state
from algorithms.tabular import FLOAT
from suites.theory.linear_quadratic import make_ddpg
from suites.theory.problems import distance, gradient
from suites.theory.statement import Errors
from suites.theory.updates import adam_gradient

ARMS = ("ddpg", "rpg", "saclite", "sddpg", "sac-v")
SIZE, BATCH = 2, 5


@dataclass(frozen=True)
class Textbook:
    """Liu et al. 2020, Fig. 1, of an arm by its name; [P, B] each."""

    made: DDPG
    arm: str
    tau: Tensor

    def act(self, actor: Tensor, observation: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """tanh u, and its log-density by the change of variables; 0 of a deterministic policy."""
        outputs = self.made.actor.plain(actor, observation)[:, 0]
        if self.arm == "ddpg":
            return outputs.tanh(), torch.zeros_like(outputs[..., 0])
        mean, spread = outputs.chunk(2, -1)
        sigma = (3.5 * spread.tanh() - 1.5).exp()
        u = mean + sigma * noise
        normal = -0.5 * noise.square() - (sigma * math.sqrt(2 * math.pi)).log()
        return u.tanh(), (normal + 2 * u.cosh().log()).sum(-1)

    def q(self, critics: Tensor, observation: Tensor, action: Tensor) -> Tensor:
        """Of actions in the task's units [P, i, B]."""
        return self.made.critics.plain(critics, torch.cat([observation, action], -1)).squeeze(3)

    def stretched(self, action: Tensor) -> Tensor:
        low, high = (torch.tensor(each, dtype=FLOAT) for each in self.made.bounds)
        return low + (high - low) * (action + 1) / 2

    def v(self, value: Tensor, observation: Tensor) -> Tensor:
        return self.made.v.plain(value, observation)[:, 0, :, 0]

    def following(self, state: State, led: Tensor, noise: Tensor) -> Tensor:
        """y_v of line 12."""
        if self.arm == "sac-v":
            return self.v(state["value.target"], led)
        action, log_prob = self.act(state["actor.target" if self.arm == "ddpg" else "actor"], led, noise)
        least = self.q(state["critics.target"], led, self.stretched(action)).amin(1)
        return least - self.tau * log_prob if self.arm == "sddpg" else least

    def losses(self, state: State, leaves: State, window: Window, noise: State) -> State:
        seen, led, taken = (each[:, :, 0] for each in (window.observation, window.next_observation, window.action))
        following = self.made.settings.discount * self.following(state, led, noise["target"])
        y = window.reward[:, :, 0] + torch.where(window.terminated[:, :, 0], 0, following)
        action, log_prob = self.act(leaves["actor"], seen, noise["policy"])
        q = self.q(state["critics"], seen, self.stretched(action))
        surprise = 0 * q[:, 0] if self.arm in ("ddpg", "rpg") else self.tau * log_prob
        found = {"critics": (self.q(leaves["critics"], seen, taken) - y.unsqueeze(1)).square().sum(1)}
        found["actor"] = surprise - q[:, 0]
        if self.arm == "sac-v":
            found["value"] = (self.v(leaves["value"], seen) - (q.amin(1) - surprise).detach()).square()
        return found


def in_training(cases: int, seed: int, temperature: float) -> Errors:
    """Lines 12 to 14: gradients of every network in one update, at rates of 0 so that each sees the others as they were."""
    generator, errors = torch.Generator().manual_seed(seed), Errors()

    def normal(*shape: int) -> Tensor:
        return torch.randn(cases, *shape, generator=generator, dtype=FLOAT)

    tau = torch.full((cases, 1), temperature, dtype=FLOAT)
    rows = {"temperature": tau.squeeze(1), "policy_rate": torch.zeros(cases), "critic_rate": torch.zeros(cases)}
    for arm in ARMS:
        made, state = make_ddpg(arm, SIZE, BATCH), State()
        for net in made.nets:
            state |= adam_state(net.name, normal(net.engine.nets * net.layout.size))
        state |= {f"{name}.target": normal(state[name].shape[1]) for name in made.targets}
        terminated = torch.rand(cases, BATCH, 1, generator=generator) < 0.3
        seen, led, taken = (normal(BATCH, 1, SIZE) for _ in range(3))
        ends = torch.ones_like(terminated)  # the others by a time limit
        window = Window(seen, led, taken, normal(BATCH, 1), terminated, ends)
        noise = {role: normal(BATCH, SIZE) for role in ("target", "policy")}
        before = {name: each.clone() for name, each in state.items()}
        made.update(state, window, Now(torch.tensor(0), torch.tensor(0.0), rows, noise))
        leaves = {net.name: before[net.name].clone().requires_grad_() for net in made.nets}
        for name, loss in Textbook(made, arm, tau).losses(before, leaves, window, noise).items():
            expected = gradient(loss.mean(1), leaves[name])
            error = distance(adam_gradient(state, name), expected, 1 + temperature)
            errors[f"a whole update of {arm}: {name}"] = error
    return errors
