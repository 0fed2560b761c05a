"""All that a pair gives and all that it is given. Nothing of a pair is known anywhere else; training is harness work.

A learner holds no state of its own. Its state is a dict of tensors with the member as first axis; `update` changes it in place.
Everything else is a function of the settings, of what is drawn and of the step count, so that a run can stop and go on anywhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Protocol

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

State = dict[str, Tensor]
"""Name -> [P, ...]. `replay.*` belongs to replay.py. A member has diverged when any other floating tensor is not finite."""
Metrics = dict[str, Tensor]
"""Name -> [P], one number a member."""
Use = Literal["collect", "sample", "greedy"]
"""Of a behaviour: to collect experience (with epsilon, exploration noise, stale copies); the policy itself; its best action."""
Act = Callable[[Tensor, Tensor], Tensor]
"""(observation [P, E, *shape], noise [P, E, *exploration]) -> action [P, E], or [P, E, A] in the task's own units."""
Kind = Literal["choices", "numbers"]
"""Of actions: one of so many, or so many numbers."""
Switches = Mapping[str, Any]
"""In what an arm differs from the others of its pair."""
Width = Annotated[int, Field(ge=1)]
"""Of a hidden layer."""
Row = Annotated[float, Field(ge=0), "row"]
"""A setting that may differ by member of one cohort; a pair reads it as `now.rows[name]` [P], in a grid or not."""


@dataclass(frozen=True)
class Spaces:
    """What a task offers."""

    observation: tuple[int, ...]
    """(D,), or (height, width, channels) of an image."""
    actions: int
    """Choices, or numbers where there are bounds."""
    bounds: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    """The lowest and the highest of each number; None where actions are choices."""
    dtype: str = "float32"
    """`uint8` images stay so in rollout and replay; the network divides them by `scale`."""
    scale: float = 1.0
    frames: int = 1
    """Of the channels so many are the latest frames of one step each: a replay stores the newest alone, a rollout all of them."""
    limit: int = 1
    """Between two truncations of an environment lie at least so many steps."""

    @property
    def kind(self) -> Kind:
        return "choices" if self.bounds is None else "numbers"


@dataclass(frozen=True)
class Rollout:
    """Experience of all members under fixed parameters: [P, T, E, ...] (member, time, environment).

    `terminated` is the task's own end; `truncated` a time limit, or the cut at a segment's end.
    """

    observation: Tensor
    """[P, T + 1, E, *shape]: every observation once; the last one is what to act on next."""
    final: Tensor
    """[P, F, E, *shape]: what a step led to where it was truncated, in the order of time; the places left over are 0."""
    action: Tensor
    reward: Tensor
    terminated: Tensor
    truncated: Tensor


@dataclass(frozen=True)
class Window:
    """Transitions of a replay: [P, B, n, ...], n consecutive steps; what follows the first end in a window is of another episode."""

    observation: Tensor
    """[P, B, n, *shape], before each step."""
    next_observation: Tensor
    """[P, B, n, *shape], what each step led to, before any reset."""
    action: Tensor
    reward: Tensor
    terminated: Tensor
    ends: Tensor
    """Terminated or truncated."""


@dataclass(frozen=True)
class Draw:
    """Random numbers [P, *shape], declared, so that all that an update needs is drawn, and copied to the device, at once."""

    kind: Literal["normal", "uniform", "gumbel", "permutation", "ornstein-uhlenbeck"]
    """`permutation`: of the last axis, each row anew. `ornstein-uhlenbeck`: normal, but correlated along an episode."""
    shape: tuple[int, ...]


class Draws(Protocol):
    """Random numbers of a segment. Each call gives the next [P, *shape] of the stream (member, role, segment)."""

    @property
    def members(self) -> int: ...
    @property
    def device(self) -> torch.device: ...
    def take(self, role: str, draw: Draw) -> Tensor: ...


@dataclass(frozen=True)
class Now:
    """Tensors of fixed shape on the device: no Python number that a captured graph would freeze."""

    step: Tensor
    """0-d, int64: environment steps that a member had taken before this rollout."""
    fraction: Tensor
    """0-d, float32: step / budget, for schedules."""
    rows: Mapping[str, Tensor]
    """Settings marked Row: [P], float32."""
    noise: Mapping[str, Tensor]
    """Role -> [P, *shape], as `randomness` declares; of an update alone."""


@dataclass(frozen=True)
class Replay:
    """How `update` gets its batch: a Window. A pair without one is given the Rollout."""

    size: int
    """Environment steps of a member that are kept."""
    batch: int
    starts: int
    """Environment steps of a member before the first update."""
    window: int = 1
    """Consecutive steps in a sample, for n-step targets."""
    updates: int = 1
    """After each rollout."""


@dataclass(frozen=True)
class Arm:
    """One variant. `switches` is all in which it differs from the other arms of its pair."""

    title: str
    switches: Switches
    role: Literal["hard", "soft", "control"] = "hard"
    against: str | None = None
    """The hard arm that it is compared with."""
    at_zero: str | None = None
    """The arm that it is, bit for bit, at temperature 0; None: its limit is no arm."""
    actions: Kind | None = None
    """The one kind of actions that it holds for; None: as its pair says."""


@dataclass(frozen=True)
class Metric:
    """A number that `update` returns."""

    meaning: str
    """With its unit."""
    finite: bool = True
    """False: it may be NaN though nothing has diverged."""


class Settings(BaseModel):
    """Hyper-parameters of a pair: the same for all its arms."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    environments: int = Field(default=1, ge=1)
    horizon: int = Field(default=1, ge=1)
    """Steps of each environment between two updates."""

    @classmethod
    def rows(cls) -> list[str]:
        """The settings that may differ by member."""
        return [name for name, field in cls.model_fields.items() if "row" in field.metadata]


class Learner(ABC):
    """One arm of a pair on one task, for any number of members."""

    source: ClassVar[str]
    arms: ClassVar[Mapping[str, Arm]]
    actions: ClassVar[Literal["choices", "numbers", "both"]] = "both"
    settings_type: ClassVar[type[Settings]]
    metrics: ClassVar[Mapping[str, Metric]]
    """What `update` returns; `entropy` (of the policy that collected, in nats) is one of them."""
    small: ClassVar[Mapping[str, Any]]
    """Settings that train it in a second: the ring of a replay wraps, a target follows."""

    settings: Any
    exploration: Draw
    """Of one action: its shape leaves members and environments out."""
    randomness: Mapping[str, Draw] = {}
    """Of one update, by role."""
    replay: Replay | None = None

    @abstractmethod
    def __init__(self, settings: Any, spaces: Spaces, switches: Switches) -> None:
        """Raises ValueError `field: what is wrong` where the settings do not fit each other or the task."""

    @abstractmethod
    def initial(self, draws: Draws) -> State:
        """The state before the first step."""

    @abstractmethod
    def behaviour(self, state: State, use: Use, now: Now) -> Act:
        """The policy of the present state; one stands for a whole rollout, and `now` is when that begins."""

    @abstractmethod
    def update(self, state: State, batch: Any, now: Now) -> Metrics:
        """Learn from a Rollout [P, horizon, environments], or from a Window of the replay, in place."""
