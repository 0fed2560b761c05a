"""A3C and SA3C: actor-learners with stale copies of shared parameters, with a one-step entropy term and with entropy in the return.

Mnih et al. 2016 (CMU 10-703, Alg. S3); Schulman, Chen, Abbeel 2017, Eq. 79-80; SA3C is named by Liu, Gu, Liu 2020. Both arms are of the
form of their Eq. 19, + alpha grad H; `sa3c` alone has it in the return. Written with KL to the uniform policy, log A - H, as a2c: with one
learner `a3c` is bit for bit `a2c-naive` of one group of environments, and `sa3c` is `a2c-proper`. Convention 1: Q leaves out s's entropy.

Asynchrony is simulated, so that it is the same every time. In a round all K learners collect, each with its own copy, in its own
environments / K; then, one after the other in an order that is drawn, each has the gradient at its copy applied to the shared parameters
by the shared RMSProp, and copies them. Since it copied, others made as many updates as it has staleness: in the first round as many as
were before it, later K - 1 + its place in this order - its place in the last: from 0 to 2 (K - 1), spread as the sum of two dice.

Settings are a2c's but for what was tuned on `a3c` (CartPole-v1, seeds 900-904, 500,000 steps): 20 steps of a rollout, gradients that are
hardly clipped (the source does not), a rate of 0.0016, which gave 500. A rate that falls to 0, as the source's, gave 486; a limit of 0.5,
as a2c's, 381, and 259 without entropy: that has one environment's gradients all count the same, be they of a fall or of nothing at all.
"""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from algorithms import experience, learner, maxent
from algorithms.learner import Act, Arm, Draw, Draws, Metric, Metrics, Now, Rollout, Row, Spaces, State, Use
from algorithms.policies import Categorical, act
from algorithms.population import Network, clip_norm_, rmsprop_, rmsprop_state
from algorithms.returns import n_step


class Settings(learner.Settings):
    environments: int = Field(default=16, ge=1)
    learners: int = Field(default=16, ge=1)
    horizon: int = Field(default=20, ge=1)
    learning_rate: Row = 1.6e-3
    anneal: bool = False
    discount: float = Field(default=0.99, ge=0, le=1)
    temperature: Row = 0.01
    value_coefficient: float = Field(default=0.5, ge=0)
    max_gradient_norm: float = Field(default=40, gt=0)
    hidden: tuple[learner.Width, ...] = (64, 64)


