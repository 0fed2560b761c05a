"""`softbench gate`: this run against the last release's scores, for CI. It fails on a statistically supported loss alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import InputError
from harness.files import replacing
from harness.schema.baseline import baseline_path, read_baseline
from harness.schema.suite import load_suite
from reports.statistics import baseline
from reports.statistics.baseline import GAIN, LOSS, MISSING, Change
from reports.statistics.scores import read_studies
from reports.statistics.verdicts import judge

EXIT_LOSS, EXIT_NOT_MEASURED = 4, 5


def write_baseline(name: str, results: Path, path: Path | None) -> Path:
    """Keep the suite's scores and verdicts as the baseline; return the file. Raises InputError where it cannot be written."""
    suite = load_suite(name)
    verdicts = judge(suite, results)
    text = baseline.make(suite, read_studies(suite, results), verdicts)
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
    return baseline.compare(read_baseline(target, suite), suite, read_studies(suite, results))


def gate_code(changes: Sequence[Change]) -> int:
    """4 where a loss is supported, 5 where something of the baseline was not measured now, else 0."""
    found = {change.status for change in changes}
    return EXIT_LOSS if LOSS in found else EXIT_NOT_MEASURED if MISSING in found else 0


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
