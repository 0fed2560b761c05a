"""TRPO and STRPO, trust region policy optimization without and with entropy; natural policy gradient and damped soft Q-learning.

Schulman et al. 2015 (TRPO, Eq. 14 and appendix C); Wei (natural gradient); Liu, Gu, Liu 2020, Eq. 19: strpo is of its form, + alpha grad H.
Schulman, Chen, Abbeel 2017, section 5: soft-npg is of the form of Liu's Eq. 20, - alpha log pi. Convention 2: q has the entropy of s.
Details and settings as sb3-contrib's TRPO, with KL(old || new) as in the paper; step of npg as Tianshou's."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from algorithms import divergence, experience, learner, policies
from algorithms.learner import Act, Arm, Draw, Draws, Metric, Metrics, Now, Rollout, Row, Spaces, State, Use
from algorithms.normalization import Normalization
from algorithms.population import Network, adam_, adam_state
from algorithms.population.curvature import Tangent, conjugate_gradient, dot
from algorithms.returns import gae, moments

HARD = {"line_search": True, "entropy_in_return": False, "bonus": False, "log_policy": False}
STRPO = {**HARD, "entropy_in_return": True, "bonus": True}
NPG = {**HARD, "line_search": False}
SOFT_NPG = {**NPG, "entropy_in_return": True, "log_policy": True}


class Settings(learner.Settings):
    horizon: int = Field(default=2048, ge=1)
    discount: float = Field(default=0.99, ge=0, le=1)
    gae_lambda: float = Field(default=0.95, ge=0, le=1)
    temperature: Row = 0.01
    target_kl: Row = 0.01  # in nats, of TRPO
    shrink: float = Field(default=0.8, gt=0, lt=1)  # of a step that is refused
    tries: int = Field(default=10, ge=1)
    step: Row = 0.5  # eta of NPG, for advantages over their deviation
    cg_steps: int = Field(default=15, ge=1)
    damping: float = Field(default=0.1, gt=0)
    learning_rate: Row = 1e-3  # of the critic, as epochs and minibatches
    epochs: int = Field(default=10, ge=1)
    minibatches: int = Field(default=16, ge=1)
    scheme: Literal[1, 2, 3, 4] = 1  # of sigma, where actions are numbers; Liu et al. 2020, Table 1
    hidden: tuple[learner.Width, ...] = (64, 64)
    normalize: bool = False


class TRPO(learner.Learner):
    source = "Schulman et al. 2015, Eq. 14; Liu, Gu, Liu 2020, Eq. 19; Schulman, Chen, Abbeel 2017, section 5"
    arms = {
        "trpo": Arm("TRPO, no entropy", HARD),
        "trpo-bonus": Arm("TRPO with the one-step bonus", {**HARD, "bonus": True}, "control", "trpo", "trpo"),
        "strpo": Arm("STRPO: entropy in return and loss (+ alpha grad H)", STRPO, "soft", "trpo", "trpo"),
        "npg": Arm("NPG, natural gradient with a fixed step", NPG),
        "soft-npg": Arm("Soft NPG: entropy in return and advantage (- alpha log pi)", SOFT_NPG, "soft", "npg", "npg"),
    }
    settings_type = Settings
    small = {"environments": 2, "horizon": 16, "epochs": 2, "minibatches": 2, "cg_steps": 3, "tries": 3, "hidden": (8,)}
    metrics = {
        "entropy": Metric("mean entropy of the behaviour policy in nats"),
        "temperature": Metric("in units of the reward"),
        "kl": Metric("mean KL(old policy || new policy) in nats"),
        "accepted_step": Metric("length along the natural gradient that was taken; 0 where the line search found none"),
        "surrogate_gain": Metric("of the surrogate with its bonus (Eq. 14), in deviations of the advantage"),
        "value_loss": Metric("mean squared error of the value in the critic's last epoch, halved"),
    }

    def __init__(self, s: Settings, spaces: Spaces, switches: learner.Switches) -> None:
        self.settings, self.head = s, policies.Head(spaces, s.scheme)
        if (batch := s.horizon * s.environments) < max(2, s.minibatches):  # a deviation is of at least two advantages
            raise ValueError(f"minibatches: must be at most horizon x environments = {batch}, which must be at least 2")
        self.line_search, self.entropy_in_return, self.bonus, self.log_policy = (switches[name] for name in HARD)
        self.actor = Network("actor", spaces, s.hidden, self.head.sizes[:1], "tanh", gains=(0.01,), free=self.head.free)
        self.critic = Network("critic", spaces, s.hidden, (1,), "tanh", gains=(1,))
        self.normalization = Normalization(s.normalize, spaces.observation, s.environments, s.discount)
        self.exploration, self.randomness = self.head.noise, {"minibatch": Draw("permutation", (s.epochs, batch))}

    # What is soft: the lines that read a switch. ------------------------------------------------------------------------
    def reward(self, reward: Tensor, entropy: Tensor, tau: Tensor) -> Tensor:
        """What returns are made of [P, T, E]. tau [P, 1]."""
        return reward + tau.unsqueeze(2) * entropy if self.entropy_in_return else reward  # Liu et al. 2020, Eq. 3

    def error(self, advantage: Tensor, surprise: Tensor, tau: Tensor) -> Tensor:
        """What multiplies grad log pi [P, B]; `surprise` is log pi/ref - KL of the old policy."""
        return advantage - tau * surprise if self.log_policy else advantage  # Schulman et al. 2017, Eq. 76: Q-hat - Q

    def weights(self, advantage: Tensor, surprise: Tensor, tau: Tensor) -> tuple[Tensor, Tensor | None]:
        """What multiplies ratios [P, B] and the entropy [P, 1] in the surrogate: all over the advantages' deviation, tau as well."""
        mean, deviation = moments(advantage)
        weight = self.error(advantage - mean, surprise, tau) / deviation
        return weight, tau / deviation if self.bonus else None  # Liu et al. 2020, Eq. 19: + alpha H

    def surrogate(self, ratio: Tensor, weight: Tensor, entropy: Tensor, bonus: Tensor | None) -> Tensor:
        """Importance-weighted advantages [P, B], and the bonus; Schulman et al. 2015, Eq. 14."""
        return ratio * weight if bonus is None else ratio * weight + bonus * entropy

    def initial(self, draws: Draws) -> State:
        networks = {"actor": self.actor.initial(draws)} | adam_state("critic", self.critic.initial(draws))
        return networks | self.normalization.initial(draws)

    def behaviour(self, state: State, use: Use, now: Now) -> Act:
        outputs, free = self.actor.head(0, state["actor"]), self.actor.globals(state["actor"])

        def act(observation: Tensor, noise: Tensor) -> Tensor:
            found = outputs(self.normalization.normalize(state, observation))
            return policies.act(self.head.policy(found, free), noise, use)

        return act

    def update(self, state: State, batch: Rollout, now: Now) -> Metrics:
        s, shape, theta = self.settings, batch.reward.shape, state["actor"]
        tau, most, step = (now.rows[name].unsqueeze(1) for name in ("temperature", "target_kl", "step"))
        action, reward = batch.action.flatten(1, 2), self.normalization.scale_(state, batch)
        observed = batch.observation[:, :-1].flatten(1, 2), experience.ahead(batch)
        seen, ahead = (self.normalization.normalize(state, each) for each in observed)
        here, values = Tangent(self.actor, theta, seen), self.critic.head(0, state["critic"])
        old, value = self.head.policy(here.heads[0], self.actor.globals(theta)), values(seen).squeeze(2)
        log_prob, entropy, ends = old.log_prob(action), old.entropy(), (batch.terminated, batch.truncated)
        reward, after = self.reward(reward, entropy.view(shape), tau), experience.following(batch, value, values(ahead))
        advantage = gae(reward, value.view(shape), after, *ends, s.discount, s.gae_lambda).flatten(1)
        weight, bonus = self.weights(advantage, log_prob + entropy, tau)  # the reference is constant and cancels
        slope, by_free = self.head.slope(old, here.heads[0], action, -weight, bonus)
        fisher = divergence.Fisher(self.head, old, here, s.damping)
        descent = conjugate_gradient(fisher, here.gradient(slope, by_globals=by_free), s.cg_steps)  # - F^-1 g

        def judge(theta: Tensor) -> Tensor:  # KL(old || new) and the surrogate [2, P, 1]
            new = self.head.policy(self.actor(theta, seen)[0], self.actor.globals(theta))
            surrogate = self.surrogate((new.log_prob(action) - log_prob).exp(), weight, new.entropy(), bonus)
            return torch.stack([divergence.kl(old, new), surrogate]).mean(2, keepdim=True)

        before, accepted = judge(theta)[1], step  # Wei: theta + eta F^-1 g
        if self.line_search:  # Schulman et al. 2015, appendix C; each member its own step
            length, accepted = (2 * most / dot(descent, fisher(descent))).sqrt(), torch.zeros_like(before)
            for _ in range(s.tries):
                kl, surrogate = judge(theta - length * descent)
                good = (kl < most) & (surrogate > before) & (accepted == 0)
                accepted, length = torch.where(good, length, accepted), s.shrink * length
        kl, surrogate = judge(theta - accepted * descent)
        theta.sub_(accepted * descent)
        losses, fields = [], {"seen": seen, "target": advantage + value}
        for part in experience.minibatches(now.noise["minibatch"], s.minibatches, fields):
            critic = self.critic.follow(state["critic"], part["seen"])
            error = critic.heads[0].squeeze(2) - part["target"]
            adam_(state, "critic", critic.gradient(error.unsqueeze(2)), now.rows["learning_rate"], epsilon=1e-5)
            losses.append(0.5 * error.square())
        self.normalization.track_(state, batch)
        means = entropy, tau, kl, accepted, surrogate - before, torch.cat(losses[-s.minibatches :], 1)
        return {name: each.mean(1) for name, each in zip(self.metrics, means, strict=True)}


LEARNER = TRPO
