"""11. Performance difference, first-order match of TRPO's surrogate, and its lower bound. Wei, trust region policy optimization."""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms import divergence, maxent, tabular
from algorithms.pairs import trpo
from algorithms.policies import Categorical
from suites.theory.problems import DISCOUNTS, Problem, distance, draw, exact_value, excess, gradient, make_trpo, over
from suites.theory.statement import SOLVED, Errors, Mutant, Plot, Statement
from suites.theory.updates import Climb, climb, on_some


def surrogate(p: Problem, log_new: Tensor, visits: Tensor, value: Tensor, advantage: Tensor) -> Tensor:
    """V_t(theta) [N]: the old value plus importance-weighted advantages at `visits`."""
    log_ratio, entropy = (log_new - p.log_policy).flatten(1), maxent.entropy(log_new).repeat_interleave(p.actions, 1)
    gains = make_trpo(p, "trpo").surrogate(log_ratio.exp(), advantage.flatten(1), entropy, None)
    weight = (visits.unsqueeze(-1) * p.log_policy.exp()).flatten(1)
    return (p.mdp.start * value).sum(-1) + (weight * gains).sum(-1) / (1 - p.discount)


def parts(p: Problem) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Old value, its advantages, a new policy at a random distance, its value."""
    value = exact_value(p, p.log_policy, 0.0, 0.0)
    advantage = p.mdp.reward + p.discount * torch.einsum("nsat,nt->nsa", p.mdp.transition, value) - value.unsqueeze(-1)
    size = 10 ** (-3 + 4 * torch.rand(p.count, 1, 1, generator=p.generator, dtype=torch.float64))
    log_new = torch.log_softmax(p.logits + size * p.normal(*p.logits.shape), -1)
    return value, advantage, log_new, (p.mdp.start * exact_value(p, log_new, 0.0, 0.0)).sum(-1)


def bound(p: Problem, log_new: Tensor, value: Tensor, advantage: Tensor) -> tuple[Tensor, Tensor]:
    """The lower bound of the new value [N], and max_s KL(old || new) [N]."""
    apart = divergence.kl(Categorical(p.log_policy), Categorical(log_new)).amax(1)
    coefficient = 2 * p.mdp.discount * advantage.abs().amax((1, 2)) / (1 - p.mdp.discount).square()
    visits = tabular.occupancy(p.mdp, p.log_policy)
    return surrogate(p, log_new, visits, value, advantage) - coefficient * apart, apart


def in_training(p: Problem) -> Errors:
    """Whole updates: of TRPO's steps, each 0.8 of the one before, the first that gains on its surrogate within a mean KL of 0.01."""
    errors: Errors = {}
    for arm in ("trpo", "strpo"):
        done, soft = climb(p, arm, 6, 3, soft=arm == "strpo"), arm == "strpo"
        weight, bonus = done.advantage / done.deviation, soft * p.tau / done.deviation

        def judge(
            change: Tensor, done: Climb = done, weight: Tensor = weight, bonus: Tensor = bonus
        ) -> tuple[Tensor, Tensor]:
            moved = done.inputs @ change.view(len(change), -1, done.log_policy.shape[2])
            new = torch.log_softmax(done.log_policy + moved, -1)
            ratio = (new - done.log_policy).gather(2, done.action.unsqueeze(2)).squeeze(2).exp()
            value = (ratio * weight - bonus * (new.exp() * new).sum(-1)).mean(1)
            return (done.log_policy.exp() * (done.log_policy - new)).sum(-1).mean(1), value

        leaf = torch.zeros_like(done.before).requires_grad_()
        slope = gradient(judge(leaf)[1], leaf)
        direction = done.natural(slope, 0.1)
        length = (0.02 / (slope * direction).sum(1)).sqrt()
        (_, before), taken = judge(0 * direction), torch.zeros_like(length)
        for tried in range(10):
            kl, value = judge(0.8**tried * length.unsqueeze(1) * direction)
            taken = torch.where((kl < 0.01) & (value > before) & (taken == 0), 0.8**tried * length, taken)
        errors[f"a whole update of {arm}"] = distance(done.after - done.before, taken.unsqueeze(1) * direction, 1.0)
        kl, value = judge(taken.unsqueeze(1) * direction)
        told = {"kl": kl, "accepted_step": taken, "surrogate_gain": value - before}
        errors |= {f"{arm}: {name}": distance(done.metrics[name], expected, 1.0) for name, expected in told.items()}
    return errors


