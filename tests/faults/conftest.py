"""The table of faults: `fault(...)` notes what a test tried and what happened; the summary of the run prints all of it.

`make faults` also writes it to the file that FAULTS_TABLE names. Rows travel with the test reports, so workers of xdist lose none.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
)  # processes import this checkout
HEADER = "| class | what was tried | how often | what happened |\n|---|---|---|---|\n"


@pytest.fixture
def fault(request):
    """`fault(name, tried, outcome, times=1)`: class of the fault, what was tried, what happened, how often. Call it last."""

    def record(name: str, tried: str, outcome: str, times: int = 1) -> None:
        request.node.user_properties.append(("fault", [name, tried, outcome, times]))

    return record


def pytest_terminal_summary(terminalreporter):
    counts: Counter[tuple[str, str, str]] = Counter()
    for report in terminalreporter.stats.get("passed", []):
        for name, tried, outcome, times in (
            row for key, row in report.user_properties if key == "fault" and report.when == "call"
        ):
            counts[name, tried, outcome] += times
    for report in [*terminalreporter.stats.get("failed", []), *terminalreporter.stats.get("error", [])]:
        if "tests/faults/" in report.nodeid:
            counts["(test)", report.nodeid.split("tests/faults/")[1], "**FAILED**"] += 1
    if not counts:
        return
    rows = [f"| {name} | {tried} | {times} | {outcome} |\n" for (name, tried, outcome), times in sorted(counts.items())]
    terminalreporter.section("faults")
    terminalreporter.write(HEADER + "".join(rows))
    if target := os.environ.get("FAULTS_TABLE"):
        Path(target).write_text(
            f"# Faults that were tried\n\nWritten by `make faults`; change the tests, not this file.\n\n{HEADER}{''.join(rows)}"
        )
