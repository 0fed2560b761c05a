"""PPO and SPPO against a plain implementation by torch: modules, optimizers, distributions, loops over steps; one member."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from reference import (
    BOUNDS,
    assert_metrics,
    flattened,
    followers,
    module,
    now,
    parameters,
    relative,
    rollouts,
    roughen,
    shuffles,
    started,
)
from torch import nn

from algorithms.learner import Spaces
from algorithms.pairs.ppo import PPO, Settings

CHOICES, NUMBERS = Spaces((3,), 4), Spaces((3,), 2, ((-1.0, -1.0), (1.0, 1.0)))
SMALL = {"environments": 3, "horizon": 10, "epochs": 3, "minibatches": 2, "hidden": (16, 8), "temperature": 0.3}
BUDGET = 3000
SCALED_BONUS = ("sppo-38", "sppo-auto", "sppo-38-s2", "sppo-38-s3", "sppo-38-s4")
CASES = [(arm, CHOICES) for arm, about in PPO.arms.items() if about.actions != "numbers"]
CASES += [(arm, NUMBERS) for arm in PPO.arms]


class Reference:
    """PPO of one arm, as CleanRL writes it, with the arm's lines of Liu et al. 2020."""

    def __init__(self, made, arm, spaces, state):
        self.s, self.arm, self.spaces = made.settings, arm, spaces
        self.actor, self.critic = module(made.nets, state["nets"], 0), module(made.nets, state["nets"], 1)
        self.scheme = int(arm[-1]) if "-s" in arm else 1
        free = made.nets.globals(state["nets"])[0]
        self.log_std = nn.Parameter(free.clone() if len(free) else torch.zeros(2, dtype=free.dtype))
        self.actor_parameters = list(self.actor.parameters())
        if self.spaces.kind == "numbers" and self.scheme != 2:
            self.actor_parameters.append(self.log_std)
        self.optimizer = torch.optim.Adam([*self.actor_parameters, *self.critic.parameters()], lr=1.0, eps=1e-5)
        self.log_alpha = nn.Parameter(torch.zeros((), dtype=state["nets"].dtype))
        self.alpha_optimizer = torch.optim.Adam([self.log_alpha], lr=1.0)
        self.seen, self.returns, self.running = [], [], np.zeros(self.s.environments)

    @property
    def alpha(self):
        learned = self.log_alpha.exp().item() if self.arm == "sppo-auto" else 1.0
        return self.s.temperature * learned

    def policy(self, observation):
        outputs = self.actor(observation)
        if self.spaces.kind == "choices":
            return torch.distributions.Categorical(logits=outputs)
        mean, log_std = outputs[:, :2], self.log_std.expand(len(outputs), 2)
        if self.scheme == 2:
            log_std = outputs[:, 2:]
        elif self.scheme > 2:
            log_std = log_std + (outputs[:, 2:] if self.scheme == 3 else outputs[:, 2:].clamp(max=0))
        return torch.distributions.Independent(torch.distributions.Normal(mean, log_std.exp()), 1)

    def normalized(self, observation):
        if not self.s.normalize:
            return observation
        known = np.concatenate(self.seen) if self.seen else None
        mean, variance = (0.0, 1.0) if known is None else (known.mean(0), known.var(0))
        values = (observation.double().numpy() - mean) / np.sqrt(variance + 1e-8)
        return torch.from_numpy(values).clamp(-10, 10).to(observation.dtype)

    def scaled(self, rollout):
        reward = rollout.reward[0]
        if not self.s.normalize:
            return reward
        for t in range(self.s.horizon):
            for e in range(self.s.environments):
                self.running[e] = reward[t, e].item() + self.s.discount * self.running[e]
                self.returns.append(self.running[e])
                if rollout.terminated[0, t, e] or rollout.truncated[0, t, e]:
                    self.running[e] = 0
        return (reward / math.sqrt(np.var(self.returns) + 1e-8)).clamp(-10, 10)

    def advantages(self, rollout, reward, value, after):
        """Eq. 36-37, step by step from the end."""
        advantage = torch.zeros_like(reward)
        for e in range(self.s.environments):
            following = 0.0
            for t in reversed(range(self.s.horizon)):
                ended, cut = rollout.terminated[0, t, e], rollout.truncated[0, t, e]
                bootstrap = 0.0 if ended else self.s.discount * after[t, e]
                if ended or cut:
                    following = 0.0
                following = reward[t, e] + bootstrap - value[t, e] + self.s.discount * self.s.gae_lambda * following
                advantage[t, e] = following
        return advantage

    def update(self, rollout, order, step):
        s, shape, alpha = self.s, (self.s.horizon, self.s.environments), self.alpha
        reward, observation = self.scaled(rollout), self.normalized(rollout.observation[0, :-1].flatten(0, 1))
        with torch.no_grad():
            old = self.policy(observation)
            entropy, value = old.entropy().view(shape), self.critic(observation).view(shape)
            after = self.critic(self.normalized(followers(rollout).flatten(0, 1))).view(shape)
            action = rollout.action[0].flatten(0, 1)
            old_log_prob = old.log_prob(action)
            if self.arm.startswith("sppo"):
                reward = reward + alpha * entropy
            advantage = self.advantages(rollout, reward, value, after).flatten()
            target = advantage + value.flatten()
        for group in [*self.optimizer.param_groups, *self.alpha_optimizer.param_groups]:
            group["lr"] = s.learning_rate * (1 - step / BUDGET if s.anneal else 1)
        told = []
        for epoch in range(s.epochs):
            for part in range(s.minibatches):
                size = len(action)
                chosen = order[0, epoch, part * size // s.minibatches : (part + 1) * size // s.minibatches]
                fields = (observation, action, old_log_prob, advantage, value.flatten(), target)
                told.append(self.step(*(field[chosen] for field in fields), alpha))
        self.seen.append(rollout.observation[0, :-1].flatten(0, 1).double().numpy())
        last = told[-s.minibatches :]
        sizes = [each.pop("size") for each in last]
        metrics = {name: np.average([each[name] for each in last], weights=sizes) for name in last[0]}
        return metrics | {"entropy": entropy.mean().item(), "temperature": alpha}

    def step(self, observation, action, old_log_prob, advantage, old_value, target, alpha):
        s, policy, value = self.s, self.policy(observation), self.critic(observation).squeeze(1)
        mean, deviation = advantage.mean(), advantage.std() + 1e-8
        if self.arm == "sppo-40":
            advantage = (advantage - mean - alpha * old_log_prob) / deviation
        elif self.arm == "sppo-40-baselines":
            advantage = (advantage - mean) / deviation - alpha * old_log_prob
        else:
            advantage = (advantage - mean) / deviation
        bonus = {"ppo-bonus": alpha, "sppo-38-baselines": alpha}
        bonus |= dict.fromkeys(SCALED_BONUS, alpha / deviation)
        ratio = (policy.log_prob(action) - old_log_prob).exp()
        surrogate = torch.min(ratio * advantage, ratio.clamp(1 - s.clip, 1 + s.clip) * advantage)
        policy_loss, bonus = -surrogate.mean(), bonus.get(self.arm, 0.0) * policy.entropy().mean()
        value_loss = (value - target) ** 2
        if s.clip_value:
            near = old_value + (value - old_value).clamp(-s.clip, s.clip)
            value_loss = torch.max(value_loss, (near - target) ** 2)
        value_loss = 0.5 * value_loss.mean()
        self.optimizer.zero_grad()
        (policy_loss - bonus + s.value_coefficient * value_loss).backward()
        nn.utils.clip_grad_norm_(self.actor_parameters, s.max_gradient_norm)
        nn.utils.clip_grad_norm_(self.critic.parameters(), s.max_gradient_norm)
        self.optimizer.step()
        if self.arm == "sppo-auto":
            goal = 0.5 * math.log(self.spaces.actions) if self.spaces.kind == "choices" else -self.spaces.actions
            self.alpha_optimizer.zero_grad()
            (-self.log_alpha * (goal - policy.entropy().mean()).detach()).backward()
            self.alpha_optimizer.step()
        with torch.no_grad():
            return {
                "size": len(action),
                "policy_loss": policy_loss.item(),
                "value_loss": value_loss.item(),
                "approx_kl": (ratio - 1 - ratio.log()).mean().item(),
                "clip_fraction": ((ratio - 1).abs() > s.clip).double().mean().item(),
            }

    def learned(self):
        return torch.cat([parameters(self.actor, self.critic), self.log_std.detach(), self.log_alpha.detach().view(1)])


def of(made, state):
    free = made.nets.globals(state["nets"])[0] if made.nets.free else torch.zeros(2, dtype=state["nets"].dtype)
    log_alpha = state["temperature"][0] if "temperature" in state else torch.zeros(1, dtype=state["nets"].dtype)
    return torch.cat([flattened(made.nets, state["nets"]), free, log_alpha])


def trained(arm, spaces, updates, dtype, **settings):
    """Both after so many updates: the error of all that is learned, over its change, and the last update's metrics."""
    made, s = PPO(Settings(**{**SMALL, **settings}), spaces, PPO.arms[arm].switches), Settings(**{**SMALL, **settings})
    state, batch = started(made, 3, dtype), s.horizon * s.environments
    roughen(made.nets, state["nets"])
    plain, before = Reference(made, arm, spaces, state), of(made, state).clone()
    orders = shuffles(updates, s.epochs, batch)
    rows = {"learning_rate": s.learning_rate, "temperature": s.temperature}
    experience = rollouts(updates, s.horizon, s.environments, spaces, dtype=dtype)
    for count, (rollout, order) in enumerate(zip(experience, orders, strict=True)):
        step = count * batch
        metrics = made.update(state, rollout, now(step, BUDGET, dtype, {"minibatch": order}, **rows))
        expected = plain.update(rollout, order, step)
    return relative(of(made, state), plain.learned(), before), metrics, expected


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("updates", [1, 10])
@pytest.mark.parametrize(("arm", "spaces"), CASES)
def test_an_arm_is_its_plain_implementation(arm, spaces, updates, dtype):
    error, metrics, expected = trained(arm, spaces, updates, dtype)
    assert error < BOUNDS[dtype]
    assert_metrics(metrics, expected, 10 * BOUNDS[dtype])


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("updates", [1, 10])
@pytest.mark.parametrize(
    ("arm", "spaces", "settings"),
    [
        ("sppo-38", NUMBERS, {"normalize": True}),
        ("sppo-40", CHOICES, {"normalize": True, "anneal": False}),
        ("ppo", CHOICES, {"clip_value": False}),
        ("sppo-auto", CHOICES, {"normalize": True, "minibatches": 4}),
    ],
)
def test_settings_are_those_of_the_plain_implementation(arm, spaces, settings, updates, dtype):
    error, metrics, expected = trained(arm, spaces, updates, dtype, **settings)
    assert error < BOUNDS[dtype]
    assert_metrics(metrics, expected, 10 * BOUNDS[dtype])
