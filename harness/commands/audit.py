"""`softbench audit`: recompute drawn members or segments, and compare."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness.audit import certificate
from harness.commands.shared import CORES, Workers, new_app
from harness.exits import Exit, legend
from harness.progress import Display

app = new_app()


@app.command(
    "audit",
    epilog="\b\nExamples:\n  softbench audit results/classic\n  softbench audit results/smoke/ppo/CartPole-v1 --members 5\n"
    "  softbench audit results/smoke --segments 4" + legend(Exit.INPUT, Exit.DIFFERENT),
)
def audit(
    run: Annotated[Path, typer.Argument(help="folder of a run: results/<suite>, or a folder of one cell in it")],
    members: Annotated[
        int | None,
        typer.Option(min=1, help="members to draw and to train again alone; 3 where --segments is not given"),
    ] = None,
    segments: Annotated[
        int | None, typer.Option(min=1, help="segments to draw and to execute again, from kept checkpoints")
    ] = None,
    seed_of_draw: Annotated[
        int | None, typer.Option(min=0, help="makes the draw repeatable; else it cannot be foreseen")
    ] = None,
    workers: Workers = CORES,
) -> None:
    """Recompute drawn members or segments of a run, compare them bit for bit with its hash chain, and write a certificate."""
    if members is None and segments is None:
        members = 3
    drawn_by = secrets.randbits(32) if seed_of_draw is None else seed_of_draw
    with Display(Console()) as display:
        verdict = certificate.audit(run, members, segments, drawn_by, workers, display)
    print(f"{verdict} (seed of the draw: {drawn_by})")
    if verdict != certificate.EQUAL:
        raise typer.Exit(Exit.DIFFERENT if verdict == certificate.DIFFERENT else Exit.INPUT)
