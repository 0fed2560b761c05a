"""PPO and SPPO: clipped policy optimization, without and with entropy in the return.

Liu, Gu, Liu 2020 (Eq. 33-41, Algorithm 1, Table 1) on Schulman et al. 2017 (PPO), with the settings and details of CleanRL's ppo.py and
ppo_continuous_action.py, but that actor and critic are clipped apart: alpha/sigma can outweigh the critic in one gradient norm.
Convention 2 (Liu): q(s, a) contains the entropy of s.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from algorithms import experience, learner, policies
from algorithms.learner import Act, Arm, Draw, Draws, Metric, Metrics, Now, Rollout, Row, Spaces, State, Use
from algorithms.normalization import Normalization
from algorithms.policies import Categorical, Policy, SigmaScheme
from algorithms.population import Network, adam_, adam_state, clip_norm_
from algorithms.returns import gae
from algorithms.temperature import Temperature

HARD = {"entropy_in_return": False, "bonus": None, "log_policy": None, "learned": False, "scheme": 1}
"""Entropy in the loss as a `bonus` (Eq. 38) or by its log_policy (Eq. 40): `scaled` like the advantage, or `plain`, beside a scaled one."""
SPPO_38 = {**HARD, "entropy_in_return": True, "bonus": "scaled"}
SPPO_40 = {**HARD, "entropy_in_return": True, "log_policy": "scaled"}


class Settings(learner.Settings):
    environments: int = Field(default=4, ge=1)
    horizon: int = Field(default=128, ge=1)
    epochs: int = Field(default=4, ge=1)
    minibatches: int = Field(default=4, ge=1)
    learning_rate: Row = 2.5e-4
    anneal: bool = True
    discount: float = Field(default=0.99, ge=0, le=1)
    gae_lambda: float = Field(default=0.95, ge=0, le=1)
    clip: float = Field(default=0.2, gt=0)
    clip_value: bool = True
    value_coefficient: float = Field(default=0.5, ge=0)
    temperature: Row = 0.01
    target_entropy: float | None = None
    """For the learned temperature, in nats; None: half of a uniform policy's for choices, minus the number of numbers else."""
    max_gradient_norm: float = Field(default=0.5, gt=0)
    hidden: tuple[learner.Width, ...] = (64, 64)
    normalize: bool = False


