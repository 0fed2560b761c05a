"""`softbench floor`: what a policy that knows nothing reaches on a suite's tasks, to be recorded in its references."""

from __future__ import annotations

from typing import Annotated

import typer

from harness.commands.shared import new_app
from harness.errors import InputError
from harness.exits import Exit, legend
from harness.plan.floor import floors
from harness.schema.suite import load_suite

app = new_app()


@app.command("floor", epilog="\b\nExample:\n  softbench floor classic" + legend(Exit.INPUT))
def floor(suite: Annotated[str, typer.Argument(help="name of a suite, see `softbench list`")]) -> None:
    """Print the mean return of the uniform policy on every task of a suite, over 100 episodes with fixed seeds.

    Write it into the suite's `references` as `floor`: tasks that no arm of a claim leaves are then told.
    """
    loaded = load_suite(suite)
    if loaded.imported is not None:
        raise InputError(f"suite {suite!r} is imported: there is no environment here that its runs were made in")
    for task, found in floors(loaded).items():
        recorded = loaded.references[task].floor
        print(f"{task}: {found:g}" + ("" if recorded in (None, found) else f" (the suite says {recorded:g})"))
