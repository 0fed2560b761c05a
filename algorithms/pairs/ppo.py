"""PPO and SPPO: clipped policy optimization, without and with entropy in the return.

Liu, Gu, Liu 2020; as CleanRL's, but networks are clipped apart. Convention 2: q has the entropy of s."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from algorithms import experience, learner, policies
from algorithms.learner import Act, Arm, Draw, Draws, Metric, Metrics, Now, Rollout, Row, Spaces, State, Use
from algorithms.normalization import Normalization
from algorithms.population import Network, adam_, adam_state, clip_norm_
from algorithms.returns import gae, moments
from algorithms.temperature import Temperature

HARD = {"entropy_in_return": False, "bonus": False, "log_policy": False, "scaled": False, "learned": False, "scheme": 1}
SPPO_38 = {**HARD, "entropy_in_return": True, "bonus": True, "scaled": True}
SPPO_40 = {**HARD, "entropy_in_return": True, "log_policy": True, "scaled": True}


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
    clip_value: bool = True  # the value too, to within `clip` of the old one, in units of the return
    value_coefficient: float = Field(default=0.5, ge=0)
    temperature: Row = 0.01
    target_entropy: float | None = None  # for the learned temperature, in nats; None: half of log A, or minus A numbers
    max_gradient_norm: float = Field(default=0.5, gt=0)
    hidden: tuple[learner.Width, ...] = (64, 64)
    normalize: bool = False


class PPO(learner.Learner):
    source = "Liu, Gu, Liu 2020, Eq. 33-41, Algorithm 1, Table 1; Schulman et al. 2017 (PPO)"
    arms = {
        "ppo": Arm("PPO, clipped, no entropy", HARD),
        "ppo-bonus": Arm("PPO with the one-step bonus", {**HARD, "bonus": True}, "control", "ppo", "ppo"),
        "sppo-38": Arm("SPPO, Eq. 38: entropy in return and loss (+ alpha grad H)", SPPO_38, "soft", "ppo", "ppo"),
        "sppo-40": Arm("SPPO, Eq. 40: entropy in return and advantage (- alpha log pi)", SPPO_40, "soft", "ppo", "ppo"),
        "sppo-38-baselines": Arm("Eq. 38, alpha after scaling", {**SPPO_38, "scaled": False}, "control", "ppo", "ppo"),
        "sppo-40-baselines": Arm("Eq. 40, alpha after scaling", {**SPPO_40, "scaled": False}, "control", "ppo", "ppo"),
        "sppo-auto": Arm("Eq. 38, learned temperature", {**SPPO_38, "learned": True}, "soft", "ppo"),
        **{f"ppo-s{k}": Arm(f"PPO, sigma scheme {k}", {**HARD, "scheme": k}, actions="numbers") for k in (2, 3, 4)},
        "sppo-38-s2": Arm("Eq. 38, sigma scheme 2", {**SPPO_38, "scheme": 2}, "soft", "ppo-s2", "ppo-s2", "numbers"),
        "sppo-38-s3": Arm("Eq. 38, sigma scheme 3", {**SPPO_38, "scheme": 3}, "soft", "ppo-s3", "ppo-s3", "numbers"),
        "sppo-38-s4": Arm("Eq. 38, sigma scheme 4", {**SPPO_38, "scheme": 4}, "soft", "ppo-s4", "ppo-s4", "numbers"),
    }
    settings_type, small = Settings, {"environments": 2, "horizon": 16, "epochs": 2, "minibatches": 2, "hidden": (8, 8)}
    metrics = {  # of the optimizer's steps in the last epoch
        "entropy": Metric("mean entropy of the behaviour policy in nats"),
        "temperature": Metric("in units of the reward"),
        "policy_loss": Metric("negative clipped surrogate (Eq. 38 or 40, without a bonus)"),
        "value_loss": Metric("mean squared error of the value, halved"),
        "approx_kl": Metric("estimate of KL(old policy || new policy) in nats"),
        "clip_fraction": Metric("share of samples whose ratio left the clip range"),
    }

    def __init__(self, s: Settings, spaces: Spaces, switches: learner.Switches) -> None:
        self.settings, self.head = s, policies.Head(spaces, switches["scheme"])
        if 2 * s.minibatches > (batch := s.horizon * s.environments):  # a deviation is of at least two advantages
            raise ValueError(f"minibatches: must be at most half of horizon x environments = {batch}")
        self.entropy_in_return, self.bonus, self.log_policy, self.scaled = (switches[name] for name in list(HARD)[:4])
        self.nets = Network("nets", spaces, s.hidden, self.head.sizes, "tanh", gains=(0.01, 1), free=self.head.free)
        self.temperature = Temperature(switches["learned"], s.target_entropy, spaces)
        self.normalization = Normalization(s.normalize, spaces.observation, s.environments, s.discount)
        self.exploration, self.randomness = self.head.noise, {"minibatch": Draw("permutation", (s.epochs, batch))}

    # What is soft: the lines that read a switch. ------------------------------------------------------------------------

    def reward(self, reward: Tensor, entropy: Tensor, tau: Tensor) -> Tensor:
        """What returns are made of [P, T, E]. tau [P, 1]."""
        return reward + tau.unsqueeze(2) * entropy if self.entropy_in_return else reward  # Eq. 35: r = r_ext + alpha H

    def weights(self, advantage: Tensor, old_log_prob: Tensor, tau: Tensor) -> tuple[Tensor, Tensor | None]:
        """What multiplies ratios [P, B] and the entropy [P, 1] in the loss: A-hat over its deviation sigma, and alpha over the same."""
        mean, deviation = moments(advantage)
        alpha = tau / deviation if self.scaled else tau  # one temperature; baselines has alpha itself after scaling
        weight = (advantage - mean) / deviation - (alpha * old_log_prob if self.log_policy else 0)  # Eq. 41
        return weight, alpha if self.bonus else None  # Eq. 38: + alpha H

    def policy_loss(self, ratio: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Minus the lower of ratio A and g(eps, A) (Eq. 38-39) and its slope by log pi [P, B], of pi/pi_old and A; flat where clipped."""
        plain, clipped = ratio * weight, ratio.clamp(1 - self.settings.clip, 1 + self.settings.clip) * weight
        return -torch.min(plain, clipped), -plain * (plain <= clipped)

    def value_loss(self, value: Tensor, old: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Half the squared error and its slope by the value [P, B] (Eq. 33); value clipping takes the clipped value where that is worse."""
        error, reach = value - target, self.settings.clip if self.settings.clip_value else float("inf")
        worse = torch.max(error.abs(), (value.clamp(old - reach, old + reach) - target).abs())
        return 0.5 * worse.square(), error * (error.abs() == worse)

    def initial(self, draws: Draws) -> State:
        rest = self.temperature.initial(draws) | self.normalization.initial(draws)
        return rest | adam_state("nets", self.nets.initial(draws))

    def behaviour(self, state: State, use: Use, now: Now) -> Act:
        head, free = self.nets.head(0, state["nets"]), self.nets.globals(state["nets"])

        def act(observation: Tensor, noise: Tensor) -> Tensor:
            outputs = head(self.normalization.normalize(state, observation))
            return policies.act(self.head.policy(outputs, free), noise, use)

        return act

    def update(self, state: State, batch: Rollout, now: Now) -> Metrics:
        s, tau, shape, nets = self.settings, self.temperature(state, now), batch.reward.shape, state["nets"]
        action, reward = batch.action.flatten(1, 2), self.normalization.scale_(state, batch)
        seen = self.normalization.normalize(state, batch.observation[:, :-1].flatten(1, 2))
        outputs, value = self.nets(nets, seen)
        old, value = self.head.policy(outputs, self.nets.globals(nets)), value.squeeze(2)
        ahead = self.nets.head(1, nets)(self.normalization.normalize(state, experience.ahead(batch)))
        after, entropy = experience.following(batch, value, ahead), old.entropy()
        reward, ends = self.reward(reward, entropy.view(shape), tau), (batch.terminated, batch.truncated)
        advantage = gae(reward, value.view(shape), after, *ends, s.discount, s.gae_lambda).flatten(1)  # Eq. 36-37
        fields = {"seen": seen, "action": action, "old": old.log_prob(action), "value": value, "advantage": advantage}
        fields["target"], rate = advantage + value, now.rows["learning_rate"] * (1 - now.fraction if s.anneal else 1)
        parts = experience.minibatches(now.noise["minibatch"], s.minibatches, fields)
        told = [self.step(state, part, rate, tau) for part in parts][-s.minibatches :]
        self.normalization.track_(state, batch)
        policy_loss, value_loss, ratio = (torch.cat(values, 1) for values in zip(*told, strict=True))
        means = entropy, tau, policy_loss, value_loss, ratio - 1 - ratio.log(), ((ratio - 1).abs() > s.clip).float()
        return {name: values.mean(1) for name, values in zip(self.metrics, means, strict=True)}

    def step(self, state: State, part: State, rate: Tensor, tau: Tensor) -> tuple[Tensor, ...]:
        """One optimizer step on a minibatch of [P, B, ...] tensors; losses and ratios [P, B]."""
        s, nets = self.settings, self.nets.follow(state["nets"], part["seen"])
        policy, value = self.head.policy(nets.heads[0], self.nets.globals(state["nets"])), nets.heads[1].squeeze(2)
        ratio = (policy.log_prob(part["action"]) - part["old"]).exp()
        weight, bonus = self.weights(part["advantage"], part["old"], tau)
        policy_loss, by_log_prob = self.policy_loss(ratio, weight)
        value_loss, by_value = self.value_loss(value, part["value"], part["target"])
        by_outputs, by_globals = self.head.slope(policy, nets.heads[0], part["action"], by_log_prob, bonus)
        gradients = nets.gradient(by_outputs, s.value_coefficient * by_value.unsqueeze(2), by_globals=by_globals)
        clip_norm_(gradients, s.max_gradient_norm, self.nets.parts)  # apart: alpha/sigma can outweigh the critic
        if self.temperature.learned:
            self.temperature.descend_(state, -policy.entropy(), rate)
        adam_(state, "nets", gradients, rate, epsilon=1e-5)
        return policy_loss, value_loss, ratio


LEARNER = PPO
