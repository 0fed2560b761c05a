"""DDPG, and SDDPG, which is SAC1: Liu, Gu, Liu 2020, section 3.1 and Fig. 1, whose line numbers stand on the lines.

Between them: twin critics, the stochastic policy without entropy (Eq. 26), entropy in the policy's step alone (Yu et al. 2022). sac-v: SAC
with a value network (Vitay, section 4.6.3; Wei; Haarnoja et al. 2018, whose reward scale is 1/alpha). The print leaves alpha out, and has
a' for s'. Convention 1, as Fig. 1 has it: Q(s, a) leaves out the entropy of s. Line 14 climbs the first critic, in every arm. Critics see
actions in the task's units; densities are those in (-1, 1). Settings of CleanRL's sac_continuous_action.py; alpha's rate is there 1e-3."""

from __future__ import annotations

import math
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from algorithms import learner, policies
from algorithms.learner import Act, Arm, Draw, Draws, Metric, Metrics, Now, Replay, Row, Spaces, State, Use, Window
from algorithms.population import Network, adam_, adam_state, follow_, gradient, leaf
from algorithms.population.inputs import first_value
from algorithms.temperature import Temperature

HARD = {"stochastic": False, "twin": False, "target_policy": True, "value_network": False}
HARD |= {"entropy_in_target": False, "entropy_in_policy": False, "learned": False}
RPG = {**HARD, "stochastic": True, "twin": True, "target_policy": False}
SOFT = {**RPG, "entropy_in_target": True, "entropy_in_policy": True}


class Settings(learner.Settings):
    policy_rate: Row = 3e-4  # of the learned temperature as well
    critic_rate: Row = 1e-3
    temperature: Row = 0.2
    target_entropy: float | None = None  # of the learned temperature, in nats; None: -1 for each number of an action
    discount: float = Field(default=0.99, ge=0, le=1)
    keep: float = Field(default=0.995, ge=0, le=1)  # rho of line 16: what a target network keeps of itself
    noise: Literal["normal", "ornstein-uhlenbeck"] = "normal"
    exploration: float = Field(default=0.1, ge=0)  # deviation of that noise on an action in (-1, 1), a step
    replay_size: int = Field(default=1_000_000, ge=1)
    batch: int = Field(default=256, ge=1)
    learning_starts: int = Field(default=5_000, ge=1)
    updates: int = Field(default=1, ge=1)  # after each rollout
    hidden: tuple[learner.Width, ...] = (256, 256)


