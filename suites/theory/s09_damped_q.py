"""9. Damped soft Q-learning is the natural gradient of the entropy-regularized return, with step ε/τ. Schulman et al. 2017, section 5."""

from __future__ import annotations

import sys

import torch
from torch import Tensor

from algorithms import maxent, tabular
from algorithms.pairs import trpo
from algorithms.policies import Categorical
from suites.theory.problems import (
    SMALL,
    Problem,
    distance,
    draw,
    enumerate_paths,
    gradient,
    make_a2c,
    make_dqn,
    make_trpo,
    over,
    read,
    rows_of,
    windows,
)
from suites.theory.statement import Errors, Mutant, Statement
from suites.theory.updates import climb, on_some


def q_hat(p: Problem, q: Tensor, log_policy: Tensor, steps: int) -> Tensor:
    """E[y | s, a] [N, S, A] of DQN's n-step target on the policy's own paths."""
    paths = enumerate_paths(p.mdp, log_policy, steps, torch.full_like(p.mdp.start, 1 / p.states))
    learner = make_dqn(p, "soft-dqn-kl", steps, rows_of(p.log_reference, paths))
    window = windows(paths, p.states)
    target = learner.target(window, read(rows_of(q, paths), window.next_observation), rows_of(p.tau, paths)).view(
        p.count, -1
    )
    pair = paths.state[:, 0] * p.actions + paths.action[:, 0]
    return (
        torch.zeros_like(q).flatten(1).index_add(1, pair, paths.weight * target).view_as(q)
        * p.states
        / log_policy.exp()
    )


def damped_target(q: Tensor, error: Tensor, step: float, tau: Tensor) -> Tensor:
    """Q + eps (Q-hat - Q), Eq. 74, with eps = step tau: a natural step of `step` in log pi. Eq. 78, as printed, takes eps itself."""
    return q + step * tau * error


def in_training(p: Problem) -> Errors:
    """A whole update of soft-npg: one damped Gauss-Newton step from Q to Q^eps with eps = step tau, all over the advantages' deviation."""
    step, tau = 0.3, p.tau
    done = climb(p, "soft-npg", 6, 3, soft=True, step=step)
    q_hat, q = tau * done.kl + done.advantage, tau * done.ratio  # Eq. 75 without the V of both
    wanted = step * (q_hat - q) / done.deviation  # (Q^eps - Q) / tau: a change of log pi
    gradient = (done.taken * wanted.unsqueeze(2)).mean(1)
    expected = done.natural(gradient, 0.1)
    return {"a whole update of soft-npg": distance(done.after - done.before, expected, 1 + tau.squeeze(1))}


