"""8. Soft Q-learning is policy gradient: the gradient of the n-step loss. Schulman et al. 2017, Eq. 46, 57-65."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from algorithms import maxent, tabular
from algorithms.learner import Now, State, Window
from algorithms.pairs import a2c, dqn, pgql
from algorithms.policies import Categorical
from algorithms.population import adam_state, rmsprop_state
from suites.theory.problems import (
    SMALL,
    Paths,
    Problem,
    by_state,
    distance,
    draw,
    enumerate_paths,
    following,
    gradient,
    make_a2c,
    make_dqn,
    make_pgql,
    one_hot,
    over,
    read,
    rows_of,
    windows,
)
from suites.theory.statement import EXPONENTIATED, Errors, Mutant, Statement
from suites.theory.updates import adam_gradient, on_some, rmsprop_gradient, tables_of, tabulated, updated

MOST_STEPS = 3
VALUE_COEFFICIENT = 0.5
ON_POLICY_STEPS = 2  # of the paths on which whole updates are compared


def parts(q: Tensor, temperature: float, log_reference: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """V [N, S], log pi/ref [N, S, A] and KL [N, S] of Q by Eq. 55-57, by formulas of their own."""
    normal = torch.logsumexp(log_reference + q / temperature, -1)
    ratio = q / temperature - normal.unsqueeze(-1)
    return temperature * normal, ratio, ((log_reference + ratio).exp() * ratio).sum(-1)


def backed_up(p: Problem, paths: Paths, value: Tensor, kl: Tensor, cut: int | None) -> Tensor:
    """V-hat of each path [N, W]: Eq. 54, corrected, to the first end of the episode, the cut or the path's end."""
    total = torch.zeros_like(paths.weight)
    steps = paths.state.shape[1]
    for t in reversed(range(steps)):
        after = value[:, paths.next_state[:, t]]
        following = after if t in (steps - 1, cut) else total
        following = following * ~paths.terminated[:, t]
        total = paths.reward[..., t] - p.temperature * kl[:, paths.state[:, t]] + p.discount * following
    return total


def dqn_gradient(
    p: Problem, q: Tensor, paths: Paths, arm: str, reference: Tensor | None, cut: int | None
) -> tuple[Tensor, Tensor]:
    """Expected gradient [N, S, A] of half the arm's loss at online = target network, and its targets y [N, W]."""
    learner = make_dqn(p, arm, paths.state.shape[1], None if reference is None else rows_of(reference, paths))
    window = windows(paths, p.states, cut)
    target = learner.target(window, read(rows_of(q, paths), window.next_observation), rows_of(p.tau, paths))
    now = read(rows_of(q, paths), window.observation[:, :, 0])
    _, slope = learner.loss(now, window.action[:, :, 0], target)
    return by_state(paths, 0.5 * slope.view(p.count, -1, p.actions), p.states), target.view(p.count, -1)


def a2c_gradient(p: Problem, q: Tensor, paths: Paths, value: Tensor, cut: int | None) -> Tensor:
    """tau times A2C's expected policy gradient plus its value error's, at the Boltzmann policy of Q (uniform reference)."""
    learner, rollout = make_a2c(p, "a2c-proper"), paths.rollout(p.states, cut)
    uniform, tau, values = maxent.log_uniform(p.actions), rows_of(p.tau, paths), rows_of(value, paths)
    policy = Categorical(read(rows_of(q, paths), rollout.observation[:, :-1]) / p.temperature)
    kl = maxent.kl(policy.log_policy, uniform)
    target = learner.returns(rollout, kl, following(rollout, values), tau)[:, 0]
    leaf = q.clone().requires_grad_()
    first, action = paths.state[:, 0], paths.action[:, 0].expand(p.count, -1)
    now, _, _ = parts(leaf, p.temperature, torch.full_like(p.log_reference, 1 / p.actions).log())
    target, now = target.view(p.count, -1), now[:, first]
    policy = Categorical(q[:, first] / p.temperature)
    kl = maxent.kl(policy.log_policy, uniform)
    _, slope = learner.policy_loss(policy.log_prob(action), target - now.detach(), kl, p.tau)
    # The logits are Q/tau, so that tau times the gradient by Q is the one by logits.
    by_policy = by_state(paths, policy.slope(action, slope, p.tau), p.states)
    return by_policy + gradient(paths.weight.detach() * 0.5 * (now - target).square(), leaf)


