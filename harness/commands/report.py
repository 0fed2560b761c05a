"""`softbench report`: the pages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from harness.commands.shared import Results, new_app
from harness.exits import Exit, legend
from reports.site.site import build

app = new_app()


@app.command(
    "report",
    epilog="\b\nExamples:\n  softbench report\n  softbench report smoke classic --out site" + legend(Exit.INPUT),
)
def report(
    suites: Annotated[
        list[str] | None, typer.Argument(help="suites to report; all that have results where none is given")
    ] = None,
    out: Annotated[Path, typer.Option(help="folder for the pages")] = Path("site"),
    results: Results = Path("results"),
) -> None:
    """Write the HTML report from the results: an index and a page a suite. Trains nothing."""
    for path in build(suites or [], out, results):
        print(path)
