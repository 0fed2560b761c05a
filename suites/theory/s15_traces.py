"""15. TD(lambda) of the Boltzmann backup, and V-trace. Schulman et al. 2017, Eq. 33-43; Espeholt et al. 2018, Eq. 1."""

from __future__ import annotations

import sys

import torch
from torch import Tensor

from algorithms import maxent, returns, tabular
from algorithms.pairs import impala
from algorithms.policies import Categorical
from suites.theory.problems import (
    SMALL,
    Problem,
    by_state,
    distance,
    draw,
    enumerate_paths,
    exact_value,
    gradient,
    make_impala,
    over,
    rows_of,
)
from suites.theory.statement import SOLVED, Errors, Mutant, Statement

STEPS = 3
UNCLIPPED = 1e300


def identity(q: Tensor, value: Tensor, penalty: Tensor, correction: Tensor) -> Tensor:
    """Right-hand side of Eq. 43, corrected: V(s) + tau KL(s) + E sum (gamma lambda)^t delta_t; the print has Q(s, a) for the first two."""
    return (value + penalty).unsqueeze(-1) + correction


def operators(p: Problem, q: Tensor, trace: float) -> tuple[Tensor, Tensor, Tensor]:
    """Of the Boltzmann policy of Q: T_lambda Q by Eq. 42, its right-hand side by Eq. 43, and T_lambda cut off after STEPS steps."""
    tau, pairs = p.tau, p.states * p.actions
    log_policy, value = maxent.log_boltzmann(q, tau, p.log_reference), maxent.soft_value(q, tau, p.log_reference)
    penalty = maxent.penalty(q, tau, p.log_reference)
    # T Q = b + M Q with M[(s, a), (s', a')] = gamma P(s'|s, a) pi(a'|s'), Eq. 33.
    move = (
        (p.discount * p.mdp.transition.unsqueeze(-1) * log_policy.exp().unsqueeze(1).unsqueeze(1))
        .flatten(3)
        .flatten(1, 2)
    )
    constant = tabular.fixed_backup(p.mdp, torch.zeros_like(q), log_policy, p.temperature, p.log_reference).flatten(1)
    unit = torch.eye(pairs, dtype=q.dtype)
    once = constant + (move @ q.flatten(1).unsqueeze(-1)).squeeze(-1)
    # (1 - lambda) sum_n lambda^(n-1) T^n Q: T^n Q = T^(n-1) (once) sums to a geometric series in M and b.
    total = torch.linalg.solve(unit - trace * move, (1 - trace) * once + trace * constant)
    cut, power = torch.zeros_like(once), q.flatten(1)
    for n in range(1, STEPS + 1):
        power = constant + (move @ power.unsqueeze(-1)).squeeze(-1)
        cut = cut + ((1 - trace) * trace ** (n - 1) if n < STEPS else trace ** (n - 1)) * power
    delta = (
        p.mdp.reward
        - penalty.unsqueeze(-1)
        + p.discount * torch.einsum("nsat,nt->nsa", p.mdp.transition, value)
        - value.unsqueeze(-1)
    )
    correction = torch.linalg.solve(unit - trace * move, delta.flatten(1)).view_as(q)
    return total.view_as(q), identity(q, value, penalty, correction), cut.view_as(q)


def td_lambda_code(p: Problem, q: Tensor, trace: float) -> tuple[Tensor, Tensor]:
    """E[y; s, a] [N, S, A] of returns.td_lambda on all paths, and the probability of each (s, a)."""
    tau = p.tau
    log_policy, value = maxent.log_boltzmann(q, tau, p.log_reference), maxent.soft_value(q, tau, p.log_reference)
    paths = enumerate_paths(p.mdp, log_policy, STEPS, torch.full_like(p.mdp.start, 1 / p.states))
    rollout = paths.rollout(p.states)
    now, after, penalty = (
        table[:, index].reshape(-1, STEPS, 1)
        for table, index in (
            (value, paths.state),
            (value, paths.next_state),
            (maxent.penalty(q, tau, p.log_reference), paths.state),
        )
    )
    target = returns.td_lambda(
        rollout.reward, penalty, now, after, rollout.terminated, rollout.truncated, p.discount, trace
    )
    pair = paths.state[:, 0] * p.actions + paths.action[:, 0]
    found = torch.zeros_like(q).flatten(1).index_add(1, pair, paths.weight * target[:, 0].view(p.count, -1))
    return found.view_as(q), log_policy.exp() / p.states