class PPO(learner.Learner):
    source = "Liu, Gu, Liu 2020, Eq. 33-41, Algorithm 1; Schulman et al. 2017 (PPO)"
    arms = {
        "ppo": Arm("PPO, clipped, no entropy", HARD),
        "ppo-bonus": Arm("PPO with the one-step bonus", {**HARD, "bonus": "plain"}, "control", "ppo", "ppo"),
        "sppo-38": Arm("SPPO by Eq. 38: entropy in the return, bonus in the loss", SPPO_38, "soft", "ppo", "ppo"),
        "sppo-40": Arm(
            "SPPO by Eq. 40: entropy in the return, log-policy in the advantage", SPPO_40, "soft", "ppo", "ppo"
        ),
        "sppo-38-baselines": Arm("Eq. 38, bonus not scaled", {**SPPO_38, "bonus": "plain"}, "control", "ppo", "ppo"),
        "sppo-40-baselines": Arm(
            "Eq. 40, log-policy not scaled", {**SPPO_40, "log_policy": "plain"}, "control", "ppo", "ppo"
        ),
        "sppo-auto": Arm("SPPO by Eq. 38 with a learned temperature", {**SPPO_38, "learned": True}, "soft", "ppo"),
        "ppo-s4": Arm("PPO, sigma scheme 4", {**HARD, "scheme": 4}, actions="numbers"),
        "sppo-38-s4": Arm("Eq. 38, sigma scheme 4", {**SPPO_38, "scheme": 4}, "soft", "ppo-s4", "ppo-s4", "numbers"),
    }
    settings_type, small = (
        Settings,
        {"environments": 2, "horizon": 16, "minibatches": 2, "epochs": 2, "hidden": (32, 32)},
    )
    metrics = {
        "entropy": Metric("mean entropy of the behaviour policy in nats"),
        "temperature": Metric("in units of the reward"),
        "policy_loss": Metric("negative clipped surrogate objective with its bonus (Eq. 38 or 40) in the last epoch"),
        "value_loss": Metric("mean squared error of the value, halved, in the last epoch"),
        "approx_kl": Metric("estimate of KL(old policy || new policy) in nats in the last epoch"),
        "clip_fraction": Metric("share of samples whose ratio left the clip range in the last epoch"),
        "explained_variance": Metric("1 - Var[return - value] / Var[return]", finite=False),
    }

    def __init__(self, settings: Settings, spaces: Spaces, switches: Mapping[str, Any]) -> None:
        self.settings, self.spaces, actions = settings, spaces, spaces.actions
        self.entropy_in_return, self.bonus, self.log_policy = (
            switches[name] for name in ("entropy_in_return", "bonus", "log_policy")
        )
        self.batch = settings.horizon * settings.environments
        if 2 * settings.minibatches > self.batch:  # an advantage is normalized over at least two samples
            raise ValueError(f"minibatches: must be at most half of horizon x environments = {self.batch}")
        self.scheme = SigmaScheme(switches["scheme"]) if spaces.kind == "numbers" else None
        outputs, free = (self.scheme.outputs * actions, self.scheme.free * actions) if self.scheme else (actions, 0)
        self.nets = Network("actor-critic", spaces, settings.hidden, (outputs, 1), "tanh", gains=(0.01, 1.0), free=free)
        target = -float(actions) if self.scheme else 0.5 * math.log(actions)
        self.temperature = Temperature(
            switches["learned"], target if settings.target_entropy is None else settings.target_entropy
        )
        self.normalization = Normalization(
            settings.normalize, spaces.observation, settings.environments, settings.discount
        )
        self.exploration = Draw("normal" if self.scheme else "gumbel", (actions,))
        self.randomness = {"minibatch": Draw("permutation", (settings.epochs, self.batch))}

    # What is soft: the lines that read a switch. ------------------------------------------------------------------------

    def returns(
        self, rollout: Rollout, reward: Tensor, entropy: Tensor, value: Tensor, following: Tensor, tau: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Advantage and value target [P, T, E]; Eq. 35-37. tau [P, 1]."""
        if self.entropy_in_return:
            reward = reward + tau.unsqueeze(2) * entropy  # Eq. 35: r = r_ext + alpha H
        s = self.settings
        advantage = gae(reward, value, following, rollout.terminated, rollout.truncated, s.discount, s.gae_lambda)
        return advantage, advantage + value

    def policy_loss(
        self,
        policy: Policy,
        action: Tensor,
        old_log_prob: Tensor,
        advantage: Tensor,
        mean: Tensor,
        deviation: Tensor,
        tau: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Loss [P] (the negative of Eq. 38 or 40) and ratios [P, B], of advantages A-hat [P, B] and what scales them [P, 1]."""
        ratio = (policy.log_prob(action) - old_log_prob).exp()
        advantage = self.scaled_advantage(advantage, old_log_prob, mean, deviation, tau)
        clipped = ratio.clamp(1 - self.settings.clip, 1 + self.settings.clip)
        objective = torch.min(ratio * advantage, clipped * advantage).mean(1)  # Eq. 38-40, g(eps, A) of Eq. 39
        if self.bonus:
            objective = objective + self.scaled(self.bonus, tau, deviation).squeeze(1) * policy.entropy().mean(
                1
            )  # Eq. 38: + alpha H
        return -objective, ratio

    def policy_slope(
        self,
        policy: Policy,
        action: Tensor,
        old_log_prob: Tensor,
        advantage: Tensor,
        mean: Tensor,
        deviation: Tensor,
        tau: Tensor,
    ) -> tuple[Tensor, Tensor | None]:
        """Of `policy_loss` by log pi(a|s) [P, B] and by H(pi) [P, 1]."""
        ratio = (policy.log_prob(action) - old_log_prob).exp()
        advantage = self.scaled_advantage(advantage, old_log_prob, mean, deviation, tau)
        plain, clipped = ratio * advantage, ratio.clamp(1 - self.settings.clip, 1 + self.settings.clip) * advantage
        by_entropy = -self.scaled(self.bonus, tau, deviation) / action.shape[1] if self.bonus else None
        return -plain * (plain <= clipped) / action.shape[1], by_entropy  # where the clip acts the objective is flat

    def scaled_advantage(
        self, advantage: Tensor, old_log_prob: Tensor, mean: Tensor, deviation: Tensor, tau: Tensor
    ) -> Tensor:
        """What multiplies the ratio [P, B]."""
        advantage = (advantage - mean) / deviation
        if self.log_policy:
            advantage = advantage - self.scaled(self.log_policy, tau, deviation) * old_log_prob  # Eq. 41
        return advantage

    def scaled(self, how: str, tau: Tensor, deviation: Tensor) -> Tensor:
        """The temperature beside the scaled advantage [P, 1]: alpha/sigma, so that there is one, or alpha itself, as baselines has it."""
        return tau / deviation if how == "scaled" else tau

    # What is common. ----------------------------------------------------------------------------------------------------

    def value_loss(self, value: Tensor, old_value: Tensor, target: Tensor) -> Tensor:
        """Squared error [P] (Eq. 33), with CleanRL's clipping around the old value. All arguments [P, B]."""
        error = (value - target).square()
        if self.settings.clip_value:
            clipped = old_value + (value - old_value).clamp(-self.settings.clip, self.settings.clip)
            error = torch.max(error, (clipped - target).square())
        return 0.5 * error.mean(1)

    def value_slope(self, value: Tensor, old_value: Tensor, target: Tensor) -> Tensor:
        """Of `value_loss` by the value [P, B]: 0 where the clipped error is the larger one and the clip acts."""
        error, clip = value - target, self.settings.clip
        if self.settings.clip_value:
            change = value - old_value
            clipped = old_value + change.clamp(-clip, clip) - target
            error = error * ((error.abs() >= clipped.abs()) | (change.abs() <= clip))
        return error / value.shape[1]

    def initial(self, draws: Draws) -> State:
        state = adam_state("nets", self.nets.initial(draws))
        return state | self.temperature.initial(draws) | self.normalization.initial(draws)

    def behaviour(self, state: State, use: Use) -> Act:
        def act(observation: Tensor, noise: Tensor, now: Now) -> Tensor:
            outputs = self.nets.head(0, state["nets"], self.normalization.normalize(state, observation))
            return policies.act(self.policy(state["nets"], outputs), noise, use)

        return act

    def policy(self, nets: Tensor, outputs: Tensor) -> Policy:
        return self.scheme.gaussian(outputs, self.nets.globals(nets)) if self.scheme else Categorical(outputs)

    def update(self, state: State, batch: Rollout, now: Now) -> Metrics:
        s, tau, shape = self.settings, self.temperature(state, now), batch.reward.shape
        reward = self.normalization.scale_(state, batch)
        observation = self.normalization.normalize(state, batch.observation[:, :-1].flatten(1, 2))
        with torch.no_grad():
            outputs, value = self.nets(state["nets"], observation)
            old, value = self.policy(state["nets"], outputs), value.squeeze(2)
            ahead = self.nets.head(1, state["nets"], self.normalization.normalize(state, experience.ahead(batch)))
            following, entropy = experience.following(batch, value, ahead), old.entropy()
            advantage, target = self.returns(batch, reward, entropy.view(shape), value.view(shape), following, tau)
            action, advantage, target = batch.action.flatten(1, 2), advantage.flatten(1), target.flatten(1)
        rate = now.rows["learning_rate"] * (1 - now.fraction) if s.anneal else now.rows["learning_rate"]
        fields = {
            "observation": observation,
            "action": action,
            "old_log_prob": old.log_prob(action),
            "old_value": value,
        }
        fields |= {"advantage": advantage, "target": target}
        steps = enumerate(experience.minibatches(now.noise["minibatch"], s.minibatches, fields), 1)
        told = [self.step(state, sample, rate, tau, k > (s.epochs - 1) * s.minibatches) for k, sample in steps]
        self.temperature.descend_(state, -entropy, now.rows["learning_rate"])
        self.normalization.track_(state, batch)
        last = told[-s.minibatches :]
        means = {name: torch.stack([metrics[name] for metrics in last]).mean(0) for name in last[0]}
        explained = 1 - (target - value).var(1) / target.var(1)
        return means | {"entropy": entropy.mean(1), "temperature": tau.squeeze(1), "explained_variance": explained}

    def step(self, state: State, sample: Mapping[str, Tensor], rate: Tensor, tau: Tensor, told: bool) -> Metrics:
        """One optimizer step on a minibatch of [P, B, ...] tensors; its metrics where `told`."""
        nets = self.nets.follow(state["nets"], sample["observation"])
        outputs, value = nets.heads
        policy, value, action = self.policy(state["nets"], outputs), value.squeeze(2), sample["action"]
        mean, deviation = moments(sample["advantage"])
        of = action, sample["old_log_prob"], sample["advantage"], mean, deviation, tau
        by_log_prob, by_entropy = self.policy_slope(policy, *of)
        by_value = self.value_slope(value, sample["old_value"], sample["target"]) * self.settings.value_coefficient
        by_outputs, by_globals = policy.slope(action, by_log_prob, by_entropy), None
        if self.scheme:
            by_outputs, by_globals = self.scheme.slope(outputs, *by_outputs)
        gradients = nets.gradient(by_outputs, by_value.unsqueeze(2), by_globals=by_globals)
        clip_norm_(gradients, self.settings.max_gradient_norm, self.nets.parts)
        adam_(state, "nets", gradients, rate, epsilon=1e-5)
        if not told:
            return {}
        policy_loss, ratio = self.policy_loss(policy, *of)
        value_loss = self.value_loss(value, sample["old_value"], sample["target"])
        kl, left = (ratio - 1 - ratio.log()).mean(1), ((ratio - 1).abs() > self.settings.clip).float().mean(1)
        return {"policy_loss": policy_loss, "value_loss": value_loss, "approx_kl": kl, "clip_fraction": left}


def moments(advantage: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation [P, 1] of advantages [P, B]."""
    return advantage.mean(1, keepdim=True), advantage.std(1, keepdim=True) + 1e-8


LEARNER = PPO
