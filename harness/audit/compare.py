"""Drawn members are trained again, each alone, and compared with the published: every number of the curves, every link of the chain."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.audit.draw import Draw, kept_checkpoints
from harness.plan.manifest import spec_of
from harness.pool.local import Pool
from harness.pool.messages import Done, Event, Failed, Job, Row, Started
from harness.schema.results import Cell
from harness.store.members import Member


@dataclass
class Finding:
    """What came out of one draw. `differs_at`: the first segment that differs, `differs_in`: in what; `reason`: why it has no outcome."""

    arm: str
    seed: int
    first: int
    last: int
    steps: int
    differs_at: int | None = None
    differs_in: str | None = None
    reason: str | None = None


def recompute(cells: list[Cell], draws: list[Draw], workers: int, tell: Callable[[Event], None]) -> list[Finding]:
    """Train every draw, each member alone, in a folder of its own, and compare link by link."""
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory(prefix="softbench-audit-") as scratch:
        jobs = [_job(cells[draw.cell], draw, Path(scratch) / str(number)) for number, draw in enumerate(draws)]
        for draw, job in zip(draws, jobs, strict=True):
            steps = job.spec.steps * (draw.last - draw.first + 1) // job.spec.segments
            findings.append(Finding(draw.arm, draw.seed, draw.first, draw.last, steps))
        tell(Started(sum(found.steps for found in findings), len(cells), len(draws), min(workers, len(jobs))))
        of_folder = {job.rows[0].folder: at for at, job in enumerate(jobs)}
        with Pool(min(workers, len(jobs)), Path(scratch) / "workers.log") as pool:
            for told in pool.run(jobs):
                tell(told)
                at = of_folder[told.job.rows[0].folder]
                if isinstance(told.message, Failed):
                    findings[at].reason = told.message.reason
                if isinstance(told.message, Done):
                    compare(cells[draws[at].cell], Member(told.job.rows[0].folder, draws[at].seed), findings[at])
    return findings


def _job(cell: Cell, draw: Draw, folder: Path) -> Job:
    if draw.first > 1:
        kept = kept_checkpoints(cell, draw.arm)
        assert kept is not None
        Member(kept, draw.seed).copy_segment(draw.first - 1, folder)
    spec = spec_of(cell.manifest, draw.arm)
    return Job(f"{cell.pair}/{cell.task}", spec, [Row(draw.arm, draw.seed, folder)], "cpu", until=draw.last)


def compare(cell: Cell, member: Member, found: Finding) -> None:
    """Set the first segment that differs, and in what: a number of its row in the curves, or else its link of the chain."""
    state, progress = member.load()
    facts = cell.manifest.members[found.arm][str(found.seed)]
    of_member = (cell.curves["arm"] == found.arm) & (cell.curves["seed"] == found.seed)
    rows = cell.curves[of_member].drop(columns=["arm", "seed"])
    for number in range(found.first, found.last + 1):
        published = rows[rows["segment"] == number].to_dict("records")
        found.differs_in = _row_difference(published, progress.records[number - 1])
        if found.differs_in is None and facts.chain[number - 1 : number] != progress.chain[number - 1 : number]:
            found.differs_in = "the state, by its hash"
        if found.differs_in:
            found.differs_at = number
            return
    step = int(state["diverged_at"])
    if found.last == cell.manifest.segments and facts.diverged_at != (None if step < 0 else step):
        found.differs_at = found.last
        found.differs_in = f"diverged_at {facts.diverged_at} published, {step} here (-1: never)"


def _row_difference(rows: list[dict[Any, Any]], record: dict[str, Any]) -> str | None:
    """The first published column that differs from a recomputed record, bit for bit; None where all are equal."""
    if len(rows) != 1:
        return f"{len(rows)} rows in curves.parquet"
    for name, value in rows[0].items():
        here = record.get(name)
        if value != here and (value == value or here == here):  # NaN is equal to NaN
            return f"{name} {value!s:.40} published, {here!s:.40} here"
    return None
