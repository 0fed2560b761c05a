"""`softbench train`: train the cells of a suite."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from typer.core import TyperCommand

from harness import training
from harness.commands.shared import CORES, INCOMPLETE, Workers, new_app
from harness.errors import Incomplete, InputError
from harness.exits import Exit, legend
from harness.plan.cells import Plan, choose_device, make_plans
from harness.plan.pairs import told
from harness.policy.recording import record
from harness.pool.local import TIMEOUT, Pool
from harness.progress import Display
from harness.schema.claims import load_ledger
from harness.schema.fields import parse_seeds, parse_steps
from harness.schema.suite import Suite, load_suite

app = new_app()

Value = TypeVar("Value")


class RayAddress(TyperCommand):
    """`--ray` may stand without its address: typer has no option whose value can be left out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        following = zip(args, [*args, "-"][1:], strict=True)
        alone = [f"{word}=local" if word == "--ray" and after.startswith("-") else word for word, after in following]
        return super().parse_args(ctx, alone)


@app.command(
    "train",
    cls=RayAddress,
    epilog="\b\nExamples:\n  softbench train smoke\n"
    "  softbench train classic --pair dqn --task CartPole-v1 --arms dqn,soft-dqn-kl\n"
    "  softbench train classic --seeds 0-19 --workers 8\n"
    "  softbench train classic --ray 10.0.0.1:6379 --workers 64" + legend(Exit.INCOMPLETE, Exit.INPUT),
)
def train(
    suite: Annotated[str, typer.Argument(help="name of a suite, see `softbench list`")],
    pair: Annotated[str | None, typer.Option(help="only this pair")] = None,
    task: Annotated[str | None, typer.Option(help="only this task")] = None,
    arms: Annotated[str | None, typer.Option(help="only these arms, comma-separated")] = None,
    seeds: Annotated[
        str | None, typer.Option(help="these seeds instead of the suite's, for example 0-9 or 0,3,7")
    ] = None,
    steps: Annotated[
        str | None,
        typer.Option(help="environment steps a member, instead of the task's, for example 20000, 20k or 1e5"),
    ] = None,
    workers: Workers = CORES,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda; auto is cuda where there is one")] = "auto",
    out: Annotated[Path, typer.Option(help="folder for results (and checkpoints, in .runs)")] = Path("results"),
    timeout: Annotated[
        float, typer.Option(min=10, help="seconds without an environment step after which a worker hangs")
    ] = TIMEOUT,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="[ADDRESS]", help="train on the Ray cluster at ADDRESS (auto: the one here), or a new one here"
        ),
    ] = None,
) -> None:
    """Train the cells of a suite, or go on where training stopped. What is finished is not trained again."""
    chosen_seeds = _parsed("--seeds", parse_seeds, seeds)
    chosen_steps = _parsed("--steps", parse_steps, steps)
    if out.name in ("", ".."):
        raise InputError(f"--out: {str(out)!r} is no folder of its own; write for example --out results")
    chosen_arms = None if arms is None else [arm.strip() for arm in arms.split(",")]
    loaded = load_suite(suite) if chosen_steps is None else load_suite(suite).at_budget(chosen_steps)
    if ray is None:
        engine: training.Engine = partial(Pool, timeout=timeout)
    else:
        from harness.pool.ray import RayEngine, require_ray

        require_ray()
        engine = partial(RayEngine, timeout=timeout, address=ray)
    plans = make_plans(loaded, out, choose_device(device), pair, task, chosen_arms, chosen_seeds)
    _check_ledger(loaded, plans)
    with Display(Console()) as display:
        complete = training.run(plans, workers, display, engine)
        for plan in plans:
            _record(plan, display)
    if chosen_steps is not None:
        print(f"another budget is another suite; its report: softbench report {loaded.name}")
    if not complete:
        raise Incomplete(INCOMPLETE)


def _record(plan: Plan, display: Display) -> None:
    """Moments of episodes for the cell's page; that none could be recorded is told, and is no failure of the training."""
    if not (plan.folder / "manifest.json").exists():
        return
    try:
        record(plan)
    except Exception as error:  # a user's own code, results that cannot be read
        display.say(f"note   {plan.name}: no episodes were recorded for the page: {told(error)}")


def _check_ledger(suite: Suite, plans: list[Plan]) -> None:
    """Raises InputError where a run would register claims whose design cannot say anything. What has begun goes on."""
    ledger = load_ledger(suite)
    begun = all((plan.folder / "manifest.json").exists() or any(plan.runs.glob("claims-*.json")) for plan in plans)
    if ledger and not begun:
        from reports.statistics.design.ledger import problems  # here: scipy takes as long as all else but torch

        if found := problems(ledger, suite):
            raise InputError(found[0])


def _parsed(flag: str, parse: Callable[[str], Value], text: str | None) -> Value | None:
    try:
        return None if text is None else parse(text)
    except ValueError as error:
        raise InputError(f"{flag}: {error}") from error
