"""IMPALA and SIMPALA: actors whose policy is some updates old, corrected by V-trace; and with entropy in return and loss.

Espeholt et al. 2018 (IMPALA), Eq. 1-4. Liu, Gu, Liu 2020 name SIMPALA: by their theorem it is of the form of Eq. 19, + alpha grad H in the
loss beside alpha H in the return; `impala-bonus` has the same loss alone. Entropies are the present policy's, in closed form: what is
learned is the value of that policy (of pi_rho, Eq. 3), not of the one that acted. Convention 2 (Liu): q has the entropy of s itself.

The policy that acts is exactly `lag` updates old, once so many were made. With lag 0 all ratios are 1: bit for bit A2C's n-step returns.
Settings are a2c's, with clips and a rate that falls to 0 as in the source. Steps of a rollout and lag were chosen on `impala` (seeds
900-909, 500,000 steps): with the source's 20 steps CartPole-v1 took a rate of 0.003 (0.002: 429), at which 2 seeds of 5 never left
Acrobot-v1's floor; at a2c's 5 steps and rate, one of 10 with a lag of 4, none with 1. That is RMSProp's start: its mean square begins at
0, so first steps are up to ten times the rate, and stale actors answer late. With the first steps corrected as Adam's, those 3 learned.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from algorithms import experience, learner, maxent
from algorithms.learner import Act, Arm, Draw, Draws, Metric, Metrics, Now, Rollout, Row, Spaces, State, Use
from algorithms.policies import Categorical, act
from algorithms.population import Network, clip_norm_, rmsprop_, rmsprop_state

HARD = {"entropy_in_return": False, "bonus": False}
SOFT = {"entropy_in_return": True, "bonus": True}


class Settings(learner.Settings):
    environments: int = Field(default=16, ge=1)
    horizon: int = Field(default=5, ge=1)
    lag: int = Field(default=1, ge=0)  # updates that the acting policy is behind
    clip_rho: float = Field(default=1.0, gt=0)
    clip_c: float = Field(default=1.0, gt=0)
    learning_rate: Row = 1.4e-3
    anneal: bool = True
    discount: float = Field(default=0.99, ge=0, le=1)
    temperature: Row = 0.01
    value_coefficient: float = Field(default=0.5, ge=0)
    max_gradient_norm: float = Field(default=0.5, gt=0)
    hidden: tuple[learner.Width, ...] = (64, 64)


class Impala(learner.Learner):
    source = "Espeholt et al. 2018, Eq. 1-4; Liu, Gu, Liu 2020, Eq. 19"
    arms = {
        "impala": Arm("IMPALA, no entropy", HARD),
        "impala-bonus": Arm("IMPALA with the one-step bonus", {**HARD, "bonus": True}, "control", "impala", "impala"),
        "simpala": Arm("SIMPALA: entropy in return and loss (+ alpha grad H)", SOFT, "soft", "impala", "impala"),
    }
    actions, settings_type, small = "choices", Settings, {"environments": 2, "horizon": 6, "hidden": (32,), "lag": 2}
    metrics = {
        "entropy": Metric("mean entropy of the behaviour policy in nats"),
        "kl": Metric("mean KL(behaviour policy || present policy) in nats"),
        "rho": Metric("mean clipped ratio of present to behaviour policy; 1 on-policy"),
        "policy_loss": Metric("negative objective of the policy, with its bonus"),
        "value_loss": Metric("mean squared error of the value, halved"),
    }

    def __init__(self, s: Settings, spaces: Spaces, switches: learner.Switches) -> None:
        self.settings = s
        self.entropy_in_return, self.bonus = switches["entropy_in_return"], switches["bonus"]
        self.nets = Network("actor-critic", spaces, s.hidden, (spaces.actions, 1), "tanh", gains=(0.01, 1.0))
        self.exploration = Draw("gumbel", (spaces.actions,))

    def reward(self, reward: Tensor, entropy: Tensor, tau: Tensor) -> Tensor:
        """What returns are made of [P, T, E]. tau [P, 1]."""
        return reward + tau.unsqueeze(2) * entropy if self.entropy_in_return else reward  # Liu et al. 2020, Eq. 3

    def v_trace(
        self, reward: Tensor, value: Tensor, following: Tensor, ratio: Tensor, terminated: Tensor, truncated: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """V-trace v of V and V(s'), q = r + gamma v', and rho [P, T, E]; ratio: pi(a|s) / mu(a|s).

        v = V + rho (r + gamma V' - V) + gamma c (v' - V') (Eq. 1 by Remark 1), ordered so that ratios 1 leave r + gamma v' as it is.
        """
        rho, c = ratio.clamp(max=self.settings.clip_rho), ratio.clamp(max=self.settings.clip_c)
        carry, ends = torch.full_like(reward, self.settings.discount) * ~terminated, terminated | truncated
        gain, rest, after, steps = rho * reward + (1 - rho) * value, (rho - c) * following, following[:, -1], []
        for t in reversed(range(reward.shape[1])):
            steps.append(torch.where(ends[:, t], following[:, t], after))  # v', which is V' where an episode is cut
            after = gain[:, t] + carry[:, t] * (c[:, t] * steps[-1] + rest[:, t])
        later = torch.stack(steps[::-1], 1)
        return gain + carry * (c * later + rest), reward + carry * later, rho

    def policy_loss(
        self, log_prob: Tensor, rho: Tensor, advantage: Tensor, entropy: Tensor, tau: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Of each step [P, B], whose gradient is minus that of section 4.2, its slope by log pi, and minus that by the entropy [P, 1]."""
        loss, slope = -rho * log_prob * advantage, -rho * advantage  # Eq. 4, rho (q - V) grad log pi
        return (loss - tau * entropy, slope, tau) if self.bonus else (loss, slope, None)  # Liu Eq. 19: + alpha grad H

    def initial(self, draws: Draws) -> State:
        parameters = self.nets.initial(draws)
        ring = parameters.unsqueeze(1).repeat(1, self.settings.lag + 1, 1)  # of the last lag + 1 updates
        return rmsprop_state("nets", parameters) | {"ring": ring}

    def oldest(self, now: Now) -> Tensor:
        """The place [1] in the ring of what is `lag` updates old; the next update's parameters go there."""
        s = self.settings
        place: Tensor = now.step // (s.horizon * s.environments) % (s.lag + 1)
        return place.view(1)

    def behaviour(self, state: State, use: Use, now: Now) -> Act:
        old = state["ring"].index_select(1, self.oldest(now)).squeeze(1)
        logits = self.nets.head(0, old if use == "collect" else state["nets"])
        return lambda observation, noise: act(Categorical(logits(observation)), noise, use)

    def update(self, state: State, batch: Rollout, now: Now) -> Metrics:
        s, tau, shape, place = self.settings, now.rows["temperature"].unsqueeze(1), batch.reward.shape, self.oldest(now)
        seen, action = batch.observation[:, :-1].flatten(1, 2), batch.action.flatten(1, 2)
        nets, old = self.nets.follow(state["nets"], seen), state["ring"].index_select(1, place).squeeze(1)
        policy, value, mu = Categorical(nets.heads[0]), nets.heads[1].squeeze(2), Categorical(self.nets(old, seen)[0])
        log_prob, entropy = policy.log_prob(action), policy.entropy()
        ratio, reward = (log_prob - mu.log_prob(action)).exp(), self.reward(batch.reward, entropy.view(shape), tau)
        following = experience.following(batch, value, self.nets.head(1, state["nets"])(experience.ahead(batch)))
        ends = batch.terminated, batch.truncated
        traced = self.v_trace(reward, value.view(shape), following, ratio.view(shape), *ends)
        target, q, rho = (each.flatten(1) for each in traced)
        policy_loss, by_log_prob, bonus = self.policy_loss(log_prob, rho, q - value, entropy, tau)
        by_value = s.value_coefficient * (value - target)  # section 4.2
        gradients = nets.gradient(policy.slope(action, by_log_prob, bonus), by_value.unsqueeze(2))
        clip_norm_(gradients, s.max_gradient_norm, self.nets.parts)
        rmsprop_(state, "nets", gradients, now.rows["learning_rate"] * (1 - now.fraction if s.anneal else 1))
        state["ring"].index_copy_(1, place, state["nets"].unsqueeze(1))
        kl, value_loss = maxent.kl(mu.log_policy, policy.log_policy), 0.5 * (value - target).square()
        means = mu.entropy(), kl, rho, policy_loss, value_loss
        return {name: values.mean(1) for name, values in zip(self.metrics, means, strict=True)}


LEARNER = Impala
