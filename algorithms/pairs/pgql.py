"""The policy-gradient rule and the soft Q-learning rule on one network with heads for value and policy: the same gradient in expectation.

Schulman, Chen, Abbeel 2017, sections 4 and 6.3. Both arms have KL in the return: `pg-rule` is a2c's proper arm (Eq. 80, 84-86; the form of
Liu et al. 2020, Eq. 19), and `soft-q-rule` fits Q = V + tau log pi/ref to n-step targets (Eq. 46, 57), without target network or epsilon.
The print has Q = V + tau log pi, which fits r + tau H alone: beside r - tau KL its expected value gradient would differ by tau log A.
Convention 1: Q(s, a) leaves out the entropy of s. Settings of a2c, as in the source: "the same default A2C hyperparameters".
"""

from __future__ import annotations

from pydantic import Field
from torch import Tensor

from algorithms import experience, learner, maxent
from algorithms.learner import Act, Arm, Draw, Draws, Metric, Metrics, Now, Rollout, Row, Spaces, State, Use
from algorithms.policies import Categorical, act
from algorithms.population import Network, clip_norm_, rmsprop_, rmsprop_state
from algorithms.returns import n_step


class Settings(learner.Settings):
    environments: int = Field(default=16, ge=1)
    horizon: int = Field(default=5, ge=1)
    learning_rate: Row = 1.4e-3
    discount: float = Field(default=0.99, ge=0, le=1)
    temperature: Row = 0.01
    value_coefficient: float = Field(default=0.5, ge=0)
    max_gradient_norm: float = Field(default=0.5, gt=0)
    hidden: tuple[learner.Width, ...] = (64, 64)


class PGQL(learner.Learner):
    source = "Schulman, Chen, Abbeel 2017, section 6.3, Eq. 46, 57, 80 and 84-86"
    arms = {
        "pg-rule": Arm("policy-gradient rule: A2C with KL in the return (Eq. 80)", {"soft_q": False}),
        "soft-q-rule": Arm(
            "soft Q-learning rule, Q = V + tau log pi/ref", {"soft_q": True}, "soft", "pg-rule", "pg-rule"
        ),
    }
    actions, settings_type, small = "choices", Settings, {"hidden": (32, 32), "environments": 4}
    metrics = {
        "entropy": Metric("mean entropy of the behaviour policy in nats"),
        "q_loss": Metric("mean squared error of Q = V + tau log pi/ref, halved (Eq. 44), in both arms"),
        "value_loss": Metric("mean squared error of V, halved (Eq. 85), in both arms"),
    }

    def __init__(self, settings: Settings, spaces: Spaces, switches: learner.Switches) -> None:
        self.settings, self.choices, self.soft_q = settings, spaces.actions, switches["soft_q"]
        self.nets = Network("actor-critic", spaces, settings.hidden, (spaces.actions, 1), "tanh", gains=(0.01, 1.0))
        self.exploration = Draw("gumbel", (spaces.actions,))

    def returns(self, rollout: Rollout, kl: Tensor, following: Tensor, tau: Tensor) -> Tensor:
        """V-hat, n-step returns of the policies' KL and V(s') [P, T, E], tau [P, 1]; Eq. 54, corrected: with r - tau KL."""
        reward = rollout.reward - tau.unsqueeze(2) * kl
        return n_step(reward, following, rollout.terminated, rollout.truncated, self.settings.discount)

    def error(self, value: Tensor, log_ratio: Tensor, target: Tensor, kl: Tensor, tau: Tensor) -> Tensor:
        """Q(s, a) - y [P, B] of V, log pi(a|s)/ref, V-hat and KL."""
        # Eq. 57: Q = V + tau log pi/ref; Eq. 46: y = V-hat + tau KL.
        return value + tau * log_ratio - (target + tau * kl)

    def slopes(
        self, value: Tensor, log_ratio: Tensor, target: Tensor, kl: Tensor, tau: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Of what each step descends, by log pi(a|s) and by V [P, B], and minus that by the entropy [P, 1]."""
        c = self.settings.value_coefficient
        # Half (Q - y)^2: by tau log pi and by V it is Q - y, scaled by 1/tau (print: 1/eps) and by c, section 6.3.
        if self.soft_q:
            error = self.error(value, log_ratio, target, kl, tau)
            return error, c * error, None
        # Eq. 84-86: - (V-hat - V) log pi + tau KL + c (V - V-hat)^2 / 2.
        return value - target, c * (value - target), tau

    def initial(self, draws: Draws) -> State:
        return rmsprop_state("nets", self.nets.initial(draws))

    def behaviour(self, state: State, use: Use, now: Now) -> Act:
        logits = self.nets.head(0, state["nets"])
        return lambda observation, noise: act(Categorical(logits(observation)), noise, use)

    def update(self, state: State, batch: Rollout, now: Now) -> Metrics:
        s, tau, shape = self.settings, now.rows["temperature"].unsqueeze(1), batch.reward.shape
        nets = self.nets.follow(state["nets"], batch.observation[:, :-1].flatten(1, 2))
        policy, value, action = Categorical(nets.heads[0]), nets.heads[1].squeeze(2), batch.action.flatten(1, 2)
        reference = maxent.log_uniform(self.choices)
        log_ratio, kl = policy.log_prob(action) - reference, maxent.kl(policy.log_policy, reference)
        following = experience.following(batch, value, self.nets.head(1, state["nets"])(experience.ahead(batch)))
        target = self.returns(batch, kl.view(shape), following, tau).flatten(1)
        by_log_prob, by_value, bonus = self.slopes(value, log_ratio, target, kl, tau)
        gradients = nets.gradient(policy.slope(action, by_log_prob, bonus), by_value.unsqueeze(2))
        clip_norm_(gradients, s.max_gradient_norm, self.nets.parts)
        rmsprop_(state, "nets", gradients, now.rows["learning_rate"])
        errors = self.error(value, log_ratio, target, kl, tau), value - target
        means = policy.entropy(), *(0.5 * error.square() for error in errors)
        return {name: values.mean(1) for name, values in zip(self.metrics, means, strict=True)}


LEARNER = PGQL