def in_training(p: Problem) -> Errors:
    """A whole update of each arm on random windows: the gradient that it descends by Eq. 46, and what the target network is then."""
    q, steps, batch = p.logits, MOST_STEPS, 6
    shape = (p.count, batch, steps)
    state, after = (torch.randint(p.states, shape, generator=p.generator) for _ in range(2))
    action, reward = torch.randint(p.actions, shape, generator=p.generator), p.normal(*shape)
    terminated, cut = (torch.rand(shape, generator=p.generator) < 0.2 for _ in range(2))
    after[..., :-1] = torch.where(cut[..., :-1], after[..., :-1], state[..., 1:])  # a window goes on where it led
    window = Window(one_hot(state, p.states), one_hot(after, p.states), action, reward, terminated, terminated | cut)
    frozen, rows = p.q + p.temperature * p.normal(*q.shape), torch.arange(p.count).unsqueeze(1)
    errors: Errors = {}
    for arm, reference in (("soft-dqn-kl", -math.log(p.actions)), ("soft-dqn-entropy", 0.0), ("dqn", None)):
        learner = make_dqn(p, arm, steps)
        value, _, kl = parts(frozen, p.temperature, torch.full_like(p.log_reference, reference or 0.0))
        penalty = p.temperature * kl
        if reference is None:
            value, penalty = frozen.amax(-1), 0 * kl
        target, alive = torch.zeros_like(reward[..., 0]), torch.ones_like(terminated[..., 0])
        for d in range(steps):
            gain = reward[..., d] - (penalty[rows, state[..., d]] if d else 0.0)
            stops = alive & (terminated[..., d] | cut[..., d] | (d == steps - 1))
            led = torch.where(terminated[..., d], 0.0, value[rows, after[..., d]])
            target = target + p.discount**d * (gain * alive + p.discount * led * stops)
            alive = alive & ~stops
        leaf = q.clone().requires_grad_()
        error = (leaf[rows, state[..., 0], action[..., 0]] - target).square().mean(1)
        for period, copied in ((1, True), (10**6, False)):
            learner = make_dqn(p, arm, steps, target_period=period)
            nets = adam_state("q", tabulated(learner.net, q)) | {"q.target": tabulated(learner.net, frozen)}
            updated(learner, p, nets, window)
            (found,) = tables_of(learner.net, adam_gradient(nets, "q"))
            errors[f"{arm}: what an update descends"] = distance(found, gradient(error, leaf))
            wanted = nets["q"] if copied else tabulated(learner.net, frozen)
            name = "copied after its step" if copied else "not copied before it is due"
            errors[f"{arm}: the target network is {name}"] = distance(nets["q.target"], wanted)
    return errors


def on_policy(p: Problem) -> Errors:
    """Whole updates of pgql's two learners from identical weights on every on-policy path: expected gradients of policy and value."""
    paths, value = (
        enumerate_paths(p.mdp, p.log_policy, ON_POLICY_STEPS, torch.full_like(p.mdp.start, 1 / p.states)),
        p.q.amax(-1),
    )
    rollout, tau = paths.rollout(p.states), rows_of(p.tau, paths).squeeze(1)
    expected = []
    for rule in pgql.PGQL.arms:
        learner = make_pgql(p, rule, horizon=ON_POLICY_STEPS, environments=1, max_gradient_norm=1e12)
        tables = rows_of(p.logits, paths), rows_of(value.unsqueeze(-1), paths)
        state = rmsprop_state("nets", tabulated(learner.nets, *tables))
        before = state["nets"].clone()
        rows = {"temperature": tau, "learning_rate": torch.full_like(tau, 1e-3)}
        learner.update(state, rollout, Now(torch.tensor(0), torch.tensor(0.0), rows, {}))
        found = tables_of(learner.nets, rmsprop_gradient(state, "nets", before))
        expected.append(
            [(paths.weight[..., None, None] * each.view(p.count, -1, *each.shape[1:])).sum(1) for each in found]
        )
    scale = 1 + p.temperature
    return {
        f"two learners, one on-policy batch: {name}": distance(soft, hard, scale)
        for name, hard, soft in zip(("the policy's gradient", "the value's gradient"), *expected, strict=True)
    }


