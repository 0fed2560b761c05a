"""17. SVGD particles reach the Boltzmann density of a bimodal Q. Fragkiadaki, CMU 10-703; Haarnoja et al. 2017; Liu and Wang 2016."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from algorithms import svgd
from algorithms.tabular import FLOAT
from suites.theory.problems import TEMPERATURES
from suites.theory.statement import Errors, Mutant, Plot, Statement

PARTICLES, STEPS, RATE = 30, 150, 1.25


@dataclass(frozen=True)
class Bimodal:
    """Q(a) = tau log[w N(a; m_1, s_1) + (1 - w) N(a; m_2, s_2)]: its Boltzmann density is the mixture itself. All [N, 2]."""

    temperature: float
    weight: Tensor
    mean: Tensor
    deviation: Tensor

    def q(self, action: Tensor) -> Tensor:
        """[N, M] of actions [N, M]."""
        scaled = (action.unsqueeze(-1) - self.mean.unsqueeze(1)) / self.deviation.unsqueeze(1)
        log_density = -0.5 * scaled.square() - (self.deviation * math.sqrt(2 * math.pi)).log().unsqueeze(1)
        return self.temperature * torch.logsumexp(self.weight.log().unsqueeze(1) + log_density, -1)

    def spread(self) -> Tensor:
        """Standard deviation of the density [N]."""
        center = (self.weight * self.mean).sum(1, keepdim=True)
        return (self.weight * (self.deviation.square() + (self.mean - center).square())).sum(1).sqrt()

    def quantiles(self, count: int) -> Tensor:
        """The (i - 1/2)/count quantiles [N, count], by bisection of the distribution function."""
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
    """Two modes of weight 0.3 to 0.7 and deviation 0.7 to 1.1, 2.6 to 3.4 apart: every density has two maxima."""
    generator = torch.Generator().manual_seed(int(np.random.SeedSequence([seed, 17]).generate_state(1)[0]))

    def uniform(count: int, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(count, 1, generator=generator, dtype=FLOAT)

    targets = []
    for first, tau in enumerate(TEMPERATURES[:cases]):
        count = len(range(first, cases, len(TEMPERATURES)))
        share, apart, left = uniform(count, 0.3, 0.7), uniform(count, 2.6, 3.4), uniform(count, 0.7, 1.1)
        center = uniform(count, -1, 1)
        mean = torch.cat([center - apart / 2, center + apart / 2], 1)
        targets.append(Bimodal(tau, torch.cat([share, 1 - share], 1), mean, torch.cat([left, 1.8 - left], 1)))
    return targets


def sampled(target: Bimodal) -> Tensor:
    """Particles [N, PARTICLES] after SVGD from a grid from -6 to 6; steps over tau, so that they do not depend on the unit of Q."""
    particles = torch.linspace(-6, 6, PARTICLES, dtype=FLOAT).expand(len(target.mean), -1).unsqueeze(-1)
    tau = torch.full((len(particles), 1), target.temperature, dtype=FLOAT)
    for _ in range(STEPS):
        leaf = particles.detach().requires_grad_()
        (slope,) = torch.autograd.grad(target.q(leaf.squeeze(-1)).sum(), leaf)
        particles = particles + RATE / target.temperature * svgd.direction(particles, slope, tau)
    return particles.squeeze(-1).sort(1).values


def check(cases: int, seed: int) -> Errors:
    errors = {name: torch.zeros(cases, dtype=FLOAT) for name in ("distance to the density", "share of the left mode")}
    for first, target in enumerate(draw_targets(cases, seed)):
        rows = torch.arange(first, cases, len(TEMPERATURES))
        particles, middle = sampled(target), target.mean.mean(1, keepdim=True)
        wasserstein = (particles - target.quantiles(PARTICLES)).abs().mean(1) / target.spread()
        errors["distance to the density"][rows] = wasserstein
        left = (target.quantiles(1000) < middle).double().mean(1)
        errors["share of the left mode"][rows] = ((particles < middle).double().mean(1) - left).abs()
    return errors


def figure(seed: int) -> Plot:
    target = draw_targets(1, seed)[0]
    line = torch.linspace(-5, 5, 201, dtype=FLOAT)
    particles = sampled(target)[0]

    def density(actions: Tensor) -> list[float]:
        return (target.q(actions.unsqueeze(0))[0] / target.temperature).exp().tolist()

    series = [
        {"label": "exp(Q/τ), normalized", "x": line.tolist(), "y": density(line), "line": True},
        {"label": f"{PARTICLES} particles", "x": particles.tolist(), "y": density(particles), "line": False},
    ]
    caption = "Particles started on an even grid from −6 to 6; each now stands for an equal share of the density."
    return Plot("SVGD particles over the Boltzmann density", caption, "action", "density", series)


STATEMENT = Statement(
    number=17,
    name="SVGD reaches Boltzmann",
    title="Particles moved by SVGD reach the Boltzmann density of a bimodal Q.",
    formula=r"\Delta f = \frac{1}{n} \sum_i [ \kappa(a_i, f) \nabla_a Q(s, a) |_{a_i} + \alpha \nabla_a \kappa(a, f) |_{a_i} ]",
    source="Fragkiadaki, CMU 10-703 (SVGD soft Q-learning), after Haarnoja et al. 2017",
    computed=(
        "30 particles after 150 steps from an even grid; Wasserstein-1 distance to the exact quantiles in standard "
        "deviations; share of a mode."
    ),
    tolerance=0.05,
    reason="resolution: 30 particles carry shares of 1/30 = 0.033, and the kernel smooths about half of one; rounding plays no part",
    check=check,
    mutants=(
        Mutant("no repulsion", svgd, "direction", lambda right: lambda a, slope, tau: right(a, slope, 0 * tau)),
        Mutant(
            "repulsion without α", svgd, "direction", lambda right: lambda a, slope, tau: right(a, slope, 0 * tau + 1)
        ),
        Mutant(
            "attraction for repulsion", svgd, "direction", lambda right: lambda a, slope, tau: right(a, slope, -tau)
        ),
        Mutant("particles descend Q", svgd, "direction", lambda right: lambda a, slope, tau: right(a, -slope, tau)),
    ),
    figure=figure,
)
