"""3. The soft maximum lies within τ log|A| above the maximum; τ → 0 is the hard problem. Wei, remark after Theorem 2."""

from __future__ import annotations

import math

import torch

from algorithms import maxent, tabular
from algorithms.tabular import FLOAT, MDP
from suites.theory.problems import TEMPERATURES, Problem, distance, draw, excess, over
from suites.theory.statement import SOLVED, Errors, Mutant, Plot, Statement


def values_by_temperature(p: Problem) -> torch.Tensor:
    """V*(s) of every process at every temperature [K, N, S], solved as one batch of K N processes; the last one is the hard V*."""
    temperatures = torch.tensor([*TEMPERATURES, 0.0], dtype=FLOAT)
    many = MDP(
        *(
            getattr(p.mdp, name).repeat(len(temperatures), *[1] * (getattr(p.mdp, name).dim() - 1))
            for name in MDP.__annotations__
        )
    )
    each = temperatures.repeat_interleave(p.count)
    q = tabular.policy_iteration(many, each)
    return tabular.soft_value(q, each).view(len(temperatures), p.count, -1)


def check(cases: int, seed: int) -> Errors:
    def one(p: Problem) -> Errors:
        errors: Errors = {}
        for tau in TEMPERATURES:
            soft, most = maxent.soft_value(p.q, torch.tensor(tau, dtype=FLOAT)), p.q.amax(-1)
            lower, upper = excess(most, soft), excess(soft, most + tau * math.log(p.actions))
            earlier = errors.get("max Q ≤ soft maximum", torch.zeros(p.count, dtype=FLOAT))
            errors["max Q ≤ soft maximum"] = torch.maximum(earlier, lower)
            earlier = errors.get("soft maximum ≤ max Q + τ log|A|", torch.zeros(p.count, dtype=FLOAT))
            errors["soft maximum ≤ max Q + τ log|A|"] = torch.maximum(earlier, upper)
        tied = p.q[..., :1].expand_as(p.q)
        bound = tied[..., 0] + p.temperature * math.log(p.actions)
        errors["equality where all actions tie"] = distance(maxent.soft_value(tied, p.tau), bound)
        errors["τ = 0 is the maximum"] = distance(maxent.soft_value(p.q, 0 * p.tau), p.q.amax(-1))
        values = values_by_temperature(p)
        hard = values[-1]
        taus = torch.tensor(TEMPERATURES, dtype=FLOAT).view(-1, 1, 1)
        room = taus * math.log(p.actions) / (1 - p.discount)
        gap = (values[:-1] - hard).transpose(0, 1)
        errors["0 ≤ V*_τ − V*"] = excess(-gap, torch.zeros_like(gap), 1 + hard.abs().amax(1))
        errors["V*_τ − V* ≤ τ log|A| / (1 − γ)"] = excess(
            gap, room.expand(-1, p.count, p.states).transpose(0, 1), 1 + hard.abs().amax(1)
        )
        return errors

    return over(draw(cases, seed, 3), one)


def figure(seed: int) -> Plot:
    """How the soft optimum approaches the hard one."""
    series = []
    for p in draw(6, seed, 3):
        values = values_by_temperature(p)
        gap = (values[:-1] - values[-1])[:, 0].amax(-1).clamp(min=1e-17)
        label = f"γ = {p.discount:g}, {p.states} states, {p.actions} actions"
        series.append({"label": label, "x": list(TEMPERATURES), "y": gap.tolist(), "line": True})
    caption = "The gap to the hard optimum vanishes with the temperature, at the latest in proportion to it."
    return Plot(
        "Soft optimum above hard optimum", caption, "temperature", "largest V*_τ − V*", series, log_x=True, log_y=True
    )


STATEMENT = Statement(
    number=3,
    name="soft maximum and its limit",
    title="The soft maximum exceeds the maximum by at most λ log|A|, and λ → 0 recovers the hard optimum.",
    formula=(
        r"\max\limits_a Q \le \lambda \log \lVert \exp( Q / \lambda ) \rVert_1 \le \max\limits_a Q + \lambda \log"
        r" \left| \mathcal{A} \right|"
    ),
    source="Wei, remark after Theorem 2",
    computed="Both bounds at five temperatures, equality at ties, and soft and hard optima of the same processes at all temperatures.",
    tolerance=1e-11,
    reason=SOLVED,
    check=check,
    mutants=(
        Mutant(
            "soft value without the factor τ",
            maxent,
            "soft_value",
            lambda right: lambda q, tau, ref=0.0: right(q, tau, ref) / torch.where(tau > 0, tau, 1.0),
        ),
        Mutant(
            "sum without exponent 1/τ",
            maxent,
            "soft_value",
            lambda right: lambda q, tau, ref=0.0: right(q, torch.ones_like(tau), ref),
        ),
        Mutant(
            "mean, not maximum, at τ = 0",
            maxent,
            "soft_value",
            lambda right: lambda q, tau, ref=0.0: torch.where(tau > 0, right(q, tau, ref), q.mean(-1)),
        ),
        Mutant(
            "log|A| taken off twice",
            maxent,
            "soft_value",
            lambda right: lambda q, tau, ref=0.0: right(q, tau, ref - math.log(q.shape[-1])),
        ),
    ),
    figure=figure,
)
