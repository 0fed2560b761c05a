"""FLOPs of a pair, counted on `meta` tensors: shapes alone, and torch's products in place of numpy's, which no counter sees."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from algorithms.learner import Act, Learner, Metrics, Now, State, Use
from harness.run.cohort import Cohort
from harness.run.spec import Spec
from harness.run.streams import Streams


def flops_per_step(spec: Spec) -> float:
    """FLOPs (2 a multiply-add) of the products of acting and learning, over environment steps, once it learns; the same for any member.

    One member is trained to its first update; every call of its learner is then made on `meta` as well, whose products are counted.
    """
    cohort = Cohort(spec, [0])
    state, plan = cohort.initial(), cohort.learner.replay
    first = max(0, math.ceil(plan.starts / cohort.quantum) - 1) if plan else 0
    cohort.train(state, Streams([0], 1, cohort.device), 0, first)
    counted = _Counted(cohort.learner)
    cohort.train(state, Streams([0], 2, cohort.device), first, first + 1)
    return counted.flops / int(cohort.quantum)


class _Counted:
    """A learner whose calls are counted from now on."""

    def __init__(self, learner: Learner) -> None:
        self.flops = 0
        self.original = learner.behaviour, learner.update
        learner.behaviour, learner.update = self.behaviour, self.update  # type: ignore[method-assign]

    def behaviour(self, state: State, use: Use, now: Now) -> Act:
        act, on_meta = self.original[0](state, use, now), self.original[0](_meta(state), use, _meta(now))

        each: dict[Any, int] = {}

        def counted(observation: Tensor, noise: Tensor) -> Tensor:
            if observation.shape not in each:
                each[observation.shape] = self.count(on_meta, observation, noise)
            self.flops += each[observation.shape]
            return act(observation, noise)

        return counted

    def update(self, state: State, batch: Any, now: Now) -> Metrics:
        self.flops += self.count(self.original[1], state, batch, now)
        return self.original[1](state, batch, now)

    def count(self, call: Callable[..., Any], *arguments: Any) -> int:
        counter: Any = FlopCounterMode(display=False)
        with counter:
            call(*map(_meta, arguments))
        return int(counter.get_total_flops())


def _meta(value: Any) -> Any:
    """The same with every tensor in it on `meta`."""
    if isinstance(value, Tensor):
        return value.to("meta")
    if isinstance(value, Mapping):
        return {name: _meta(each) for name, each in value.items()}
    assert is_dataclass(value) and not isinstance(value, type)
    return type(value)(**{field.name: _meta(getattr(value, field.name)) for field in fields(value)})
