"""What an import understood, for a terminal."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from harness.imports.runs import Reading, Run
from harness.imports.schema import Import

COLUMNS = ("task", "arm", "kind", "seeds", "first step", "last step", "points", "diverged", "left out")


def overview(config: Import, runs: list[Run]) -> Table:
    """One row an arm and task."""
    table = Table(*COLUMNS, title=Text(config.title))
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    cells: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        cells.setdefault((run.task, run.arm), []).append(run)
    for task in config.tasks:
        for arm, definition in config.arms.items():
            its = cells.get((task, arm), [])
            read = [run.curve for run in its if run.curve is not None]
            used = [run for run in its if not run.why]
            numbers = ["none"] * 4
            if read:
                seeds = ",".join(str(run.seed) for run in used) or "none"
                spans = [
                    [int(each.steps[0]) for each in read],
                    [each.last for each in read],
                    [each.points for each in read],
                ]
                numbers = [seeds, *map(_span, spans)]
            diverged = sum(run.curve is not None and run.curve.diverged is not None for run in used)
            kind = "soft" if definition.soft else "hard"
            table.add_row(task, arm, kind, *numbers, str(diverged), str(len(its) - len(used)))
    return table


def _span(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def left_out(reading: Reading) -> list[str]:
    """One line a run or file that is not used: which, where, and why."""
    lines = [
        f"left out: {run.arm} on {run.task}, seed {run.seed} ({next(iter(run.files))}): {run.why}"
        for run in reading.runs
        if run.why and run.seed >= 0
    ]
    return lines + [f"left out: {line}" for line in reading.unread]