def check(cases: int, seed: int) -> Errors:
    def one(p: Problem) -> Errors:
        tau, steps = p.temperature, int(torch.randint(1, MOST_STEPS + 1, (1,), generator=p.generator))
        # A time limit after the first step.
        cut = 0 if steps > 1 and bool(torch.rand(1, generator=p.generator) < 0.5) else None
        # Half of the tables are so flat that at low temperatures, too, every action has its probability.
        flat = (torch.arange(p.count) % 2 == 0).view(-1, 1, 1)
        q = torch.where(flat, p.q.mean(-1, keepdim=True) + tau * p.q, p.q)
        initial = torch.full_like(p.mdp.start, 1 / p.states)
        forms = {"KL": ("soft-dqn-kl", p.log_reference, None if p.uniform else p.log_reference)}
        if p.uniform:
            forms["entropy"] = ("soft-dqn-entropy", torch.zeros_like(p.log_reference), None)
        errors: Errors = {}
        for form, (arm, reference, override) in forms.items():
            leaf = q.clone().requires_grad_()
            value, ratio, kl = parts(leaf, tau, reference)
            log_policy = ratio + reference
            paths = enumerate_paths(p.mdp, log_policy.detach(), steps, initial)
            first, action = paths.state[:, 0], paths.action[:, 0]
            backup = backed_up(p, paths, value.detach(), kl.detach(), cut)
            advantage = backup - value.detach()[:, first]
            policy_part = -log_policy[:, first, action] * advantage + tau * kl[:, first]
            value_part = 0.5 * (value[:, first] - backup).square()
            expected = gradient(paths.weight.detach() * (tau * policy_part + value_part), leaf)
            found, target = dqn_gradient(p, q, paths, arm, override, cut)
            errors[f"Eq. 65, {form} form"] = distance(found, expected)

            scaled = gradient(paths.weight.detach() * (policy_part + VALUE_COEFFICIENT * value_part), leaf)
            streams = value[:, first], ratio[:, first, action], backup, kl[:, first]
            for rule in pgql.PGQL.arms:
                given = [*(stream.detach() for stream in streams), p.tau]
                by_ratio, by_value, bonus = make_pgql(p, rule).slopes(*given)
                descended = by_ratio * streams[1] + by_value * streams[0]
                if bonus is not None:  # minus the entropy is KL and a constant, or plus the same
                    descended = descended + bonus * streams[3]
                found = gradient(paths.weight.detach() * descended, leaf)
                errors[f"{rule} = A2C in expectation, {form} form"] = distance(found, scaled, 1 + 1 / tau)

            operator = q
            for _ in range(steps if cut is None else cut + 1):
                operator = tabular.fixed_backup(p.mdp, operator, log_policy.detach(), tau, reference)
            taken = torch.zeros_like(q).flatten(1).index_add(1, first * p.actions + action, paths.weight * target)
            mass = log_policy.detach().exp() / p.states
            errors[f"E[y] is the n-step backup, {form} form"] = distance(taken.view_as(q), mass * operator)
            if form == "KL" and p.uniform:
                errors["Eq. 65 by A2C's losses"] = distance(
                    dqn_gradient(p, q, paths, arm, None, cut)[0], a2c_gradient(p, q, paths, value.detach(), cut)
                )
        return errors | slopes_in_closed_form(p)

    problems = draw(cases, seed, 8, SMALL, layouts=False)
    return over(problems, one) | on_some(problems, in_training) | on_some(problems, on_policy)


def slopes_in_closed_form(p: Problem) -> Errors:
    """What trains against autodiff of the loss."""
    leaf, action, target = p.q.clone().requires_grad_(), p.logits.argmax(-1), p.logits[..., 0]
    loss, slope = make_dqn(p, "soft-dqn-kl", 1).loss(leaf, action, target)
    return {"the slope of DQN's loss": distance(slope, gradient(loss, leaf))}


def copied_first(right: Any) -> Any:
    """The target network gets the parameters of before the step."""

    def changed(self: dqn.DQN, state: State, window: Window, now: Now) -> Any:
        target, before = state["q.target"].clone(), state["q"].clone()
        metrics = right(self, state, window, now)
        if not torch.equal(state["q.target"], target):
            state["q.target"].copy_(before)
        return metrics

    return changed


