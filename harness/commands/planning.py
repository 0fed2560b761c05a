"""`softbench plan`: how many seeds a claim needs, and how long they take, before anything is trained."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from harness.commands.cost import duration
from harness.commands.deciding import find_claim
from harness.commands.shared import CORES, Results, Workers, new_app
from harness.errors import InputError
from harness.exits import Exit, legend
from harness.plan.rates import recorded
from harness.schema.claims import Claim, Ledger, check, tasks_of
from harness.schema.documents import first_problem
from harness.schema.suite import Suite, load_suite, suite_names
from reports.statistics.design.planning import Planned, assumed, level, plan
from reports.statistics.intervals import Array
from reports.statistics.power import MOST_SEEDS
from reports.statistics.scores import read_studies
from reports.statistics.verdicts import measure

SPREADS = (0.02, 0.05, 0.1, 0.2)
"""Assumed where there is nothing to go by: from arms that always end alike to those of which some seeds fail."""
BAR = 40

app = new_app()


@app.command(
    "plan",
    epilog="\b\nExamples:\n  softbench plan C1-38\n  softbench plan classic/C5 --spread 0.1 --effect 0.05 --workers 8"
    + legend(Exit.INPUT),
)
def plan_command(
    claim: Annotated[
        str, typer.Argument(help="a claim of a suite's ledger: C5, or classic/C5 where several suites have it")
    ],
    margin: Annotated[float | None, typer.Option(help="instead of the claim's")] = None,
    effect: Annotated[float | None, typer.Option(help="the true difference, instead of the claim's")] = None,
    spread: Annotated[
        float | None,
        typer.Option(
            help="standard deviation over seeds in units of the metric (paired: of differences), instead of that of results"
        ),
    ] = None,
    workers: Workers = CORES,
    results: Results = Path("results"),
) -> None:
    """Print the seeds that a claim needs for 80 % power, its power by seeds, and the hours that they take. Trains nothing."""
    suite, found, ledger = find_claim(claim)
    found = changed(found, suite, margin, effect)
    if spread is not None and not 0 < spread < math.inf:
        raise InputError(f"--spread: {spread:g} must be above 0 and finite")
    at, registered = level(found, ledger, suite), min(_registered(found, suite))
    print(f"{suite.name}/{found.id}: {found.statement}")
    print(
        f"{found.test}, {found.method}: margin {found.margin:g}, effect {found.assumed:g}, "
        f"level {at:.3g} (one-sided, what Holm's correction leaves at worst)"
    )
    pilot = None if spread is not None else observed(found, suite, ledger, results)
    if pilot is not None:
        source, arm, against = pilot
        done = plan(found, arm, against, at, registered)
        told = [(done, f"spread {done.spread:.3g}, from {source}")]
    else:
        spreads = SPREADS if spread is None else (spread,)
        matrices = [assumed(found, each, tasks_of(found, suite)) for each in spreads]
        told = [
            (plan(found, *each, at, registered), f"spread {size:g}, assumed")
            for each, size in zip(matrices, spreads, strict=True)
        ]
    for done, where in told:
        print(f"\n{where}: {needed(done)}{_with(done, registered)}")
        for line in curve(done) if len(told) == 1 else ():
            print(line)
        for line in hours(found, suite, done, workers, results):
            print(line)


def changed(claim: Claim, suite: Suite, margin: float | None, effect: float | None) -> Claim:
    """The claim with another margin or effect. Raises InputError where its test would make no sense."""
    given = {name: value for name, value in (("margin", margin), ("effect", effect)) if value is not None}
    try:
        made = Claim.model_validate(claim.model_dump() | given)
    except ValidationError as error:
        raise InputError(f"--{first_problem(error)}") from error
    check(suite, made, f"--margin, --effect: {claim.id}")
    return made


def _registered(claim: Claim, suite: Suite) -> list[int]:
    return [len(suite.registered(claim.pair, task).seeds) for task in tasks_of(claim, suite)]


def observed(claim: Claim, suite: Suite, ledger: Ledger, results: Path) -> tuple[str, Array, Array] | None:
    """Where scores of the claim's two arms on its tasks are, and these: in the suite's own results, or in those of another suite."""
    tasks = tasks_of(claim, suite)
    for name in dict.fromkeys([suite.name, *suite_names()]):
        try:
            other = load_suite(name)
            if any(task not in other.cells.get(claim.pair, {}) for task in tasks):
                continue
            studies, damaged = read_studies(other, results)
            study = next((each for each in studies if each.pair == claim.pair), None)
            asked = claim.model_copy(update={"tasks": tasks})
            data = measure(asked, ledger, other, study, other.primary(claim.pair), damaged).data
        except InputError:  # another suite that cannot be read, or has no such arm, is no source
            continue
        if data is not None and min(data.counts) > 1 and data.tasks == tasks:
            note = "" if other.name == suite.name else ", another suite: its budget and settings may differ"
            return f"{results / name} ({min(data.counts)} seeds{note})", data.arm, data.against
    return None


def needed(done: Planned) -> str:
    if done.seeds is None:
        return "the number of seeds needed is unknown: these scores do not differ by seed"
    return (
        f"more than {MOST_SEEDS:,} seeds an arm are needed"
        if math.isinf(done.seeds)
        else f"{done.seeds:.0f} seeds an arm are needed for 80 % power"
    )


def _with(done: Planned, registered: int) -> str:
    return "" if done.registered is None else f"; the {registered} registered have {done.registered:.0%}"


def curve(done: Planned) -> list[str]:
    """Power by seeds, a bar a line."""
    return ["seeds an arm   power"] + [
        f"{count:12,}   {power:5.0%} {'█' * round(BAR * power)}" for count, power in done.power
    ]


def hours(claim: Claim, suite: Suite, done: Planned, workers: int, results: Path) -> list[str]:
    """How long the seeds needed take at recorded rates."""
    if done.seeds is None or math.isinf(done.seeds):
        return []
    tasks, said, total = tasks_of(claim, suite), [], 0.0
    steps = {task: 2 * done.seeds * suite.registered(claim.pair, task).steps for task in tasks}
    rates = {task: recorded(results, suite.name, claim.pair, task) for task in tasks}
    for task, rate in rates.items():
        if rate is None:
            said.append(f"no rate is recorded of {claim.pair}: softbench bench --pair {claim.pair} --task {task}")
        else:
            total += rate.hours(steps[task])
    if any(rates.values()):
        many = f"{done.seeds:.0f} seeds of 2 arms, {sum(steps.values()):,.0f} steps"
        said.append(
            f"{many}: {duration(total)} of one worker, {duration(total / workers)} on {workers} workers at best"
        )
    return [*said, *dict.fromkeys(f"rate: recorded in {rate.source}" for rate in rates.values() if rate)]
