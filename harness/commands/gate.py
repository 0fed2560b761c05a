"""`softbench gate`: this run against the last release's scores, for CI. It fails on a statistically supported loss alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from harness.commands.shared import Results, new_app
from harness.errors import InputError
from harness.exits import Exit, legend
from harness.files import replacing
from harness.schema.baseline import baseline_path, read_baseline
from harness.schema.suite import load_suite
from reports.statistics.scores import Study, read_studies
from reports.statistics.summary import baseline
from reports.statistics.summary.baseline import GAIN, LOSS, MISSING, Change
from reports.statistics.verdicts import judge

app = new_app()


def write_baseline(name: str, results: Path, path: Path | None) -> Path:
    """Keep the suite's scores and verdicts as the baseline; return the file. Raises InputError where it cannot be written."""
    suite = load_suite(name)
    studies, damaged = read_studies(suite, results)
    if faults := [*map(str, damaged), *_altered(studies)]:
        raise InputError(f"{faults[0]}; a baseline needs sound results")
    text = baseline.make(suite, studies, judge(suite, results))
    target = path or baseline_path(name)
    try:
        with replacing(target) as temporary:
            temporary.write_text(text)
    except OSError as error:
        raise InputError(f"--baseline {target}: cannot be written: {error.strerror or error}") from error
    return target


def compare_baseline(name: str, results: Path, path: Path | None) -> list[Change]:
    """Every arm against the baseline. Raises InputError where there is none."""
    suite = load_suite(name)
    target = path or baseline_path(name)
    if not target.exists():
        raise InputError(f"{target}: there is no baseline; write one with: softbench gate {name} --write")
    studies, damaged = read_studies(suite, results)
    for each in [*map(str, damaged), *_altered(studies)]:
        print(f"softbench: {each}", file=sys.stderr)
    sound = [
        replace(
            study, curves={(task, arm): its for (task, arm), its in study.curves.items() if not study.altered[task]}
        )
        for study in studies
    ]
    return baseline.compare(read_baseline(target, suite), suite, sound)


def _altered(studies: Sequence[Study]) -> list[str]:
    """Cells whose files contradict each other, one line each."""
    return [
        f"{study.pair} on {task}: {lines[0]}" for study in studies for task, lines in study.altered.items() if lines
    ]


def gate_code(changes: Sequence[Change]) -> int:
    """4 where a loss is supported, 5 where something of the baseline was not measured now, else 0."""
    found = {change.status for change in changes}
    return Exit.AGAINST if LOSS in found else Exit.NOT_MEASURED if MISSING in found else Exit.DONE


def lines(name: str, changes: Sequence[Change]) -> list[str]:
    """Counts, and one line for each arm that changed or is missing."""
    counts = {
        status: sum(change.status == status for change in changes)
        for status in dict.fromkeys(change.status for change in changes)
    }
    found = [
        f"{name} against its baseline, arms on tasks: "
        + ", ".join(f"{count} {status}" for status, count in counts.items())
    ]
    for change in changes:
        if change.status in (LOSS, GAIN, MISSING):
            means = ["nothing" if mean is None else f"{mean:.3f}" for mean in (change.then, change.now)]
            p = "" if change.p_loss is None else f", Holm p of a loss {change.p_loss:.2g}"
            seeds = f"seeds {change.seeds[0]} and {change.seeds[1]}"
            found.append(
                f"{change.status}: {change.arm} on {change.task}: {means[0]} then, {means[1]} now ({seeds}{p})"
            )
    return found


@app.command(
    "gate",
    epilog="\b\nExamples:\n  softbench gate smoke --write\n  softbench gate smoke"
    + legend(Exit.INPUT, Exit.AGAINST, Exit.NOT_MEASURED),
)
def gate(
    suite: Annotated[str, typer.Argument(help="name of a suite that has results")],
    baseline: Annotated[
        Path | None, typer.Option(help="the baseline's file; suites/<suite>/baseline.json where none is given")
    ] = None,
    write: Annotated[bool, typer.Option("--write", help="make these results the baseline")] = False,
    results: Results = Path("results"),
) -> None:
    """Compare these results with the last release's. Fails on a statistically supported loss alone, not on noise."""
    if write:
        print(write_baseline(suite, results, baseline))
        return
    changes = compare_baseline(suite, results, baseline)
    print("\n".join(lines(suite, changes)))
    raise typer.Exit(gate_code(changes))