STATEMENT = Statement(
    number=8,
    name="soft Q-learning = policy gradient",
    title="The gradient of the n-step soft Q-learning loss is −τ times the policy gradient plus the gradient of the value error.",
    formula=(
        r"\nabla \mathbb{E}\left[ \frac{1}{2} ( Q_\theta - y_t )^2 \right] = \mathbb{E}\left[ -\tau \nabla \log \pi_\theta \Delta_t "
        r"+ \tau^2 \nabla \mathrm{KL} + \nabla \frac{1}{2} ( V_\theta - \hat{V}_t )^2 \right]"
    ),
    source="Schulman et al. 2017, Eq. 44-47, 57-65, section 6.3",
    computed=(
        "All paths of 1 to 3 steps, with terminations and time limits; gradients of DQN's loss (KL, entropy form, any "
        "π̄), of A2C's, and of pgql's two rules; whole updates of both rules, from identical weights, on all on-policy paths."
    ),
    tolerance=1e-10,
    reason=EXPONENTIATED,
    check=check,
    mutants=(
        Mutant(
            "soft value without the factor τ",
            maxent,
            "soft_value",
            lambda right: lambda q, tau, ref=0.0: right(q, tau, ref) / tau,
        ),
        Mutant(
            "the inner KL with the wrong sign",
            dqn.DQN,
            "penalty",
            lambda right: lambda self, q, tau: -right(self, q, tau),
        ),
        Mutant(
            "the first KL is not cancelled",
            dqn,
            "n_step_windows",
            lambda right: lambda reward, penalty, *rest: right(reward, penalty, *rest) - penalty.roll(-1, 2)[..., 0],
        ),
        Mutant("target network copied before the step", dqn.DQN, "update", copied_first),
        Mutant(
            "no KL in the return that the value fits",
            a2c.A2C,
            "returns",
            lambda right: lambda self, rollout, kl, after, tau: right(self, rollout, kl, after, 0 * tau),
            "Schulman et al. 2017, Eq. 54: y_t = Σ γ^d r_{t+d} + γ^d V(s_{t+d})",
            "y_t = Σ γ^d (r_{t+d} − τKL_{t+d}) + γ^n V(s_{t+n})",
        ),
        Mutant(
            "no γ in the target",
            dqn,
            "n_step_windows",
            lambda right: (
                lambda reward, penalty, after, ended, ends, discount: right(reward, penalty, after, ended, ends, 1.0)
            ),
        ),
        Mutant(
            "`done` on time limits",
            dqn,
            "n_step_windows",
            lambda right: (
                lambda reward, penalty, after, ended, ends, discount: right(
                    reward, penalty, after, ends, ends, discount
                )
            ),
        ),
        Mutant(
            "pgql: advantage stream not scaled by 1/τ",
            pgql.PGQL,
            "slopes",
            lambda right: lambda self, *given: (given[-1] * right(self, *given)[0], *right(self, *given)[1:]),
            "Schulman et al. 2017, section 6.3: advantage stream scaled by 1/ε (tried: ε = 1)",
            "scaled by 1/τ",
        ),
        Mutant(
            "pgql: Q = V + τ log π beside r − τKL",
            pgql.PGQL,
            "error",
            lambda right: (
                lambda self, value, log_ratio, *rest: right(
                    self, value, log_ratio + maxent.log_uniform(self.choices), *rest
                )
            ),
            "Schulman et al. 2017, section 6.3: Q_θ(s, a) = V_θ(s) + τ log π_θ(a|s)",
            "V_θ(s) + τ log(π_θ(a|s)/π̄(a|s)), as Eq. 57",
        ),
        Mutant(
            "pgql: the first KL is not given back",
            pgql.PGQL,
            "error",
            lambda right: lambda self, value, ratio, target, kl, tau: right(self, value, ratio, target, 0 * kl, tau),
        ),
        Mutant(
            "pgql: the value stream counts twice",
            pgql.PGQL,
            "slopes",
            lambda right: (
                lambda self, *given: (
                    right(self, *given)[0],
                    right(self, *given)[1] * (2 if self.soft_q else 1),
                    right(self, *given)[2],
                )
            ),
        ),
    ),
)
