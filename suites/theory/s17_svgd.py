"""17. SVGD particles reach the Boltzmann density of a bimodal Q. Fragkiadaki, CMU 10-703; Haarnoja et al. 2017; Liu and Wang 2016."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from algorithms import svgd
from algorithms.learner import Spaces
from algorithms.pairs.sql import SQL, Settings
from algorithms.tabular import FLOAT
from suites.theory.problems import TEMPERATURES
from suites.theory.statement import Errors, Mutant, Plot, Statement

STEPS, RATE = 70, 0.4
PARTICLES = {1: 30, 2: 48}
"""Of each number of dimensions."""
SPREAD_EVENLY = {1: [0.6180339887498949], 2: [0.7548776662466927, 0.5698402909980532]}
"""Steps of the sequence that fills a line or a square evenly (Roberts 2018): 1/phi, and 1/rho and 1/rho^2 of the plastic number."""
ACTIONS = {1: 500, 2: 60}
"""Even ones along an axis, for the soft value."""


@dataclass(frozen=True)
class Bimodal:
    """exp(Q/tau) over actions a in (-1, 1)^D is w N(m_1, s_1^2) + (1 - w) N(m_2, s_2^2) over u = atanh a. All [N, 2].

    Both means lie on the first axis, m_1 and m_2 apart; on the others both are 0.
    """

    temperature: float
    weight: Tensor
    mean: Tensor
    deviation: Tensor

    def q(self, action: Tensor) -> Tensor:
        """[N, M] of actions [N, M, D]: tau (log of the mixture at u + sum of log du/da)."""
        u, size = torch.atanh(action), action.shape[-1]
        along = (u[..., :1] - self.mean.unsqueeze(1)).square() + u[..., 1:].square().sum(-1, keepdim=True)
        log_peak = -size * (self.deviation * math.sqrt(2 * math.pi)).log()
        log_density = log_peak.unsqueeze(1) - 0.5 * along / self.deviation.square().unsqueeze(1)
        log_mixture = torch.logsumexp(self.weight.log().unsqueeze(1) + log_density, -1)
        return self.temperature * (log_mixture - torch.log1p(-action.square()).sum(-1))

    def across(self) -> Bimodal:
        """Its other axes, where both means are 0."""
        return replace(self, mean=torch.zeros_like(self.mean))

    def spread(self) -> Tensor:
        """Standard deviation of u on the first axis [N]."""
        center = (self.weight * self.mean).sum(1, keepdim=True)
        return (self.weight * (self.deviation.square() + (self.mean - center).square())).sum(1).sqrt()

    def quantiles(self, count: int) -> Tensor:
        """The (i - 1/2)/count quantiles of u on the first axis [N, count], by bisection of the distribution function."""
        wanted = (torch.arange(count, dtype=FLOAT) + 0.5) / count
        low = torch.full((len(self.mean), count), -20.0, dtype=FLOAT)
        high = -low
        for _ in range(60):
            middle = (low + high) / 2
            scaled = (middle.unsqueeze(-1) - self.mean.unsqueeze(1)) / (self.deviation.unsqueeze(1) * math.sqrt(2))
            below = (self.weight.unsqueeze(1) * 0.5 * (1 + torch.erf(scaled))).sum(-1)
            low, high = torch.where(below < wanted, middle, low), torch.where(below < wanted, high, middle)
        return (low + high) / 2


def draw_targets(cases: int, seed: int) -> list[Bimodal]:
    """Two modes of weight 0.3 to 0.7 and deviation 0.35 to 0.55, 1.3 to 1.7 apart: every density of u has two maxima."""
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence([seed, 17]).generate_state(1)[0]))

    def uniform(count: int, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, generator=generator, dtype=FLOAT)

    targets = []
    for first, tau in enumerate(TEMPERATURES[:cases]):
        count = len(range(first, cases, len(TEMPERATURES)))
        share, apart, left = uniform(count, 0.3, 0.7), uniform(count, 1.3, 1.7), uniform(count, 0.35, 0.55)
        center = uniform(count, -0.5, 0.5)
        mean = torch.cat([center - apart / 2, center + apart / 2], 1)
        targets.append(Bimodal(tau, torch.cat([share, 1 - share], 1), mean, torch.cat([left, 0.9 - left], 1)))
    return targets


def make_sql(numbers: int) -> SQL:
    """Arm `sql` for actions of so many numbers in (-1, 1)."""
    spaces = Spaces((1,), numbers, ((-1.0,) * numbers, (1.0,) * numbers))
    return SQL(Settings(hidden=(4,), batch=1), spaces, SQL.arms["sql"].switches)


def sampled(target: Bimodal, dimensions: int) -> Tensor:
    """Particles u [N, M, D] after SVGD from even places within 2; steps over tau, so that they do not depend on the unit of Q."""
    learner, tau = make_sql(dimensions), torch.full((len(target.mean), 1), target.temperature, dtype=FLOAT)
    count = torch.arange(PARTICLES[dimensions], dtype=FLOAT).view(-1, 1)
    even = (0.5 + count * torch.tensor(SPREAD_EVENLY[dimensions], dtype=FLOAT)) % 1
    particles = (4 * even - 2).expand(len(target.mean), -1, -1)
    for _ in range(STEPS):
        action = particles.tanh().requires_grad_()
        (slope,) = torch.autograd.grad(target.q(action).sum(), action)
        u, slope = particles.unsqueeze(1), slope.unsqueeze(1)
        particles = particles + RATE / target.temperature * learner.toward(u, slope, tau, u).squeeze(1)
    return particles


def value(target: Bimodal, dimensions: int) -> Tensor:
    """The soft value [N] in units of the temperature: 0, since exp(Q/tau) is a density. Of even actions in place of uniform ones."""
    count = ACTIONS[dimensions]
    line = (2 * torch.arange(count, dtype=FLOAT) + 1) / count - 1
    actions = torch.cartesian_prod(*[line] * dimensions).view(1, -1, dimensions)
    tau = torch.full((len(target.mean), 1), target.temperature, dtype=FLOAT)
    return make_sql(dimensions).soft_value(target.q(actions).unsqueeze(1), tau).squeeze(1) / target.temperature


def check(cases: int, seed: int) -> Errors:
    """Of two dimensions axis by axis, and in units of what as many particles along an axis can tell."""
    of_one = ("distance to the density", "share of the left mode", "soft value")
    of_two = ("two dimensions: distance", "two dimensions: share", "two dimensions: soft value")
    errors = {name: torch.zeros(cases, dtype=FLOAT) for name in of_one + of_two}
    for first, target in enumerate(draw_targets(cases, seed)):
        rows = torch.arange(first, cases, len(TEMPERATURES))
        middle = target.mean.mean(1, keepdim=True)
        left = (target.quantiles(1000) < middle).double().mean(1)
        for dimensions, (distance, share, soft) in zip(PARTICLES, (of_one, of_two), strict=True):
            errors[soft][rows] = value(target, dimensions).abs()
            particles = sampled(target, dimensions)
            resolution = PARTICLES[dimensions] ** (1 / dimensions) / PARTICLES[1]
            for axis, density in enumerate([target, target.across()][:dimensions]):
                wasserstein = (
                    (particles[..., axis].sort(1).values - density.quantiles(particles.shape[1])).abs().mean(1)
                )
                errors[distance][rows] = torch.maximum(
                    errors[distance][rows], resolution * wasserstein / density.spread()
                )
            found = (particles[..., 0] < middle).double().mean(1)
            errors[share][rows] = resolution * (found - left).abs()
    return errors


def figure(seed: int) -> Plot:
    target = draw_targets(1, seed)[0]
    line = torch.linspace(-0.999, 0.999, 201, dtype=FLOAT)
    particles = sampled(target, 1)[0, :, 0].tanh().sort().values

    def density(actions: Tensor) -> list[float]:
        return (target.q(actions.view(1, -1, 1))[0] / target.temperature).exp().tolist()

    series = [
        {"label": "exp(Q/τ), normalized", "x": line.tolist(), "y": density(line), "line": True},
        {"label": f"{PARTICLES[1]} particles", "x": particles.tolist(), "y": density(particles), "line": False},
    ]
    caption = "Particles a = tanh u started at even places of u from −2 to 2; each now stands for an equal share of the density."
    return Plot("SVGD particles over the Boltzmann density", caption, "action", "density", series)


STATEMENT = Statement(
    number=17,
    name="SVGD reaches Boltzmann",
    title="Particles moved by SVGD reach the Boltzmann density of a bimodal Q of squashed actions, in one and in two dimensions.",
    formula=(
        r"\Delta f = \frac{1}{n} \sum_i [ \kappa(u_i, f) \nabla_u ( Q(s, \tanh u) + \alpha \log(1 - \tanh^2 u) ) |_{u_i} "
        r"+ \alpha \nabla_u \kappa(u, f) |_{u_i} ]"
    ),
    source="Fragkiadaki, CMU 10-703 (SVGD soft Q-learning), after Haarnoja et al. 2017",
    computed=(
        "The functions of pair sql: 30 particles of one dimension, 48 of two, after 70 steps from even places; Wasserstein-1 distance to "
        "the exact quantiles of u = atanh a in standard deviations, in two dimensions axis by axis; share of a mode. Errors in two "
        "dimensions count by √48/30: an axis has so many particles for the 30 of one dimension. And the soft value by uniform actions, "
        "here even ones, in units of the temperature: 0, since exp(Q/τ) is a density."
    ),
    tolerance=0.05,
    reason="resolution: 30 particles carry shares of 1/30 = 0.033, and the kernel smooths about half of one; rounding plays no part",
    check=check,
    mutants=(
        Mutant("no repulsion", svgd, "direction", lambda right: lambda u, score, tau, f: right(u, score, 0 * tau, f)),
        Mutant(
            "repulsion without α",
            svgd,
            "direction",
            lambda right: lambda u, score, tau, f: right(u, score, 0 * tau + 1, f),
        ),
        Mutant(
            "attraction for repulsion",
            svgd,
            "direction",
            lambda right: lambda u, score, tau, f: right(u, score, -tau, f),
        ),
        Mutant(
            "particles descend Q", svgd, "direction", lambda right: lambda u, score, tau, f: right(u, -score, tau, f)
        ),
        Mutant("score without the squash", svgd, "score", lambda right: lambda a, slope, tau: right(a, slope, 0 * tau)),
        Mutant(
            "score by a, not by u",
            svgd,
            "score",
            lambda right: lambda a, slope, tau: right(a, slope, tau) / (1 - a.square()),
        ),
        Mutant(
            "temperature of 1",
            SQL,
            "toward",
            lambda right: lambda self, u, g, tau, f: right(self, u, g, 0 * tau + 1, f),
        ),
        Mutant(
            "soft value without the density of the actions",
            SQL,
            "soft_value",
            lambda right: lambda self, q, tau: (right(self, q, tau) / tau - self.numbers * math.log(2)) * tau,
        ),
        Mutant("hard value", SQL, "soft_value", lambda right: lambda self, q, tau: q.amax(-1)),
    ),
    figure=figure,
)
