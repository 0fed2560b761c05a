"""PPO and SPPO: clipped policy optimization, without and with entropy in the return.

Liu, Gu, Liu 2020 (Eq. 33-41, Algorithm 1) on Schulman et al. 2017 (PPO) with the settings and details of CleanRL's ppo.py and
ppo_continuous_action.py. Convention 2 (Liu): q(s, a) contains the entropy of s.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from algorithms import learner
from algorithms.learner import Arm, Behaviour, Metrics, Rollout, Spaces
from algorithms.policies import Categorical, Gaussian, Policy
from algorithms.population import (
    WIDTH,
    Draws,
    Layout,
    State,
    adam_,
    clip_norm_,
    gradient,
    mlp,
    mlp_shapes,
    optimizer_state,
    orthogonal_layers,
    tanh,
)
from algorithms.returns import gae


class Settings(learner.Settings):
    environments: int = Field(default=4, ge=1)
    horizon: int = Field(default=128, ge=1)
    epochs: int = Field(default=4, ge=1)
    minibatches: int = Field(default=4, ge=1)
    learning_rate: float = Field(default=2.5e-4, gt=0)
    anneal: bool = True
    discount: float = Field(default=0.99, ge=0, le=1)
    gae_lambda: float = Field(default=0.95, ge=0, le=1)
    clip: float = Field(default=0.2, gt=0)
    clip_value: bool = True
    value_coefficient: float = Field(default=0.5, ge=0)
    temperature: float = Field(default=0.01, ge=0)
    max_gradient_norm: float = Field(default=0.5, gt=0)
    hidden: int = Field(default=64, ge=WIDTH, multiple_of=WIDTH)
    normalize: bool = False
    """Running normalization of observations and rewards, as in CleanRL's continuous control, but updated once a rollout."""


