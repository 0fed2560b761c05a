"""What `softbench decide` fixed and found: the form of `results/sequential/<suite>/decision-<claim>.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, model_validator

from harness.errors import InputError
from harness.schema.claims import Claim
from harness.schema.documents import first_problem
from harness.schema.fields import MOST_SEEDS, Strict


class Planned(Strict):
    """A look that was fixed beforehand: seeds of each arm, and the one-sided level that it may spend."""

    seeds: int = Field(ge=2, le=MOST_SEEDS)
    nominal: float = Field(gt=0, lt=1)


class Look(Planned):
    """What was found at a look."""

    estimate: float | None = None
    p: float | None = None
    p_against: float | None = None
    verdict: str


class Decision(Strict):
    """A claim with its plan, and the looks so far; `verdict` is the last one's, None before the first."""

    suite: str
    claim: Claim
    level: float = Field(gt=0, lt=1)
    uninformative: Literal["keep", "leave-out"] = "keep"
    plan: list[Planned] = Field(min_length=1)
    looks: list[Look] = []
    verdict: str | None = None

    @model_validator(mode="after")
    def _planned(self) -> Decision:
        if [each.seeds for each in self.looks] != [each.seeds for each in self.plan[: len(self.looks)]]:
            raise ValueError("looks: are not those of the plan")
        if self.verdict != (self.looks[-1].verdict if self.looks else None):
            raise ValueError("verdict: is not the last look's")
        return self


def decision_path(results: Path, suite: str, claim: str) -> Path:
    return results / "sequential" / suite / f"decision-{claim}.json"


def read_decision(path: Path) -> Decision | None:
    """None where there is none. Raises InputError naming file and field."""
    if not path.exists():
        return None
    try:
        return Decision.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise InputError(f"{path}: cannot be read: {first_problem(error)}; move it away to begin anew") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read: {error}; move it away to begin anew") from error
