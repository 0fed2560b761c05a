"""What the commands share: their form, and options that several of them have."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

INCOMPLETE = "some cohorts failed (above); the same command tries them again"
CORES = os.cpu_count() or 1

Workers = Annotated[int, typer.Option(min=1, max=1024, help="worker processes, one core each")]
CellName = Annotated[
    str, typer.Argument(metavar="CELL", help="SUITE/PAIR/TASK, for example smoke/ppo/CartPole-v1; see `softbench list`")
]
ArmName = Annotated[str, typer.Option(help="arm of the pair")]
SeedNumber = Annotated[int, typer.Option(min=0, help="training seed")]
Results = Annotated[Path, typer.Option(help="folder of the results")]
Json = Annotated[bool, typer.Option("--json", help="print a list of objects")]

new_app = partial(typer.Typer, add_completion=False, rich_markup_mode=None)
"""The app of one command, which its module holds as `app`."""
