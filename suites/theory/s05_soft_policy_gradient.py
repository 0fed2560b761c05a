"""5. The soft policy gradient theorem: Eq. 19 = Eq. 20 = the gradient of J, by one temperature. Liu et al. 2020, section 3."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from algorithms import maxent, tabular
from algorithms.learner import Rollout
from algorithms.pairs import ppo, reinforce
from algorithms.policies import Categorical
from algorithms.population import adam_state
from algorithms.returns import gae
from suites.theory.problems import (
    SMALL,
    Paths,
    Problem,
    by_state,
    distance,
    draw,
    enumerate_paths,
    exact_value,
    following,
    gradient,
    make_ppo,
    make_reinforce,
    over,
    read,
    rows_of,
    spg_gradient,
)
from suites.theory.statement import SUMMED, Errors, Mutant, Statement
from suites.theory.updates import adam_gradient, on_some, random_rollout, tables_of, tabulated, updated

STEPS, TRACE = 2, 0.9
HORIZON, ENVIRONMENTS = 4, 3  # of an update
SOFT = {"sppo-38": "Eq. 19", "sppo-40": "Eq. 20"}


def expected_advantage(p: Problem, paths: Paths, arm: str, value: Tensor) -> tuple[Tensor, Tensor]:
    """The arm's own advantages of the first steps with exact V [N, W], and by how much V plus these misses V in expectation [N, S]."""
    learner, rollout = make_ppo(p, arm, TRACE), paths.rollout(p.states)
    values, observation = rows_of(value, paths), rollout.observation[:, :-1]
    old, now = Categorical(read(rows_of(p.logits, paths), observation)), read(values, observation)
    after, tau = following(rollout, values), rows_of(p.tau, paths)
    reward = learner.reward(rollout.reward, old.entropy(), tau)
    advantage = gae(reward, now, after, rollout.terminated, rollout.truncated, p.discount, TRACE)
    advantage = advantage[:, 0].view(p.count, -1)
    return advantage, torch.zeros_like(value).index_add(1, paths.state[:, 0], paths.weight * advantage)


