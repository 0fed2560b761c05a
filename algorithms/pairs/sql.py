"""Soft Q-learning by SVGD against DDPG: any density of actions for a policy, not a Gaussian alone.

Haarnoja, Tang, Abbeel, Levine 2017, sections 3.2 and 3.3, Eq. 10-14; Vitay, section 4.6.2; Fragkiadaki (CMU 10-703). The sampler is a
network that takes noise beside the observation; its outputs u, a = tanh u, go where SVGD moves them. `ddpg` and `sddpg` are pair ddpg's
own, by this pair's settings. Convention 1: Q(s, a) leaves out the entropy of s. Densities are of actions in (-1, 1), the temperature is in
units of the reward. Settings of the authors' multigoal_sql.py, whose reward scale of 0.1 is a temperature of 10. Their code departs here:
score and kernel by a instead of u (see svgd.py), reward / temperature in place of a temperature, bandwidth over log M for log(M + 1), the
sampler also in the warm-up, where all arms here act uniformly, and as greedy actions nothing: here it is the best of fixed particles.
"""

from __future__ import annotations

import math

import torch
from pydantic import Field
from torch import Tensor

from algorithms import learner, maxent, svgd
from algorithms.learner import Act, Arm, Draw, Draws, Metric, Metrics, Now, Row, Spaces, State, Switches, Use, Window
from algorithms.pairs import ddpg
from algorithms.pairs.ddpg import HARD as OF_DDPG
from algorithms.pairs.ddpg import SOFT
from algorithms.population import Network, adam_, copy_when_, gradient, leaf
from algorithms.population.inputs import first_value

HARD = {**OF_DDPG, "svgd": False}
SQL_SWITCHES = {**HARD, "target_policy": False, "svgd": True}


class Settings(ddpg.Settings):
    policy_rate: Row = 3e-4
    critic_rate: Row = 3e-4
    temperature: Row = 10.0
    batch: int = Field(default=64, ge=1)
    learning_starts: int = Field(default=100, ge=1)
    hidden: tuple[learner.Width, ...] = (128, 128)
    target_period: int = Field(default=1000, ge=1)  # environment steps between two copies to the target network
    value_actions: int = Field(default=16, ge=1)  # uniform ones, for the soft value
    particles: int = Field(default=32, ge=4, multiple_of=2)  # of a state; half of them are moved by the other half


