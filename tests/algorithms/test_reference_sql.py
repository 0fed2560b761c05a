"""Soft Q-learning by SVGD against a plain implementation by torch: modules, optimizers, loops over states and particles, autograd alone."""

from __future__ import annotations

import math

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

from algorithms.learner import Spaces
from algorithms.pairs.sql import SQL, Settings
from algorithms.replay import Ring

LOW, HIGH = (-2.0, -1.0), (2.0, 3.0)
SPACES = Spaces((3,), 2, (LOW, HIGH), limit=2)
SMALL = Settings(
    environments=2,
    horizon=4,
    batch=12,
    replay_size=48,
    learning_starts=24,
    temperature=0.7,
    policy_rate=2e-3,
    critic_rate=3e-3,
    target_period=24,
    value_actions=5,
    particles=8,
    hidden=(16, 8),
)
QUANTUM, HALF = SMALL.horizon * SMALL.environments, SMALL.particles // 2


class Reference:
    """One member; state after state, particle after particle."""

    def __init__(self, made, state):
        self.sampler, self.critic = module(made.actor, state["actor"]), module(made.critics, state["critics"])
        self.frozen = module(made.critics, state["critics.target"])
        self.optimizers = [
            torch.optim.Adam(net.parameters(), lr=rate)
            for net, rate in ((self.sampler, SMALL.policy_rate), (self.critic, SMALL.critic_rate))
        ]
        self.lanes = [[] for _ in range(SMALL.environments)]

    def remember(self, rollout):
        led = followers(rollout)
        for e, lane in enumerate(self.lanes):
            for t in range(SMALL.horizon):
                step = rollout.observation[0, t, e], rollout.action[0, t, e], rollout.reward[0, t, e], led[t, e]
                lane.append((*step, bool(rollout.terminated[0, t, e])))
            del lane[: -SMALL.replay_size // SMALL.environments]

    def q(self, critic, observation, action):
        """Of an action in (-1, 1)."""
        low, high = (torch.tensor(each, dtype=observation.dtype) for each in (LOW, HIGH))
        return critic(torch.cat([observation, low + (high - low) * (action + 1) / 2]))[0]

    def log_density(self, observation, u):
        """log of exp(Q/alpha) as a density of u = atanh a, but for a constant."""
        a = torch.tanh(u)
        return self.q(self.critic, observation, a) / SMALL.temperature + torch.log(1 - a**2 + 1e-6).sum()

    def pull(self, observation, fixed, moved):
        """alpha times the Stein direction of each of `moved`, its kernel differentiated by autograd."""
        distances = sorted(((u - f) ** 2).sum().item() for u in fixed for f in moved)
        width = max(distances[(len(distances) - 1) // 2] / math.log(len(fixed) + 1), 1e-3)
        found = []
        for f in moved:
            total = torch.zeros_like(f)
            for u in fixed:
                u = u.clone().requires_grad_()
                (score,) = torch.autograd.grad(self.log_density(observation, u), u)
                kappa = torch.exp(-((u - f) ** 2).sum() / width)
                (apart,) = torch.autograd.grad(kappa, u)
                total += kappa.detach() * score + apart
            found.append(SMALL.temperature * total / len(fixed))
        return found

    def update(self, uniform, noise, due):
        steps, alpha, numbers = [], SMALL.temperature, SPACES.actions
        for number in uniform[0].tolist():
            first, lane = divmod(int(number * len(self.lanes[0]) * SMALL.environments), SMALL.environments)
            steps.append(self.lanes[lane][first])
        actions = [2 * draw - 1 for draw in noise["target"][0].to(steps[0][0].dtype)]
        errors, entropies = [], []
        for observation, action, reward, led, terminated in steps:
            with torch.no_grad():
                q = torch.stack([self.q(self.frozen, led, each) for each in actions])
                # the mean of exp(Q/alpha) over the density, which is 1/2 in each dimension
                value = alpha * torch.log((torch.exp(q / alpha) / 0.5**numbers).mean())
                weights = torch.softmax(q / alpha, 0)
                density = weights * len(actions) * 0.5**numbers
                entropies.append(-(weights * density.log()).sum())
                y = reward + (0 if terminated else SMALL.discount * value)
            errors.append((self.critic(torch.cat([observation, action]))[0] - y) ** 2)
        self.optimizers[1].zero_grad()
        (critic_loss := torch.stack(errors).mean()).backward()
        self.optimizers[1].step()
        surrogate, climbed = [], []
        for (observation, *_), draws in zip(steps, noise["particles"][0], strict=True):
            u = [self.sampler(torch.cat([observation, each])) for each in draws]
            fixed = [each.detach() for each in u[:HALF]]
            pull = self.pull(observation, fixed, [each.detach() for each in u[HALF:]])
            surrogate += [(f * its).sum() for f, its in zip(u[HALF:], pull, strict=True)]
            climbed += [self.q(self.critic, observation, torch.tanh(each)).item() for each in fixed]
        self.optimizers[0].zero_grad()
        (-torch.stack(surrogate).mean()).backward()
        self.optimizers[0].step()
        if due:
            self.frozen.load_state_dict(self.critic.state_dict())
        told = {"entropy": torch.stack(entropies).mean().item(), "temperature": alpha}
        return told | {"critic_loss": critic_loss.item(), "policy_loss": -sum(climbed) / len(climbed)}


def trained(updates, dtype):
    """Both after so many updates, and the parameters before."""
    made = SQL(SMALL, SPACES, SQL.arms["sql"].switches)
    ring = Ring(made.replay, SPACES, SMALL.environments)
    kept = {name: x.to(dtype) if x.is_floating_point() else x for name, x in ring.empty(1, torch.device("cpu")).items()}
    state = started(made, 3, dtype) | kept
    roughen(made.actor, state["actor"])
    roughen(made.critics, state["critics"])
    roughen(made.critics, state["critics.target"], 0.2)
    plain = Reference(made, state)
    before = {name: state[name].clone() for name in ("actor", "critics", "critics.target")}
    rows = {name: getattr(SMALL, name) for name in ("policy_rate", "critic_rate", "temperature")}
    generator = torch.Generator().manual_seed(5)
    waits = SMALL.learning_starts // QUANTUM - 1
    given = rollouts(waits + updates, SMALL.horizon, SMALL.environments, SPACES, dtype=dtype, limit=0.15)
    for count, rollout in enumerate(given):
        ring.remember(state, rollout, count * QUANTUM)
        plain.remember(rollout)
        if count < waits:
            continue
        uniform = torch.rand(1, SMALL.batch, generator=generator, dtype=torch.float64)
        shape = (1, SMALL.batch, SMALL.particles, SPACES.actions)
        noise = {
            "target": torch.rand(1, SMALL.value_actions, SPACES.actions, generator=generator, dtype=torch.float64),
            "particles": torch.randn(shape, generator=generator).to(dtype),
        }
        window = ring.recall(state, uniform, (count + 1) * QUANTUM)
        metrics = made.update(state, window, now(count * QUANTUM, 1000, dtype, noise=noise, **rows))
        expected = plain.update(uniform, noise, due=(count + 1) * QUANTUM % SMALL.target_period == 0)
    return made, state, plain, before, metrics, expected


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("updates", [1, 10])
def test_sql_is_its_plain_implementation(updates, dtype):
    made, state, plain, before, metrics, expected = trained(updates, dtype)
    nets = {"actor": (made.actor, plain.sampler), "critics": (made.critics, plain.critic)}
    nets["critics.target"] = (made.critics, plain.frozen)
    for name, (net, its) in nets.items():
        found, old = (flattened(net, each[name]) for each in (state, before))
        assert relative(found, parameters(its), old) < BOUNDS[dtype], name
    assert_metrics(metrics, expected, 10 * BOUNDS[dtype])


def test_acting_is_the_sampler_and_greedy_its_best_particle():
    made, state, plain, *_ = trained(1, torch.float64)
    told = now(500, 1000, torch.float64, temperature=0.7)
    seen, noise = torch.randn(1, 4, 3, dtype=torch.float64), torch.randn(1, 4, 2, dtype=torch.float64)
    sampled, greedy = (made.behaviour(state, use, told)(seen, noise) for use in ("sample", "greedy"))
    low, high = (torch.tensor(each, dtype=torch.float64) for each in (LOW, HIGH))
    for index, observation in enumerate(seen[0]):
        with torch.no_grad():
            own = torch.tanh(plain.sampler(torch.cat([observation, noise[0, index]])))
            particles = [torch.tanh(plain.sampler(torch.cat([observation, each]))) for each in state["particles"][0]]
            best = max(particles, key=lambda a: plain.q(plain.critic, observation, a))
        for found, expected in ((sampled, own), (greedy, best)):
            torch.testing.assert_close(found[0, index], low + (high - low) * (expected + 1) / 2)
    collect = made.behaviour(state, "collect", told)(seen, noise)
    assert torch.equal(collect, sampled), "past the warm-up it explores by itself"
    early = made.behaviour(state, "collect", now(0, 1000, torch.float64, temperature=0.7))(seen, noise)
    torch.testing.assert_close(early, low + (high - low) * torch.special.ndtr(noise))


@pytest.mark.parametrize("arm", ["ddpg", "sddpg"])
def test_the_other_arms_are_those_of_pair_ddpg(arm):
    of = SQL(SMALL, SPACES, SQL.arms[arm].switches)
    its = SQL.__base__(SMALL, SPACES, SQL.__base__.arms[arm].switches)
    for name in (
        "stochastic",
        "twin",
        "target_policy",
        "entropy_in_target",
        "entropy_in_policy",
        "targets",
        "randomness",
    ):
        assert getattr(of, name) == getattr(its, name)
    assert not of.svgd and of.initial.__func__ is SQL.initial
    states = [started(each, 3, torch.float32) for each in (of, its)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_soft_value_of_a_known_integral():
    """Q = alpha log f of a density f on (-1, 1)^2: V = alpha log 1 = 0; where alpha is 0 it is the highest Q."""
    made = SQL(SMALL, SPACES, SQL.arms["sql"].switches)
    side = (torch.arange(200, dtype=torch.float64) + 0.5) / 100 - 1
    a = torch.cartesian_prod(side, side)
    q = 0.7 * ((1 - a.square()) * 0.75).log().sum(1).view(1, 1, -1)
    assert made.soft_value(q, torch.tensor([[0.7]])).item() == pytest.approx(0, abs=1e-4)
    assert made.soft_value(q, torch.tensor([[0.0]])).item() == q.max().item()
