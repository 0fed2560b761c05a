"""2. The optimal soft value, its policy, and that nothing beats it. Wei, Theorem 2."""

from __future__ import annotations

from dataclasses import replace

import torch

from algorithms import maxent, tabular
from suites.theory.problems import Problem, distance, draw, exact_value, excess, over
from suites.theory.statement import SOLVED, Errors, Mutant, Statement

RIVALS = 8


def check(cases: int, seed: int) -> Errors:
    def one(p: Problem) -> Errors:
        arguments = (p.temperature, p.log_reference)
        q = tabular.policy_iteration(p.mdp, *arguments)
        value, best = tabular.soft_value(q, *arguments), tabular.boltzmann(q, *arguments)
        # The first rivals are random, the later ones ever closer to the optimum.
        nearness = [0.0] * (RIVALS // 2) + [0.9, 0.99, 0.999, 0.9999]
        rivals = [torch.log_softmax(near * best + (1 - near) * 2 * p.normal(*q.shape), -1) for near in nearness]
        rival_values = torch.stack([exact_value(p, rival, *arguments) for rival in rivals], 1)
        # V* - V^pi is tau KL(pi || pi*) summed over what pi visits: never negative, and 0 for pi* alone.
        unrewarded = replace(p, mdp=replace(p.mdp, reward=torch.zeros_like(p.mdp.reward)))
        losses = torch.stack([-exact_value(unrewarded, rival, p.temperature, best) for rival in rivals], 1)
        return {
            "V* is the value of its own policy": distance(value, exact_value(p, best, *arguments)),
            "V* = Q* - τ log π*/π̄ for every action": distance(
                (q - p.temperature * (best - p.log_reference)) - value.unsqueeze(-1),
                torch.zeros_like(q),
                1 + value.abs().amax(1),
            ),
            "Q* is a fixed point": distance(tabular.optimal_backup(p.mdp, q, *arguments), q),
            "no sampled policy beats it": excess(rival_values, value.unsqueeze(1).expand_as(rival_values)),
            "unique: what a rival loses is its τ KL to π*": distance(
                value.unsqueeze(1) - rival_values, losses, 1 + value.abs().amax(1)
            ),
        }

    return over(draw(cases, seed, 2), one)


STATEMENT = Statement(
    number=2,
    name="optimal soft value and policy",
    title="The optimal soft value is the soft maximum of Q*, equal for every action to Q* − λ log π*; no policy beats it; it is unique.",
    formula=(
        r"V_\lambda^*(s) = \lambda \log \lVert \exp( Q_\lambda^*(s, \cdot) / \lambda ) \rVert_1"
        r" = Q_\lambda^*(s, a) - \lambda \log \pi_\lambda^*(a|s)"
    ),
    source="Wei, Theorem 2; with a reference policy: Schulman et al. 2017, Eq. 28-31",
    computed=(
        "Q* by soft policy iteration; its policy's value by a linear solve; eight rival policies each, from random to nearly optimal."
    ),
    tolerance=1e-11,
    reason=SOLVED,
    check=check,
    mutants=(
        Mutant(
            "soft value without the factor τ",
            maxent,
            "soft_value",
            lambda right: lambda q, tau, ref=0.0: right(q, tau, ref) / tau,
        ),
        Mutant(
            "exp(q)/τ for exp(q/τ)",
            maxent,
            "soft_value",
            lambda right: lambda q, tau, ref=0.0: tau * (torch.logsumexp(q + ref, -1) - tau.log()),
        ),
        Mutant(
            "policy ∝ exp(Q), not exp(Q/τ)",
            maxent,
            "log_boltzmann",
            lambda right: lambda q, tau, ref=0.0: right(q, torch.ones_like(tau), ref),
        ),
        Mutant(
            "policy without its reference",
            maxent,
            "log_boltzmann",
            lambda right: lambda q, tau, ref=0.0: right(q, tau, 0.0),
        ),
    ),
)
