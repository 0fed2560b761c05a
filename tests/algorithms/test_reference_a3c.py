"""A3C and SA3C against a plain implementation by torch: shared modules and optimizer, learners with modules of their own; one member."""

from __future__ import annotations

import copy

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
from algorithms.pairs.a3c import A3C, Settings

SPACES = Spaces((3,), 4)
SETTINGS = Settings(
    environments=6,
    learners=3,
    horizon=5,
    hidden=(16, 8),
    temperature=0.3,
    learning_rate=0.01,
    anneal=True,
    max_gradient_norm=0.5,
)


class Reference:
    """Mnih et al. 2016, Algorithm S3, thread by thread, with the arm's line of Schulman, Chen, Abbeel 2017."""

    def __init__(self, made, arm, state):
        self.s, self.soft = made.settings, arm == "sa3c"
        self.shared = [module(made.nets, state["nets"], net) for net in (0, 1)]
        self.optimizer = torch.optim.RMSprop(
            [p for net in self.shared for p in net.parameters()], lr=self.s.learning_rate, alpha=0.99, eps=1e-5
        )
        self.learners = [copy.deepcopy(self.shared) for _ in range(self.s.learners)]
        self.updates, self.copied = 0, [0] * self.s.learners

    def losses(self, learner, rollout):
        """Of one learner's own two environments, step by step from the end."""
        s, (actor, critic), group = self.s, self.learners[learner], slice(2 * learner, 2 * learner + 2)
        observation = rollout.observation[0, :-1, group].flatten(0, 1)
        policy, value = torch.distributions.Categorical(logits=actor(observation)), critic(observation).squeeze(1)
        penalty = s.temperature * kl_to_uniform(policy)
        with torch.no_grad():
            after, target = (
                critic(followers(rollout)[:, group]).squeeze(2),
                torch.zeros(s.horizon, 2, dtype=value.dtype),
            )
            for e in range(2):
                following = after[-1, e]
                for t in reversed(range(s.horizon)):
                    if rollout.terminated[0, t, 2 * learner + e]:
                        following = 0.0
                    elif rollout.truncated[0, t, 2 * learner + e]:
                        following = after[t, e]
                    reward = rollout.reward[0, t, 2 * learner + e]
                    if self.soft:
                        reward = reward - penalty.view(s.horizon, 2)[t, e]
                    following = target[t, e] = reward + s.discount * following
            target = target.flatten()
        log_prob = policy.log_prob(rollout.action[0, :, group].flatten())
        policy_loss = (-log_prob * (target - value.detach()) + penalty).mean()
        return policy.entropy().mean(), policy_loss, 0.5 * ((value - target) ** 2).mean()

    def update(self, rollout, order, fraction):
        self.optimizer.param_groups[0]["lr"] = self.s.learning_rate * (1 - fraction)
        told, stale = [self.losses(learner, rollout) for learner in range(self.s.learners)], []
        for learner in order.tolist():
            _, policy_loss, value_loss = told[learner]
            own = [p for net in self.learners[learner] for p in net.parameters()]
            gradients = torch.autograd.grad(policy_loss + self.s.value_coefficient * value_loss, own)
            for parameter, gradient in zip(
                [p for net in self.shared for p in net.parameters()], gradients, strict=True
            ):
                parameter.grad = gradient
            for net in self.shared:
                nn.utils.clip_grad_norm_(net.parameters(), self.s.max_gradient_norm)
            self.optimizer.step()
            stale.append(self.updates - self.copied[learner])
            self.updates += 1
            self.copied[learner], self.learners[learner] = self.updates, copy.deepcopy(self.shared)
        entropy, policy_loss, value_loss = (torch.stack(each).mean().item() for each in zip(*told, strict=True))
        mean = sum(stale) / len(stale)
        return {
            "entropy": entropy,
            "staleness": mean,
            "staleness_deviation": (sum((each - mean) ** 2 for each in stale) / len(stale)) ** 0.5,
            "staleness_least": min(stale),
            "staleness_most": max(stale),
            "policy_loss": policy_loss,
            "value_loss": value_loss,
        }


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("updates", [1, 10])
@pytest.mark.parametrize("arm", A3C.arms)
def test_an_arm_is_its_plain_implementation(arm, updates, dtype):
    made = A3C(SETTINGS, SPACES, A3C.arms[arm].switches)
    state = started(made, 3, dtype)
    roughen(made.nets, state["nets"])
    state["copies"].copy_(state["nets"].unsqueeze(1))
    plain, before = Reference(made, arm, state), flattened(made.nets, state["nets"]).clone()
    rows = {"learning_rate": SETTINGS.learning_rate, "temperature": SETTINGS.temperature}
    generator = torch.Generator().manual_seed(0)
    experience = rollouts(updates, SETTINGS.horizon, SETTINGS.environments, SPACES, dtype=dtype)
    for update, rollout in enumerate(experience):
        order = torch.randperm(3, generator=generator)
        metrics = made.update(state, rollout, now(30 * update, 1000, dtype, {"order": order.unsqueeze(0)}, **rows))
        expected = plain.update(rollout, order, 30 * update / 1000)
    assert relative(flattened(made.nets, state["nets"]), parameters(*plain.shared), before) < BOUNDS[dtype]
    for index, (actor, critic) in enumerate(plain.learners):
        found = flattened(made.nets, state["copies"][:, index].contiguous())
        assert relative(found, parameters(actor, critic), before) < BOUNDS[dtype]
    assert_metrics(metrics, expected, 10 * BOUNDS[dtype])
