"""A2C, naive and proper, against a plain implementation by torch: modules, optimizer, distributions, loops over steps; one member."""

from __future__ import annotations

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
from algorithms.pairs.a2c import A2C, Settings

SPACES = Spaces((3,), 4)
SETTINGS = Settings(environments=3, horizon=6, hidden=(16, 8), temperature=0.3)


class Reference:
    """Synchronous A3C of one arm, with the arm's line of Schulman, Chen, Abbeel 2017."""

    def __init__(self, made, arm, state):
        self.s, self.proper = made.settings, arm == "a2c-proper"
        self.actor, self.critic = (module(made.nets, state["nets"], net) for net in (0, 1))
        both = [*self.actor.parameters(), *self.critic.parameters()]
        self.optimizer = torch.optim.RMSprop(both, lr=self.s.learning_rate, alpha=0.99, eps=1e-5)

    def returns(self, rollout, penalty, after):
        """Eq. 79 or 80, step by step from the end."""
        target = torch.zeros_like(rollout.reward[0])
        for e in range(self.s.environments):
            following = after[-1, e]
            for t in reversed(range(self.s.horizon)):
                if rollout.terminated[0, t, e]:
                    following = 0.0
                elif rollout.truncated[0, t, e]:
                    following = after[t, e]
                reward = rollout.reward[0, t, e] - (penalty[t, e] if self.proper else 0.0)
                following = reward + self.s.discount * following
                target[t, e] = following
        return target

    def update(self, rollout):
        s, shape = self.s, (self.s.horizon, self.s.environments)
        observation = rollout.observation[0, :-1].flatten(0, 1)
        policy = torch.distributions.Categorical(logits=self.actor(observation))
        value, penalty = self.critic(observation).squeeze(1), s.temperature * kl_to_uniform(policy)
        with torch.no_grad():
            after = self.critic(followers(rollout).flatten(0, 1)).view(shape)
            target = self.returns(rollout, penalty.view(shape), after).flatten()
        log_prob = policy.log_prob(rollout.action[0].flatten())
        policy_loss = (-log_prob * (target - value.detach()) + penalty).mean()
        value_loss = 0.5 * ((value - target) ** 2).mean()
        self.optimizer.zero_grad()
        (policy_loss + s.value_coefficient * value_loss).backward()
        nn.utils.clip_grad_norm_(self.actor.parameters(), s.max_gradient_norm)
        nn.utils.clip_grad_norm_(self.critic.parameters(), s.max_gradient_norm)
        self.optimizer.step()
        means = {"entropy": policy.entropy().mean(), "policy_loss": policy_loss, "value_loss": value_loss}
        return {name: mean.item() for name, mean in means.items()}


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("updates", [1, 10])
@pytest.mark.parametrize("arm", A2C.arms)
def test_an_arm_is_its_plain_implementation(arm, updates, dtype):
    made = A2C(SETTINGS, SPACES, A2C.arms[arm].switches)
    state = started(made, 3, dtype)
    roughen(made.nets, state["nets"])
    plain, before = Reference(made, arm, state), flattened(made.nets, state["nets"]).clone()
    rows = {"learning_rate": SETTINGS.learning_rate, "temperature": SETTINGS.temperature}
    for rollout in rollouts(updates, SETTINGS.horizon, SETTINGS.environments, SPACES, dtype=dtype):
        metrics, expected = made.update(state, rollout, now(0, 1000, dtype, **rows)), plain.update(rollout)
    assert relative(flattened(made.nets, state["nets"]), parameters(plain.actor, plain.critic), before) < BOUNDS[dtype]
    assert_metrics(metrics, expected, 10 * BOUNDS[dtype])
