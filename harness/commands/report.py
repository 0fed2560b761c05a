"""`softbench report`: the pages."""

from __future__ import annotations

import gc
import sys
from pathlib import Path
from typing import Annotated

import typer

from harness.commands.shared import Results, new_app
from harness.exits import Exit, legend
from reports.site.readme import write
from reports.site.site import build

app = new_app()


@app.command(
    "report",
    epilog="\b\nExamples:\n  softbench report\n  softbench report smoke classic --out site\n  softbench report --readme README.md"
    + legend(Exit.INCOMPLETE, Exit.INPUT),
)
def report(
    suites: Annotated[
        list[str] | None, typer.Argument(help="suites to report; all that have results where none is given")
    ] = None,
    out: Annotated[Path, typer.Option(help="folder for the pages")] = Path("site"),
    results: Results = Path("results"),
    readme: Annotated[Path | None, typer.Option(help="a README to put the answer and its picture into")] = None,
) -> None:
    """Write the HTML report from the results: an index and a page a suite. Trains nothing."""
    gc.set_threshold(100_000)  # figures make many objects and little garbage
    site = build(suites or [], out, results)
    if readme is not None:
        write(readme, site.answer)
    for path in site.pages:
        print(path)
    for damaged in site.damaged:
        print(f"softbench: {damaged.what}: damaged: {damaged.why}", file=sys.stderr)
    if site.damaged:
        raise typer.Exit(Exit.INCOMPLETE)
