"""10. The natural policy gradient is a regression on the advantage. Wei, natural policy gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms import tabular
from algorithms.pairs import trpo
from suites.theory.problems import Problem, distance, draw, exact_value, gradient, over
from suites.theory.statement import Errors, Mutant, Statement
from suites.theory.updates import climb, on_some


def regression(p: Problem, visits: Tensor, psi: Tensor, log_policy: Tensor, advantage: Tensor) -> Tensor:
    """The shortest minimizer w* [N, K] of E[(psi w - A)^2] over visits and actions."""
    root = (visits.unsqueeze(-1) * log_policy.exp()).sqrt().unsqueeze(-1)
    design, wanted = (root * psi).flatten(1, 2), (root * advantage.unsqueeze(-1)).flatten(1, 2)
    best: Tensor = torch.linalg.lstsq(design, wanted, rcond=1e-6, driver="gelsd").solution
    return best.squeeze(-1)


def in_training(p: Problem) -> Errors:
    """A whole update of npg on random experience: eta (F + damping)^-1 g of its batch."""
    done = climb(p, "npg", 6, 3, soft=False, step=0.3, damping=0.02)
    gradient = (done.taken * (done.advantage / done.deviation).unsqueeze(2)).mean(1)
    return {"a whole update of npg": distance(done.after - done.before, 0.3 * done.natural(gradient, 0.02), 1)}


def check(cases: int, seed: int) -> Errors:
    def one(p: Problem) -> Errors:
        identity = (
            torch.eye(p.states * p.actions, dtype=torch.float64)
            .view(1, p.states, p.actions, -1)
            .expand(p.count, -1, -1, -1)
        )
        errors: Errors = {}
        for name, features in {"softmax": identity, "features": p.normal(p.count, p.states, p.actions, 3)}.items():
            leaf = (0.5 * p.normal(p.count, features.shape[-1])).requires_grad_()
            log_policy = torch.log_softmax(torch.einsum("nsak,nk->nsa", features, leaf), -1)
            value = exact_value(p, log_policy, 0.0, 0.0)
            plain = gradient((p.mdp.start * value).sum(-1), leaf)
            log_policy, value = log_policy.detach(), value.detach()
            advantage = (
                p.mdp.reward + p.discount * torch.einsum("nsat,nt->nsa", p.mdp.transition, value) - value.unsqueeze(-1)
            )
            psi = features - (log_policy.exp().unsqueeze(-1) * features).sum(2, keepdim=True)
            visits = tabular.occupancy(p.mdp, log_policy)
            natural = tabular.natural_gradient(tabular.fisher(visits, log_policy, psi), plain)
            best = regression(p, visits, psi, log_policy, advantage)
            errors[f"F†∇V = ω*/(1 − γ), {name}"] = distance(natural, best / (1 - p.discount))
            if name == "softmax":
                step = float(torch.rand(1, generator=p.generator)) * (1 - p.discount)
                after = torch.log_softmax(leaf.detach().view_as(log_policy) + step * natural.view_as(log_policy), -1)
                expected = torch.log_softmax(log_policy + step * advantage / (1 - p.discount), -1)
                errors["π⁺ ∝ π exp(η A/(1 − γ))"] = distance(after, expected)
        return errors

    problems = draw(cases, seed, 10)
    return over(problems, one) | on_some(problems, in_training)


STATEMENT = Statement(
    number=10,
    name="natural policy gradient",
    title="The natural gradient is the best fit of the advantage by scores; for a softmax it multiplies π by exp(ηA/(1−γ)).",
    formula=(
        r"F^\dagger \nabla V = \frac{\omega^*}{1 - \gamma}, \quad "
        r"\pi^+(a|s) \propto \pi(a|s) \exp\left( \frac{\eta}{1 - \gamma} A^\pi(s, a) \right)"
    ),
    source="Wei, natural policy gradient (after Agarwal et al. 2021)",
    computed=(
        "Gradient by autodiff through the linear solve, exact visits and Fisher matrix, least squares; softmax tables and random features; "
        "npg's own update."
    ),
    tolerance=1e-8,
    reason="float64 rounding (2e-16) amplified by the condition number of the Fisher matrix, up to 1e6 where a state is hardly visited",
    check=check,
    mutants=(
        Mutant(
            "no (1 − γ) in the visits",
            tabular,
            "occupancy",
            lambda right: lambda mdp, policy: right(mdp, policy) / (1 - mdp.discount.unsqueeze(1)),
        ),
        Mutant(
            "plain gradient for the natural one",
            tabular,
            "natural_gradient",
            lambda right: lambda fisher, gradient: gradient,
        ),
        Mutant(
            "plain gradient for the natural one, in an update",
            trpo,
            "conjugate_gradient",
            lambda right: lambda product, wanted, steps: wanted,
        ),
        Mutant(
            "Fisher matrix of uniform actions",
            tabular,
            "fisher",
            lambda right: lambda visits, log_policy, score: right(visits, torch.log_softmax(0 * log_policy, -1), score),
        ),
    ),
)
