"""A pair that no paper has, unlike ours: a deterministic critic's climb on a squashed actor, from a replay, within bounds.

Liu, Gu, Liu 2020, section 3.1, Eq. 32, with a quadratic price on steps and a learned price of it, so that there are several groups of
parameters, two updates a rollout, noise of its own, a Polyak target and a scalar that learns.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from algorithms import learner
from algorithms.learner import (
    Act,
    Arm,
    Draw,
    Draws,
    Metric,
    Metrics,
    Now,
    Replay,
    Row,
    Spaces,
    State,
    Switches,
    Use,
    Window,
)
from algorithms.policies import SquashedGaussian, stretch
from algorithms.population import Network, adam_state, descend_, follow_, leaf
from algorithms.temperature import Temperature

HARD = {"entropy_in_target": False, "learned": False}


class Settings(learner.Settings):
    environments: int = Field(default=2, ge=1)
    horizon: int = Field(default=4, ge=1)
    policy_rate: Row = 3e-4
    critic_rate: Row = 1e-3
    temperature: Row = 0.2
    discount: float = Field(default=0.99, ge=0, le=1)
    keep: float = Field(default=0.995, ge=0, le=1)
    replay_size: int = Field(default=10_000, ge=1)
    batch: int = Field(default=64, ge=1)
    learning_starts: int = Field(default=100, ge=1)
    hidden: tuple[learner.Width, ...] = (64, 64)


class Invented(learner.Learner):
    source = "invented for the laws; Liu, Gu, Liu 2020, section 3.1"
    arms = {
        "climb": Arm("climb, no entropy", HARD),
        "climb-soft": Arm("entropy in the target", {**HARD, "entropy_in_target": True}, "soft", "climb", "climb"),
        "climb-auto": Arm("learned temperature", {"entropy_in_target": True, "learned": True}, "soft", "climb"),
    }
    actions, settings_type = "numbers", Settings
    metrics = {
        "entropy": Metric("of the policy in nats, actions in (-1, 1), estimated"),
        "critic_loss": Metric("squared error, summed over two critics"),
        "price": Metric("of a squared step, positive"),
    }
    small = {"hidden": (32, 16), "batch": 8, "learning_starts": 24, "replay_size": 48, "keep": 0.9}

    def __init__(self, settings: Settings, spaces: Spaces, switches: Switches) -> None:
        if spaces.bounds is None or len(spaces.observation) != 1:
            raise ValueError("task: must have a row of observations, and numbers as actions")
        self.settings, self.bounds, numbers = settings, spaces.bounds, spaces.actions
        self.entropy_in_target = switches["entropy_in_target"]
        self.actor = Network("actor", spaces, settings.hidden, (2 * numbers,))
        self.critics = Network("critics", spaces, settings.hidden, (1,), copies=2, extra=numbers)
        self.temperature = Temperature(switches["learned"], None, spaces)
        self.exploration = Draw("ornstein-uhlenbeck", (numbers,))
        self.randomness = {use: Draw("normal", (settings.batch, numbers)) for use in ("target", "policy")}
        self.replay = Replay(settings.replay_size, settings.batch, settings.learning_starts, updates=2)

    def target(self, reward: Tensor, terminated: Tensor, q: Tensor, log_prob: Tensor, tau: Tensor) -> Tensor:
        """y [P, B] of two critics' Q(s', a) [P, 2, B]."""
        value = q.amin(1)
        if self.entropy_in_target:
            value = value - tau * log_prob  # Eq. 32
        return reward + self.settings.discount * ~terminated * value

    def act(self, actor: Tensor, observation: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """Actions in the task's units [P, B, A], and their log-density in (-1, 1) [P, B]; without noise the mode."""
        policy = SquashedGaussian(self.actor(actor, observation)[0])
        action, log_prob = (policy.mode, policy.mode[..., 0]) if noise is None else policy.sample_log_prob(noise)
        low, high = (action.new_tensor(each) for each in self.bounds)
        return stretch(action, low, high), log_prob

    def q(self, critics: Tensor, observation: Tensor, action: Tensor) -> Tensor:
        return self.critics(critics, torch.cat([observation, action], -1))[0].squeeze(-1)

    def initial(self, draws: Draws) -> State:
        actor, critics = self.actor.initial(draws), self.critics.initial(draws)
        price = adam_state("price", torch.zeros(draws.members, 1, device=draws.device))
        state = adam_state("actor", actor) | adam_state("critics", critics) | price
        return state | {"critics.target": critics.clone()} | self.temperature.initial(draws)

    def behaviour(self, state: State, use: Use, now: Now) -> Act:
        def act(observation: Tensor, noise: Tensor) -> Tensor:
            return self.act(state["actor"], observation, None if use == "greedy" else noise)[0]

        return act

    def update(self, state: State, batch: Window, now: Now) -> Metrics:
        tau = self.temperature(state, now)
        observation, following, taken = (
            each[:, :, 0] for each in (batch.observation, batch.next_observation, batch.action)
        )
        reward, terminated = batch.reward[:, :, 0], batch.terminated[:, :, 0]
        with torch.no_grad():
            action, log_prob = self.act(state["actor"], following, now.noise["target"])
            q = self.q(state["critics.target"], following, action)
            y = self.target(reward, terminated, q, log_prob, tau)
        critics = leaf(state["critics"])
        critic_loss = (self.q(critics, observation, taken) - y.unsqueeze(1)).square().mean(2).sum(1)
        descend_(state, "critics", critic_loss, critics, now.rows["critic_rate"])
        actor, price = leaf(state["actor"]), leaf(state["price"])
        action, log_prob = self.act(actor, observation, now.noise["policy"])
        climbed = self.q(state["critics"], observation, action).amin(1) - tau * log_prob
        step = (action - taken).square().mean(2)
        descend_(state, "actor", (state["price"].exp() * step - climbed).mean(1), actor, now.rows["policy_rate"])
        priced = (price.exp() * (1 - step.detach())).mean(1)
        descend_(state, "price", priced, price, now.rows["policy_rate"])
        self.temperature.descend_(state, log_prob, now.rows["policy_rate"])
        follow_(state["critics.target"], state["critics"], self.settings.keep)
        entropy, told = -log_prob.detach().mean(1), state["price"].exp().squeeze(1)
        return {"entropy": entropy, "critic_loss": critic_loss.detach(), "price": told}
