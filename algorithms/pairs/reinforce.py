"""Policy gradient (REINFORCE with a learned baseline) and its soft version, PG and SPG.

Liu, Gu, Liu 2020, Eq. 19; Schulman, Chen, Abbeel 2017, Eq. 48-49 (the bracket of 49 closes before its last term). `spg` is of Eq. 19's
form, + alpha grad H in the loss, beside alpha H in the return; `pg-bonus` has the same loss alone, which is Eq. 48. Entropies in place of
Schulman's -KL to the uniform policy, which is log A less and which numbers without bounds have not. Convention 2 (Liu): q has the entropy
of s itself, and so has the baseline. Visits are not weighted by discount^t, as Eq. 19, which has no discount, and as usual.

A rollout is fixed steps of each environment, so episodes may span several. One that goes on after a rollout's last step, or that a time
limit cut, has its return to go completed by the baseline's value of what followed. What comes later is learned from in the next rollout,
under the policy of then: every step is learned from once, with the parameters that took it. Rollouts that are long beside
1/(1 - discount) leave little to the baseline; short ones make it an actor-critic (a2c). No published settings were found for this form and
500,000 steps of CartPole-v1: rate and horizon were tuned on `pg` there (seeds 900-904; 64, 128, 256 steps; 0.0025, 0.005, 0.01);
discount, temperature, coefficients and networks are a2c's.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import Tensor

from algorithms import experience, learner, policies
from algorithms.learner import Act, Arm, Draws, Metric, Metrics, Now, Rollout, Row, Spaces, State, Use
from algorithms.population import Network, adam_, adam_state, clip_norm_
from algorithms.returns import n_step

HARD = {"entropy_in_return": False, "bonus": False}
SOFT = {"entropy_in_return": True, "bonus": True}


class Settings(learner.Settings):
    environments: int = Field(default=8, ge=1)
    horizon: int = Field(default=128, ge=1)
    learning_rate: Row = 5e-3
    discount: float = Field(default=0.99, ge=0, le=1)
    temperature: Row = 0.01
    value_coefficient: float = Field(default=0.5, ge=0)
    max_gradient_norm: float = Field(default=0.5, gt=0)
    hidden: tuple[learner.Width, ...] = (64, 64)
    scheme: Literal[1, 2, 3, 4] = 1  # of sigma where actions are numbers; Liu et al. 2020, Table 1


class Reinforce(learner.Learner):
    source = "Liu, Gu, Liu 2020, Eq. 19; Schulman, Chen, Abbeel 2017, Eq. 48-49"
    arms = {
        "pg": Arm("PG, no entropy", HARD),
        "pg-bonus": Arm("PG with the one-step bonus (Schulman Eq. 48)", {**HARD, "bonus": True}, "control", "pg", "pg"),
        "spg": Arm("SPG, Eq. 19: entropy in return and loss (+ alpha grad H)", SOFT, "soft", "pg", "pg"),
    }
    settings_type, small = Settings, {"environments": 2, "horizon": 8, "hidden": (8, 8)}
    metrics = {
        "entropy": Metric("mean entropy of the behaviour policy in nats"),
        "policy_loss": Metric("negative objective of the policy, with its bonus"),
        "value_loss": Metric("mean squared error of the baseline, halved"),
    }

    def __init__(self, s: Settings, spaces: Spaces, switches: learner.Switches) -> None:
        self.settings, self.head = s, policies.Head(spaces, s.scheme)
        self.entropy_in_return, self.bonus = switches["entropy_in_return"], switches["bonus"]
        self.nets = Network("nets", spaces, s.hidden, self.head.sizes, "tanh", gains=(0.01, 1), free=self.head.free)
        self.exploration = self.head.noise

    def returns(self, rollout: Rollout, entropy: Tensor, following: Tensor, tau: Tensor) -> Tensor:
        """Returns to go of the policies' entropies and V(s') [P, T, E], tau [P, 1]; a cut is bootstrapped, an end is not."""
        reward = rollout.reward + tau.unsqueeze(2) * entropy if self.entropy_in_return else rollout.reward  # Eq. 3-4
        return n_step(reward, following, rollout.terminated, rollout.truncated, self.settings.discount)

    def policy_loss(
        self, log_prob: Tensor, advantage: Tensor, entropy: Tensor, tau: Tensor
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Of each step [P, B], whose gradient is minus Eq. 19, its slope by log pi, and minus that by the entropy [P, 1]."""
        loss = -log_prob * advantage  # grad pi = pi grad log pi, and actions are those of pi
        return (loss - tau * entropy, -advantage, tau) if self.bonus else (loss, -advantage, None)  # + alpha grad H

    def value_loss(self, value: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Half the squared error of the baseline [P, B] and its slope by it; Schulman et al. 2017, Eq. 53."""
        return 0.5 * (value - target).square(), value - target

    def initial(self, draws: Draws) -> State:
        return adam_state("nets", self.nets.initial(draws))

    def behaviour(self, state: State, use: Use, now: Now) -> Act:
        outputs, free = self.nets.head(0, state["nets"]), self.nets.globals(state["nets"])
        return lambda observation, noise: policies.act(self.head.policy(outputs(observation), free), noise, use)

    def update(self, state: State, batch: Rollout, now: Now) -> Metrics:
        s, tau, shape = self.settings, now.rows["temperature"].unsqueeze(1), batch.reward.shape
        nets = self.nets.follow(state["nets"], batch.observation[:, :-1].flatten(1, 2))
        policy, value = self.head.policy(nets.heads[0], self.nets.globals(state["nets"])), nets.heads[1].squeeze(2)
        action, entropy = batch.action.flatten(1, 2), policy.entropy()
        following = experience.following(batch, value, self.nets.head(1, state["nets"])(experience.ahead(batch)))
        target = self.returns(batch, entropy.view(shape), following, tau).flatten(1)
        policy_loss, by_log_prob, bonus = self.policy_loss(policy.log_prob(action), target - value, entropy, tau)
        value_loss, by_value = self.value_loss(value, target)
        by_outputs, by_globals = self.head.slope(policy, nets.heads[0], action, by_log_prob, bonus)
        gradients = nets.gradient(by_outputs, s.value_coefficient * by_value.unsqueeze(2), by_globals=by_globals)
        clip_norm_(gradients, s.max_gradient_norm, self.nets.parts)
        adam_(state, "nets", gradients, now.rows["learning_rate"])
        means = entropy, policy_loss, value_loss
        return {name: values.mean(1) for name, values in zip(self.metrics, means, strict=True)}


LEARNER = Reinforce
