"""`softbench import`: runs of others become a suite and its results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.commands.shared import new_app
from harness.exits import Exit, legend
from harness.imports import importer
from harness.imports.schema import load_import

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
    """Read runs of CleanRL, Stable-Baselines3, Weights & Biases or a table, show what was understood, write a suite and its results."""
    config = load_import(file)
    runs = importer.read_runs(config, file.parent)
    console = Console()
    console.print(importer.overview(config, runs))
    for line in importer.left_out(runs):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    if not check:
        for path in importer.write(config, runs, file, results):
            print(path)
