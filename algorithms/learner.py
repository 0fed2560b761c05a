"""What a pair must give: settings, arms, and a learner that acts and updates. Training is harness work.

A learner holds no state of its own. Its state is a dict of tensors with the member as first axis; `update` changes it in place
from one rollout. Everything else is a function of the settings and the step count, so that a run can stop and continue anywhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from algorithms.population import Draws, State

Metrics = dict[str, Tensor]
"""Name -> [P], one number a member."""

Behaviour = Callable[[Tensor, Tensor, int], Tensor]
"""(observation [P, E, D], noise [P, E, K], step) -> action [P, E] or [P, E, A]; zero noise gives the greedy action."""


@dataclass(frozen=True)
class Spaces:
    """What a task offers: `observation` numbers a step; `actions` choices, or `actions` numbers where `continuous`."""

    observation: int
    actions: int
    continuous: bool


@dataclass
class Rollout:
    """Experience of all members under fixed parameters: [P, T, E, ...] (member, time, environment).

    `next_observation[:, t]` follows step t before any reset. `terminated` is the task's own end; `truncated` a time limit, or
    the cut at a segment's end.
    """

    observation: Tensor
    action: Tensor
    reward: Tensor
    next_observation: Tensor
    terminated: Tensor
    truncated: Tensor


class Settings(BaseModel):
    """Hyper-parameters of a pair: the same for all its arms."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Arm:
    """One variant. `switches` is all in which it differs from the other arms of its pair."""

    title: str
    soft: bool
    switches: Mapping[str, Any]
    hard: str | None = None
    """The arm that a soft arm is compared with."""


class Learner(ABC):
    """One arm of a pair on one task, for any number of members."""

    source: ClassVar[str]
    arms: ClassVar[dict[str, Arm]]
    discrete: ClassVar[bool] = True
    continuous: ClassVar[bool] = False
    settings_type: ClassVar[type[Settings]]
    metrics: ClassVar[dict[str, str]]
    """Name -> unit or meaning of each metric that `update` returns; `entropy` (of the behaviour policy, in nats) is one of them."""

    environments: int
    horizon: int

    @abstractmethod
    def initial(self, draws: Draws) -> State:
        """The state before the first step."""

    @abstractmethod
    def noise(self, draws: Draws, role: str, shape: tuple[int, ...]) -> Tensor:
        """Fresh noise [P, *shape, K] for `behaviour`."""

    @abstractmethod
    def behaviour(self, state: State) -> Behaviour:
        """The policy of the present state."""

    @abstractmethod
    def update(self, state: State, rollout: Rollout, draws: Draws, step: int) -> Metrics:
        """Learn from a rollout [P, horizon, environments], in place. `step`: environment steps a member had taken before it."""
