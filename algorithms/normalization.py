"""Running normalization of observations and scaling of rewards, for every on-policy pair.

As CleanRL's ppo_continuous_action.py has them in wrappers of the environment, but updated once a rollout.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.learner import Draws, Rollout, State

LIMIT = 10.0
"""Normalized observations and scaled rewards are clipped to +-LIMIT."""
EPSILON = 1e-8


class Normalization:
    """Of one pair's rollouts. In `update`: first `scale_`, then learn from `normalize`d observations, at the end `track_`.

    So all that an update computes, and the acting before it, sees observations through the same statistics. Where it is off, nothing is in
    the state and nothing changes.
    """

    def __init__(self, on: bool, observation: tuple[int, ...], environments: int, discount: float) -> None:
        self.on, self.observation, self.environments, self.discount = on, observation, environments, discount

    def initial(self, draws: Draws) -> State:
        if not self.on:
            return {}
        statistics = statistic(draws, "observation", self.observation) | statistic(draws, "return", ())
        return statistics | {"return.sum": torch.zeros(draws.members, self.environments, device=draws.device)}

    def normalize(self, state: State, observation: Tensor) -> Tensor:
        """Observations [P, ..., *shape], less their running mean, over their running deviation, clipped."""
        if not self.on:
            return observation
        mean, variance = (over(state[f"observation.{name}"], observation) for name in ("mean", "variance"))
        return ((observation - mean) / (variance + EPSILON).sqrt()).clamp(-LIMIT, LIMIT)

    def scale_(self, state: State, rollout: Rollout) -> Tensor:
        """Rewards [P, T, E] over the running deviation of the discounted return, clipped; the rollout's own returns are counted first.

        That return is a sum of past rewards: G_t = r_t + discount G_{t-1}, from 0 at an episode's start. It is carried from rollout to
        rollout, as in the source: from 0 at each rollout's start a short horizon would see returns that are too small. A segment ends in
        a cut, so nothing is carried into environments that start anew.
        """
        if not self.on:
            return rollout.reward
        ends, total, totals = rollout.terminated | rollout.truncated, state["return.sum"], []
        for reward, end in zip(rollout.reward.unbind(1), ends.unbind(1), strict=True):
            total = reward + self.discount * total
            totals.append(total)
            total = total * ~end
        state["return.sum"].copy_(total)
        merge_(state, "return", torch.stack(totals, 1).flatten(1))
        deviation = (over(state["return.variance"], rollout.reward) + EPSILON).sqrt()
        return (rollout.reward / deviation).clamp(-LIMIT, LIMIT)

    def track_(self, state: State, rollout: Rollout) -> None:
        """Count the rollout's observations; the last one, on which nothing was done yet, is the next rollout's first."""
        if self.on:
            merge_(state, "observation", rollout.observation[:, :-1].flatten(1, 2))


def statistic(draws: Draws, name: str, shape: tuple[int, ...]) -> State:
    """Mean and variance [P, *shape] of nothing yet, and the count [P] in float64: float32 would stop counting at 16,777,216."""
    mean = torch.zeros(draws.members, *shape, device=draws.device)
    count = torch.zeros(draws.members, dtype=torch.float64, device=draws.device)
    return {f"{name}.mean": mean, f"{name}.variance": torch.ones_like(mean), f"{name}.count": count}


def over(row: Tensor, like: Tensor) -> Tensor:
    """A member's [P, *shape] as [P, 1, ..., *shape], beside [P, ..., *shape]."""
    return row.view(row.shape[0], *[1] * (like.dim() - row.dim()), *row.shape[1:])


def merge_(state: State, name: str, values: Tensor) -> None:
    """Merge values [P, B, *shape], each member's own, into its running mean and variance (of a population), in place.

    Chan et al. 1979. The first values replace the initial 0 and 1. `var_mean`, as `var` takes another way where a row is alone.
    """
    mean, variance, count = (state[f"{name}.{part}"] for part in ("mean", "variance", "count"))
    total = count + values.shape[1]
    old, new, between = (
        weight.to(mean.dtype).view(-1, *[1] * (mean.dim() - 1))
        for weight in (count / total, values.shape[1] / total, count * values.shape[1] / total**2)
    )
    spread, centre = torch.var_mean(values, 1, correction=0)
    difference = centre - mean
    variance.copy_(variance * old + spread * new + difference.square() * between)
    mean.add_(difference * new)
    count.copy_(total)
