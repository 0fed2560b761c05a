"""`timing.json` and `audit.json` beside a cell: what its runs took and what was recomputed. No part of the results, so free to change."""

from __future__ import annotations

from pydantic import Field

from harness.schema.manifest import Part

MOST_SIDECAR = 2**24
"""Bytes of such a file."""


class ArmTiming(Part):
    seconds: float = Field(ge=0, allow_inf_nan=False)
    """Of one worker."""


class Timing(Part):
    """One run of `train` that wrote members of a cell: machine and times. Without times where everything came from checkpoints."""

    cpu: str | None = None
    cores: int | None = None
    gpu: str | None = None
    wall_seconds: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    steps_per_second: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Environment steps of all members together."""
    attempts: dict[str, int] = {}
    arms: dict[str, ArmTiming] = {}
    earlier: list[Timing] = []
    """The runs before, where members were added later: first to last, each without its own `earlier`."""

    def runs(self) -> list[Timing]:
        """All runs that made the cell, first to last."""
        return [*self.earlier, self]

    def arm_seconds(self) -> dict[str, float]:
        """Of one worker, by arm, over all runs."""
        spent: dict[str, float] = {}
        for run in self.runs():
            for arm, its in run.arms.items():
                spent[arm] = spent.get(arm, 0.0) + its.seconds
        return spent

    def total(self) -> tuple[float, float] | None:
        """Seconds, and steps a second, of all runs with times together; None where there is none."""
        timed = [(run.wall_seconds, run.steps_per_second) for run in self.runs()]
        known = [(wall, rate) for wall, rate in timed if wall and rate is not None]
        wall = sum(each for each, _ in known)
        return (wall, sum(each * rate for each, rate in known) / wall) if known else None


class Recomputed(Part):
    arm: str
    seed: int
    first: int
    last: int
    """Segments, from 1, both included."""
    differs_in: str | None = None


class Certificate(Part):
    """What the last audit found (`harness.audit.certificate` writes it). `seal`: of the manifest that it is about."""

    seal: str | None
    verdict: str
    recomputed: list[Recomputed]
    problems: list[str]
    differences: list[str]
    steps: int
    time: str = "—"
