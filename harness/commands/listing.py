"""`softbench list`: what there is to train. Imports nothing that computes, so that it answers at once."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from harness.commands.shared import new_app
from harness.errors import InputError
from harness.exits import Exit, legend
from harness.plan.arms import ListedArm, arms_of_pairs
from harness.schema.suite import SUITES, Registered, Suite, load_suite, suite_names

app = new_app()


@app.command("list", epilog="\b\nExamples:\n  softbench list\n  softbench list --json" + legend(Exit.INPUT))
def list_command(
    as_json: Annotated[bool, typer.Option("--json", help="print one object: suites and pairs")] = False,
) -> None:
    """Show the suites with their cells, and the pairs with their arms. A suite that cannot be read is said, and stops no other."""
    suites, damaged = readable_suites()
    arms = arms_of_pairs()
    if as_json:
        print(json.dumps(as_object(suites, damaged, arms), indent=1, ensure_ascii=False))
    else:
        console = Console()
        if suites:
            console.print(suites_table(suites))
        elif not damaged:
            console.print(
                f"no suites: there is no {SUITES}/*/suite.yaml in this folder\n", highlight=False, soft_wrap=True
            )
        console.print(arms_table(arms))
    for message in damaged.values():
        print(f"softbench: {message}", file=sys.stderr)
    if damaged:
        raise typer.Exit(Exit.INPUT)


def readable_suites() -> tuple[list[Suite], dict[str, str]]:
    """The suites of this folder, and for each that cannot be read what is wrong with it."""
    suites, damaged = [], {}
    for name in suite_names():
        try:
            suites.append(load_suite(name))
        except InputError as error:
            damaged[name] = " ".join(str(error).split())
    return suites, damaged


def suites_table(suites: list[Suite]) -> Table:
    table = Table("suite", "pair", "tasks", "seeds", "steps a member", title="Suites", title_justify="left")
    for suite in suites:
        for pair, tasks in suite.cells.items():
            cells = [suite.registered(pair, task) for task in tasks]
            table.add_row(
                suite.name,
                pair if suite.imported is None else f"{pair} (imported)",
                ", ".join(tasks),
                ", ".join(f"{count:,}" for count in sorted({len(cell.seeds) for cell in cells})),
                ", ".join(f"{count:,}" for count in sorted({cell.steps for cell in cells})),
            )
    return table


def arms_table(pairs: dict[str, dict[str, ListedArm]]) -> Table:
    table = Table("pair", "arm", "role", "what it is", title="Pairs", title_justify="left")
    for pair, arms in pairs.items():
        for name, arm in arms.items():
            table.add_row(pair, name, arm.role, arm.title)
    return table


def as_object(suites: list[Suite], damaged: dict[str, str], pairs: dict[str, dict[str, ListedArm]]) -> dict[str, Any]:
    """`{"suites": [...], "damaged": {suite: why}, "pairs": {pair: {arm: {"role", "title"}}}}`."""
    return {
        "suites": [
            {
                "suite": suite.name,
                "title": suite.title,
                "imported": suite.imported,
                "cells": {
                    pair: {task: _cell(suite.registered(pair, task)) for task in tasks}
                    for pair, tasks in suite.cells.items()
                },
            }
            for suite in suites
        ],
        "damaged": damaged,
        "pairs": {
            pair: {name: {"role": arm.role, "title": arm.title} for name, arm in arms.items()}
            for pair, arms in pairs.items()
        },
    }


def _cell(cell: Registered) -> dict[str, Any]:
    return {"arms": cell.arms or "all", "seeds": cell.seeds, "steps": cell.steps}
