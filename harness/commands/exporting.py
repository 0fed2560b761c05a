"""`softbench export`: our curves as others read them."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from harness.commands.shared import Results, new_app
from harness.exits import Exit, legend
from harness.exports.export import WRITERS, export
from harness.schema.suite import load_suite

Kind = StrEnum("Kind", list(WRITERS))  # type: ignore[misc]

app = new_app()


@app.command(
    "export",
    epilog="\b\nExamples:\n  softbench export tidy smoke -o exported\n  softbench export tensorboard classic -o runs"
    + legend(Exit.INCOMPLETE, Exit.INPUT),
)
def export_command(
    kind: Annotated[Kind, typer.Argument(help="what reads the logs")],
    suite: Annotated[str, typer.Argument(help="name of a suite that has results")],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="folder to write to: a folder a pair, which must be new or empty")
    ],
    results: Results = Path("results"),
) -> None:
    """Write a suite's curves as logs of TensorBoard, Weights & Biases or a tidy table, and an import file that reads them back."""
    written, damaged = export(kind.value, load_suite(suite), results, out)
    for path in written:
        print(path)
    for line in damaged:
        print(f"softbench: left out: {line}", file=sys.stderr)
    if damaged:
        raise typer.Exit(Exit.INCOMPLETE)