def expected_gradient(p: Problem, paths: Paths, arm: str, advantage: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """Expected gradient [N, S, A] of the arm's policy objective at the old policy, and by what its advantages were divided [N, 1].

    Their mean and deviation are those of a batch of all paths and of `others` [N, K]: whatever they are, paths do not change them.
    """
    learner, policy = make_ppo(p, arm, TRACE), Categorical(p.logits[:, paths.state[:, 0]])
    action = paths.action[:, 0].expand(p.count, -1)
    old, batch = policy.log_prob(action), torch.cat([advantage, others], 1)
    weight, bonus = learner.weights(batch, torch.cat([old, others], 1), p.tau)
    _, slope = learner.policy_loss(torch.ones_like(old), weight[:, : paths.count])
    return -by_state(paths, policy.slope(action, slope, bonus), p.states), batch.std(1, keepdim=True) + 1e-8


def in_expectation(p: Problem) -> Errors:
    """Over all paths: with any baseline m and any deviation σ, σ times the gradient of the soft arms' loss is the gradient of J."""
    leaf = p.logits.clone().requires_grad_()
    log_policy = torch.log_softmax(leaf, -1)
    paths = visited(p)
    others = p.normal(p.count, 3) * p.normal(p.count, 1).exp()
    errors: Errors = {}
    for arm, tau in {"ppo": 0.0, "sppo-38": p.temperature, "sppo-40": p.temperature}.items():
        value = exact_value(p, log_policy, tau, 0.0)
        truth = gradient((p.mdp.start * value).sum(-1), leaf)
        advantage, bias = expected_advantage(p, paths, arm, value.detach())
        found, deviation = expected_gradient(p, paths, arm, advantage, others)
        name = f"{SOFT.get(arm, 'hard')}: {arm}"
        errors[f"{name}, σ x its gradient is that of J"] = distance(deviation.unsqueeze(2) * found, truth, 1 + tau)
        errors[f"{name}, value target is V in expectation"] = distance(
            bias, torch.zeros_like(bias), 1 + value.abs().amax(1).detach()
        )
    for arm, tau in {"pg": 0.0, "spg": p.temperature}.items():
        value = exact_value(p, log_policy, tau, 0.0)
        truth = gradient((p.mdp.start * value).sum(-1), leaf)
        errors[f"{arm}, its gradient is that of J"] = distance(
            spg_gradient(p, paths, arm, value.detach()), truth, 1 + tau
        )
    return errors


def of_the_controls(p: Problem) -> Errors:
    """They weigh entropy by σ α in the loss, and by α in the return: two temperatures, and the gradient of J at σ = 1 alone."""
    leaf, paths, tau = p.logits.clone().requires_grad_(), visited(p), p.temperature
    log_policy = torch.log_softmax(leaf, -1)
    value = exact_value(p, log_policy, tau, 0.0)
    truth = gradient((p.mdp.start * value).sum(-1), leaf)
    entropy, visits = -(log_policy.exp() * log_policy).sum(-1), tabular.occupancy(p.mdp, p.log_policy)
    rise = gradient((visits * entropy).sum(1), leaf) / (1 - p.discount)
    errors: Errors = {}
    for arm in (f"{arm}-baselines" for arm in SOFT):
        advantage, _ = expected_advantage(p, paths, arm, value.detach())
        found, deviation = expected_gradient(p, paths, arm, advantage, p.normal(p.count, 3))
        second = (deviation.unsqueeze(2) - 1) * tau * rise
        found = deviation.unsqueeze(2) * found
        errors[f"{arm} is off by (σ − 1) α ∇H"] = distance(found - second, truth, 1 + tau)
        predicted, missed = (each.flatten(1).norm(dim=1) for each in (second, found - truth))
        wrong = (predicted > 1e-6) & (missed < predicted / 2)
        errors[f"{arm} is not the gradient of J, but at σ = 1"] = wrong.double()
    return errors


def visited(p: Problem) -> Paths:
    """All two-step paths from the states that the policy visits, by how often it does."""
    return enumerate_paths(p.mdp, p.log_policy, STEPS, tabular.occupancy(p.mdp, p.log_policy) / (1 - p.discount))


def advantages(p: Problem, rollout: Rollout, value: Tensor, entropy: Tensor, trace: float = TRACE) -> Tensor:
    """Eq. 35-37 as a double sum over later steps [P, T, E], of a reward with alpha times `entropy` [P, S]; no function of the code."""
    now, led = read(value, rollout.observation), read(value, rollout.final)
    reward = rollout.reward + p.temperature * read(entropy, rollout.observation[:, :-1])
    total, cuts, errors = torch.zeros_like(reward), torch.zeros_like(rollout.truncated[:, :1].long()), []
    for t in range(HORIZON):
        cut, ended = rollout.truncated[:, t], rollout.terminated[:, t]
        after = torch.where(cut, led.gather(1, cuts).squeeze(1), now[:, t + 1])
        errors.append(reward[:, t] + p.discount * torch.where(ended, 0.0, after) - now[:, t])
        cuts = cuts + cut.unsqueeze(1).long()
    for first in range(HORIZON):
        weight = torch.ones_like(reward[:, 0])
        for t in range(first, HORIZON):
            total[:, first] += weight * errors[t]
            weight = weight * p.discount * trace * ~(rollout.terminated[:, t] | rollout.truncated[:, t])
    return total


def in_training(p: Problem) -> Errors:
    """A whole update on random experience of several environments: σ times the gradient that it descends is the sampled Eq. 19 or 20."""
    rollout, value = random_rollout(p, HORIZON, ENVIRONMENTS), p.q.amax(-1)
    size = HORIZON * ENVIRONMENTS
    order = torch.argsort(p.normal(p.count, 1, size), 2)
    entropy = -(p.log_policy.exp() * p.log_policy).sum(-1)
    hard, soft = (advantages(p, rollout, value, counted).flatten(1) for counted in (0 * entropy, entropy))
    errors: Errors = {}
    for arm in ("ppo", "ppo-bonus", *SOFT, *(f"{arm}-baselines" for arm in SOFT)):
        shape = {"horizon": HORIZON, "environments": ENVIRONMENTS, "epochs": 1, "minibatches": 1}
        learner = make_ppo(p, arm, TRACE, max_gradient_norm=1e12, **shape)
        state = adam_state("nets", tabulated(learner.nets, p.logits, value.unsqueeze(-1)))
        updated(learner, p, state, rollout, minibatch=order)
        found, by_value = tables_of(learner.nets, adam_gradient(state, "nets"))

        advantage = soft if arm.startswith("sppo") else hard
        deviation = advantage.std(1, keepdim=True) + 1e-8
        leaf, table = p.logits.clone().requires_grad_(), value.clone().requires_grad_()
        observation = rollout.observation[:, :-1].flatten(1, 2)
        policy, action = torch.log_softmax(read(leaf, observation), -1), rollout.action.flatten(1)
        log_prob = policy.gather(2, action.unsqueeze(2)).squeeze(2)
        alpha = p.tau * (1 if arm in SOFT else deviation)
        weight = advantage - advantage.mean(1, keepdim=True) - alpha * log_prob.detach() * arm.startswith("sppo-40")
        bonus = -alpha * (policy.exp() * policy).sum(-1) * ("38" in arm or "bonus" in arm)
        expected = -gradient((log_prob * weight + bonus).mean(1), leaf)
        errors[f"{arm}: what an update descends"] = distance(
            deviation.unsqueeze(2) * found, expected, 1 + p.temperature
        )
        target = (advantage + read(value, observation)).detach()
        loss = 0.25 * (read(table, observation) - target).square().mean(1)
        errors[f"{arm}: what its critic descends"] = distance(by_value.squeeze(-1), gradient(loss, table))
    return errors


def in_training_without_scaling(p: Problem) -> Errors:
    """The same of PG and SPG, whose returns go to the end (trace 1) and whose advantages are not normalized."""
    rollout, value = random_rollout(p, HORIZON, ENVIRONMENTS), p.q.amax(-1)
    observation, action = rollout.observation[:, :-1].flatten(1, 2), rollout.action.flatten(1)
    errors: Errors = {}
    for arm in reinforce.Reinforce.arms:
        shape = {"horizon": HORIZON, "environments": ENVIRONMENTS}
        learner = make_reinforce(p, arm, max_gradient_norm=1e12, **shape)
        state = adam_state("nets", tabulated(learner.nets, p.logits, value.unsqueeze(-1)))
        updated(learner, p, state, rollout)
        found, by_value = tables_of(learner.nets, adam_gradient(state, "nets"))

        leaf, table = p.logits.clone().requires_grad_(), value.clone().requires_grad_()
        log_policy = torch.log_softmax(leaf, -1)
        entropy = -(log_policy.exp() * log_policy).sum(-1)
        advantage = advantages(p, rollout, value, entropy.detach() * (arm == "spg"), 1.0).flatten(1)
        log_prob = read(log_policy, observation).gather(2, action.unsqueeze(2)).squeeze(2)
        objective = log_prob * advantage + p.temperature * read(entropy, observation) * (arm != "pg")
        errors[f"{arm}: what an update descends"] = distance(
            found, -gradient(objective.mean(1), leaf), 1 + p.temperature
        )
        loss = 0.25 * (read(table, observation) - (advantage + read(value, observation))).square().mean(1)
        errors[f"{arm}: what its critic descends"] = distance(by_value.squeeze(-1), gradient(loss, table))
    return errors


def check(cases: int, seed: int) -> Errors:
    problems = draw(cases, seed, 5, SMALL, layouts=False)

    def in_updates(p: Problem) -> Errors:
        return of_the_controls(p) | in_training(p) | in_training_without_scaling(p)

    return over(problems, in_expectation) | on_some(problems, in_updates)


def changed_weights(change: Any) -> Any:
    """`change` of what multiplies ratios and entropy, of the learner, of its weights and of their arguments."""
    return lambda right: lambda self, *arguments: change(self, *right(self, *arguments), *arguments)


def bonus_by_action(self: ppo.PPO, weight: Tensor, bonus: Tensor | None, *arguments: Tensor) -> Any:
    return weight, None if bonus is None else self.exploration.shape[0] * bonus


def two_temperatures(right: Any) -> Any:
    """Alpha beside the scaled advantage, as the controls have it on purpose."""

    def changed(self: ppo.PPO, *arguments: Tensor) -> Any:
        kept, self.scaled = self.scaled, False
        try:
            return right(self, *arguments)
        finally:
            self.scaled = kept

    return changed


def log_policy_first(right: Any) -> Any:
    """Eq. 41's term in the advantage before its mean and deviation are taken."""

    def changed(self: ppo.PPO, advantage: Tensor, old_log_prob: Tensor, tau: Tensor) -> Any:
        if self.log_policy:
            advantage, old_log_prob = advantage - tau * old_log_prob, 0 * old_log_prob
        return right(self, advantage, old_log_prob, tau)

    return changed


def wrong_step(right: Any) -> Any:
    """Entropies [P, T, E] read as [P, E, T]: right where there is one environment."""

    def changed(self: ppo.PPO, reward: Tensor, entropy: Tensor, tau: Tensor) -> Any:
        return right(self, reward, entropy.mT.reshape(entropy.shape), tau)

    return changed


STATEMENT = Statement(
    number=5,
    name="soft policy gradient theorem",
    title=(
        "Soft policy gradient theorem: Eq. 19 = Eq. 20 = the gradient of the entropy-regularized return, under discounted visits; "
        "SPPO's one temperature keeps it so, however advantages are normalized."
    ),
    formula=(
        r"\nabla J = \sum_s \eta(s) \left( \sum_a q_\pi(s, a) \nabla \pi(a|s) + \alpha \nabla H(s) \right)"
        r" = \sum_s \eta(s) \sum_a [ q_\pi(s, a) - \alpha \log \pi(a|s) ] \nabla \pi(a|s)"
    ),
    source="Liu, Gu, Liu 2020, Eq. 19-20; the code's Eq. 35-41",
    computed=(
        "All two-step paths weighted by discounted visits; returns and loss of PG and SPG, advantages and loss of PPO's arms at the old "
        "policy, with random baseline and deviation; autodiff of J. Whole updates on random experience of three environments against the "
        "sampled equations."
    ),
    tolerance=1e-10,
    reason=SUMMED,
    check=check,
    mutants=(
        Mutant(
            "descent on the objective",
            ppo.PPO,
            "weights",
            changed_weights(lambda self, weight, bonus, *_: (-weight, None if bonus is None else -bonus)),
            "Liu, Gu, Liu 2020, Algorithm 1, line 9: θ ← θ − λ∇L with L of Eq. 38 or 40, which is maximized",
            "θ ← θ + λ∇L",
        ),
        Mutant(
            "α∇H inside the sum over actions, so that each action counts it",
            ppo.PPO,
            "weights",
            changed_weights(bonus_by_action),
            "Liu, Gu, Liu 2020, Eq. 11-19: Σ_a [q ∇π + α∇H]",
            "Σ_a [q ∇π] + α∇H",
        ),
        Mutant(
            "Eq. 19 without α∇H", ppo.PPO, "weights", changed_weights(lambda self, weight, bonus, *_: (weight, None))
        ),
        Mutant(
            "two temperatures: entropy in the loss not divided by σ",
            ppo.PPO,
            "weights",
            two_temperatures,
        ),
        Mutant("log π within what the advantage is normalized by", ppo.PPO, "weights", log_policy_first),
        Mutant("entropy given to another step where there are several environments", ppo.PPO, "reward", wrong_step),
        Mutant(
            "SPG without the entropy in its return",
            reinforce.Reinforce,
            "returns",
            lambda right: lambda self, rollout, entropy, *rest: right(self, rollout, 0 * entropy, *rest),
        ),
        Mutant(
            "SPG without α∇H",
            reinforce.Reinforce,
            "policy_loss",
            lambda right: lambda self, *arguments: (*right(self, *arguments)[:2], None),
        ),
        Mutant(
            "SPG: `done` on time limits",
            reinforce,
            "n_step",
            lambda right: lambda reward, after, ended, cut, discount: right(reward, after, ended | cut, cut, discount),
        ),
        Mutant("entropy with the wrong sign", maxent, "entropy", lambda right: lambda log_policy: -right(log_policy)),
        Mutant(
            "no γ in the advantage",
            ppo,
            "gae",
            lambda right: (
                lambda reward, v, after, ended, cut, discount, trace: right(reward, v, after, ended, cut, 1.0, trace)
            ),
        ),
        Mutant(
            "`done` on time limits",
            ppo,
            "gae",
            lambda right: (
                lambda reward, v, after, ended, cut, discount, trace: right(
                    reward, v, after, ended | cut, cut, discount, trace
                )
            ),
        ),
        Mutant(
            "visits not discounted: the first state alone",
            tabular,
            "occupancy",
            lambda right: lambda mdp, log_policy: mdp.start,
        ),
    ),
)
