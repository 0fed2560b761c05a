"""TRPO, STRPO, NPG and soft NPG against a plain implementation by torch: modules, double backward passes, loops; one member."""

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
from torch.distributions import Categorical, Independent, Normal, kl_divergence

from algorithms.learner import Spaces
from algorithms.pairs.trpo import TRPO, Settings

CHOICES, NUMBERS = Spaces((3,), 4), Spaces((3,), 2, ((-1.0, -1.0), (1.0, 1.0)))
SMALL = {"environments": 3, "horizon": 10, "epochs": 3, "minibatches": 2, "hidden": (16, 8), "temperature": 0.3}
SMALL |= {"cg_steps": 6, "step": 0.05}  # rounding grows with each step of conjugate gradients, whoever writes them
BUDGET = 3000


class Reference:
    """One arm as sb3-contrib's TRPO and Tianshou's NPG write it, with the paper's KL and the arm's lines of the sources."""

    def __init__(self, made, arm, spaces, state):
        self.s, self.arm, self.spaces = made.settings, arm, spaces
        self.actor, self.critic = module(made.actor, state["actor"]), module(made.critic, state["critic"])
        free = made.actor.globals(state["actor"])[0]
        self.log_std = nn.Parameter(free.clone() if len(free) else torch.zeros(2, dtype=free.dtype))
        self.learned = list(self.actor.parameters())
        if spaces.kind == "numbers" and self.s.scheme != 2:
            self.learned.append(self.log_std)
        self.optimizer = torch.optim.Adam(self.critic.parameters(), lr=self.s.learning_rate, eps=1e-5)
        self.seen, self.returns, self.running = [], [], np.zeros(self.s.environments)

    def policy(self, observation):
        outputs, scheme = self.actor(observation), self.s.scheme
        if self.spaces.kind == "choices":
            return Categorical(logits=outputs)
        mean, log_std = outputs[:, :2], self.log_std.expand(len(outputs), 2)
        if scheme == 2:
            log_std = outputs[:, 2:]
        elif scheme > 2:
            log_std = log_std + (outputs[:, 2:] if scheme == 3 else outputs[:, 2:].clamp(max=0))
        return Independent(Normal(mean, log_std.exp()), 1)

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
        advantage = torch.zeros_like(reward)
        for e in range(self.s.environments):
            following = 0.0
            for t in reversed(range(self.s.horizon)):
                bootstrap = 0.0 if rollout.terminated[0, t, e] else self.s.discount * after[t, e]
                if rollout.terminated[0, t, e] or rollout.truncated[0, t, e]:
                    following = 0.0
                following = reward[t, e] + bootstrap - value[t, e] + self.s.discount * self.s.gae_lambda * following
                advantage[t, e] = following
        return advantage

    def update(self, rollout, order):
        s, shape, alpha = self.s, (self.s.horizon, self.s.environments), self.s.temperature
        reward, observation = self.scaled(rollout), self.normalized(rollout.observation[0, :-1].flatten(0, 1))
        action = rollout.action[0].flatten(0, 1)
        with torch.no_grad():
            old = self.policy(observation)
            entropy, value, old_log_prob = old.entropy(), self.critic(observation).view(shape), old.log_prob(action)
            after = self.critic(self.normalized(followers(rollout).flatten(0, 1))).view(shape)
            if self.arm in ("strpo", "soft-npg"):
                reward = reward + alpha * entropy.view(shape)
            advantage = self.advantages(rollout, reward, value, after).flatten()
            target = advantage + value.flatten()
            deviation = advantage.std() + 1e-8
            weight = advantage - advantage.mean()
            if self.arm == "soft-npg":  # Q-hat - Q, without the V that both have
                reference = math.log(self.spaces.actions) if self.spaces.kind == "choices" else 0.0
                kl = -entropy + reference
                weight = (weight + alpha * kl) - alpha * (old_log_prob + reference)
            weight = weight / deviation
            bonus = alpha / deviation if self.arm in ("trpo-bonus", "strpo") else 0.0

        def judged():
            policy = self.policy(observation)
            surrogate = (weight * (policy.log_prob(action) - old_log_prob).exp()).mean()
            return kl_divergence(old, policy).mean(), surrogate + bonus * policy.entropy().mean()

        kl, objective = judged()
        gradient = flat(torch.autograd.grad(objective, self.learned, retain_graph=True))
        slope = flat(torch.autograd.grad(kl, self.learned, create_graph=True))

        def product(vector):
            found = torch.autograd.grad(slope @ vector, self.learned, retain_graph=True)
            return flat(found) + s.damping * vector

        direction = solved(product, gradient, s.cg_steps)
        start, before, accepted = flat(self.learned).detach(), objective.item(), s.step
        if self.arm in ("npg", "soft-npg"):
            self.put(start + s.step * direction)
        else:
            accepted, length = 0.0, math.sqrt(2 * s.target_kl / (direction @ product(direction)).item())
            for _ in range(s.tries):
                self.put(start + length * direction)
                with torch.no_grad():
                    kl, objective = judged()
                if kl < s.target_kl and objective > before:
                    accepted = length
                    break
                length *= s.shrink
            if not accepted:
                self.put(start)
        with torch.no_grad():
            kl, objective = judged()
        self.seen.append(rollout.observation[0, :-1].flatten(0, 1).double().numpy())
        return {
            "entropy": entropy.mean().item(),
            "temperature": alpha,
            "kl": kl.item(),
            "accepted_step": accepted,
            "surrogate_gain": objective.item() - before,
            "value_loss": self.fit(observation, target, order),
        }

    def put(self, values):
        nn.utils.vector_to_parameters(values.detach(), self.learned)

    def fit(self, observation, target, order):
        """The critic's loss over its last epoch."""
        losses, size = [], len(target)
        for epoch in range(self.s.epochs):
            losses = []
            for part in range(self.s.minibatches):
                first, last = (number * size // self.s.minibatches for number in (part, part + 1))
                chosen = order[0, epoch, first:last]
                error = self.critic(observation[chosen]).squeeze(1) - target[chosen]
                self.optimizer.zero_grad()
                (0.5 * error.square().mean()).backward()
                self.optimizer.step()
                losses += (0.5 * error.square()).tolist()
        return np.mean(losses)

    def all(self):
        return torch.cat([parameters(self.actor, self.critic), self.log_std.detach()])


def flat(parts):
    return torch.cat([part.reshape(-1) for part in parts])


def solved(product, wanted, steps):
    """Conjugate gradient, as sb3-contrib writes it, from 0."""
    found, residual = torch.zeros_like(wanted), wanted.clone()
    direction, size = residual.clone(), residual @ residual
    for _ in range(steps):
        image = product(direction)
        length = size / (direction @ image)
        found += length * direction
        residual -= length * image
        smaller = residual @ residual
        direction = residual + smaller / size * direction
        size = smaller
    return found


def of(made, state):
    free = made.actor.globals(state["actor"])[0]
    rest = free if len(free) else torch.zeros(2, dtype=free.dtype)
    return torch.cat([flattened(made.actor, state["actor"]), flattened(made.critic, state["critic"]), rest])


def trained(arm, spaces, updates, dtype, **settings):
    """Both after so many updates: the error of all that is learned, over its change, and the metrics of each update."""
    s = Settings(**{**SMALL, **settings})
    made = TRPO(s, spaces, TRPO.arms[arm].switches)
    state = started(made, 3, dtype)
    for network in (made.actor, made.critic):
        roughen(network, state[network.name])
    plain, before = Reference(made, arm, spaces, state), of(made, state).clone()
    rows = {name: getattr(s, name) for name in s.rows()}
    told, batch = [], s.horizon * s.environments
    experience = rollouts(updates, s.horizon, s.environments, spaces, dtype=dtype)
    for count, (rollout, order) in enumerate(zip(experience, shuffles(updates, s.epochs, batch), strict=True)):
        metrics = made.update(state, rollout, now(count * batch, BUDGET, dtype, {"minibatch": order}, **rows))
        told.append((metrics, plain.update(rollout, order)))
    return relative(of(made, state), plain.all(), before), told


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("updates", [1, 10])
@pytest.mark.parametrize("spaces", [CHOICES, NUMBERS])
@pytest.mark.parametrize("arm", TRPO.arms)
def test_an_arm_is_its_plain_implementation(arm, spaces, updates, dtype):
    error, told = trained(arm, spaces, updates, dtype)
    assert error < BOUNDS[dtype]
    for metrics, expected in told:
        assert_metrics(metrics, expected, 10 * BOUNDS[dtype])


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize(
    ("arm", "spaces", "settings"),
    [
        ("trpo", CHOICES, {"cg_steps": 15, "damping": 1.0}),
        ("strpo", CHOICES, {"normalize": True}),
        ("soft-npg", NUMBERS, {"normalize": True, "step": 0.2}),
        ("trpo", CHOICES, {"target_kl": 1.0, "tries": 1}),
        ("trpo", NUMBERS, {"target_kl": 0.1, "tries": 1}),
        ("strpo", NUMBERS, {"target_kl": 0.1, "tries": 4, "shrink": 0.95, "gae_lambda": 0.5, "discount": 0.9}),
        ("strpo", NUMBERS, {"scheme": 2}),
        ("soft-npg", NUMBERS, {"scheme": 3}),
        ("trpo-bonus", NUMBERS, {"scheme": 4}),
    ],
)
def test_settings_are_those_of_the_plain_implementation(arm, spaces, settings, dtype):
    error, told = trained(arm, spaces, 10, dtype, **settings)
    assert error < BOUNDS[dtype]
    for metrics, expected in told:
        assert_metrics(metrics, expected, 10 * BOUNDS[dtype])
    if settings.get("tries") == 1:
        steps = [expected["accepted_step"] for _, expected in told]
        assert min(steps) == 0 < max(steps), "some steps are taken, and some are refused"
