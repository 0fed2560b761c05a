"""One-dimensional linear-quadratic tasks in closed form: s' = a s + b u + noise, reward -(c s^2 + rho u^2), u = -gain s + sigma eps.

All tensors [N]. Q of convention 2 (Liu) would add temperature x entropy of s, which no action changes; it is left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from algorithms.learner import Spaces
from algorithms.pairs.ddpg import DDPG, Settings
from algorithms.tabular import FLOAT

ENTROPY = 0.5 * math.log(2 * math.pi * math.e)  # of a standard normal, nats


@dataclass(frozen=True)
class Task:
    a: Tensor
    b: Tensor
    cost: Tensor
    rho: Tensor
    noise: Tensor
    first: Tensor
    """Variance of the first state, whose mean is 0."""
    discount: Tensor
    gain: Tensor

    def curvature(self, gain: Tensor) -> Tensor:
        """p of V(s) = -p s^2 - constant under the gain."""
        return (self.cost + self.rho * gain.square()) / (1 - self.discount * (self.a - self.b * gain).square())

    def constant(self, gain: Tensor, log_std: Tensor | None = None, temperature: float = 0.0) -> Tensor:
        """The constant of V: noise of the task, and of the policy where it has any (log_std), less its entropy's worth."""
        p, spread, entropy = self.curvature(gain), torch.zeros_like(gain), torch.zeros_like(gain)
        if log_std is not None:
            spread, entropy = (2 * log_std).exp(), log_std + ENTROPY
        lost = (
            self.rho * spread
            + self.discount * p * (self.b.square() * spread + self.noise.square())
            - temperature * entropy
        )
        return lost / (1 - self.discount)

    def objective(self, gain: Tensor, log_std: Tensor | None = None, temperature: float = 0.0) -> Tensor:
        """J = E[V(s_0)]."""
        return -self.curvature(gain) * self.first - self.constant(gain, log_std, temperature)

    def slope(self) -> Tensor:
        """dJ/d gain of the deterministic policy, differentiated by hand."""
        closed = self.a - self.b * self.gain
        below = 1 - self.discount * closed.square()
        above = self.cost + self.rho * self.gain.square()
        slope = (2 * self.rho * self.gain * below - above * 2 * self.discount * closed * self.b) / below**2
        return -slope * (self.first + self.discount * self.noise.square() / (1 - self.discount))

    def visited(self, log_std: Tensor | None = None) -> Tensor:
        """E_d[s^2] under (1 - gamma) sum_t gamma^t."""
        spread = torch.zeros_like(self.gain) if log_std is None else (2 * log_std).exp()
        jolt = self.noise.square() + self.b.square() * spread
        closed = (self.a - self.b * self.gain).square()
        return ((1 - self.discount) * self.first + self.discount * jolt) / (1 - self.discount * closed)

    def q(
        self, state: Tensor, action: Tensor, repeats: int, log_std: Tensor | None = None, temperature: float = 0.0
    ) -> Tensor:
        """Q(s, u) [N repeats, B] of states and actions [N repeats, B], `repeats` rows a task."""
        p = self.curvature(self.gain).detach()
        constant = self.constant(self.gain, log_std, temperature).detach()
        a, b, cost, rho, noise, discount, p, constant = (
            each.repeat_interleave(repeats).unsqueeze(1)
            for each in (self.a, self.b, self.cost, self.rho, self.noise, self.discount, p, constant)
        )
        following = -p * ((a * state + b * action).square() + noise.square()) - constant
        return -(cost * state.square() + rho * action.square()) + discount * following

    def rolled_out(self, steps: int) -> Tensor:
        """J summed over `steps` steps of the state's variance: no closed form."""
        closed, variance = (self.a - self.b * self.gain).square(), self.first
        total = torch.zeros_like(variance)
        for t in range(steps):
            total = total - self.discount**t * (self.cost + self.rho * self.gain.square()) * variance
            variance = closed * variance + self.noise.square()
        return total


def make_ddpg(arm: str, numbers: int = 1, batch: int = 1) -> DDPG:
    """An arm of `ddpg` for states and actions of so many numbers."""
    bounds = tuple(-1.0 - i for i in range(numbers)), tuple(2.0 + i for i in range(numbers))
    return DDPG(Settings(hidden=(4,), batch=batch), Spaces((numbers,), numbers, bounds), DDPG.arms[arm].switches)


def draw_tasks(cases: int, seed: int, statement: int) -> Task:
    """Random stable tasks: |a - b gain| < 0.95, discounts 0 to 0.98."""
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence([seed, statement]).generate_state(1)[0]))

    def uniform(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(cases, generator=generator, dtype=FLOAT)

    a, b = uniform(-1.2, 1.2), uniform(0.3, 1.5)
    gain = (a - uniform(-0.95, 0.95)) / b
    return Task(a, b, uniform(0.1, 2), uniform(0.1, 2), uniform(0, 1), uniform(0.1, 2), uniform(0, 0.98), gain)


def quadrature(second_moment: Tensor) -> tuple[Tensor, Tensor]:
    """Two states [N, 2] of weight 1/2 each with mean 0 and the given second moment [N]: exact for quadratics."""
    root = second_moment.sqrt().unsqueeze(1)
    return torch.cat([root, -root], 1), torch.full((len(root), 2), 0.5, dtype=FLOAT)


def gauss_hermite(nodes: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights [K] for E over a standard normal, exact for polynomials up to degree 2K - 1."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    return torch.from_numpy(points), torch.from_numpy(weights / weights.sum())
