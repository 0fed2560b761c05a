"""`softbench cost`: what a suite takes, before it is trained."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from harness.commands.shared import CORES, Results, Workers, new_app
from harness.exits import Exit, legend
from harness.plan.cells import make_plans
from harness.plan.cost import Cost, costs
from harness.plan.rates import Rate
from harness.schema.suite import load_suite

app = new_app()


@app.command(
    "cost",
    epilog="\b\nExamples:\n  softbench cost classic\n  softbench cost classic --workers 8" + legend(Exit.INPUT),
)
def cost(
    suite: Annotated[str, typer.Argument(help="name of a suite, see `softbench list`; NAME@STEPS at another budget")],
    workers: Workers = CORES,
    results: Results = Path("results"),
) -> None:
    """Print what training a whole suite takes: cells, members, steps, hours at recorded rates, memory and disk. Trains nothing."""
    found = costs(make_plans(load_suite(suite), results, "cpu"), workers, results)
    Console().print(table(found))
    for line in lines(found, workers):
        print(line)


def table(found: list[Cost]) -> Table:
    """A line a cell."""
    shown = Table("cell", "arms", "seeds", "steps", "one worker", "memory", "checkpoints")
    shown.caption = "steps: of all members; one worker: time at the recorded rate; memory: of its largest worker, about"
    for each in found:
        hours = "?" if each.hours is None else duration(each.hours)
        counts = [f"{each.arms}", f"{each.seeds}", millions(each.steps)]
        shown.add_row(f"{each.pair}/{each.task}", *counts, hours, size(each.memory), size(each.disk))
    return shown


def lines(found: list[Cost], workers: int) -> list[str]:
    """The sum in words, and where the rates come from."""
    members, steps = sum(each.members for each in found), sum(each.steps for each in found)
    disk, memory = sum(each.disk for each in found), max(each.memory for each in found)
    known = [each.hours for each in found if each.hours is not None]
    rates = {(each.pair, each.task): each.rate for each in found}
    said = [f"{len(found)} cells, {members:,} members, {steps:,} steps; checkpoints {size(disk)}"]
    if known:
        took = on_workers(sum(known), workers, known_part(rates.values()))
        said.append(f"{took}; memory {size(memory * workers)} at most")
    return said + rate_lines(rates)


def known_part(rates: Collection[Rate | None]) -> str:
    """Of which cells a sum of hours is: empty where all have a rate."""
    known = sum(rate is not None for rate in rates)
    return "" if known == len(rates) else f" of the {known} cell{'s' * (known != 1)} with a rate"


def on_workers(hours: float, workers: int, part: str = "") -> str:
    """The hours of one worker, and at best of several."""
    return f"{duration(hours)}{part} of one worker, {duration(hours / workers)} on {workers} workers at best"


def rate_lines(rates: Mapping[tuple[str, str], Rate | None]) -> list[str]:
    """Where the rates of cells, by pair and task, come from, and how those that are missing are measured."""
    sources = dict.fromkeys(rate.source for rate in rates.values() if rate)
    return [f"rate: recorded in {source}" for source in sources] + [
        f"no rate is recorded of {pair} on {task}: softbench bench --pair {pair} --task {task}"
        for (pair, task), rate in rates.items()
        if rate is None
    ]


def duration(hours: float) -> str:
    """`3.2 h`, `12 min`, `8 s`."""
    if hours >= 1:
        return f"{hours:,.1f} h"
    return f"{hours * 60:.0f} min" if hours * 60 >= 1 else f"{hours * 3600:.0f} s"


def millions(steps: int) -> str:
    """`20 M`, `6,000`."""
    return f"{steps / 1e6:,.4g} M" if steps >= 1e6 else f"{steps:,}"


def size(count: float) -> str:
    """`1.2 GB`, `35 MB`, `2 kB`: powers of ten."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if count >= scale:
            return f"{count / scale:.2g} {unit}" if count < 10 * scale else f"{count / scale:,.0f} {unit}"
    return f"{count / 1e3:,.0f} kB"
