"""DDPG, SDDPG and what lies between against a plain implementation by torch: modules, optimizers, distributions, a list for a replay."""

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
from torch.distributions import Normal, TanhTransform, TransformedDistribution

from algorithms.learner import Spaces
from algorithms.pairs.ddpg import DDPG, Settings
from algorithms.replay import Ring
from harness.bench.plain import FIELDS, Plain

LOW, HIGH = (-2.0, -1.0), (2.0, 3.0)
SPACES = Spaces((3,), 2, (LOW, HIGH), limit=2)
SMALL = Settings(
    environments=2,
    horizon=4,
    batch=24,
    replay_size=48,
    learning_starts=24,
    temperature=0.3,
    policy_rate=2e-3,
    critic_rate=3e-3,
    keep=0.9,
    hidden=(16, 8),
)
QUANTUM = SMALL.horizon * SMALL.environments


class Reference:
    """An arm as its paper has it; losses are sums over samples."""

    def __init__(self, made, arm, state):
        self.arm, self.dtype = arm, state["actor"].dtype
        self.deterministic = arm.startswith("ddpg")
        self.nets = {"actor": [module(made.actor, state["actor"])]}
        count = 1 if arm == "ddpg" else 2
        self.nets["critics"] = [module(made.critics, state["critics"], net) for net in range(count)]
        if arm == "sac-v":
            self.nets["value"] = [module(made.v, state["value"])]
        rates = {"actor": SMALL.policy_rate, "critics": SMALL.critic_rate, "value": SMALL.critic_rate}
        self.optimizers = {
            name: torch.optim.Adam([p for net in nets for p in net.parameters()], lr=rates[name])
            for name, nets in self.nets.items()
        }
        self.frozen = {}
        for name, net in networks(made):
            if (flat := state.get(f"{name}.target")) is not None:
                self.frozen[name] = [module(net, flat, place) for place in range(len(self.nets[name]))]
        self.log_alpha = nn.Parameter(torch.tensor(SMALL.temperature, dtype=self.dtype).log())
        self.alpha_optimizer = torch.optim.Adam([self.log_alpha], lr=SMALL.policy_rate)
        self.lanes = [[] for _ in range(SMALL.environments)]

    def remember(self, rollout):
        led = followers(rollout)
        for e, lane in enumerate(self.lanes):
            for t in range(SMALL.horizon):
                step = rollout.observation[0, t, e], rollout.action[0, t, e], rollout.reward[0, t, e], led[t, e]
                lane.append((*step, bool(rollout.terminated[0, t, e])))
            del lane[: -SMALL.replay_size // SMALL.environments]

    def sample(self, actor, observation, noise):
        """An action in the task's units, and the log of its density in (-1, 1)."""
        low, high = (torch.tensor(each, dtype=self.dtype) for each in (LOW, HIGH))
        if self.deterministic:
            action, log_prob = torch.tanh(actor(observation)), torch.zeros((), dtype=self.dtype)
        else:
            mean, spread = actor(observation).chunk(2)
            sigma = torch.exp(-5 + 7 * (torch.tanh(spread) + 1) / 2)
            squash = TanhTransform(cache_size=1)
            action = squash(mean + sigma * noise)
            log_prob = TransformedDistribution(Normal(mean, sigma), squash).log_prob(action).sum()
        return low + (high - low) * (action + 1) / 2, log_prob

    def q(self, critics, observation, action):
        return [net(torch.cat([observation, action])) for net in critics]

    def worth(self, q, log_prob, alpha):
        return min(q) - (alpha * log_prob if self.arm in ("sddpg", "sac1-auto", "sac-v") else 0)

    def following(self, led, noise, alpha):
        if self.arm == "sac-v":
            return self.frozen["value"][0](led)
        actor = self.frozen["actor"][0] if self.deterministic else self.nets["actor"][0]
        action, log_prob = self.sample(actor, led, noise)
        return self.worth(self.q(self.frozen["critics"], led, action), log_prob, alpha)

    def step(self, name, loss):
        self.optimizers[name].zero_grad()
        loss.backward()
        self.optimizers[name].step()

    def update(self, uniform, noise):
        alpha = self.log_alpha.exp().item() if self.arm == "sac1-auto" else SMALL.temperature
        steps = []
        for number in uniform[0].tolist():
            first, lane = divmod(int(number * len(self.lanes[0]) * SMALL.environments), SMALL.environments)
            steps.append(self.lanes[lane][first])
        errors = []
        for (observation, action, reward, led, terminated), draw in zip(steps, noise["target"][0], strict=True):
            with torch.no_grad():
                y = reward + (0 if terminated else SMALL.discount * self.following(led, draw, alpha))
            errors.append(sum((q - y) ** 2 for q in self.q(self.nets["critics"], observation, action)))
        self.step("critics", critic_loss := torch.stack(errors).mean())
        climbed, surprise, values = [], [], []
        for (observation, *_), draw in zip(steps, noise["policy"][0], strict=True):
            action, log_prob = self.sample(self.nets["actor"][0], observation, draw)
            q = self.q(self.nets["critics"], observation, action)
            entropic = self.arm in ("saclite", "sddpg", "sac1-auto", "sac-v")
            climbed.append(q[0] - alpha * log_prob if entropic else q[0])
            surprise.append(log_prob.detach())
            if self.arm == "sac-v":
                wanted = self.worth([each.detach() for each in q], log_prob.detach(), alpha)
                values.append((self.nets["value"][0](observation) - wanted) ** 2)
        self.step("actor", policy_loss := -torch.stack(climbed).mean())
        if values:
            self.step("value", torch.stack(values).mean())
        if self.arm == "sac1-auto":
            self.alpha_optimizer.zero_grad()
            (-self.log_alpha * (torch.stack(surprise).mean() - SPACES.actions)).backward()
            self.alpha_optimizer.step()
        for name, nets in self.frozen.items():
            for frozen, net in zip(nets, self.nets[name], strict=True):
                for old, new in zip(frozen.parameters(), net.parameters(), strict=True):
                    old.data = SMALL.keep * old.data + (1 - SMALL.keep) * new.data
        entropy = float("nan") if self.deterministic else -torch.stack(surprise).mean().item()
        told = {"entropy": entropy, "temperature": alpha}
        return told | {"critic_loss": critic_loss.item(), "policy_loss": policy_loss.item()}


def trained(arm, updates, dtype):
    """Both after so many updates, and the parameters before."""
    made = DDPG(SMALL, SPACES, DDPG.arms[arm].switches)
    ring = Ring(made.replay, SPACES, SMALL.environments)
    kept = {name: x.to(dtype) if x.is_floating_point() else x for name, x in ring.empty(1, torch.device("cpu")).items()}
    state = started(made, 3, dtype) | kept
    roughen(made.actor, state["actor"])
    for name, net in networks(made):
        if f"{name}.target" in state:
            roughen(net, state[f"{name}.target"], 0.2)  # so that it is told from what it follows
    plain = Reference(made, arm, state)
    names = [(name, net) for name, net in networks(made)]
    names += [(f"{name}.target", net) for name, net in networks(made) if f"{name}.target" in state]
    before = {name: flattened(net, state[name]).clone() for name, net in names}
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
        noise = {
            role: torch.randn(1, SMALL.batch, SPACES.actions, generator=generator).to(dtype)
            for role in ("target", "policy")
        }
        window = ring.recall(state, uniform, (count + 1) * QUANTUM)
        metrics = made.update(state, window, now(count * QUANTUM, 1000, dtype, noise=noise, **rows))
        expected = plain.update(uniform, noise)
    return made, state, plain, before, metrics, expected


@pytest.mark.parametrize("arm", DDPG.arms)
def test_the_plain_peer_of_bench_does_the_same_update(arm):
    made = DDPG(SMALL, SPACES, DDPG.arms[arm].switches)
    ring = Ring(made.replay, SPACES, SMALL.environments)
    state = started(made, 3, torch.float32) | ring.empty(1, torch.device("cpu"))
    peer, before = Plain(made, 3, 2), {}
    for name, net in networks(made):
        roughen(net, state[name])
        for place, its in enumerate(peer.nets[name]):
            its.load_state_dict(module(net, state[name], place).state_dict())
        for place, its in enumerate(peer.frozen.get(name, [])):
            its.load_state_dict(module(net, state[f"{name}.target"], place).state_dict())
        before[name] = flattened(net, state[name]).clone()
    generator = torch.Generator().manual_seed(5)
    uniform = torch.rand(1, SMALL.batch, generator=generator, dtype=torch.float64)
    shape = SMALL.batch, SPACES.actions
    noise = {role: torch.randn(1, *shape, generator=generator) for role in ("target", "policy")}
    waits = SMALL.learning_starts // QUANTUM
    for count, rollout in enumerate(rollouts(waits, SMALL.horizon, SMALL.environments, SPACES, limit=0.15)):
        ring.remember(state, rollout, count * QUANTUM)
    window = ring.recall(state, uniform, waits * QUANTUM)
    rows = {name: getattr(SMALL, name) for name in ("policy_rate", "critic_rate", "temperature")}
    for count in (1, 2):  # the second step reads targets that have moved, and a temperature that was learned
        made.update(state, window, now(count * QUANTUM, 1000, noise=noise, **rows))
        batch = {name: getattr(window, name)[0, :, 0].clone() for name in FIELDS}
        peer.update(batch, {role: drawn[0] for role, drawn in noise.items()})
    for name, net in networks(made):
        error = relative(flattened(net, state[name]), parameters(*peer.nets[name]), before[name])
        assert error < BOUNDS[torch.float32], name
    for name, nets in peer.frozen.items():
        found = flattened(dict(networks(made))[name], state[f"{name}.target"])
        assert torch.allclose(found, parameters(*nets), atol=1e-5), name


def networks(made):
    return [(net.name, net) for net in made.nets]


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("updates", [1, 10])
@pytest.mark.parametrize("arm", DDPG.arms)
def test_an_arm_is_its_plain_implementation(arm, updates, dtype):
    made, state, plain, before, metrics, expected = trained(arm, updates, dtype)
    assert set(before) == {*plain.nets, *(f"{name}.target" for name in plain.frozen)}
    for name, net in networks(made):
        found = flattened(net, state[name])
        assert relative(found, parameters(*plain.nets[name]), before[name]) < BOUNDS[dtype], name
        if f"{name}.target" in state:
            found = flattened(net, state[f"{name}.target"])
            expected_target = parameters(*plain.frozen[name])
            assert relative(found, expected_target, before[f"{name}.target"]) < BOUNDS[dtype], name
    if arm.startswith("ddpg"):
        assert metrics.pop("entropy").isnan() and expected.pop("entropy")
    assert_metrics(metrics, expected, 10 * BOUNDS[dtype])
    if arm == "sac1-auto":
        learned = state["temperature"].item() - (plain.log_alpha.item() - torch.tensor(0.3).log().item())
        assert abs(learned) < 1e-6 and abs(state["temperature"].item()) > 1e-3 * updates
