"""16. KL form and entropy form. Schulman et al. 2017, section 6.2, Eq. 82-83."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from algorithms import maxent, tabular
from algorithms.pairs import dqn
from algorithms.tabular import FLOAT, MDP
from suites.theory.problems import Problem, distance, draw, exact_value, make_dqn, over
from suites.theory.statement import SOLVED, Errors, Mutant, Plot, Statement

FORMS = {"KL": "soft-dqn-kl", "entropy": "soft-dqn-entropy"}


def optimum(p: Problem, form: str) -> tuple[Tensor, Tensor]:
    """Q* [N, S, A] of soft policy iteration in the form of the DQN arm, and its residual after the arm's own backup."""
    learner = make_dqn(p, FORMS[form], 1)
    q = tabular.policy_iteration(p.mdp, p.temperature, learner.log_reference())
    return q, distance(tabular.look_ahead(p.mdp, learner.backup(q, p.tau)), q)


def stay_or_end(p: Problem, cost: float) -> Problem:
    """One state: staying costs `cost`, ending costs nothing."""
    transition = torch.tensor([1.0, 0.0], dtype=FLOAT).view(1, 1, 2, 1).expand(p.count, -1, -1, -1)
    reward = torch.tensor([-cost, 0.0], dtype=FLOAT).view(1, 1, 2).expand(p.count, -1, -1)
    mdp = MDP(transition, reward, p.mdp.discount, torch.ones(p.count, 1, dtype=FLOAT))
    return replace(p, mdp=mdp, logits=torch.zeros(p.count, 1, 2, dtype=FLOAT), q=reward)


def chance_to_stay(p: Problem, cost: float, form: str) -> Tensor:
    """Probability [N] of staying under the form's optimal policy."""
    q, _ = optimum(stay_or_end(p, cost), form)
    return maxent.log_boltzmann(q, p.tau)[:, 0, 0].exp()


def check(cases: int, seed: int) -> Errors:
    def one(p: Problem) -> Errors:
        tau, worth = p.temperature, p.temperature * math.log(p.actions)
        q: dict[str, Tensor] = {}
        policy: dict[str, Tensor] = {}
        errors: Errors = {}
        for form in FORMS:
            q[form], residual = optimum(p, form)
            errors[f"{form} form: fixed point of DQN's backup"] = residual
            policy[form] = maxent.log_boltzmann(q[form], p.tau)
        ending = bool(p.mdp.terminating.amax() > 0)
        alive = exact_value(
            replace(p, mdp=replace(p.mdp, reward=torch.ones_like(p.mdp.reward))), policy["KL"], 0.0, 0.0
        )
        counting = exact_value(p, policy["KL"], tau, 0.0)
        uniform = exact_value(p, policy["KL"], tau, torch.full_like(p.log_reference, 1 / p.actions).log())
        errors["a policy's values differ by τ log|A| for each step alive"] = distance(
            counting - uniform, worth * alive, 1 + tau
        )
        errors["KL value is that of its policy"] = distance(
            maxent.soft_value(q["KL"], p.tau, maxent.log_uniform(p.actions)), uniform, 1 + tau
        )
        if not ending:
            difference = maxent.soft_value(q["entropy"], p.tau) - maxent.soft_value(
                q["KL"], p.tau, maxent.log_uniform(p.actions)
            )
            constant = torch.full_like(difference, worth / (1 - p.discount))
            errors["no ends: V differs by τ log|A| / (1 − γ)"] = distance(difference, constant, 1 + tau)
            errors["no ends: same policy"] = distance(policy["entropy"].exp(), policy["KL"].exp(), 1 / tau)
        if p.discount > 0:
            # Between 0 and gamma tau log 2 the cost is worth paying for entropy, and never for a smaller KL.
            cost = p.discount * tau * math.log(2) * float(0.05 + 0.9 * torch.rand(1, generator=p.generator))
            stays = chance_to_stay(p, cost, "entropy") > 0.5
            ends = chance_to_stay(p, cost, "KL") < 0.5
            errors["with ends: the entropy form stays where the KL form ends"] = (~(stays & ends)).double()
        return errors

    return over(draw(cases, seed, 16), one)


def figure(seed: int) -> Plot:
    p = replace(draw(1, seed, 16)[0], discount=0.9, temperature=1.0)
    p = replace(p, mdp=replace(p.mdp, discount=torch.tensor([0.9], dtype=FLOAT)))
    costs = [0.05 * step for step in range(31)]
    series = [
        {
            "label": f"{form} form",
            "x": costs,
            "y": [float(chance_to_stay(p, cost, form)[0]) for cost in costs],
            "line": True,
        }
        for form in FORMS
    ]
    caption = "One state, stay or end, γ = 0.9, τ = 1: where one line is above and the other below 1/2 the two forms choose differently."
    return Plot("Staying alive for its entropy", caption, "cost of staying", "probability of staying", series)


STATEMENT = Statement(
    number=16,
    name="KL form and entropy form",
    title="KL and entropy form share the optimal policy unless episodes can end; then entropy pays for staying alive.",
    formula=r"V_\mathrm{entropy} - V_\mathrm{KL} = \frac{\tau \log \left| \mathcal{A} \right|}{1 - \gamma}",
    source="Schulman et al. 2017, section 6.2, Eq. 82-83 (corrected)",
    computed=(
        "Both optima, held to the backup of DQN's arms; values by linear solves; a task of one state in which the forms choose differently."
    ),
    tolerance=1e-11,
    reason=SOLVED,
    check=check,
    mutants=(
        Mutant(
            "soft value and log|A| without τ, KL form",
            dqn.DQN,
            "backup",
            lambda right: lambda self, q, tau: right(self, q, tau) / (tau if self.backup_form == "kl" else 1),
            "Schulman et al. 2017, Eq. 82: y = r + γ log Σ exp(Q/τ) − log|A|",
            "y = r + γ τ (log Σ exp(Q/τ) − log|A|)",
        ),
        Mutant(
            "soft value without τ, entropy form",
            dqn.DQN,
            "backup",
            lambda right: lambda self, q, tau: right(self, q, tau) / (tau if self.backup_form == "entropy" else 1),
            "Schulman et al. 2017, Eq. 83: y = r + γ log Σ exp(Q/τ)",
            "y = r + γ τ log Σ exp(Q/τ)",
        ),
        Mutant("one form for both: log|A| nowhere", dqn.DQN, "log_reference", lambda right: lambda self: 0.0),
        Mutant("log|A| with the wrong sign", maxent, "log_uniform", lambda right: lambda actions: math.log(actions)),
    ),
    figure=figure,
)
