"""`softbench bench`: steps a second."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from harness.bench import measure
from harness.commands.shared import CORES, Json, new_app
from harness.exits import Exit, legend
from harness.schema.suite import load_suite

app = new_app()


@app.command(
    "bench",
    epilog="\b\nExamples:\n  softbench bench --pair ppo\n  softbench bench --pair dqn --members 10 --workers 1 --peer sb3 --json\n"
    "  softbench bench --pair ppo --task Pendulum-v1 --settings-of pendulum" + legend(Exit.INPUT),
)
def bench(
    pair: Annotated[str, typer.Option(help="pair to measure")] = "ppo",
    task: Annotated[str, typer.Option(help="task to measure on")] = "CartPole-v1",
    arm: Annotated[str | None, typer.Option(help="arm to measure; the pair's first where none is given")] = None,
    members: Annotated[int, typer.Option(min=1, max=10_000, help="members, all together")] = 20,
    workers: Annotated[
        int | None, typer.Option(min=1, max=1024, help="worker processes, one core each; all cores where not given")
    ] = None,
    peer: Annotated[
        str | None,
        typer.Option(
            help="compare with the same work by sb3 (Stable-Baselines3), or by torch: single plain networks (ddpg)"
        ),
    ] = None,
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="length of each measurement")] = 10.0,
    settings_of: Annotated[
        str | None, typer.Option(help="a suite whose settings of this pair and task are used; else the pair's defaults")
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure steps a second: all members together, one alone, the environments, the arithmetic limit, and a peer."""
    rows = measure.run(
        pair=pair,
        arm=arm,
        task=task,
        members=members,
        workers=workers or min(CORES, members),
        peer=peer,
        seconds=seconds,
        suite=None if settings_of is None else load_suite(settings_of),
    )
    if as_json:
        print(json.dumps(rows, indent=1))
    else:
        Console().print(measure.table(rows))
