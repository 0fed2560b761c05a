"""IMPALA and SIMPALA against a plain implementation by torch: modules, optimizer, distributions, the printed double sum; one member."""

from __future__ import annotations

import copy

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
    started,
)
from torch import nn

from algorithms.learner import Spaces
from algorithms.pairs.impala import Impala, Settings

SPACES = Spaces((3,), 4)
SETTINGS = Settings(environments=3, horizon=6, hidden=(16, 8), temperature=0.3, lag=2, clip_rho=1.2, clip_c=0.9)


class Reference:
    """A learner and its actors, of one arm, with the arm's lines of Liu et al. 2020. `older`: actors of earlier updates, oldest first."""

    def __init__(self, made, arm, state, older):
        self.s, self.arm = made.settings, arm
        self.actor, self.critic = (module(made.nets, state["nets"], net) for net in (0, 1))
        self.waiting = [*older, copy.deepcopy(self.actor)]
        both = [*self.actor.parameters(), *self.critic.parameters()]
        self.optimizer = torch.optim.RMSprop(both, lr=self.s.learning_rate, alpha=0.99, eps=1e-5)

    def targets(self, rollout, reward, value, after, ratio):
        """Espeholt et al. 2018, Eq. 1, of each step a sum of its own; and r + gamma v', which section 4.2 climbs."""
        s, ended = self.s, rollout.terminated[0] | rollout.truncated[0]
        target, q = torch.zeros_like(value), torch.zeros_like(value)
        for e in range(s.environments):
            for first in reversed(range(s.horizon)):
                weight, target[first, e] = 1.0, value[first, e]
                for t in range(first, s.horizon):
                    bootstrap = 0.0 if rollout.terminated[0, t, e] else s.discount * after[t, e]
                    delta = reward[t, e] + bootstrap - value[t, e]
                    target[first, e] += weight * min(ratio[t, e].item(), s.clip_rho) * delta
                    weight *= s.discount * min(ratio[t, e].item(), s.clip_c)
                    if ended[t, e]:
                        break
                later = after[first, e] if ended[first, e] or first + 1 == s.horizon else target[first + 1, e]
                q[first, e] = reward[first, e] + (0.0 if rollout.terminated[0, first, e] else s.discount * later)
        return target.flatten(), q.flatten()

    def update(self, rollout, fraction):
        self.optimizer.param_groups[0]["lr"] = self.s.learning_rate * (1 - fraction)
        s, shape = self.s, (self.s.horizon, self.s.environments)
        observation, action = rollout.observation[0, :-1].flatten(0, 1), rollout.action[0].flatten()
        policy, value = (
            torch.distributions.Categorical(logits=self.actor(observation)),
            self.critic(observation).squeeze(1),
        )
        with torch.no_grad():
            behaviour = torch.distributions.Categorical(logits=self.waiting.pop(0)(observation))
            ratio = policy.probs.gather(1, action.unsqueeze(1)) / behaviour.probs.gather(1, action.unsqueeze(1))
            after = self.critic(followers(rollout).flatten(0, 1)).view(shape)
            reward = rollout.reward[0]
            if self.arm == "simpala":
                reward = reward + s.temperature * policy.entropy().view(shape)
            target, q = self.targets(rollout, reward, value.view(shape), after, ratio.view(shape))
        rho = ratio.squeeze(1).clamp(max=s.clip_rho)
        objective = rho * policy.log_prob(action) * (q - value.detach())
        if self.arm != "impala":
            objective = objective + s.temperature * policy.entropy()
        value_loss = 0.5 * ((value - target) ** 2).mean()
        self.optimizer.zero_grad()
        (-objective.mean() + s.value_coefficient * value_loss).backward()
        nn.utils.clip_grad_norm_(self.actor.parameters(), s.max_gradient_norm)
        nn.utils.clip_grad_norm_(self.critic.parameters(), s.max_gradient_norm)
        self.optimizer.step()
        self.waiting.append(copy.deepcopy(self.actor))
        means = {
            "entropy": behaviour.entropy(),
            "kl": torch.distributions.kl_divergence(behaviour, policy),
            "rho": rho,
            "policy_loss": -objective,
            "value_loss": value_loss,
        }
        return {name: mean.mean().item() for name, mean in means.items()}


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("updates", [1, 10])
@pytest.mark.parametrize("arm", Impala.arms)
def test_an_arm_is_its_plain_implementation(arm, updates, dtype):
    made = Impala(SETTINGS, SPACES, Impala.arms[arm].switches)
    state = started(made, 3, dtype)
    for place in range(3):  # the oldest comes first
        roughen(made.nets, state["nets"])
        state["ring"][:, place] = state["nets"]
    older = [module(made.nets, state["ring"][:, place].contiguous(), 0) for place in (0, 1)]
    plain, before = Reference(made, arm, state, older), flattened(made.nets, state["nets"]).clone()
    rows = {"learning_rate": SETTINGS.learning_rate, "temperature": SETTINGS.temperature}
    experience = rollouts(updates, SETTINGS.horizon, SETTINGS.environments, SPACES, dtype=dtype)
    for update, rollout in enumerate(experience):
        metrics = made.update(state, rollout, now(18 * update, 1000, dtype, **rows))
        expected = plain.update(rollout, 18 * update / 1000)
    assert relative(flattened(made.nets, state["nets"]), parameters(plain.actor, plain.critic), before) < BOUNDS[dtype]
    assert_metrics(metrics, expected, 10 * BOUNDS[dtype])
