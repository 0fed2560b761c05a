"""`softbench policy`: the trained policy of a member as a file."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from harness.commands.shared import ArmName, CellName, Results, SeedNumber, new_app
from harness.errors import InputError
from harness.exits import Exit, legend
from harness.plan.cells import Plan
from harness.policy.episodes import episode, scene
from harness.policy.graph import disagreement, require_packages, write_onnx
from harness.policy.policy import Policy
from harness.policy.trained import Trained, plan_of, trained
from harness.progress import Display

SUFFIXES = (".onnx", ".safetensors")
TRIED = 1000
"""Observations on which a file is compared with our own policy."""

app = new_app()


@app.command(
    "policy",
    epilog="\b\nExamples:\n  softbench policy smoke/ppo/CartPole-v1 --arm sppo-38 --seed 3 -o policy.onnx\n"
    "  softbench policy smoke/ppo/Pendulum-v1 --arm ppo --seed 0 -o policy.safetensors"
    + legend(Exit.INCOMPLETE, Exit.INPUT, Exit.DIFFERENT),
)
def policy(
    cell: CellName,
    arm: ArmName,
    seed: SeedNumber,
    out: Annotated[Path, typer.Option("-o", "--out", help=f"file to write: {' or '.join(SUFFIXES)}")],
    results: Results = Path("results"),
) -> None:
    """Write the trained policy of a member, from its checkpoint or by training it again, alone; say whether it is the published one."""
    check_file(out)
    found = trained_and_told(plan_of(cell, arm, seed, results))
    try:
        if out.suffix == ".onnx":
            write_onnx(found.policy, out)
            print(agreement(found.policy, out))
        else:
            found.policy.write(out)
    except OSError as error:
        raise InputError(f"-o: {out}: cannot be written: {error.strerror or error}") from error
    print(out)
    if found.published is False:
        raise typer.Exit(Exit.DIFFERENT)


def trained_and_told(plan: Plan) -> Trained:
    """The policy of the one member of a plan; progress is shown, and where it comes from is printed."""
    with Display(Console()) as display:
        found = trained(plan, display)
    for line in found.said:
        print(line)
    return found


def check_file(out: Path) -> None:
    """Raises InputError where the file cannot be written, before anything is trained."""
    if out.suffix not in SUFFIXES:
        raise InputError(f"-o: {out.name!r} must end in {' or '.join(SUFFIXES)}")
    if not out.parent.is_dir() or not os.access(out.parent, os.W_OK):
        raise InputError(f"-o: {out.parent}: is no folder that can be written")
    if out.is_dir():
        raise InputError(f"-o: {out}: is a folder; name a file")
    if out.suffix == ".onnx":
        require_packages()


def agreement(policy: Policy, path: Path) -> str:
    """How well a file agrees with our own policy on the observations of its own episodes, in one line."""
    on, seen = scene(policy.spec, policy.spaces, pictures=False), list[np.ndarray]()
    for number in range(1, TRIED):
        seen += [moment.observation for moment in islice(episode(policy, on, "greedy", number), TRIED - len(seen))]
        if len(seen) == TRIED:
            break
    return f"agrees with ours on {len(seen):,} observations within {disagreement(policy, path, np.stack(seen)):.1e}"
