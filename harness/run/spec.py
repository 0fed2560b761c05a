"""A cohort: all seeds of one arm on one task, and everything that determines its numbers."""

from __future__ import annotations

import importlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from algorithms import pairs
from algorithms.learner import Learner, Spaces
from algorithms.replay import check
from harness.errors import InputError, suggestion

PAIRS = Path(pairs.__path__[0])


@dataclass(frozen=True)
class Spec:
    """What determines a member's numbers, apart from its seed and the code. JSON-able."""

    pair: str
    arm: str
    task: str
    backend: str
    settings: dict[str, Any]
    steps: int
    segments: int
    episodes: int
    """Of an evaluation, in each of its modes."""
    time_limit: str
    modes: list[str] = field(default_factory=lambda: ["sampled", "greedy"])
    """Of evaluation: sampled is the policy itself, greedy its best action."""
    clip_rewards: bool = False
    """Rewards are learned from within [-1, 1]; returns are of the task's own."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def pair_names() -> list[str]:
    """The pairs of `algorithms/pairs/`."""
    return sorted(path.stem for path in PAIRS.glob("*.py") if path.stem != "__init__")


def pair_module(pair: str) -> str:
    """The module that holds a pair: of ours, or of a user's own `module:pair`."""
    return pair.partition(":")[0] if ":" in pair else f"algorithms.pairs.{pair}"


def learner_class(pair: str) -> type[Learner]:
    """The learner of `algorithms/pairs/<pair>.py`; of `module:pair` the class of that name in a module along PYTHONPATH.

    Raises InputError for an unknown pair; whatever the module's own code raises (see `harness.plan.pairs`).
    """
    if ":" not in pair and pair not in pair_names():
        raise InputError(f"unknown pair {pair!r}{suggestion(pair, pair_names())}, or module:pair along PYTHONPATH")
    module = importlib.import_module(pair_module(pair))
    name = pair.partition(":")[2] or "LEARNER"
    found = getattr(module, name, None)
    if not (isinstance(found, type) and issubclass(found, Learner)):
        raise InputError(
            f"pair {pair!r}: {pair_module(pair)} has no learner {name!r}; name a class made of algorithms.learner.Learner"
        )
    return found


def make_learner(spec: Spec, spaces: Spaces) -> Learner:
    """The learner of one arm, with its settings validated. Raises ValueError `field: what is wrong`."""
    kind = learner_class(spec.pair)
    made = kind(kind.settings_type(**spec.settings), spaces, kind.arms[spec.arm].switches)
    if made.replay is not None:
        check(made.replay, made.settings)
    return made