class PPO(learner.Learner):
    source = "Liu, Gu, Liu 2020, Eq. 33-41, Algorithm 1; Schulman et al. 2017 (PPO)"
    arms = {
        "ppo": Arm(
            "PPO, clipped, no entropy",
            False,
            {"entropy_in_return": False, "bonus": False, "log_policy_in_advantage": False},
        ),
        "ppo-bonus": Arm(
            "PPO with the one-step entropy bonus",
            False,
            {"entropy_in_return": False, "bonus": True, "log_policy_in_advantage": False},
        ),
        "sppo-38": Arm(
            "SPPO by Eq. 38: entropy in the return, bonus in the loss",
            True,
            {"entropy_in_return": True, "bonus": True, "log_policy_in_advantage": False},
            hard="ppo",
        ),
        "sppo-40": Arm(
            "SPPO by Eq. 40: entropy in the return, log-policy in the advantage",
            True,
            {"entropy_in_return": True, "bonus": False, "log_policy_in_advantage": True},
            hard="ppo",
        ),
    }
    continuous = True
    settings_type = Settings
    metrics = {
        "entropy": "mean entropy of the behaviour policy in nats",
        "policy_loss": "negative clipped surrogate objective with its bonus (Eq. 38 or 40)",
        "value_loss": "mean squared error of the value, halved",
        "approx_kl": "estimate of KL(old policy || new policy) in nats in the last epoch",
        "clip_fraction": "share of samples whose ratio left the clip range in the last epoch",
        "explained_variance": "1 - Var[return - value] / Var[return]",
    }

    def __init__(
        self,
        settings: Settings,
        spaces: Spaces,
        steps: int,
        entropy_in_return: bool,
        bonus: bool,
        log_policy_in_advantage: bool,
    ):
        self.settings, self.spaces, self.steps = settings, spaces, steps
        self.environments, self.horizon = settings.environments, settings.horizon
        self.entropy_in_return, self.bonus, self.log_policy_in_advantage = (
            entropy_in_return,
            bonus,
            log_policy_in_advantage,
        )
        if (
            2 * settings.minibatches > self.horizon * self.environments
        ):  # an advantage is normalized over at least two samples
            raise ValueError(
                f"minibatches: must be at most half of horizon x environments = {self.horizon * self.environments}"
            )
        hidden = settings.hidden
        shapes = {
            **mlp_shapes("actor", [spaces.observation, hidden, hidden, spaces.actions]),
            **mlp_shapes("critic", [spaces.observation, hidden, hidden, 1]),
        }
        if spaces.continuous:
            shapes["log_std"] = (1, spaces.actions)  # sigma scheme 1 (Liu et al. 2020, Table 1): global
        self.layout = Layout(shapes)

    # What is soft: the three lines that read a switch. ------------------------------------------------------------------

    def returns(
        self, rollout: Rollout, reward: Tensor, old: Policy, value: Tensor, next_value: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Advantage and value target [P, T, E]; Eq. 35-37."""
        s = self.settings
        reward = reward + self.entropy_in_return * s.temperature * old.entropy().view_as(
            reward
        )  # Eq. 35: r = r_ext + alpha H
        advantage = gae(reward, value, next_value, rollout.terminated, rollout.truncated, s.discount, s.gae_lambda)
        return advantage, advantage + value

    def policy_loss(
        self, policy: Policy, action: Tensor, old_log_prob: Tensor, advantage: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Loss [P] (the negative of Eq. 38 or 40) and ratios [P, B]. advantage: normalized estimates A-hat [P, B]."""
        s = self.settings
        advantage = advantage - self.log_policy_in_advantage * s.temperature * old_log_prob  # Eq. 41
        ratio = (policy.log_prob(action) - old_log_prob).exp()
        clipped = ratio.clamp(1 - s.clip, 1 + s.clip)
        objective = torch.min(ratio * advantage, clipped * advantage).mean(1)  # Eq. 38-40, g(eps, A) of Eq. 39
        objective = objective + self.bonus * s.temperature * policy.entropy().mean(1)  # Eq. 38: + alpha H
        return -objective, ratio

    # What is common. ----------------------------------------------------------------------------------------------------

    def value_loss(self, value: Tensor, old_value: Tensor, target: Tensor) -> Tensor:
        """Squared error [P] (Eq. 33), with CleanRL's clipping around the old value. All arguments [P, B]."""
        error = (value - target).square()
        if self.settings.clip_value:
            clipped = old_value + (value - old_value).clamp(-self.settings.clip, self.settings.clip)
            error = torch.max(error, (clipped - target).square())
        return 0.5 * error.mean(1)

    def policy(self, parameters: dict[str, Tensor], observation: Tensor) -> Policy:
        """Policy at observation [P, B, D]."""
        output = mlp(parameters, "actor", observation, tanh, self.spaces.actions)
        return Gaussian(output, parameters["log_std"]) if self.spaces.continuous else Categorical(output)

    def value(self, parameters: dict[str, Tensor], observation: Tensor) -> Tensor:
        """Value [P, B] at observation [P, B, D]."""
        return mlp(parameters, "critic", observation, tanh, 1).squeeze(-1)

    def initial(self, draws: Draws) -> State:
        heads = {"actor.2.weight": (self.spaces.actions, 0.01), "critic.2.weight": (1, 1.0)}
        tensors = orthogonal_layers(draws, self.layout, heads)
        state = optimizer_state("parameters", self.layout.join(tensors).to(draws.device), "adam_mean", "adam_square")
        if self.settings.normalize:
            for name, size in (("observation", self.spaces.observation), ("return", 1)):
                state[f"{name}.mean"] = torch.zeros(draws.members, size, device=draws.device)
                state[f"{name}.variance"] = torch.ones(draws.members, size, device=draws.device)
        return state

    def noise(self, draws: Draws, role: str, shape: tuple[int, ...]) -> Tensor:
        kind = draws.normal if self.spaces.continuous else draws.gumbel
        return kind(role, (*shape, self.spaces.actions))

    def behaviour(self, state: State) -> Behaviour:
        parameters = self.layout.split(state["parameters"])
        return lambda observation, noise, step: self.policy(parameters, self.normalized(state, observation)).sample(
            noise
        )

    def normalized(self, state: State, observation: Tensor) -> Tensor:
        """Observations [P, B, D], normalized by the statistics of the state where the settings say so."""
        if not self.settings.normalize:
            return observation
        scaled = (observation - state["observation.mean"].unsqueeze(1)) / (
            state["observation.variance"].unsqueeze(1) + 1e-8
        ).sqrt()
        return scaled.clamp(-10, 10)

    def update(self, state: State, rollout: Rollout, draws: Draws, step: int) -> Metrics:
        s = self.settings
        members, batch = rollout.reward.shape[0], self.horizon * self.environments
        flat = {"observation": rollout.observation.flatten(1, 2), "action": rollout.action.flatten(1, 2)}
        reward = rollout.reward
        if s.normalize:
            reward = self.scaled_reward(state, rollout, step)
        raw_observation = flat["observation"]
        with torch.no_grad():
            parameters = self.layout.split(state["parameters"])
            flat["observation"] = self.normalized(state, raw_observation)
            old = self.policy(parameters, flat["observation"])
            old_value = self.value(parameters, flat["observation"])
            next_value = self.value(parameters, self.normalized(state, rollout.next_observation.flatten(1, 2)))
            advantage, target = self.returns(
                rollout, reward, old, old_value.view_as(reward), next_value.view_as(reward)
            )
            flat |= {"log_prob": old.log_prob(flat["action"]), "value": old_value}
            flat |= {"advantage": advantage.flatten(1), "target": target.flatten(1)}
        rate = s.learning_rate * (1 - step / self.steps if s.anneal else 1.0)
        count = step // batch * s.epochs * s.minibatches
        first_row = torch.arange(members, device=draws.device).unsqueeze(1) * batch
        sums: Metrics = {}
        for epoch in range(s.epochs):
            order = (draws.permutation("minibatch", batch) + first_row).flatten()
            shuffled = {name: x.flatten(0, 1).index_select(0, order).view(x.shape) for name, x in flat.items()}
            for index in range(s.minibatches):
                part = slice(index * batch // s.minibatches, (index + 1) * batch // s.minibatches)
                sample = {name: x[:, part] for name, x in shuffled.items()}
                count += 1
                metrics = self.step(state, sample, count, rate)
                for name, value in metrics.items() if epoch == s.epochs - 1 else ():
                    sums[name] = sums.get(name, 0) + value / s.minibatches
        if s.normalize:
            track(state, "observation", raw_observation, step)
        residual = flat["target"] - flat["value"]
        explained = 1 - residual.var(1) / flat["target"].var(1)
        return {"entropy": old.entropy().mean(1), **sums, "explained_variance": explained}

    def step(self, state: State, sample: dict[str, Tensor], count: int, rate: float) -> Metrics:
        """One optimizer step on a minibatch of [P, B, ...] tensors."""
        leaf = state["parameters"].detach().requires_grad_()
        parameters = self.layout.split(leaf)
        policy = self.policy(parameters, sample["observation"])
        advantage = sample["advantage"]
        advantage = (advantage - advantage.mean(1, keepdim=True)) / (advantage.std(1, keepdim=True) + 1e-8)
        policy_loss, ratio = self.policy_loss(policy, sample["action"], sample["log_prob"], advantage)
        value_loss = self.value_loss(self.value(parameters, sample["observation"]), sample["value"], sample["target"])
        gradients = gradient(policy_loss + self.settings.value_coefficient * value_loss, leaf)
        clip_norm_(gradients, self.settings.max_gradient_norm)
        adam_(state, "parameters", gradients, count, rate, epsilon=1e-5)
        ratio = ratio.detach()
        return {
            "policy_loss": policy_loss.detach(),
            "value_loss": value_loss.detach(),
            "approx_kl": (ratio - 1 - ratio.log()).mean(1),
            "clip_fraction": ((ratio - 1).abs() > self.settings.clip).float().mean(1),
        }

    def scaled_reward(self, state: State, rollout: Rollout, step: int) -> Tensor:
        """Rewards [P, T, E] over the running deviation of the discounted return (from 0 at each rollout's start), clipped to +-10."""
        ends = rollout.terminated | rollout.truncated
        total, totals = torch.zeros_like(rollout.reward[:, 0]), []
        for reward, end in zip(rollout.reward.unbind(1), ends.unbind(1), strict=True):
            total = reward + self.settings.discount * total
            totals.append(total)
            total = total * ~end
        track(state, "return", torch.stack(totals, 1).flatten(1).unsqueeze(-1), step)
        return (rollout.reward / (state["return.variance"].unsqueeze(1) + 1e-8).sqrt()).clamp(-10, 10)


def track(state: State, name: str, values: Tensor, step: int) -> None:
    """Merge values [P, B, D], each member's own, into its running mean and variance, in place (Chan et al. 1979).

    `step` is the number of values a member has seen before, so that the first batch replaces the initial 0 and 1.
    """
    count, batch = float(step), float(values.shape[1])
    total = count + batch
    mean, variance = state[f"{name}.mean"], state[f"{name}.variance"]
    difference = values.mean(1) - mean
    spread = (
        variance * (count / total)
        + values.var(1, correction=0) * (batch / total)
        + difference.square() * (count * batch / total**2)
    )
    mean.add_(difference * (batch / total))
    variance.copy_(spread)


LEARNER: Any = PPO