class DDPG(learner.Learner):
    source = "Liu, Gu, Liu 2020, section 3.1, Eq. 26-32, Fig. 1; Vitay, section 4.6.3; Lillicrap et al. 2016 (DDPG)"
    arms = {
        "ddpg": Arm("DDPG (Eq. 27)", HARD),
        "ddpg-twin": Arm("DDPG with twin critics", {**HARD, "twin": True}, "control", "ddpg"),
        "rpg": Arm("stochastic policy, twin critics, no entropy (Eq. 26)", RPG, "control", "ddpg"),
        "saclite": Arm("entropy in line 14 alone", {**SOFT, "entropy_in_target": False}, "control", "ddpg", "rpg"),
        "sddpg": Arm("SDDPG = SAC1 (Eq. 32)", SOFT, "soft", "ddpg", "rpg"),
        "sac1-auto": Arm("SAC1, temperature learned (line 15)", {**SOFT, "learned": True}, "soft", "ddpg"),
        "sac-v": Arm("SAC with a value network", {**SOFT, "value_network": True}, "soft", "ddpg"),
    }
    actions, settings_type = "numbers", Settings
    metrics = {
        "entropy": Metric("of the policy in nats, actions in (-1, 1), estimated; NaN: deterministic", finite=False),
        "temperature": Metric("in units of the reward"),
        "critic_loss": Metric("mean squared error of line 13, summed over critics"),
        "policy_loss": Metric("minus what line 14 climbs, in units of the return"),
    }
    small = {"environments": 2, "horizon": 4, "batch": 8, "learning_starts": 24, "replay_size": 48, "hidden": (16, 8)}
    small |= {"keep": 0.9}  # a target that hardly moves shows the roundings of float32 alone

    def __init__(self, s: Settings, spaces: Spaces, switches: learner.Switches) -> None:
        low, high = self.bounds = spaces.bounds or ((), ())
        if not all(map(math.isfinite, low + high)):
            raise ValueError(f"task: must bound its actions, from {low} to {high}")
        self.settings, numbers = s, spaces.actions
        self.stochastic, self.twin, self.target_policy, self.value_network, *rest = (switches[name] for name in HARD)
        self.entropy_in_target, self.entropy_in_policy, self.learned = rest
        self.policy = policies.SquashedGaussian if self.stochastic else policies.Deterministic
        self.actor = Network("actor", spaces, s.hidden, (self.policy.outputs * numbers,))
        self.critics = Network("critics", spaces, s.hidden, (1,), copies=1 + self.twin, extra=numbers)
        self.v = Network("value", spaces, s.hidden, (1,))
        self.nets = [self.actor, self.critics, self.v][: 2 + self.value_network]
        self.targets = ["value"] if self.value_network else ["critics", "actor"][: 1 + self.target_policy]
        self.temperature = Temperature(self.learned, s.target_entropy, spaces)
        self.exploration = Draw(s.noise, (numbers,))
        self.randomness = {use: Draw("normal", (s.batch, numbers)) for use in ("target", "policy")}
        self.replay = Replay(s.replay_size, s.batch, s.learning_starts, updates=s.updates)

    # What is soft: the lines that read a switch. ------------------------------------------------------------------------
    def value(self, q: Tensor, log_prob: Tensor, tau: Tensor) -> Tensor:
        """y_v [P, B], line 12, of Q_i(s, a~) [P, i, B] and log pi(a~|s) [P, B], a~ of the policy; what V(s) of sac-v is fitted to."""
        least = q.amin(1)
        return least - tau * log_prob if self.entropy_in_target else least

    def target(self, reward: Tensor, terminated: Tensor, value: Tensor) -> Tensor:
        """y_q [P, B], line 12: `terminated` is a true end, never a time limit."""
        return reward.add(self.settings.discount * value * ~terminated)

    def policy_loss(self, q: Tensor, log_prob: Tensor, tau: Tensor) -> Tensor:
        """Minus what line 14 climbs [P, B], of Q and log pi [P, B] at the policy's own actions, through which its gradient goes."""
        if self.entropy_in_policy:
            q = q - tau * log_prob  # Eq. 32
        return -q  # without entropy Eq. 26, and Eq. 27 where sigma is 0

    # What is common. ----------------------------------------------------------------------------------------------------
    def stretch(self, action: Tensor) -> Tensor:
        return policies.stretch(action, *map(action.new_tensor, self.bounds))

    def q(self, critics: Tensor, observation: Tensor, action: Tensor) -> Tensor:
        """Q_i(s, a) [P, i, B], without gradient."""
        return self.critics(critics.detach(), torch.cat([observation, action], -1))[0].squeeze(3)

    def initial(self, draws: Draws) -> State:
        state = self.temperature.initial(draws)
        for net in self.nets:
            state |= adam_state(net.name, net.initial(draws))
        return state | {f"{name}.target": state[name].clone() for name in self.targets}  # line 2

    def behaviour(self, state: State, use: Use, now: Now) -> Act:
        outputs, s = self.actor.head(0, state["actor"]), self.settings
        # Noise that goes on along an episode moves every arm alike, about its best action.
        by_itself = self.stochastic and s.noise == "normal"

        def act(observation: Tensor, noise: Tensor) -> Tensor:
            policy = self.policy(outputs(observation))
            action = policies.act(policy, noise, use)
            if use == "collect":  # line 4
                action = action if by_itself else (policy.mode + s.exploration * noise).clamp(-1, 1)
                action = torch.where(now.step < s.learning_starts, torch.erf(noise / math.sqrt(2)), action)
            return self.stretch(action)

        return act

    def update(self, state: State, batch: Window, now: Now) -> Metrics:
        tau, rate = self.temperature(state, now), now.rows["critic_rate"]
        seen, led, taken = (each[:, :, 0] for each in (batch.observation, batch.next_observation, batch.action))
        if self.value_network:  # Haarnoja et al. 2018, Eq. 8: V(s') of its own target
            following = self.v.head(0, state["value.target"])(led).squeeze(2)
        else:
            outputs = self.actor.head(0, state["actor.target" if self.target_policy else "actor"])(led)
            action, log_prob = self.policy(outputs).sample_log_prob(now.noise["target"])
            following = self.value(self.q(state["critics.target"], led, self.stretch(action)), log_prob, tau)
        y = self.target(batch.reward[:, :, 0], batch.terminated[:, :, 0], following)  # line 12
        critics = self.critics.follow(state["critics"], torch.cat([seen, taken], -1))
        error = critics.heads[0] - y.view(len(y), 1, -1, 1)
        adam_(state, "critics", critics.gradient(2 * error), rate)  # line 13
        actor = self.actor.follow(state["actor"], seen)
        outputs = leaf(actor.heads[0])
        action, log_prob = self.policy(outputs).sample_log_prob(now.noise["policy"])
        loss = self.policy_loss(first_value(self.critics, state["critics"], seen, self.stretch(action)), log_prob, tau)
        action, log_prob, slope = action.detach(), log_prob.detach(), gradient(loss, outputs)
        adam_(state, "actor", actor.gradient(slope), now.rows["policy_rate"])  # line 14
        self.temperature.descend_(state, log_prob, now.rows["policy_rate"])  # line 15
        if self.value_network:  # Vitay, section 4.6.3: V(s) <- E[min Q - alpha log pi]
            v = self.v.follow(state["value"], seen)
            wanted = self.value(self.q(state["critics"], seen, self.stretch(action)), log_prob, tau)
            adam_(state, "value", v.gradient(2 * (v.heads[0] - wanted.unsqueeze(2))), rate)
        for name in self.targets:
            follow_(state[f"{name}.target"], state[name], self.settings.keep)  # line 16
        entropy = -log_prob.mean(1) if self.stochastic else torch.full_like(y[:, 0], torch.nan)
        means = entropy, tau.squeeze(1), error.square().mean(2).sum((1, 2)), loss.detach().mean(1)
        return dict(zip(self.metrics, means, strict=True))


LEARNER = DDPG
