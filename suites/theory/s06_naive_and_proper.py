"""6. Same loss, other value backup: the proper gradient is that of the entropy-augmented return, the naive one is not.

Liu et al. 2020, section 3; Schulman et al. 2017, section 3.6, Eq. 48-50, 79-80.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms import maxent, tabular
from algorithms.pairs import a2c
from algorithms.policies import Categorical
from suites.theory.problems import (
    SMALL,
    TEMPERATURES,
    Paths,
    Problem,
    distance,
    draw,
    enumerate_paths,
    exact_value,
    gradient,
    make_a2c,
    make_ppo,
    over,
    rows_of,
)
from suites.theory.statement import SUMMED, Errors, Mutant, Plot, Statement

STEPS = 2


def a2c_gradient(p: Problem, paths: Paths, arm: str, value: Tensor) -> Tensor:
    """Expected gradient [N, S, A] of the arm's policy objective: its own `returns` with exact V, its own `policy_loss`."""
    learner = make_a2c(p, arm)
    rollout = paths.rollout(p.states)
    policy = Categorical(torch.bmm(rollout.observation.squeeze(2), rows_of(p.logits, paths)))
    values = rows_of(value, paths)
    following = values.gather(1, rollout.next_observation.squeeze(2).argmax(-1)).unsqueeze(-1)
    target = learner.returns(rollout, policy, following)[:, 0]
    leaf = p.logits.clone().requires_grad_()
    first = Categorical(leaf[:, paths.state[:, 0]].flatten(0, 1).unsqueeze(1))
    baseline = value[:, paths.state[:, 0]].reshape(-1, 1)
    loss = learner.policy_loss(first, rollout.action[:, 0], target - baseline)
    return -gradient(paths.weight.detach() * loss.view(p.count, -1), leaf)


def gradients(p: Problem) -> dict[str, Tensor]:
    """By A2C's code (naive, proper), by autodiff of J, and the difference that the theory predicts."""
    reference = torch.full_like(p.log_reference, 1 / p.actions).log()
    leaf = p.logits.clone().requires_grad_()
    log_policy = torch.log_softmax(leaf, -1)
    value = exact_value(p, log_policy, p.temperature, reference)
    visits = tabular.occupancy(p.mdp, p.log_policy) / (1 - p.discount)
    paths = enumerate_paths(p.mdp, p.log_policy, STEPS, visits)
    hard = exact_value(p, p.log_policy, 0.0, reference)
    # What the naive gradient leaves out: how actions change later penalties, V_hard - V_soft.
    later = p.discount * torch.einsum("nsat,nt->nsa", p.mdp.transition, value.detach() - hard)
    return {
        "J": gradient((p.mdp.start * value).sum(-1), leaf),
        "proper": a2c_gradient(p, paths, "a2c-proper", value.detach()),
        "naive": a2c_gradient(p, paths, "a2c-naive", hard),
        "left out": gradient((visits.detach().unsqueeze(-1) * log_policy.exp() * later).sum((1, 2)), leaf),
    }


def check(cases: int, seed: int) -> Errors:
    def one(p: Problem) -> Errors:
        g = gradients(p)
        predicted, found = (each.flatten(1).norm(dim=1) for each in (g["left out"], g["J"] - g["naive"]))
        policy, action = Categorical(p.logits), p.q.argmax(-1)
        naive, proper = (
            make_a2c(p, arm).policy_loss(policy, action, p.q[..., 0]) for arm in ("a2c-naive", "a2c-proper")
        )
        old = policy.log_prob(action) + 0.1
        bonus, sppo = (
            make_ppo(p, arm).policy_loss(policy, action, old, p.q[..., 0])[0] for arm in ("ppo-bonus", "sppo-38")
        )
        return {
            "proper is the gradient of J": distance(g["proper"], g["J"], 1 + p.temperature),
            "naive lacks the later penalties": distance(g["naive"] + g["left out"], g["J"], 1 + p.temperature),
            "naive is not the gradient of J": ((predicted > 1e-6) & (found < predicted / 2)).double(),
            "the arms of a2c share the loss": distance(naive, proper),
            "ppo-bonus and sppo-38 share the loss": distance(bonus, sppo),
        }

    return over(draw(cases, seed, 6, SMALL, layouts=False), one)