def check(cases: int, seed: int) -> Errors:
    def one(p: Problem) -> Errors:
        value, advantage, log_new, achieved = parts(p)
        leaf = p.logits.clone().requires_grad_()
        changed = torch.log_softmax(leaf, -1)
        truth = gradient((p.mdp.start * exact_value(p, changed, 0.0, 0.0)).sum(-1), leaf)
        found = gradient(surrogate(p, changed, tabular.occupancy(p.mdp, p.log_policy), value, advantage), leaf)
        lower, _ = bound(p, log_new, value, advantage)
        lemma = surrogate(p, log_new, tabular.occupancy(p.mdp, log_new), value, advantage)
        here = surrogate(p, p.log_policy, tabular.occupancy(p.mdp, p.log_policy), value, advantage)
        return {
            "performance-difference lemma": distance(lemma, achieved, 1 + value.abs().amax(1)),
            "surrogate meets V": distance(here, (p.mdp.start * value).sum(-1), 1 + value.abs().amax(1)),
            "surrogate meets ∇V": distance(found, truth),
            "lower bound": excess(lower, achieved, 1 + value.abs().amax(1)),
        }

    problems = draw(cases, seed, 11)
    return over(problems, one) | on_some(problems, in_training)


def figure(seed: int) -> Plot:
    points: dict[float, tuple[list[float], list[float]]] = {gamma: ([], []) for gamma in DISCOUNTS if gamma}
    for p in draw(240, seed, 11):
        if p.discount:
            value, advantage, log_new, achieved = parts(p)
            lower, divergence = bound(p, log_new, value, advantage)
            points[p.discount][0].extend(divergence.tolist())
            points[p.discount][1].extend((achieved - lower).tolist())
    series = [{"label": f"γ = {gamma:g}", "x": x, "y": y, "line": False} for gamma, (x, y) in points.items()]
    caption = "What the bound gives away: always more than 0, and mostly by far, for γ near 1."
    return Plot(
        "Slack of TRPO's lower bound", caption, "max KL(old || new)", "V − bound", series, log_x=True, log_y=True
    )


STATEMENT = Statement(
    number=11,
    name="trust region bound",
    title=(
        "A policy's value is the old one's plus its advantages under its own visits; TRPO's surrogate matches to first order and bounds it."
    ),
    formula=(
        r"V^{\pi_\theta} \ge V_t(\theta) - \frac{2 \gamma \varepsilon_t}{(1 - \gamma)^2}"
        r" \max\limits_s \mathrm{KL}( \pi_t \parallel \pi_\theta )"
    ),
    source="Wei, trust region policy optimization (after Schulman et al. 2015; the lecture prints 2017)",
    computed=(
        "Random pairs of policies, from nearly equal to far apart; exact values, visits and advantages; gradients by autodiff; "
        "TRPO's own updates."
    ),
    tolerance=1e-11,
    reason=SOLVED,
    check=check,
    mutants=(
        Mutant(
            "no penalty",
            divergence,
            "kl",
            lambda right: lambda old, new: 0 * right(old, new),
        ),
        Mutant(
            "ratio the wrong way round",
            trpo.TRPO,
            "surrogate",
            lambda right: lambda self, ratio, *rest: right(self, 1 / ratio, *rest),
        ),
        Mutant("KL with the wrong sign", maxent, "kl", lambda right: lambda log_policy, ref: -right(log_policy, ref)),
        Mutant("KL the wrong way round", divergence, "kl", lambda right: lambda old, new: right(new, old)),
        Mutant(
            "plain gradient for the natural one, in an update",
            trpo,
            "conjugate_gradient",
            lambda right: lambda product, wanted, steps: wanted,
        ),
        Mutant(
            "visits not discounted: the first state alone",
            tabular,
            "occupancy",
            lambda right: lambda mdp, log_policy: mdp.start,
        ),
    ),
    figure=figure,
)