class A3C(learner.Learner):
    source = "Mnih et al. 2016, Algorithm S3; Schulman, Chen, Abbeel 2017, Eq. 79-80; Liu, Gu, Liu 2020"
    arms = {
        "a3c": Arm("A3C, one-step entropy term only (Eq. 79)", {"kl_in_return": False}),
        "sa3c": Arm("SA3C, KL in the return as well (Eq. 80)", {"kl_in_return": True}, "soft", "a3c", "a3c"),
    }
    actions, settings_type = "choices", Settings
    small = {"hidden": (32,), "environments": 4, "learners": 2}
    metrics = {
        "entropy": Metric("mean entropy of the behaviour policies in nats"),
        "staleness": Metric("mean over learners of the updates by others between a copy and its gradient"),
        "staleness_deviation": Metric("its deviation over learners"),
        "staleness_least": Metric("its least over learners"),
        "staleness_most": Metric("its most over learners"),
        "policy_loss": Metric("policy loss at the copies, with its KL penalty (Eq. 84)"),
        "value_loss": Metric("mean squared error of the copies' values, halved (Eq. 85)"),
    }

    def __init__(self, s: Settings, spaces: Spaces, switches: learner.Switches) -> None:
        if s.environments % s.learners:
            raise ValueError(f"learners: must divide the {s.environments} environments")
        self.settings, self.choices, self.kl_in_return = s, spaces.actions, switches["kl_in_return"]
        self.nets = Network("actor-critic", spaces, s.hidden, (spaces.actions, 1), "tanh", gains=(0.01, 1.0))
        self.exploration = Draw("gumbel", (spaces.actions,))
        self.randomness = {"order": Draw("permutation", (s.learners,))}

    def returns(self, rollout: Rollout, kl: Tensor, following: Tensor, tau: Tensor) -> Tensor:
        """n-step returns of the policies' KL and V(s') [P, T, E], tau [P, 1]."""
        reward = rollout.reward - tau.unsqueeze(2) * kl if self.kl_in_return else rollout.reward  # Eq. 80: r - tau KL
        return n_step(reward, following, rollout.terminated, rollout.truncated, self.settings.discount)

    def policy_loss(self, log_prob: Tensor, advantage: Tensor, kl: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
        """Of each step [P, B], and its slope by log pi; Eq. 84, in both arms. By the entropy, log A - KL, its slope is -tau."""
        return -log_prob * advantage + tau * kl, -advantage

    def initial(self, draws: Draws) -> State:
        shared, learners = self.nets.initial(draws), self.settings.learners
        age = torch.zeros(draws.members, learners, dtype=torch.int64, device=draws.device)  # updates since a copy
        return rmsprop_state("nets", shared) | {"copies": shared.unsqueeze(1).repeat(1, learners, 1), "copies.age": age}

    def by_learner(self, each: Tensor) -> Tensor:
        """[P, time, E, ...] as if every learner were a member [P K, time, E / K, ...]."""
        split = each.reshape(*each.shape[:2], self.settings.learners, -1, *each.shape[3:])
        return split.transpose(1, 2).flatten(0, 1)

    def behaviour(self, state: State, use: Use, now: Now) -> Act:
        if use != "collect":
            shared = self.nets.head(0, state["nets"])
            return lambda observation, noise: act(Categorical(shared(observation)), noise, use)
        logits, learners = self.nets.head(0, state["copies"].flatten(0, 1)), self.settings.learners

        def collect(observation: Tensor, noise: Tensor) -> Tensor:
            own = observation.reshape(len(observation) * learners, -1, *observation.shape[2:])
            return act(Categorical(logits(own).reshape(noise.shape)), noise, use)

        return collect

    def update(self, state: State, batch: Rollout, now: Now) -> Metrics:
        s, members = self.settings, len(batch.reward)
        own = Rollout(*(self.by_learner(each) for each in vars(batch).values()))
        copies, age = state["copies"].view(-1, state["nets"].shape[1]), state["copies.age"].view(-1)
        tau, shape = now.rows["temperature"].repeat_interleave(s.learners).unsqueeze(1), own.reward.shape
        nets = self.nets.follow(copies, own.observation[:, :-1].flatten(1, 2))
        policy, value, action = Categorical(nets.heads[0]), nets.heads[1].squeeze(2), own.action.flatten(1, 2)
        kl = maxent.kl(policy.log_policy, maxent.log_uniform(self.choices))
        following = experience.following(own, value, self.nets.head(1, copies)(experience.ahead(own)))
        target = self.returns(own, kl.view(shape), following, tau).flatten(1)
        policy_loss, by_log_prob = self.policy_loss(policy.log_prob(action), target - value, kl, tau)
        by_logits, by_value = policy.slope(action, by_log_prob, tau), s.value_coefficient * (value - target)  # Eq. 86
        gradients = nets.gradient(by_logits, by_value.unsqueeze(2))
        clip_norm_(gradients, s.max_gradient_norm, self.nets.parts)
        rate = now.rows["learning_rate"] * (1 - now.fraction if s.anneal else 1)
        staleness, first = [], torch.arange(0, len(copies), s.learners, device=copies.device)
        for who in (now.noise["order"] + first.unsqueeze(1)).unbind(1):  # Alg. S3: update theta, then theta' = theta
            rmsprop_(state, "nets", gradients.index_select(0, who), rate)
            copies.index_copy_(0, who, state["nets"])
            staleness.append(age.index_select(0, who))
            age.add_(1).index_fill_(0, who, 0)
        stale = torch.stack(staleness, 1).to(value.dtype)
        variance, mean = torch.var_mean(stale, 1, correction=0)
        told = policy.entropy(), policy_loss, 0.5 * (value - target).square()  # Eq. 85
        entropy, policy_loss, value_loss = (each.reshape(members, -1).mean(1) for each in told)
        spread = mean, variance.sqrt(), stale.amin(1), stale.amax(1)
        return dict(zip(self.metrics, (entropy, *spread, policy_loss, value_loss), strict=True))


LEARNER = A3C