def check(cases: int, seed: int) -> Errors:
    def one(p: Problem) -> Errors:
        tau, step = p.temperature, float(torch.rand(1, generator=p.generator))
        value = p.q.mean(-1, keepdim=True)
        logits = 0.5 * p.logits
        log_policy = torch.log_softmax(logits, -1)
        ratio = log_policy - p.log_reference
        q = value + tau * ratio  # Eq. 57
        kl = (log_policy.exp() * ratio).sum(-1, keepdim=True)
        target = q_hat(p, q, log_policy, 1 + int(torch.randint(2, (1,), generator=p.generator)))
        delta = target - value - tau * kl
        visits = tabular.occupancy(p.mdp, log_policy)
        pairs = visits.unsqueeze(-1) * log_policy.exp()

        # Natural gradient in the softmax parametrization, from A2C's loss where its uniform reference is the problem's.
        if p.uniform:
            action = torch.arange(p.actions).repeat(p.count, p.states)
            policy = Categorical(logits.repeat_interleave(p.actions, 1))
            learner = make_a2c(p, "a2c-proper")
            penalty = maxent.kl(policy.log_policy, maxent.log_uniform(p.actions))
            _, slope = learner.policy_loss(policy.log_prob(action), delta.flatten(1), penalty, p.tau)
            climbs = -policy.slope(action, slope, p.tau).view(*pairs.shape, p.actions)
            g = (pairs.unsqueeze(3) * climbs).sum(2).flatten(1)
        else:
            leaf = logits.clone().requires_grad_()
            new = torch.log_softmax(leaf, -1)
            objective = new * delta - tau * (new.exp() * (new - p.log_reference)).sum(-1, keepdim=True)
            g = gradient(pairs * objective, leaf).flatten(1)
        score = torch.eye(p.states, dtype=torch.float64).view(1, p.states, 1, p.states, 1) * (
            torch.eye(p.actions, dtype=torch.float64).view(1, 1, p.actions, 1, p.actions)
            - log_policy.exp().view(p.count, p.states, 1, 1, -1)
        )
        score = score.flatten(3)
        natural = tabular.natural_gradient(tabular.fisher(visits, log_policy, score), g).view_as(logits)
        error = make_trpo(p, "soft-npg").error(delta, ratio - kl, p.tau.unsqueeze(2))
        damped = damped_target(q, error, step, p.tau.unsqueeze(2))
        after = maxent.log_boltzmann(damped, p.tau, p.log_reference)

        # Linear features of logits, fewer than state-action pairs: one Gauss-Newton step on the damped regression, V held fixed.
        features = p.normal(p.count, p.states, p.actions, p.states * (p.actions - 1) // 2)
        psi = features - (log_policy.exp().unsqueeze(-1) * features).sum(2, keepdim=True)
        root = pairs.sqrt().unsqueeze(-1)
        regression = torch.linalg.pinv((root * tau * psi).flatten(1, 2)) @ (root * (damped - q).unsqueeze(-1)).flatten(
            1, 2
        )
        g_features = torch.einsum("nsa,nsak->nk", pairs * (delta - tau * (ratio - kl)), psi)
        natural_features = tabular.natural_gradient(tabular.fisher(visits, log_policy, psi), g_features)

        other = torch.log_softmax(logits + p.normal(*logits.shape), -1)
        left = value + tau * (other - p.log_reference) - damped
        right = tau * (other - log_policy) - step * tau * (delta - tau * (ratio - kl))
        return {
            "same policy after the step": distance(after, torch.log_softmax(logits + step * natural, -1), 1 + 1 / tau),
            "same step in features": distance(regression.squeeze(-1), step * natural_features, 1 + 1 / tau),
            "Eq. 78, corrected": distance(left, right),
            "Eq. 75-76": distance(error, target - q, 1 + tau),
        }

    problems = draw(cases, seed, 9, SMALL, layouts=False)
    return over(problems, one) | on_some(problems, in_training)


STATEMENT = Statement(
    number=9,
    name="damped soft Q = natural gradient",
    title="A damped soft Q-learning step ε is a natural gradient step ε/τ on the entropy-regularized return.",
    formula=(
        r"Q_\theta - \hat{Q}^\varepsilon = \tau ( \log \pi_\theta - \log \pi_\mathrm{old} ) - \varepsilon \left( \Delta - \tau \left[ "
        r"\log \frac{\pi_\mathrm{old}}{\bar{\pi}} - \mathrm{KL} \right] \right), \quad "
        r"\log \pi^+ = \log \pi + \frac{\varepsilon}{\tau} F^\dagger g + c_s"
    ),
    source="Schulman et al. 2017, Eq. 66-78 (Eq. 78 corrected)",
    computed=(
        "DQN's targets in expectation, A2C's policy gradient, the exact Fisher matrix; whole steps in the softmax and in random features, "
        "and soft-npg's own."
    ),
    tolerance=1e-9,
    reason="float64 rounding (2e-16) amplified by the condition number of the Fisher matrix, up to 1e5 here",
    check=check,
    mutants=(
        Mutant(
            "the natural step is ε, without 1/τ",
            sys.modules[__name__],
            "damped_target",
            lambda right: lambda q, error, step, tau: right(q, error, step, torch.ones_like(tau)),
            "Schulman et al. 2017, Eq. 78: Q − Q̂^ε = log π − log π_old − ε(Δ − τ[…])",
            "Q − Q̂^ε = τ(log π − log π_old) − ε(Δ − τ[…])",
        ),
        Mutant(
            "KL gradient left out",
            Categorical,
            "slope",
            lambda right: lambda self, action, by_log_prob, bonus=None: right(self, action, by_log_prob, None),
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
            "the damping pulls the wrong way",
            sys.modules[__name__],
            "damped_target",
            lambda right: lambda q, error, step, tau: right(q, error, -step, tau),
        ),
        Mutant(
            "log π/π̄ without its mean, KL",
            trpo.TRPO,
            "error",
            lambda right: lambda self, advantage, surprise, tau: right(self, advantage, surprise + 1, tau),
        ),
        Mutant("Fisher matrix twice", tabular, "fisher", lambda right: lambda *arguments: 2 * right(*arguments)),
    ),
)
