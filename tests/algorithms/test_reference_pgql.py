"""Both rules of pgql against a plain implementation by torch: modules, optimizer, losses whose streams are scaled; one member."""

from __future__ import annotations

import math

import pytest
import torch
from reference import (
    BOUNDS,
    assert_metrics,
    flattened,
    followers,
    kl_to_uniform,
    module,
    now,
    parameters,
    relative,
    rollouts,
    roughen,
    started,
)
from torch import nn

from algorithms.learner import Spaces
from algorithms.pairs.pgql import PGQL, Settings

SPACES = Spaces((3,), 4)
SETTINGS = Settings(environments=3, horizon=6, hidden=(16, 8), temperature=0.3)


class Scaled(torch.autograd.Function):
    """A stream whose gradient is multiplied on its way back; Schulman et al. 2017, section 6.3."""

    @staticmethod
    def forward(ctx, stream, factor):
        ctx.factor = factor
        return stream.clone()

    @staticmethod
    def backward(ctx, gradient):
        return ctx.factor * gradient, None


class Reference:
    """Synchronous A3C of one rule, with Schulman, Chen, Abbeel 2017, Eq. 44-46 and 57, or 84-86."""

    def __init__(self, made, rule, state):
        self.s, self.rule = made.settings, rule
        self.actor, self.critic = (module(made.nets, state["nets"], net) for net in (0, 1))
        both = [*self.actor.parameters(), *self.critic.parameters()]
        self.optimizer = torch.optim.RMSprop(both, lr=self.s.learning_rate, alpha=0.99, eps=1e-5)

    def returns(self, rollout, penalty, after):
        """The sum of r - tau KL to an end or a cut, and V there, of each step a sum of its own."""
        target = torch.zeros_like(penalty)
        for e in range(self.s.environments):
            for first in range(self.s.horizon):
                weight = 1.0
                for t in range(first, self.s.horizon):
                    target[first, e] += weight * (rollout.reward[0, t, e] - penalty[t, e])
                    weight *= self.s.discount
                    if rollout.terminated[0, t, e]:
                        break
                    if rollout.truncated[0, t, e] or t + 1 == self.s.horizon:
                        target[first, e] += weight * after[t, e]
                        break
        return target.flatten()

    def update(self, rollout):
        s, shape = self.s, (self.s.horizon, self.s.environments)
        observation = rollout.observation[0, :-1].flatten(0, 1)
        policy, value = (
            torch.distributions.Categorical(logits=self.actor(observation)),
            self.critic(observation).squeeze(1),
        )
        log_ratio, kl = policy.log_prob(rollout.action[0].flatten()) + math.log(4), kl_to_uniform(policy)
        with torch.no_grad():
            after = self.critic(followers(rollout).flatten(0, 1)).view(shape)
            backup = self.returns(rollout, s.temperature * kl.view(shape), after)
            y = backup + s.temperature * kl
        value_loss = 0.5 * ((value - backup) ** 2).mean()
        q_loss = 0.5 * ((value + s.temperature * log_ratio - y) ** 2).mean()
        if self.rule == "soft-q-rule":
            advantage = Scaled.apply(s.temperature * log_ratio, 1 / s.temperature)
            loss = 0.5 * ((Scaled.apply(value, s.value_coefficient) + advantage - y) ** 2).mean()
        else:
            policy_loss = (-log_ratio * (backup - value.detach()) + s.temperature * kl).mean()
            loss = policy_loss + s.value_coefficient * value_loss
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.actor.parameters(), s.max_gradient_norm)
        nn.utils.clip_grad_norm_(self.critic.parameters(), s.max_gradient_norm)
        self.optimizer.step()
        means = {"entropy": policy.entropy().mean(), "q_loss": q_loss, "value_loss": value_loss}
        return {name: mean.item() for name, mean in means.items()}


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("updates", [1, 10])
@pytest.mark.parametrize("rule", PGQL.arms)
def test_a_rule_is_its_plain_implementation(rule, updates, dtype):
    made = PGQL(SETTINGS, SPACES, PGQL.arms[rule].switches)
    state = started(made, 3, dtype)
    roughen(made.nets, state["nets"])
    plain, before = Reference(made, rule, state), flattened(made.nets, state["nets"]).clone()
    rows = {"learning_rate": SETTINGS.learning_rate, "temperature": SETTINGS.temperature}
    for rollout in rollouts(updates, SETTINGS.horizon, SETTINGS.environments, SPACES, dtype=dtype):
        metrics, expected = made.update(state, rollout, now(0, 1000, dtype, **rows)), plain.update(rollout)
    assert relative(flattened(made.nets, state["nets"]), parameters(plain.actor, plain.critic), before) < BOUNDS[dtype]
    assert_metrics(metrics, expected, 10 * BOUNDS[dtype])
