"""One member of pair ddpg as it is usually written: single networks by torch.nn, autograd, torch.optim. `bench --peer torch` times it.

So ten members against ten times this are a population against as many separate learners. Lines are those of Liu, Gu, Liu 2020, Fig. 1.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Normal

from harness.run.environments import make, spaces
from harness.run.spec import Spec, make_learner

SIGMA = -5.0, 2.0  # bounds of log sigma
FIELDS = "observation", "action", "reward", "next_observation", "terminated"


def perceptron(inputs: int, hidden: tuple[int, ...], outputs: int) -> nn.Sequential:
    """Linear layers with ReLU between them."""
    widths = itertools.pairwise((inputs, *hidden))
    layers = [layer for a, b in widths for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers, nn.Linear(hidden[-1], outputs))


class Plain:
    """Networks, optimizers and targets of one arm. `made` is our learner of it, which is asked for its settings and switches alone."""

    def __init__(self, made: Any, features: int, numbers: int) -> None:
        self.made, s = made, made.settings
        outputs = numbers * (2 if made.stochastic else 1)
        self.nets: dict[str, list[nn.Sequential]] = {
            "actor": [perceptron(features, s.hidden, outputs)],
            "critics": [perceptron(features + numbers, s.hidden, 1) for _ in range(1 + made.twin)],
        }
        if made.value_network:
            self.nets["value"] = [perceptron(features, s.hidden, 1)]
        self.frozen = {name: copy.deepcopy(self.nets[name]) for name in made.targets}
        rates = {"actor": s.policy_rate, "critics": s.critic_rate, "value": s.critic_rate}
        self.optimizers = {
            name: torch.optim.Adam([p for net in nets for p in net.parameters()], lr=rates[name])
            for name, nets in self.nets.items()
        }
        self.log_alpha = nn.Parameter(torch.tensor(s.temperature).log())
        self.alpha_optimizer = torch.optim.Adam([self.log_alpha], lr=s.policy_rate)
        self.low, self.high = map(torch.tensor, made.bounds)

    def sample(self, actor: nn.Sequential, observation: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Actions [B, A] in the task's units and the logs of their densities in (-1, 1) [B]; noise [B, A] is normal."""
        outputs = actor(observation)
        if not self.made.stochastic:
            squashed, log_prob = outputs.tanh(), outputs.new_zeros(len(outputs))
        else:
            mean, spread = outputs.chunk(2, -1)
            least, most = SIGMA
            normal = Normal(mean, (least + (most - least) * (spread.tanh() + 1) / 2).exp(), validate_args=False)
            drawn = normal.loc + normal.scale * noise
            squashed = drawn.tanh()
            slope = 2 * (math.log(2) - drawn - nn.functional.softplus(-2 * drawn))  # log (1 - tanh^2)
            log_prob = (normal.log_prob(drawn) - slope).sum(-1)  # type: ignore[no-untyped-call]
        return self.low + (self.high - self.low) * (squashed + 1) / 2, log_prob

    def q(self, critics: list[nn.Sequential], observation: Tensor, action: Tensor) -> list[Tensor]:
        both = torch.cat([observation, action], -1)
        return [net(both).squeeze(-1) for net in critics]

    def worth(self, q: list[Tensor], log_prob: Tensor, alpha: Tensor | float) -> Tensor:
        least = torch.stack(q).amin(0)
        return least - alpha * log_prob if self.made.entropy_in_target else least

    def step(self, name: str, loss: Tensor) -> None:
        self.optimizers[name].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizers[name].step()

    def update(self, batch: dict[str, Tensor], noise: dict[str, Tensor]) -> None:
        """One step of all networks on a batch [B, ...] of transitions, `noise` [B, A] for its two samples."""
        made, s, seen = self.made, self.made.settings, batch["observation"]
        alpha = self.log_alpha.detach().exp() if made.learned else s.temperature
        with torch.no_grad():
            led = batch["next_observation"]
            if made.value_network:
                following = self.frozen["value"][0](led).squeeze(-1)
            else:
                actor = (self.frozen if made.target_policy else self.nets)["actor"][0]
                action, log_prob = self.sample(actor, led, noise["target"])
                following = self.worth(self.q(self.frozen["critics"], led, action), log_prob, alpha)
            y = batch["reward"] + s.discount * following * ~batch["terminated"]  # line 12
        fits = [(q - y).square().mean() for q in self.q(self.nets["critics"], seen, batch["action"])]
        self.step("critics", torch.stack(fits).sum())  # line 13
        action, log_prob = self.sample(self.nets["actor"][0], seen, noise["policy"])
        q = self.q(self.nets["critics"], seen, action)
        climbed = q[0] - alpha * log_prob if made.entropy_in_policy else q[0]
        self.step("actor", -climbed.mean())  # line 14
        if made.value_network:
            wanted = self.worth([each.detach() for each in q], log_prob.detach(), alpha)
            self.step("value", (self.nets["value"][0](seen).squeeze(-1) - wanted).square().mean())
        if made.learned:  # line 15
            wished = -self.low.numel() if s.target_entropy is None else s.target_entropy
            self.alpha_optimizer.zero_grad()
            loss = -self.log_alpha * (log_prob.detach().mean() + wished)
            loss.backward()  # type: ignore[no-untyped-call]
            self.alpha_optimizer.step()
        with torch.no_grad():
            for name, nets in self.frozen.items():  # line 16
                for old, new in zip(nets, self.nets[name], strict=True):
                    for mine, its in zip(old.parameters(), new.parameters(), strict=True):
                        mine.mul_(s.keep).add_(its, alpha=1 - s.keep)


def work(spec: Spec) -> tuple[Callable[[int], None], int]:
    """Training of one seed on the harness's own environments; environment steps an iteration."""
    offered = spaces(spec.task, spec.backend)
    made: Any = make_learner(spec, offered)
    s, (features,), numbers = made.settings, offered.observation, offered.actions
    plain, vector = Plain(made, features, numbers), make(spec.task, spec.backend, s.environments)
    shapes = (features,), (numbers,), (), (features,), ()
    kept = {
        name: np.zeros((s.replay_size, *shape), bool if name == "terminated" else np.float32)
        for name, shape in zip(FIELDS, shapes, strict=True)
    }
    generator = np.random.default_rng(0)
    observation, taken = vector.reset(list(range(s.environments))), 0

    def collect() -> None:
        nonlocal observation, taken
        noise = torch.randn(s.environments, numbers)
        with torch.no_grad():
            action, _ = plain.sample(plain.nets["actor"][0], torch.from_numpy(observation), noise)
            if not made.stochastic:
                action += s.exploration * noise * (plain.high - plain.low) / 2
        clipped = np.clip(action.numpy(), *made.bounds).astype(np.float32)
        seen = observation
        observation, reward, terminated, _, following = vector.step(clipped)
        places = np.arange(taken, taken + s.environments) % s.replay_size
        for name, values in zip(FIELDS, (seen, clipped, reward, following, terminated), strict=True):
            kept[name][places] = values
        taken += s.environments

    def iterate(iterations: int) -> None:
        for _ in range(iterations):
            for _ in range(s.horizon):
                collect()
            for _ in range(s.updates if taken >= s.learning_starts else 0):
                chosen = generator.integers(min(taken, s.replay_size), size=s.batch)
                batch = {name: torch.from_numpy(values[chosen]) for name, values in kept.items()}
                plain.update(batch, {use: torch.randn(s.batch, numbers) for use in ("target", "policy")})

    return iterate, s.horizon * s.environments
