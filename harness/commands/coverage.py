"""`softbench coverage`: how often intervals cover the truth, and verdicts are false."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from harness.commands.shared import new_app
from harness.errors import InputError
from harness.exits import Exit, legend
from reports.site.coverage import findings
from reports.statistics import coverage as simulation

app = new_app()


@app.command(
    "coverage",
    epilog="\b\nExamples:\n  softbench coverage\n  softbench coverage --out coverage" + legend(Exit.INPUT),
)
def coverage(
    out: Annotated[Path, typer.Option(help="folder to write coverage.json to, for the report's page")] = Path(
        "results/coverage"
    ),
) -> None:
    """Simulate how often the reports' intervals cover the truth and how often their verdicts are false. About a minute."""
    try:
        path = simulation.write(out)
    except OSError as error:
        raise InputError(f"--out {out}: cannot be written: {error.strerror or error}") from error
    for line in findings(json.loads(path.read_text())):
        print(line)
    print(path)
