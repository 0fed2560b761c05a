"""`softbench import`: runs of others become a suite and its results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.commands.shared import new_app
from harness.exits import Exit, legend
from harness.imports.overview import left_out, overview
from harness.imports.replication import refuse_columns, refuse_parts, suspicions
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
    results: Annotated[Path, typer.Option(help="folder for the results")] = Path("results"),
    check: Annotated[bool, typer.Option("--check", help="only show what was understood; write nothing")] = False,
) -> None:
    """Read the logs of others' runs, show what was understood, write a suite and its results."""
    config = load_import(file)
    refuse_columns(config)
    reading = read_runs(config, file.parent)
    refuse_parts(reading.runs)
    console = Console()
    console.print(overview(config, reading.runs))
    told = [f"note: {line}" for line in reading.notes]
    told += [f"warning: {line}" for _, line in suspicions(reading.runs)]
    for line in [*left_out(reading), *told]:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not check:
        for path in write(config, reading, file, results):
            print(path)
