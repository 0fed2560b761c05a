"""1. The soft Bellman operators are contractions. Wei, soft Bellman operators; Schulman et al. 2017, Eq. 32-33, 39."""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms import maxent, tabular
from suites.theory.problems import TEMPERATURES, Problem, distance, draw, exact_value, excess, over
from suites.theory.statement import SOLVED, Errors, Mutant, Plot, Statement


def operators(problem: Problem, q: Tensor) -> dict[str, Tensor]:
    """The four operators on Q [N, S, A], or on V(s) = max_a Q(s, a) [N, S]."""
    p, value = problem, q.amax(-1)
    ahead = tabular.look_ahead(p.mdp, value)
    reward = tabular.policy_reward(p.mdp, p.log_policy, p.temperature, p.log_reference)
    kept = torch.einsum("nst,nt->ns", tabular.policy_transition(p.mdp, p.log_policy), value)
    return {
        "fixed policy, V": reward + p.discount * kept,
        "fixed policy, Q": tabular.fixed_backup(p.mdp, q, p.log_policy, p.temperature, p.log_reference),
        "optimality, V": tabular.soft_value(ahead, p.temperature, p.log_reference),
        "optimality, Q": tabular.optimal_backup(p.mdp, q, p.temperature, p.log_reference),
    }


def check(cases: int, seed: int) -> Errors:
    def one(p: Problem) -> Errors:
        other = p.q + 3 * p.normal(*p.q.shape)
        first, second = operators(p, p.q), operators(p, other)
        norms = {"V": p.q.amax(-1) - other.amax(-1), "Q": p.q - other}
        errors = {
            f"contraction: {name}": excess(
                (first[name] - second[name]).abs().flatten(1).amax(1),
                p.discount * norms[name[-1]].abs().flatten(1).amax(1),
            )
            for name in first
        }
        # A constant operator contracts too: hold each to its fixed point, by formulas of their own.
        value = exact_value(p, p.log_policy, p.temperature, p.log_reference)
        expected = p.mdp.reward + p.discount * torch.einsum("nsat,nt->nsa", p.mdp.transition, value)
        found = tabular.fixed_backup(p.mdp, expected, p.log_policy, p.temperature, p.log_reference)
        errors["fixed point of the policy's operator"] = distance(found, expected)
        top = p.q.amax(-1)
        scaled = (p.log_reference + (p.q - top.unsqueeze(-1)) / p.temperature).exp().sum(-1)
        expected = p.mdp.reward + p.discount * torch.einsum(
            "nsat,nt->nsa", p.mdp.transition, top + p.temperature * scaled.log()
        )
        errors["optimality operator by its formula"] = distance(operators(p, p.q)["optimality, Q"], expected)
        return errors

    return over(draw(cases, seed, 1), one)


def printed_eq_38(mdp: tabular.MDP, q: Tensor, log_policy: Tensor, tau: float, log_reference: Tensor) -> Tensor:
    now = (log_policy.exp() * q).sum(-1, keepdim=True) * mdp.transition.sum(-1)
    later = torch.einsum("nsat,nt->nsa", mdp.transition, tau * maxent.kl(log_policy, log_reference))
    return mdp.reward + mdp.discount.view(-1, 1, 1) * (now - later)


def figure(seed: int) -> Plot:
    """Measured contraction against the discount, on random pairs of Q."""
    rates: dict[float, tuple[list[float], list[float]]] = {tau: ([], []) for tau in TEMPERATURES}
    for p in draw(120, seed, 1):
        other = p.q + 3 * p.normal(*p.q.shape)
        change = (operators(p, p.q)["optimality, Q"] - operators(p, other)["optimality, Q"]).abs().flatten(1).amax(1)
        ratio = change / (p.q - other).abs().flatten(1).amax(1)
        rates[p.temperature][0].extend([p.discount] * p.count)
        rates[p.temperature][1].extend(ratio.tolist())
    series = [{"label": f"temperature {tau:g}", "x": x, "y": y, "line": False} for tau, (x, y) in rates.items()]
    series.append({"label": "bound: the discount", "x": [0.0, 1.0], "y": [0.0, 1.0], "line": True})
    return Plot(
        "Contraction of the optimality operator",
        "No point lies above the line.",
        "discount",
        "measured contraction",
        series,
    )


STATEMENT = Statement(
    number=1,
    name="soft Bellman operators contract",
    title="The soft Bellman operators, of a policy and of optimality, for V and for Q, are γ-contractions in the sup norm.",
    formula=r"\lVert \mathcal{T} Q_1 - \mathcal{T} Q_2 \rVert_\infty \le \gamma \lVert Q_1 - Q_2 \rVert_\infty",
    source="Wei, soft Bellman operators; Schulman et al. 2017, Eq. 32-33, 39",
    computed="All four operators on random pairs of V and Q; and each operator itself, against the textbook's formula.",
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
            "the old state's Q in the backup",
            tabular,
            "fixed_backup",
            lambda right: printed_eq_38,
            "Schulman et al. 2017, Eq. 38: E_a' Q(s, a)",
            "E_a' Q(s', a')",
        ),
        Mutant(
            "no temperature before log π",
            tabular,
            "fixed_backup",
            lambda right: lambda mdp, q, log_policy, tau, ref: right(mdp, q, log_policy, 1.0, ref),
            "Vitay, Eq. 18: V = E[Q − log π]",
            "V = E[Q − β log π]",
        ),
        Mutant(
            "backup without γ",
            tabular,
            "look_ahead",
            lambda right: lambda mdp, v: mdp.reward + torch.einsum("nsat,nt->nsa", mdp.transition, v),
            "Fragkiadaki, soft policy evaluation: Q ← r + E[Q − α log π]",
            "Q ← r + γ E[Q − α log π]",
        ),
        Mutant(
            "backup without π(a'|s')",
            tabular,
            "fixed_backup",
            lambda right: (
                lambda mdp, q, log_policy, tau, ref: tabular.look_ahead(mdp, (q - tau * (log_policy - ref)).sum(-1))
            ),
            "Fragkiadaki, soft Bellman equation: Σ_a' (Q − α log π)",
            "Σ_a' π(a'|s') (Q − α log π)",
        ),
        Mutant("discount used twice", tabular, "look_ahead", lambda right: lambda mdp, v: right(mdp, 2 * v)),
        Mutant(
            "KL penalty with the wrong sign",
            maxent,
            "kl",
            lambda right: lambda log_policy, ref: -right(log_policy, ref),
        ),
    ),
    figure=figure,
)
