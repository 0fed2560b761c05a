"""A cohort: all seeds of one arm on one task, and everything that determines its numbers."""

from __future__ import annotations

import importlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from algorithms import pairs
from algorithms.learner import Learner, Spaces
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
    time_limit: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def pair_names() -> list[str]:
    return sorted(path.stem for path in PAIRS.glob("*.py") if path.stem != "__init__")


def learner_class(pair: str) -> type[Learner]:
    """The learner of `algorithms/pairs/<pair>.py`. Raises InputError for an unknown pair."""
    if pair not in pair_names():
        raise InputError(f"unknown pair {pair!r}{suggestion(pair, pair_names())}")
    found: type[Learner] = importlib.import_module(f"algorithms.pairs.{pair}").LEARNER
    return found


def make_learner(spec: Spec, spaces: Spaces) -> Learner:
    """The learner of one arm, with its settings validated."""
    kind = learner_class(spec.pair)
    settings = kind.settings_type(**spec.settings)
    constructor: Any = kind
    made: Learner = constructor(settings, spaces, spec.steps, **kind.arms[spec.arm].switches)
    return made
