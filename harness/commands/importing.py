"""`softbench import`: runs of others become a suite and its results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.commands.shared import Results, new_app
from harness.exits import Exit, legend
from harness.imports.overview import left_out, overview
from harness.imports.replication import refuse_parts, suspicions
from harness.imports.runs import read_runs
from harness.imports.schema import load_import
from harness.imports.writing import write

app = new_app()


@app.command(
    "import",
    epilog="\b\nExamples:\n  softbench import runs/sb3.yaml --check\n  softbench import runs/sb3.yaml"
    + legend(Exit.INPUT),
)
def import_command(
    file: Annotated[
        Path, typer.Argument(help="import file (YAML): which log files hold which runs; see docs/import.md")
    ],
    results: Results = Path("results"),
    check: Annotated[bool, typer.Option("--check", help="only show what was understood; write nothing")] = False,
) -> None:
    """Read the logs of others' runs, show what was understood, write a suite and its results."""
    config = load_import(file)
    reading = read_runs(config, file.parent)
    refuse_parts(reading.runs)
    suspected = suspicions(reading.runs)
    console = Console()
    console.print(overview(config, reading.runs))
    told = [f"note: {line}" for line in reading.notes]
    told += [f"warning: {line}" for _, line in suspected]
    for line in [*left_out(reading), *told]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not check:
        for path in write(config, reading, suspected, file, results):
            print(path)
