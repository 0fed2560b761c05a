"""How fast pairs have trained, as `timing.json` beside results says, and how long a number of steps will take."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.schema.results import folder_name


@dataclass(frozen=True)
class Rate:
    """Environment steps of all members together, a second of one worker; `source`: where it was recorded."""

    steps_per_second: float
    source: str

    def hours(self, steps: float) -> float:
        """Of one worker."""
        return steps / self.steps_per_second / 3600


def recorded(results: Path, suite: str, pair: str, task: str) -> Rate | None:
    """The rate of a cell: its own, or that of the pair on the task in another suite; else None, since tasks differ by a thousand times.

    Times without evaluation are not recorded: the rate has what a run has, evaluations and checkpoints included.
    """
    pair, task = folder_name(pair), folder_name(task)
    for places in (f"{suite}/{pair}/{task}", f"*/{pair}/{task}"):
        for path in sorted(results.glob(f"{places}/timing.json")):
            rate = _rate(path)
            if rate is not None:
                return rate
    return None


def _rate(path: Path) -> Rate | None:
    """Of one worker; None where the file is damaged, or says no times because all came from checkpoints."""
    try:
        timing: dict[str, Any] = json.loads(path.read_text())
        steps = float(timing["steps_per_second"]) * float(timing["wall_seconds"])
        steps_per_second = steps / sum(float(arm["seconds"]) for arm in timing["arms"].values())
        processor = timing.get("cpu") or "an unknown processor"
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError):
        return None
    return Rate(steps_per_second, f"{path.parents[2]} on {processor}") if steps_per_second else None
