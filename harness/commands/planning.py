"""`softbench plan`: how many seeds a claim needs, and how long they take, before anything is trained."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from harness.commands.cost import known_part, on_workers, rate_lines
from harness.commands.deciding import find_claim
from harness.commands.shared import CORES, Results, Workers, new_app
from harness.errors import InputError, suggestion
from harness.exits import Exit, legend
from harness.plan.cells import cell_specs
from harness.plan.manifest import against_of
from harness.plan.pairs import find_pair
from harness.plan.rates import recorded
from harness.schema.claims import Claim, Ledger, check, tasks_of
from harness.schema.documents import first_problem
from harness.schema.suite import Suite, load_suite, suite_names
from reports.statistics.design.ledger import level, seeds_of
from reports.statistics.design.planning import Planned, assumed, plan
from reports.statistics.forms.spread import FEWEST
from reports.statistics.forms.spread import TEST as SPREAD
from reports.statistics.intervals import Array
from reports.statistics.measuring import WANTED, behind
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
    if spread is not None and not 1e-9 <= spread <= 1e9:
        raise InputError(f"--spread: {spread:g} must be from 1e-9 to 1e9")
    if spread is not None and found.test == SPREAD:
        raise InputError(f"--spread: the power of {SPREAD} depends on how the arms are correlated alone; leave it out")
    at, registered, members = level(ledger, suite), seeds_of(found, suite), members_a_seed(found, suite)
    print(f"{suite.name}/{found.id}: {found.statement}")
    print(
        f"{found.test}, {found.method}: margin {found.margin:g}, effect {found.assumed:g}, "
        f"level {at:.3g} (one-sided, what Holm's correction leaves at worst)"
    )
    pilot = None if spread is not None else observed(found, suite, ledger, results)
    if pilot is not None:
        source, arm, against = pilot
        done = plan(found, arm, against, at, registered)
        how = "arms correlated as in" if found.test == SPREAD else f"spread {done.spread:.3g}, from"
        told = [(done, f"{how} {source}")]
    elif found.test == SPREAD:
        matrices = assumed(found, 1.0, tasks_of(found, suite))
        told = [(plan(found, *matrices, at, registered), "arms uncorrelated, assumed")]
    else:
        spreads = SPREADS if spread is None else (spread,)
        told = [
            (plan(found, *assumed(found, each, tasks_of(found, suite)), at, registered), f"spread {each:g}, assumed")
            for each in spreads
        ]
    if len(told) > 1:
        print(f"\nNo results say how the scores spread, so {len(told)} spreads are assumed; --spread gives one.")
    said = set[str]()
    for done, where in told:
        print(f"\n{where}: {needed(done)}{_with(done, registered)}")
        for line in curve(done) if len(told) == 1 else ():
            print(line)
        for line in hours(found, suite, members, done, workers, results):
            if line not in said:
                print(line)
            said.add(line)
    for line in curves([done for done, _ in told]) if len(told) > 1 else ():
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


def members_a_seed(claim: Claim, suite: Suite) -> dict[str, int]:
    """How many arms, points of grids included, one seed of the claim takes on each of its tasks; {} of an imported suite.

    Raises InputError where the claim is about an arm that its cells do not have.
    """
    found: dict[str, int] = {}
    for task in tasks_of(claim, suite) if suite.imported is None else ():
        kind = find_pair(claim.pair)
        specs = cell_specs(suite, claim.pair, task)
        hard_of = {
            arm: against_of(kind, arm) if kind.arms[its.arm].role == "soft" else None for arm, its in specs.items()
        }
        for side in claim.arms:
            if not behind(claim, hard_of, side):
                where = f"suites/{suite.name}/claims.yaml: {claim.id}"
                raise InputError(
                    f"{where}: {side!r} is no {WANTED[claim.of]} of {claim.pair} on {task}{suggestion(side, hard_of)}"
                )
        found[task] = len({arm for side in claim.arms for arm in behind(claim, hard_of, side)})
    return found


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
        fewest = FEWEST if claim.test == SPREAD else 2
        if data is not None and min(data.counts) >= fewest and data.tasks == tasks:
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


def curves(plans: list[Planned]) -> list[str]:
    """Power by seeds, a column a spread: of each up to about twice the seeds that it needs."""
    powers = [dict(done.power) for done in plans]
    counts = sorted({count for power in powers for count in power})
    lines = ["", "power by seeds an arm, at spread" + "".join(f"{done.spread:8.3g}" for done in plans)]
    for count in counts:
        cells = [f"{power[count]:8.0%}" if count in power else f"{'>95%':>8}" for power in powers]
        lines.append(f"{count:32,}" + "".join(cells))
    return lines


def hours(claim: Claim, suite: Suite, members: dict[str, int], done: Planned, workers: int, results: Path) -> list[str]:
    """How long the seeds needed take at recorded rates. `members`: of one seed, by task."""
    if done.seeds is None or math.isinf(done.seeds):
        return []
    rates = {(claim.pair, task): recorded(results, suite.name, claim.pair, task) for task in members}
    count, steps, total = 0.0, 0.0, 0.0
    for (_, task), rate in rates.items():
        if rate is not None:
            its = members[task] * done.seeds
            its_steps = its * suite.registered(claim.pair, task).steps
            count, steps, total = count + its, steps + its_steps, total + rate.hours(its_steps)
    said = f"{count:,.0f} members, {steps:,.0f} steps{known_part(rates.values())}: {on_workers(total, workers)}"
    return [*([said] if any(rates.values()) else []), *rate_lines(rates)]
