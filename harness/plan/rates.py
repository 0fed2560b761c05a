"""How fast pairs have trained, as `timing.json` beside results says, and how long a number of steps will take."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.errors import ResultsError
from harness.schema.documents import read_record
from harness.schema.results import folder_name
from harness.schema.sidecars import MOST_SIDECAR, Timing


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
    """Of one worker, in the last run with times; None where the file is damaged, or has none because all came from checkpoints."""
    try:
        timing = read_record(path, Timing, MOST_SIDECAR)
    except ResultsError:
        return None
    for run in reversed(timing.runs() if timing else []):
        spent = sum(arm.seconds for arm in run.arms.values())
        if run.steps_per_second and run.wall_seconds and spent:
            rate = run.steps_per_second * run.wall_seconds / spent
            return Rate(rate, f"{path.parents[2]} on {run.cpu or 'an unknown processor'}")
    return None