def off_policy(p: Problem, arm: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """E_mu of an arm's V-trace [N, S] and policy gradient [N, S, A] without clips, on paths of another policy; and what pi alone has."""
    learner, soft = make_impala(p, arm, clip_rho=UNCLIPPED, clip_c=UNCLIPPED), arm == "simpala"
    behaviour = torch.log_softmax(0.5 * p.q, -1)
    paths = enumerate_paths(p.mdp, behaviour, STEPS, torch.full_like(p.mdp.start, 1 / p.states))
    rollout, value, tau = paths.rollout(p.states), p.q.amax(-1), rows_of(p.tau, paths)
    policy = Categorical(p.logits)
    now, after, entropy = (
        table[:, index].reshape(-1, STEPS, 1)
        for table, index in ((value, paths.state), (value, paths.next_state), (policy.entropy(), paths.state))
    )
    ratio = (p.log_policy - behaviour).exp()[:, paths.state, paths.action].reshape(-1, STEPS, 1)
    reward, flags = learner.reward(rollout.reward, entropy, tau), (rollout.terminated, rollout.truncated)
    traced, q, rho = (each[:, 0].view(p.count, -1) for each in learner.v_trace(reward, now, after, ratio, *flags))
    first, action = Categorical(p.logits[:, paths.state[:, 0]]), paths.action[:, 0].expand(p.count, -1)
    advantage, log_prob = q - value[:, paths.state[:, 0]], first.log_prob(action)
    _, slope, bonus = learner.policy_loss(log_prob, rho, advantage, first.entropy(), p.tau)
    found = {
        "v": torch.zeros_like(value).index_add(1, paths.state[:, 0], paths.weight * traced) * p.states,
        "gradient": -by_state(paths, first.slope(action, slope, bonus), p.states) * p.states,
    }
    leaf = p.logits.clone().requires_grad_()
    log_policy = torch.log_softmax(leaf, -1)
    of_policy = -p.temperature * (log_policy.exp() * log_policy).sum(-1)
    for _ in range(STEPS):
        look = p.mdp.reward + p.discount * torch.einsum("nsat,nt->nsa", p.mdp.transition, value.detach())
        value = (log_policy.exp() * look).sum(-1) + of_policy * soft
    climbed = (log_policy.exp() * look).sum(-1) + of_policy * (arm != "impala")  # Liu et al. 2020, Eq. 19
    return found, {"v": value.detach(), "gradient": gradient(climbed, leaf)}


def check(cases: int, seed: int) -> Errors:
    def one(p: Problem) -> Errors:
        trace = float(torch.rand(1, generator=p.generator))
        q = p.q.mean(-1, keepdim=True) + p.temperature * p.q
        total, right, cut = operators(p, q, trace)
        found, mass = td_lambda_code(p, q, trace)
        shape = (p.count, 7, 3)
        reward, value, after, log_ratio = (p.normal(*shape) for _ in range(4))
        ratio = log_ratio.exp()
        terminated, truncated = (torch.rand(shape, generator=p.generator) < 0.2 for _ in range(2))
        truncated[:, -1] = True
        flags = (terminated, truncated, p.discount)
        over_there = (terminated | truncated)[:, :-1]
        # Within an episode, V(s_{t+1}) is the next V(s_t).
        after = torch.cat([torch.where(over_there, after[:, :-1], value[:, 1:]), after[:, -1:]], 1)
        ends, clips = flags[:2], {"clip_rho": 0.8, "clip_c": 0.6}
        on_policy, led, _ = make_impala(p, "impala").v_trace(reward, value, after, torch.ones_like(ratio), *ends)
        clipped, _, _ = make_impala(p, "impala", **clips).v_trace(reward, value, after, ratio, *ends)
        even, q, rho = make_impala(p, "impala", clip_rho=0.8, clip_c=0.8).v_trace(reward, value, after, ratio, *ends)
        ones = returns.td_lambda(reward, 0 * reward, value, after, *flags, 1.0)
        bellman = returns.td_lambda(reward, 0 * reward, value, after, *flags, 0.0)
        off = {arm: off_policy(p, arm) for arm in impala.Impala.arms}
        optimum = maxent.soft_value(
            tabular.policy_iteration(p.mdp, p.temperature, p.log_reference), p.tau, p.log_reference
        )
        best = maxent.log_boltzmann(tabular.look_ahead(p.mdp, optimum), p.tau, p.log_reference)
        return {
            "Eq. 43, corrected": distance(right, total),
            "the code's TD(λ) in expectation": distance(found, mass * cut),
            "TD(1) = n-step": distance(ones, returns.n_step(reward, after, *flags)),
            "TD(0) = one step": distance(bellman, reward + p.discount * after * ~terminated),
            "V-trace, ratios 1 = n-step, to the bit": (
                (on_policy != returns.n_step(reward, after, *flags)) | (led != on_policy)
            )
            .flatten(1)
            .any(1)
            .double(),
            "V-trace, clipped: by its sum": distance(
                clipped, v_trace_sum(reward, value, after, ratio, *flags, 0.8, 0.6)
            ),
            "V-trace, clips equal: v = V + ρ (q - V)": distance(even, value + rho * (q - value)),
            **{
                f"{arm}, no clips: {name} is unbiased off-policy": distance(
                    found[name], expected[name], 1 + p.temperature
                )
                for arm, (found, expected) in off.items()
                for name in found
            },
            "the optimum is a fixed point": distance(exact_value(p, best, p.temperature, p.log_reference), optimum),
        }

    return over(draw(cases, seed, 15, SMALL, layouts=False), one)


def v_trace_sum(
    reward: Tensor,
    value: Tensor,
    after: Tensor,
    ratio: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    discount: float,
    clip_rho: float,
    clip_c: float,
) -> Tensor:
    """Espeholt et al. 2018, Eq. 1, as the printed double sum [P, T, E]."""
    rho, c = ratio.clamp(max=clip_rho), ratio.clamp(max=clip_c)
    total = value.clone()
    for start in range(reward.shape[1]):
        scale = torch.ones_like(reward[:, 0])
        for t in range(start, reward.shape[1]):
            delta = rho[:, t] * (reward[:, t] + discount * after[:, t] * ~terminated[:, t] - value[:, t])
            total[:, start] += scale * delta
            scale = scale * discount * c[:, t] * ~(terminated[:, t] | truncated[:, t])
    return total


STATEMENT = Statement(
    number=15,
    name="TD(λ) and V-trace",
    title="The TD(λ) backup is V + τKL plus the (γλ)-discounted sum of soft Bellman errors; V-trace with ratios 1 is the n-step return.",
    formula=(
        r"[ \mathcal{T}_\lambda Q ](s, a) = V_Q(s) + \tau \mathrm{KL}(s)"
        r" + \mathbb{E}\left[ \sum_{t \ge 0} (\gamma \lambda)^t \delta_t \right]"
    ),
    source="Schulman et al. 2017, Eq. 33-43 (Eq. 43 corrected); Espeholt et al. 2018, Eq. 1 (named by Liu et al. 2020)",
    computed=(
        "Both sides as linear systems over all state-action pairs; the code's targets over all three-step paths; random flags and ratios; "
        "value and policy gradient of IMPALA and SIMPALA over all paths of another policy."
    ),
    tolerance=1e-11,
    reason=SOLVED,
    check=check,
    mutants=(
        Mutant(
            "Q(s, a) for V(s) + τKL(s)",
            sys.modules[__name__],
            "identity",
            lambda right: lambda q, value, penalty, correction: q + correction,
            "Schulman et al. 2017, Eq. 43: T_λ Q = Q(s, a) + E Σ (γλ)^t δ_t",
            "T_λ Q = V_Q(s) + τKL(s) + E Σ (γλ)^t δ_t, as in Eq. 47",
        ),
        Mutant(
            "the penalty is not given back",
            returns,
            "td_lambda",
            lambda right: lambda reward, penalty, *rest: right(reward, penalty, *rest) - penalty,
        ),
        Mutant(
            "λ for γλ",
            returns,
            "gae",
            lambda right: (
                lambda reward, v, after, ended, cut, discount, trace: right(
                    reward, v, after, ended, cut, discount, trace / (discount or 1)
                )
            ),
        ),
        Mutant(
            "V-trace: the ratio multiplies the reward alone",
            impala.Impala,
            "v_trace",
            lambda right: (
                lambda self, reward, v, after, ratio, *ends: right(
                    self, reward * ratio, v, after, torch.ones_like(ratio), *ends
                )
            ),
        ),
        Mutant(
            "SIMPALA: no entropy in the return",
            impala.Impala,
            "reward",
            lambda right: lambda self, reward, entropy, tau: right(self, reward, 0 * entropy, tau),
        ),
        Mutant(
            "IMPALA: no ratio in the policy gradient",
            impala.Impala,
            "policy_loss",
            lambda right: lambda self, log_prob, rho, *rest: right(self, log_prob, torch.ones_like(rho), *rest),
        ),
        Mutant(
            "n-step: `done` on time limits",
            returns,
            "n_step",
            lambda right: lambda reward, after, ended, cut, discount: right(reward, after, ended | cut, cut, discount),
        ),
        Mutant("τKL with the wrong sign", maxent, "penalty", lambda right: lambda q, tau, ref=0.0: -right(q, tau, ref)),
    ),
)