def figure(seed: int) -> Plot:
    gaps: dict[float, list[float]] = {tau: [] for tau in TEMPERATURES}
    for p in draw(120, seed, 6, SMALL, layouts=False):
        if p.discount > 0:
            g = gradients(p)
            gaps[p.temperature] += (
                (g["J"] - g["naive"]).flatten(1).norm(dim=1) / g["J"].flatten(1).norm(dim=1)
            ).tolist()
    points = [(tau, gap) for tau, found in gaps.items() for gap in found if gap > 1e-9]
    series = [
        {"label": "a problem with γ > 0", "x": [x for x, _ in points], "y": [y for _, y in points], "line": False}
    ]
    caption = "How much of the true gradient the naive one misses: as much as all of it at high temperatures."
    return Plot(
        "Error of the naive gradient", caption, "temperature", "‖∇J − naive‖ / ‖∇J‖", series, log_x=True, log_y=True
    )


def make_naive(learner: a2c.A2C) -> a2c.A2C:
    return a2c.A2C(learner.settings, learner.spaces, learner.steps, kl_in_return=False)


def printed_eq_49(self: a2c.A2C, policy: Categorical, action: Tensor, advantage: Tensor) -> Tensor:
    penalty = self.settings.temperature * maxent.kl(policy.log_policy.detach(), maxent.log_uniform(self.spaces.actions))
    return (-policy.log_prob(action) * (advantage - penalty)).mean(1)


STATEMENT = Statement(
    number=6,
    name="naive and proper gradient",
    title=(
        "Naive and proper share the loss and differ in the value backup; only the proper gradient is that of the entropy-augmented return."
    ),
    formula=(
        r"g_\mathrm{proper} = \nabla J, \quad \nabla J - g_\mathrm{naive} = -\tau \sum_s \eta(s) \sum_a \nabla \pi(a|s) "
        r"\mathbb{E}\left[ \sum_{d \ge 1} \gamma^d \mathrm{KL}_d \right]"
    ),
    source="Schulman et al. 2017, Eq. 48-50, 79-80; Liu, Gu, Liu 2020, after Eq. 20",
    computed="All two-step paths weighted by discounted visits; returns and loss of A2C's arms with exact V; autodiff of J.",
    tolerance=1e-10,
    reason=SUMMED,
    check=check,
    mutants=(
        Mutant(
            "naive for proper",
            a2c.A2C,
            "returns",
            lambda right: lambda self, rollout, policy, after: right(make_naive(self), rollout, policy, after),
        ),
        Mutant("KL with the wrong sign", maxent, "kl", lambda right: lambda log_policy, ref: -right(log_policy, ref)),
        Mutant("entropy form for KL: log|A| missing", maxent, "log_uniform", lambda right: lambda actions: 0.0),
        Mutant(
            "no γ in the return",
            a2c,
            "n_step",
            lambda right: lambda reward, after, ended, cut, discount: right(reward, after, ended, cut, 1.0),
        ),
        Mutant(
            "`done` on time limits",
            a2c,
            "n_step",
            lambda right: lambda reward, after, ended, cut, discount: right(reward, after, ended | cut, cut, discount),
        ),
        Mutant(
            "KL term inside the bracket that multiplies the score, where it vanishes",
            a2c.A2C,
            "policy_loss",
            lambda right: printed_eq_49,
            "Schulman et al. 2017, Eq. 49: ∇log π (r_0 + Σ γ^d (r − τKL) − τ∇KL)",
            "∇log π (r_t + Σ γ^d (r − τKL)) − τ∇KL",
        ),
    ),
    figure=figure,
)
