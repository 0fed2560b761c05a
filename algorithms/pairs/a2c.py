"""A2C with a naive and with a proper entropy term: Schulman, Chen, Abbeel 2017, section 6.1, Eq. 79-80.

Both arms have -tau grad KL(pi || uniform) beside the policy gradient (the form of Liu et al. 2020, Eq. 19); the proper one alone has KL in
the return. Convention 1 (Schulman): Q(s, a) leaves out s's entropy. Settings of OpenAI baselines' a2c but for the rate."""

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
    learning_rate: Row = 1.4e-3  # constant (theirs: 7e-4 falling to 0): our first choice, neither a source's nor tuned
    anneal: bool = False
    discount: float = Field(default=0.99, ge=0, le=1)
    temperature: Row = 0.01
    value_coefficient: float = Field(default=0.5, ge=0)  # of half the squared error (theirs: of the whole)
    max_gradient_norm: float = Field(default=0.5, gt=0)  # of actor and critic apart (theirs: of both)
    hidden: tuple[learner.Width, ...] = (64, 64)


class A2C(learner.Learner):
    source = "Schulman, Chen, Abbeel 2017, section 6.1, Eq. 79-80"
    arms = {
        "a2c-naive": Arm("A2C, one-step entropy term only (Eq. 79)", {"kl_in_return": False}),
        "a2c-proper": Arm("A2C, KL in the return (Eq. 80)", {"kl_in_return": True}, "soft", "a2c-naive", "a2c-naive"),
    }
    actions, settings_type, small = "choices", Settings, {"hidden": (32, 32), "environments": 4}
    metrics = {
        "entropy": Metric("mean entropy of the behaviour policy in nats"),
        "policy_loss": Metric("policy loss with its KL penalty (Eq. 84)"),
        "value_loss": Metric("mean squared error of the value, halved (Eq. 85)"),
    }

    def __init__(self, settings: Settings, spaces: Spaces, switches: learner.Switches) -> None:
        self.settings, self.choices, self.kl_in_return = settings, spaces.actions, switches["kl_in_return"]
        self.nets = Network("actor-critic", spaces, settings.hidden, (spaces.actions, 1), "tanh", gains=(0.01, 1.0))
        self.exploration = Draw("gumbel", (spaces.actions,))

    def returns(self, rollout: Rollout, kl: Tensor, following: Tensor, tau: Tensor) -> Tensor:
        """n-step returns of the policies' KL and V(s') [P, T, E], tau [P, 1]."""
        reward = rollout.reward - tau.unsqueeze(2) * kl if self.kl_in_return else rollout.reward  # Eq. 80: r - tau KL
        return n_step(reward, following, rollout.terminated, rollout.truncated, self.settings.discount)

    def policy_loss(self, log_prob: Tensor, advantage: Tensor, kl: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
        """Of each step [P, B], and its slope by log pi; Eq. 84, in both arms. By the entropy, log A - KL, its slope is -tau."""
        return -log_prob * advantage + tau * kl, -advantage

    def initial(self, draws: Draws) -> State:
        return rmsprop_state("nets", self.nets.initial(draws))

    def behaviour(self, state: State, use: Use, now: Now) -> Act:
        logits = self.nets.head(0, state["nets"])
        return lambda observation, noise: act(Categorical(logits(observation)), noise, use)

    def update(self, state: State, batch: Rollout, now: Now) -> Metrics:
        s, tau, shape = self.settings, now.rows["temperature"].unsqueeze(1), batch.reward.shape
        nets = self.nets.follow(state["nets"], batch.observation[:, :-1].flatten(1, 2))
        policy, value, action = Categorical(nets.heads[0]), nets.heads[1].squeeze(2), batch.action.flatten(1, 2)
        kl = maxent.kl(policy.log_policy, maxent.log_uniform(self.choices))
        following = experience.following(batch, value, self.nets.head(1, state["nets"])(experience.ahead(batch)))
        target = self.returns(batch, kl.view(shape), following, tau).flatten(1)
        policy_loss, by_log_prob = self.policy_loss(policy.log_prob(action), target - value, kl, tau)
        by_logits, by_value = policy.slope(action, by_log_prob, tau), s.value_coefficient * (value - target)  # Eq. 86
        gradients = nets.gradient(by_logits, by_value.unsqueeze(2))
        clip_norm_(gradients, s.max_gradient_norm, self.nets.parts)
        rmsprop_(state, "nets", gradients, now.rows["learning_rate"] * (1 - now.fraction if s.anneal else 1))
        means = policy.entropy(), policy_loss, 0.5 * (value - target).square()  # Eq. 85
        return {name: values.mean(1) for name, values in zip(self.metrics, means, strict=True)}


LEARNER = A2C
