"""A2C with a naive and with a proper entropy term: Schulman, Chen, Abbeel 2017, section 6.1, Eq. 79-80.

Both arms penalize KL(pi || uniform) in the policy gradient; only the proper one has it in the return as well, so that its critic fits
the entropy-augmented return. Convention 1 (Schulman): Q(s, a) leaves out the entropy of s. Synchronous A3C (Mnih et al. 2016): 5-step
returns, 16 environments, RMSProp, gradient norm 0.5, value coefficient 0.5, constant learning rate.
"""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field
from torch import Tensor

from algorithms import learner, maxent
from algorithms.learner import Arm, Behaviour, Metrics, Rollout, Spaces
from algorithms.policies import Categorical
from algorithms.population import (
    WIDTH,
    Draws,
    Layout,
    State,
    clip_norm_,
    gradient,
    mlp,
    mlp_shapes,
    optimizer_state,
    orthogonal_layers,
    rmsprop_,
    tanh,
)
from algorithms.returns import n_step


class Settings(learner.Settings):
    environments: int = Field(default=16, ge=1)
    horizon: int = Field(default=5, ge=1)
    learning_rate: float = Field(default=1.4e-3, gt=0)
    discount: float = Field(default=0.99, ge=0, le=1)
    temperature: float = Field(default=0.01, ge=0)
    value_coefficient: float = Field(default=0.5, ge=0)
    max_gradient_norm: float = Field(default=0.5, gt=0)
    rms_decay: float = Field(default=0.99, ge=0, lt=1)
    rms_epsilon: float = Field(default=1e-5, gt=0)
    hidden: int = Field(default=64, ge=WIDTH, multiple_of=WIDTH)


class A2C(learner.Learner):
    source = "Schulman, Chen, Abbeel 2017, section 6.1, Eq. 79-80"
    arms = {
        "a2c-naive": Arm("A2C with the one-step entropy term only (Eq. 79)", False, {"kl_in_return": False}),
        "a2c-proper": Arm(
            "A2C with the entropy in the return as well (Eq. 80)", True, {"kl_in_return": True}, hard="a2c-naive"
        ),
    }
    settings_type = Settings
    metrics = {
        "entropy": "mean entropy of the behaviour policy in nats",
        "policy_loss": "policy loss with its KL penalty (Eq. 84)",
        "value_loss": "mean squared error of the value, halved (Eq. 85)",
        "gradient_norm": "2-norm of the gradient before clipping",
    }

    def __init__(self, settings: Settings, spaces: Spaces, steps: int, kl_in_return: bool):
        self.settings, self.spaces, self.steps = settings, spaces, steps
        self.environments, self.horizon = settings.environments, settings.horizon
        self.kl_in_return = kl_in_return
        hidden = settings.hidden
        self.layout = Layout(
            {
                **mlp_shapes("actor", [spaces.observation, hidden, hidden, spaces.actions]),
                **mlp_shapes("critic", [spaces.observation, hidden, hidden, 1]),
            }
        )

    def returns(self, rollout: Rollout, policy: Categorical, next_value: Tensor) -> Tensor:
        """n-step returns [P, T, E]; proper: Eq. 80, naive: Eq. 79. The policy's rows are the rollout's steps."""
        s = self.settings
        penalty = maxent.kl(policy.log_policy.detach(), maxent.log_uniform(self.spaces.actions)).view_as(rollout.reward)
        reward = rollout.reward - self.kl_in_return * s.temperature * penalty  # Eq. 80: r - tau KL
        return n_step(reward, next_value, rollout.terminated, rollout.truncated, s.discount)

    def policy_loss(self, policy: Categorical, action: Tensor, advantage: Tensor) -> Tensor:
        """Loss [P] of actions [P, B] with constant advantages [P, B]; Eq. 84, in both arms."""
        penalty = maxent.kl(policy.log_policy, maxent.log_uniform(self.spaces.actions))
        return (-policy.log_prob(action) * advantage + self.settings.temperature * penalty).mean(1)

    def value(self, parameters: dict[str, Tensor], observation: Tensor) -> Tensor:
        """Value [P, B] at observation [P, B, D]."""
        return mlp(parameters, "critic", observation, tanh, 1).squeeze(-1)

    def policy(self, parameters: dict[str, Tensor], observation: Tensor) -> Categorical:
        """Policy at observation [P, B, D]."""
        return Categorical(mlp(parameters, "actor", observation, tanh, self.spaces.actions))

    def initial(self, draws: Draws) -> State:
        heads = {"actor.2.weight": (self.spaces.actions, 0.01), "critic.2.weight": (1, 1.0)}
        tensors = orthogonal_layers(draws, self.layout, heads)
        return optimizer_state("parameters", self.layout.join(tensors).to(draws.device), "rms_square")

    def noise(self, draws: Draws, role: str, shape: tuple[int, ...]) -> Tensor:
        return draws.gumbel(role, (*shape, self.spaces.actions))

    def behaviour(self, state: State) -> Behaviour:
        parameters = self.layout.split(state["parameters"])
        return lambda observation, noise, step: self.policy(parameters, observation).sample(noise)

    def update(self, state: State, rollout: Rollout, draws: Draws, step: int) -> Metrics:
        s = self.settings
        leaf = state["parameters"].detach().requires_grad_()
        parameters = self.layout.split(leaf)
        observation = rollout.observation.flatten(1, 2)
        policy, value = self.policy(parameters, observation), self.value(parameters, observation)
        with torch.no_grad():
            next_value = self.value(parameters, rollout.next_observation.flatten(1, 2)).view_as(rollout.reward)
            target = self.returns(rollout, policy, next_value).flatten(1)
        policy_loss = self.policy_loss(policy, rollout.action.flatten(1, 2), target - value.detach())
        value_loss = 0.5 * (value - target).square().mean(1)  # Eq. 85
        gradients = gradient(policy_loss + s.value_coefficient * value_loss, leaf)  # Eq. 86
        norm = clip_norm_(gradients, s.max_gradient_norm)
        rmsprop_(state, "parameters", gradients, s.learning_rate, s.rms_decay, s.rms_epsilon)
        entropy = policy.entropy().detach().mean(1)
        return {
            "entropy": entropy,
            "policy_loss": policy_loss.detach(),
            "value_loss": value_loss.detach(),
            "gradient_norm": norm,
        }


LEARNER: Any = A2C
