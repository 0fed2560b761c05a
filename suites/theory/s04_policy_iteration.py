"""4. Soft policy iteration: no soft Q value ever falls, and it converges at rate γ. Wei, Theorem 3; Fragkiadaki, soft policy iteration."""

from __future__ import annotations

from itertools import pairwise

import torch

from algorithms import maxent, tabular
from suites.theory.problems import Problem, draw, exact_value, excess, over
from suites.theory.statement import SOLVED, Errors, Mutant, Plot, Statement

ITERATIONS = 6


def iterate(p: Problem) -> list[torch.Tensor]:
    """Q of the policies of soft policy iteration from the random policy; evaluated by exact_value, improved by maxent.py."""
    log_policy, found = p.log_policy, []
    for _ in range(ITERATIONS):
        value = exact_value(p, log_policy, p.temperature, p.log_reference)
        q = p.mdp.reward + p.discount * torch.einsum("nsat,nt->nsa", p.mdp.transition, value)
        log_policy = tabular.boltzmann(q, p.temperature, p.log_reference)
        found.append(q)
    return found


def check(cases: int, seed: int) -> Errors:
    def one(p: Problem) -> Errors:
        found = iterate(p)
        best = tabular.policy_iteration(p.mdp, p.temperature, p.log_reference)
        gaps = torch.stack([(best - q).abs().flatten(1).amax(1) for q in found], 1)
        size = 1 + best.abs().flatten(1).amax(1)
        falls = torch.stack([excess(before, after) for before, after in pairwise(found)], 1).amax(1)
        slow = excess(gaps[:, 1:], p.discount * gaps[:, :-1], size)
        above = torch.stack([excess(q, best) for q in found], 1).amax(1)
        return {"Q never falls": falls, "gap shrinks by γ each time": slow, "Q never exceeds Q*": above}

    return over(draw(cases, seed, 4), one)


def figure(seed: int) -> Plot:
    series = []
    for p in draw(6, seed, 4):
        best = tabular.policy_iteration(p.mdp, p.temperature, p.log_reference)
        gaps = [float((best - q)[0].abs().max()) for q in iterate(p)]
        label = f"γ = {p.discount:g}, τ = {p.temperature:g}"
        series.append(
            {"label": label, "x": list(range(1, ITERATIONS + 1)), "y": [max(gap, 1e-16) for gap in gaps], "line": True}
        )
    caption = (
        "Rate γ is guaranteed; close to the optimum the gap falls faster, as Newton's method does. 1e-16 stands for 0."
    )
    return Plot("Convergence of soft policy iteration", caption, "iteration", "‖Q* − Q‖", series, log_y=True)


STATEMENT = Statement(
    number=4,
    name="soft policy iteration",
    title="In soft policy iteration no soft Q value ever falls, and the distance to Q* shrinks by γ or more each time.",
    formula=r"Q^{\pi_{k+1}} \ge Q^{\pi_k}, \quad \lVert Q^* - Q^{\pi_{k+1}} \rVert_\infty \le \gamma \lVert Q^* - Q^{\pi_k} \rVert_\infty",
    source="Wei, Theorem 3; Fragkiadaki, CMU 10-703, soft policy iteration (with γ, which its evaluation step leaves out)",
    computed="Six iterations from a random policy, evaluated by linear solves, compared value by value and with Q*.",
    tolerance=1e-11,
    reason=SOLVED,
    check=check,
    mutants=(
        Mutant(
            "improvement by exp(Q), not exp(Q/α)",
            maxent,
            "log_boltzmann",
            lambda right: lambda q, tau, ref=0.0: right(q, torch.ones_like(tau), ref),
            "Fragkiadaki, soft policy improvement: π' ∝ exp(Q)",
            "π' ∝ exp(Q/α)",
        ),
        Mutant(
            "policy falls with Q", maxent, "log_boltzmann", lambda right: lambda q, tau, ref=0.0: right(-q, tau, ref)
        ),
        Mutant(
            "improvement without the reference",
            maxent,
            "log_boltzmann",
            lambda right: lambda q, tau, ref=0.0: right(q, tau, 0.0),
        ),
    ),
    figure=figure,
)
