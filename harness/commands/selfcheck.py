"""`softbench selfcheck`: what holds on a device."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from harness.commands.shared import Json, new_app
from harness.errors import Incomplete
from harness.exits import Exit, legend
from harness.plan.cells import choose_device
from harness.pool.process import Unanswered, ask
from harness.selfcheck.check import BOUNDS, SIZES, UPDATES

LIMIT = 600.0
"""Seconds."""

app = new_app()


def table(rows: list[dict[str, Any]], device: str) -> Table:
    """A line an operation and an arm."""
    shown = Table("", *BOUNDS, "company", "resume", title=f"{UPDATES} updates on {device}")
    bounds = ", ".join(f"{bound:g} in {name}" for name, bound in BOUNDS.items())
    shown.caption = (
        f"errors: of the change by the updates, against the CPU in float64; at most {bounds}. company, resume: with how "
        f"many members of {', '.join(map(str, SIZES))} bit for bit"
    )
    for row in rows:
        errors = [f"{row['errors'][name]:.1e}" if row["errors"] else "" for name in BOUNDS]
        sizes = [_sizes(row[name]) for name in ("company", "resume")]
        shown.add_row(row["what"], *errors, *sizes, style="bold red" if row["broken"] else None)
    return shown


def _sizes(held: list[int] | None) -> str:
    if held is None:
        return ""
    return "all" if held == list(SIZES) else ", ".join(map(str, held)) or "none"


@app.command(
    "selfcheck",
    epilog="\b\nExamples:\n  softbench selfcheck\n  softbench selfcheck --device cuda --json"
    + legend(Exit.INCOMPLETE, Exit.INPUT),
)
def selfcheck(
    device: Annotated[str, typer.Option(help="auto, cpu or cuda; auto is cuda where there is one")] = "auto",
    as_json: Json = False,
) -> None:
    """Update every arm three times on a device: is it as exact as the CPU, and which bits depend on a member's company?"""
    chosen = choose_device(device)
    try:
        rows: list[dict[str, Any]] = ask("harness.selfcheck", chosen, LIMIT)
    except Unanswered as error:
        raise Incomplete(f"--device {chosen}: {error}") from error
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        Console().print(table(rows, chosen))
    wrong = [line for row in rows for line in row["broken"]]
    if wrong:
        print("\n".join(f"softbench: {line}" for line in wrong), file=sys.stderr)
        raise typer.Exit(Exit.INCOMPLETE)
