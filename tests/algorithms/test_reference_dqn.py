"""DQN and soft DQN, 1- and 5-step, against a plain implementation by torch with a list for a replay; one member, two environments."""

from __future__ import annotations

import math

import pytest
import torch
from reference import BOUNDS, assert_metrics, flattened, followers, module, now, parameters, relative, rollouts, started

from algorithms.learner import Spaces
from algorithms.pairs.dqn import DQN, Settings
from algorithms.replay import Ring

SPACES = Spaces((3,), 4, limit=2)
SMALL = Settings(
    environments=2,
    horizon=4,
    batch=24,
    replay_size=48,
    learning_starts=24,
    target_period=30,
    temperature=0.3,
    learning_rate=3e-3,
    hidden=(16, 8),
    exploration_fraction=0.04,
)
QUANTUM = SMALL.horizon * SMALL.environments
BUDGET = 5000


class Reference:
    """DQN of one arm, with the backups of Schulman, Chen, Abbeel 2017, Eq. 46 and 81-83, in loops over samples and steps."""

    def __init__(self, made, arm, state):
        hard = arm.startswith("dqn") or arm == "hard-q"
        self.form = "max" if hard else "entropy" if arm in ("soft-q", "sqn") else arm.split("-")[2]
        self.steps, self.boltzmann = 5 if arm.endswith("5step") else 1, arm in ("hard-q", "soft-q", "sqn")
        nets = range(2 if arm in ("dqn-twin", "sqn") else 1)
        self.online, self.frozen = (
            torch.nn.ModuleList(module(made.net, state[name], net) for net in nets) for name in ("q", "q.target")
        )
        self.optimizer = torch.optim.Adam(self.online.parameters(), lr=SMALL.learning_rate)
        self.lanes = [[] for _ in range(SMALL.environments)]

    def remember(self, rollout):
        led = followers(rollout)
        for e, lane in enumerate(self.lanes):
            for t in range(SMALL.horizon):
                step = rollout.observation[0, t, e], rollout.action[0, t, e], rollout.reward[0, t, e], led[t, e]
                lane.append((*step, bool(rollout.terminated[0, t, e]), bool(rollout.truncated[0, t, e])))
            del lane[: -SMALL.replay_size // SMALL.environments]

    def value(self, observation):
        """V of the target network, and tau KL or -tau H of its Boltzmann policy."""
        q, tau, choices = lowest(self.frozen, observation), SMALL.temperature, SPACES.actions
        if self.form == "max":
            return q.max(), 0.0
        policy = torch.distributions.Categorical(logits=q / tau)
        worth = tau * math.log(choices) if self.form == "kl" else 0.0
        return tau * torch.logsumexp(q / tau, 0) - worth, worth - tau * policy.entropy()

    def target(self, steps):
        total, weight = 0.0, 1.0
        for d, (observation, _, reward, led, terminated, truncated) in enumerate(steps):
            total = total + weight * (reward - (self.value(observation)[1] if d else 0.0))
            weight *= SMALL.discount
            if terminated:
                return total
            if truncated or d + 1 == len(steps):
                return total + weight * self.value(led)[0]
        raise AssertionError("no steps")

    def update(self, uniform, step):
        targets, chosen, entropies = [], [], []
        for number in uniform[0].tolist():
            starts = len(self.lanes[0]) - self.steps + 1
            first, lane = divmod(int(number * starts * SMALL.environments), SMALL.environments)
            steps = self.lanes[lane][first : first + self.steps]
            with torch.no_grad():
                targets.append(self.target(steps))
                policy = torch.distributions.Categorical(logits=lowest(self.online, steps[0][0]) / SMALL.temperature)
            chosen.append(torch.stack([net(steps[0][0])[steps[0][1]] for net in self.online]))
            entropies.append(policy.entropy())
        targets = torch.stack(targets)
        loss = ((torch.stack(chosen) - targets.unsqueeze(1)) ** 2).mean()
        self.optimizer.zero_grad()
        (len(self.online) * loss).backward()  # each network has a mean of its own
        self.optimizer.step()
        copied = (step + QUANTUM) // SMALL.target_period > step // SMALL.target_period
        if copied:
            self.frozen.load_state_dict(self.online.state_dict())
        explored = 1.0 + min(1.0, step / BUDGET / SMALL.exploration_fraction) * (0.05 - 1.0)
        chances = torch.full((SPACES.actions,), explored / SPACES.actions, dtype=torch.float64)
        chances[0] += 1 - explored
        entropy = (
            torch.stack(entropies).mean() if self.boltzmann else torch.distributions.Categorical(chances).entropy()
        )
        entropy = entropy.item()
        return {"entropy": entropy, "td_loss": loss.item(), "target_mean": targets.mean().item()}, copied


def lowest(nets, observation):
    """Action by action."""
    return torch.stack([net(observation) for net in nets]).min(0).values


def trained(arm, updates, dtype):
    """Both after so many updates: [online and target network of each], before and after, and the metrics and copies."""
    made = DQN(SMALL, SPACES, DQN.arms[arm].switches)
    ring = Ring(made.replay, SPACES, SMALL.environments)
    kept = {name: x.to(dtype) if x.is_floating_point() else x for name, x in ring.empty(1, torch.device("cpu")).items()}
    state = started(made, 3, dtype) | kept
    state["q.target"] += 0.1 * torch.randn(state["q"].shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    plain, copies = Reference(made, arm, state), 0
    before = {name: flattened(made.net, state[name]).clone() for name in ("q", "q.target")}
    rows = {"learning_rate": SMALL.learning_rate, "temperature": SMALL.temperature}
    generator = torch.Generator().manual_seed(5)
    waits = SMALL.learning_starts // QUANTUM - 1
    for count, rollout in enumerate(
        rollouts(waits + updates, SMALL.horizon, SMALL.environments, SPACES, dtype=dtype, limit=0.15)
    ):
        step = count * QUANTUM
        ring.remember(state, rollout, step)
        plain.remember(rollout)
        if count < waits:
            continue
        uniform = torch.rand(1, SMALL.batch, generator=generator, dtype=torch.float64)
        window = ring.recall(state, uniform, step + QUANTUM)
        metrics = made.update(state, window, now(step, BUDGET, dtype, **rows))
        expected, copied = plain.update(uniform, step)
        copies += copied
    return made, state, plain, before, metrics, expected, copies


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("updates", [1, 10])
@pytest.mark.parametrize("arm", DQN.arms)
def test_an_arm_is_its_plain_implementation(arm, updates, dtype):
    made, state, plain, before, metrics, expected, copies = trained(arm, updates, dtype)
    found = {name: flattened(made.net, state[name]) for name in before}
    assert relative(found["q"], parameters(plain.online), before["q"]) < BOUNDS[dtype]
    assert_metrics(metrics, expected, 10 * BOUNDS[dtype])
    assert copies == (0 if updates == 1 else 3)
    if copies:
        assert relative(found["q.target"], parameters(plain.frozen), before["q.target"]) < BOUNDS[dtype]
    else:
        assert torch.equal(found["q.target"], before["q.target"])
