"""PG and SPG against a plain implementation by torch: modules, optimizer, distributions, loops over steps; one member."""

from __future__ import annotations

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
from algorithms.pairs.reinforce import Reinforce, Settings

CHOICES, NUMBERS = Spaces((3,), 4), Spaces((3,), 2, ((-1.0, -1.0), (1.0, 1.0)))
SMALL = {"environments": 3, "horizon": 10, "hidden": (16, 8), "temperature": 0.3}
CASES = [(arm, CHOICES, {}) for arm in Reinforce.arms]
CASES += [(arm, NUMBERS, {"scheme": scheme}) for arm in Reinforce.arms for scheme in (1, 2, 3, 4)]


class Reference:
    """REINFORCE with a baseline, of one arm, with the arm's lines of Liu et al. 2020."""

    def __init__(self, made, arm, spaces, state):
        self.s, self.arm, self.spaces = made.settings, arm, spaces
        self.actor, self.baseline = (module(made.nets, state["nets"], net) for net in (0, 1))
        self.log_sigma = nn.Parameter(free_of(made, state))
        self.actor_parameters = list(self.actor.parameters())
        if spaces.kind == "numbers":
            self.actor_parameters.append(self.log_sigma)
        self.optimizer = torch.optim.Adam(
            [*self.actor_parameters, *self.baseline.parameters()], lr=self.s.learning_rate
        )

    def policy(self, observation):
        outputs, scheme = self.actor(observation), self.s.scheme
        if self.spaces.kind == "choices":
            return torch.distributions.Categorical(logits=outputs)
        mean, local = outputs[:, :2], outputs[:, 2:]
        sigma = {
            1: lambda: self.log_sigma.exp().expand(len(outputs), 2),
            2: lambda: local.exp(),
            3: lambda: self.log_sigma.exp() * local.exp(),
            4: lambda: self.log_sigma.exp() * local.clamp(max=0).exp(),
        }[scheme]()
        return torch.distributions.Independent(torch.distributions.Normal(mean, sigma), 1)

    def returns(self, rollout, entropy, after):
        """Eq. 3-4 of what happened: of each step a sum of its own, to the episode's end or to where it was cut."""
        s, target = self.s, torch.zeros_like(entropy)
        for e in range(s.environments):
            for first in range(s.horizon):
                weight = 1.0
                for t in range(first, s.horizon):
                    reward = rollout.reward[0, t, e] + (s.temperature * entropy[t, e] if self.arm == "spg" else 0.0)
                    target[first, e] += weight * reward
                    weight *= s.discount
                    if rollout.terminated[0, t, e]:
                        break
                    if rollout.truncated[0, t, e] or t + 1 == s.horizon:
                        target[first, e] += weight * after[t, e]
                        break
        return target

    def update(self, rollout):
        s, shape = self.s, (self.s.horizon, self.s.environments)
        observation = rollout.observation[0, :-1].flatten(0, 1)
        policy, value = self.policy(observation), self.baseline(observation).squeeze(1)
        entropy = policy.entropy()
        with torch.no_grad():
            after = self.baseline(followers(rollout).flatten(0, 1)).view(shape)
            target = self.returns(rollout, entropy.view(shape), after).flatten()
        objective = policy.log_prob(rollout.action[0].flatten(0, 1)) * (target - value.detach())
        if self.arm != "pg":
            objective = objective + s.temperature * entropy
        value_loss = 0.5 * ((value - target) ** 2).mean()
        self.optimizer.zero_grad()
        (-objective.mean() + s.value_coefficient * value_loss).backward()
        nn.utils.clip_grad_norm_(self.actor_parameters, s.max_gradient_norm)
        nn.utils.clip_grad_norm_(self.baseline.parameters(), s.max_gradient_norm)
        self.optimizer.step()
        means = {"entropy": entropy.mean(), "policy_loss": -objective.mean(), "value_loss": value_loss}
        return {name: mean.item() for name, mean in means.items()}

    def learned(self):
        return torch.cat([parameters(self.actor, self.baseline), self.log_sigma.detach()])


def free_of(made, state):
    return made.nets.globals(state["nets"])[0].clone() if made.nets.free else state["nets"].new_zeros(2)


def of(made, state):
    return torch.cat([flattened(made.nets, state["nets"]), free_of(made, state)])


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("updates", [1, 10])
@pytest.mark.parametrize(("arm", "spaces", "settings"), CASES)
def test_an_arm_is_its_plain_implementation(arm, spaces, settings, updates, dtype):
    made = Reinforce(Settings(**SMALL, **settings), spaces, Reinforce.arms[arm].switches)
    state = started(made, 3, dtype)
    roughen(made.nets, state["nets"])
    plain, before = Reference(made, arm, spaces, state), of(made, state).clone()
    rows = {"learning_rate": made.settings.learning_rate, "temperature": made.settings.temperature}
    for rollout in rollouts(updates, made.settings.horizon, made.settings.environments, spaces, dtype=dtype):
        metrics, expected = made.update(state, rollout, now(0, 1000, dtype, **rows)), plain.update(rollout)
    assert relative(of(made, state), plain.learned(), before) < BOUNDS[dtype]
    assert_metrics(metrics, expected, 10 * BOUNDS[dtype])