class SQL(ddpg.DDPG):
    source = "Haarnoja, Tang, Abbeel, Levine 2017, Eq. 10-14; Vitay, section 4.6.2; CMU 10-703"
    arms = {
        "ddpg": Arm("DDPG (Eq. 27)", HARD),
        "sddpg": Arm("SDDPG = SAC1 (Eq. 32)", {**SOFT, "svgd": False}, "soft", "ddpg"),
        "sql": Arm("soft Q-learning, SVGD sampler", SQL_SWITCHES, "soft", "ddpg"),
    }
    settings_type = Settings
    metrics = {
        **ddpg.DDPG.metrics,
        "entropy": Metric(
            "in nats, actions in (-1, 1), as in ddpg; sql: of exp(Q/alpha) of the target at s', by uniform actions",
            False,
        ),
        "policy_loss": Metric(
            "minus what ddpg's line 14 climbs; sql: minus mean Q of particles, in units of the return"
        ),
    }
    small = {**ddpg.DDPG.small, "target_period": 24, "value_actions": 4, "particles": 8}

    def __init__(self, s: Settings, spaces: Spaces, switches: Switches) -> None:
        super().__init__(s, spaces, switches)
        self.svgd, self.numbers = switches["svgd"], spaces.actions
        if self.svgd:
            self.actor = Network("actor", spaces, s.hidden, (self.numbers,), extra=self.numbers)
            self.nets = [self.actor, self.critics]
            self.randomness = {
                "target": Draw("uniform", (s.value_actions, self.numbers)),
                "particles": Draw("normal", (s.batch, s.particles, self.numbers)),
            }

    # What is soft. ------------------------------------------------------------------------------------------------------
    def soft_value(self, q: Tensor, tau: Tensor) -> Tensor:
        """V(s) [P, B] of Q at uniform actions [P, B, n], tau [P, 1]: tau log E[exp(Q/tau) / density], the density 2^-A; Eq. 10."""
        return maxent.soft_value(q, tau, maxent.log_uniform(q.shape[-1])) + tau * self.numbers * math.log(2)

    def toward(self, u: Tensor, q_gradient: Tensor, tau: Tensor, moved: Tensor) -> Tensor:
        """Delta f [P, B, N, A] of `moved` by particles u [P, B, M, A] and the gradient of Q by tanh u; tau [P, 1]. Eq. 13, in u."""
        tau = tau.view(-1, 1, 1, 1)
        return svgd.direction(u, svgd.score(u.tanh(), q_gradient, tau), tau.unsqueeze(4), moved)

    # What is common. ----------------------------------------------------------------------------------------------------
    def initial(self, draws: Draws) -> State:
        state = super().initial(draws)
        if self.svgd:  # the noise of the particles of which the greedy action is the best
            state["particles"] = draws.take("particles", Draw("normal", (self.settings.particles, self.numbers)))
        return state

    def behaviour(self, state: State, use: Use, now: Now) -> Act:
        if not self.svgd:
            return super().behaviour(state, use, now)
        sampler = self.actor.head(0, state["actor"])

        def act(observation: Tensor, noise: Tensor) -> Tensor:
            action = sampler(torch.cat([observation, noise], -1)).tanh()
            if use == "collect":
                uniform = torch.erf(noise / math.sqrt(2))
                action = torch.where(now.step < self.settings.learning_starts, uniform, action)
            return self.stretch(action)

        def best(observation: Tensor, noise: Tensor) -> Tensor:
            particles = state["particles"].unsqueeze(1).expand(-1, observation.shape[1], -1, -1)
            seen, each = beside(observation, self.settings.particles), (*particles.shape[:3], self.numbers)
            action = self.stretch(sampler(torch.cat([seen, particles.flatten(1, 2)], -1)).tanh())
            q = self.q(state["critics"], seen, action).reshape(each[:3])
            chosen = q.argmax(2)[..., None, None].expand(-1, -1, -1, self.numbers)
            return action.reshape(each).gather(2, chosen).squeeze(2)

        return best if use == "greedy" else act

    def update(self, state: State, batch: Window, now: Now) -> Metrics:
        if not self.svgd:
            return super().update(state, batch, now)
        s, tau, half = self.settings, now.rows["temperature"].unsqueeze(1), self.settings.particles // 2
        seen, led, taken = (each[:, :, 0] for each in (batch.observation, batch.next_observation, batch.action))
        uniform = (2 * now.noise["target"] - 1).to(seen.dtype).unsqueeze(1).expand(-1, s.batch, -1, -1)
        following = self.q(state["critics.target"], beside(led, s.value_actions), self.stretch(uniform.flatten(1, 2)))
        following = following.view(uniform.shape[:3])
        y = self.target(batch.reward[:, :, 0], batch.terminated[:, :, 0], self.soft_value(following, tau))
        critics = self.critics.follow(state["critics"], torch.cat([seen, taken], -1))
        error = critics.heads[0] - y.view(len(y), 1, -1, 1)
        adam_(state, "critics", critics.gradient(2 * error), now.rows["critic_rate"])  # Eq. 11
        fixed, moved = (each.flatten(1, 2) for each in now.noise["particles"].chunk(2, 2))
        around = beside(seen, half)
        shape = (len(y), s.batch, half, self.numbers)
        u = self.actor.head(0, state["actor"])(torch.cat([around, fixed], -1))
        action = leaf(u.tanh())
        q = first_value(self.critics, state["critics"], around, self.stretch(action))
        sampler = self.actor.follow(state["actor"], torch.cat([around, moved], -1))
        slope = gradient(q, action).view(shape)
        toward = self.toward(u.view(shape), slope, tau, sampler.heads[0].view(shape))
        adam_(state, "actor", sampler.gradient(-toward.flatten(1, 2)), now.rows["policy_rate"])  # Eq. 14
        due = (now.step + s.horizon * s.environments) // s.target_period > now.step // s.target_period
        copy_when_(state["critics.target"], state["critics"], due)
        weights = maxent.log_boltzmann(following, tau)
        entropy = maxent.entropy(weights).mean(1) + self.numbers * math.log(2) - math.log(s.value_actions)
        means = entropy, tau.squeeze(1), error.square().mean((1, 2, 3)), -q.detach().mean(1)
        return dict(zip(self.metrics, means, strict=True))


def beside(observation: Tensor, count: int) -> Tensor:
    """Observations [P, B, D], each as often as it has actions: [P, B count, D]."""
    return observation.repeat_interleave(count, 1)


LEARNER = SQL
