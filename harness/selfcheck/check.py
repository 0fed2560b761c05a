"""Each operation, and three updates of each arm of each pair, on a device: how exact, and when with the same bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from safetensors.torch import load, save

from algorithms.learner import Kind, Learner, State
from harness.plan.pairs import told
from harness.run.cohort import fix_arithmetic
from harness.run.spec import Spec, pair_names
from harness.run.streams import Streams
from harness.selfcheck.experience import Step, Task, cast, learner_of, play, record, small_specs
from harness.selfcheck.operations import OPERATIONS

TASKS: dict[Kind, tuple[Task, ...]] = {
    "choices": (Task("CartPole-v1", "batched"), Task("MinAtar/Breakout-v1", "minatar")),
    "numbers": (Task("Pendulum-v1", "batched"),),
}
SIZES = (1, 2, 10, 40)
"""Members of a cohort."""
UPDATES = 3
COMPARED = 4
"""Members whose arithmetic is compared with the CPU's."""
BOUNDS = {"float32": 1e-3, "float64": 1e-9}
"""Of an error: the norm of a tensor's difference from the CPU's in float64, over the norm of its change by the updates."""
CPU = torch.device("cpu")


@dataclass
class Found:
    """What was found of one operation (which has neither errors nor a resume), or of one arm on one task. JSON-able."""

    what: str
    errors: dict[str, float] | None = None
    """By type, the greatest of all tensors of the state."""
    company: list[int] = field(default_factory=list)
    """The sizes of cohorts in which members have the bits that they have among all."""
    resume: list[int] | None = None
    """The sizes of cohorts that go on from their bytes with the bits of an unbroken run."""
    failure: str | None = None
    """What was raised."""

    def broken(self, device: str) -> list[str]:
        """What does not hold. Equal bits in any company are promised on the CPU alone."""
        if self.failure:
            return [f"{self.what}: {self.failure}"]
        lines = [
            f"{self.what}: {dtype}: differs by {error:.1e} of the change, more than {BOUNDS[dtype]:g}"
            for dtype, error in (self.errors or {}).items()
            if not error <= BOUNDS[dtype]
        ]
        for name, held in (("company", self.company if device == "cpu" else None), ("resume", self.resume)):
            others = [str(size) for size in SIZES if held is not None and size not in held]
            if others:
                lines.append(f"{self.what}: {name}: other bits with {', '.join(others)} members")
        return lines


def check(device: str, pairs: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """All operations, and all arms of `pairs` (None: all of ours), on `cpu` or `cuda`; a row each, JSON-able."""
    fix_arithmetic()
    where = torch.device(device)
    found = [check_operation(name, where) for name in OPERATIONS]
    for pair in pair_names() if pairs is None else pairs:
        found += [check_arm(spec, where) for spec in small_specs(pair, TASKS, segments=1, updates=2 * UPDATES)]
    return [asdict(entry) | {"broken": entry.broken(device)} for entry in found]


def check_operation(name: str, device: torch.device) -> Found:
    """Company of one operation."""
    entry = Found(name)
    try:
        whole = OPERATIONS[name](Streams(list(range(max(SIZES))), 1, device))
        for size in SIZES:
            part = OPERATIONS[name](Streams(_turned(size), 1, device))
            if _equal(part, {each: whole[each][_turned(size)] for each in whole}):
                entry.company.append(size)
    except Exception as error:  # a device may lack an operation
        entry.failure = told(error)
    return entry


def check_arm(spec: Spec, device: torch.device) -> Found:
    """Errors, company and resume of one arm."""
    entry = Found(f"{spec.pair} {spec.arm} {spec.task}", resume=[])
    try:
        state, steps = record(spec, list(range(max(SIZES))), UPDATES)
        entry.errors = errors(spec, state, steps, device)
        whole = Run(spec, state, steps, range(max(SIZES)), device).left
        for size in SIZES:
            part = Run(spec, state, steps, _turned(size), device)
            if _equal(part.left, {each: whole[each][_turned(size)] for each in whole}):
                entry.company.append(size)
            if _equal(part.resumed(), part.left):
                entry.resume = [*(entry.resume or []), size]
    except Exception as error:  # a device may lack an operation
        entry.failure = told(error)
    return entry


def errors(spec: Spec, state: State, steps: Sequence[Step], device: torch.device) -> dict[str, float]:
    """By type, the greatest error of all floating tensors of the state."""
    members, found = range(COMPARED), {}
    exact = Run(spec, state, steps, members, CPU, torch.float64).left
    for name in BOUNDS:
        rough, worst = Run(spec, state, steps, members, device, getattr(torch, name)).left, 0.0
        for each, before in state.items():
            if before.is_floating_point():
                change = (exact[each] - before[:COMPARED]).norm()
                difference = (rough[each].double() - exact[each]).norm()
                worst = max(worst, float(difference / change.clamp(min=1e-300)))
        found[name] = worst
    return found


class Run:
    """Some members of what was recorded, updated anew."""

    def __init__(
        self,
        spec: Spec,
        state: State,
        steps: Sequence[Step],
        members: Sequence[int],
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        chosen = torch.tensor(members)
        rows = {name: cast(each[chosen], device, dtype) for name, each in state.items()}
        moved = [step.map(lambda each: each[chosen]).to(device, dtype) for step in steps]
        self.spec, self.device, self.last, learner = spec, device, moved[-1:], learner_of(spec)
        self.before = play(learner, rows, moved[:-1])
        self.stored = save({name: each.cpu().contiguous() for name, each in rows.items()})
        self.left = self._ended(learner, rows)
        """On the CPU: the state after all steps, metrics and actions."""

    def resumed(self) -> State:
        """The same, but before the last step all but the bytes of a file was lost."""
        rows = {name: each.to(self.device) for name, each in load(self.stored).items()}
        return self._ended(learner_of(self.spec), rows)

    def _ended(self, learner: Learner, rows: State) -> State:
        last = {f"last {name}": each for name, each in play(learner, rows, self.last).items()}
        return {name: each.cpu() for name, each in (self.before | last | rows).items()}


def _turned(size: int) -> list[int]:
    """The first members, the last of them first."""
    return list(reversed(range(size)))


def _equal(some: State, others: State) -> bool:
    """Whether all bytes are equal."""
    return some.keys() == others.keys() and all(
        some[name].cpu().numpy().tobytes() == others[name].cpu().numpy().tobytes() for name in some
    )
