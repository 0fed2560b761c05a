"""`softbench decide`: blocks of seeds are added until a group-sequential test decides a claim, or the most seeds are reached.

The plan (looks and nominal levels, `reports.statistics.sequential`) is fixed before the first look and written to the decision's
file. It is a test of one claim on its own; Holm's correction over a ledger belongs to `softbench judge`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from harness import training
from harness.commands.judging import EXITS
from harness.commands.shared import CORES, INCOMPLETE, Workers, new_app
from harness.errors import Incomplete, InputError, suggestion
from harness.exits import Exit, legend
from harness.files import make_folder, replacing
from harness.plan.cells import Plan, make_plans
from harness.plan.identity import first_difference
from harness.progress import Display
from harness.schema.claims import Claim, Ledger, load_ledger, tasks_of
from harness.schema.decision import Decision, Look, Planned, decision_path, read_decision
from harness.schema.suite import Suite, load_suite, suite_names
from reports.statistics import sequential, verdicts
from reports.statistics.numerals import numeral
from reports.statistics.scores import read_studies
from reports.statistics.verdicts import INCONCLUSIVE

app = new_app()

Train = Callable[[list[Plan]], bool]
"""Trains what is missing of some cells; False where a cohort failed."""


def find_claim(name: str) -> tuple[Suite, Claim, Ledger]:
    """The suite, the claim and the ledger of `C5`, or of `classic/C5` where several suites have it. Raises InputError."""
    found, known, broken = [], [], []
    for suite_name in suite_names():
        try:
            suite = load_suite(suite_name)
            ledger = load_ledger(suite)
        except InputError as error:
            broken.append(str(error))
            continue
        for claim in ledger.claims if ledger else []:
            known += [claim.id, f"{suite_name}/{claim.id}"]
            if ledger and name in known[-2:]:
                found.append((suite, claim, ledger))
    if not found:
        unread = f" (not read: {broken[0]})" if broken else ""
        of_suite = [each for each in known if each.startswith(f"{name.partition('/')[0]}/")]
        offered = of_suite or dict.fromkeys(each for each in known if "/" not in each)
        raise InputError(f"CLAIM: {name!r} is in no ledger{suggestion(name, offered)}{unread}")
    if len(found) > 1:
        where = ", ".join(f"{suite.name}/{claim.id}" for suite, claim, _ in found)
        raise InputError(f"CLAIM: {name!r} is in several ledgers; say which: {where}")
    return found[0]


def decide(
    name: str, looks: Sequence[int], results: Path, train: Train, say: Callable[[Look], None]
) -> tuple[str | None, Path]:
    """Train and test at each of `looks` (seeds an arm) until the claim is decided: (verdict, the decision's file).

    The seeds are the first that the suite registers on the claim's tasks and those that follow: what is below may have been looked at.
    Members are trained from, and kept in, the checkpoints of `results`; the decision's own cells are in `results/sequential`.
    The verdict is None where a cohort failed, and `train` has said so.
    Raises InputError for an unknown claim, looks that are no plan, or results that cannot be used.
    """
    suite, claim, ledger = find_claim(name)
    if not claim.of_arms:
        raise InputError(f"CLAIM: {name!r} is not about two arms alone, so seeds cannot be added by looks")
    plan = sequential.plan(looks, ledger.level)
    out, path = results / "sequential", decision_path(results, suite.name, claim.id)
    content = Decision(
        suite=suite.name,
        claim=claim,
        level=ledger.level,
        uninformative=ledger.uninformative,
        plan=[Planned(seeds=seeds, nominal=nominal) for seeds, nominal in zip(looks, plan, strict=True)],
    )
    first = max(min(suite.registered(claim.pair, task).seeds) for task in tasks_of(claim, suite))
    plans(suite, claim, list(range(first, first + looks[0])), results)  # what is refused fixes nothing
    _begin(path, content)
    done: list[Look] = []
    for count, nominal in zip(looks, plan, strict=True):
        seeds = list(range(first, first + count))
        if not train(plans(suite, claim, seeds, results)):
            return None, path
        done.append(_look(suite, claim, ledger.model_copy(update={"level": nominal}), seeds, count == looks[-1], out))
        _write(path, content.model_copy(update={"looks": done, "verdict": done[-1].verdict}))
        say(done[-1])
        if done[-1].verdict != INCONCLUSIVE:
            break
    return done[-1].verdict, path


def _begin(path: Path, content: Decision) -> None:
    """Fix claim and plan in the decision's file, before any look. Raises InputError where it was begun with others."""
    found = read_decision(path)
    if found is None:
        _write(path, content)
        return
    if changed := first_difference(_fixed(found), _fixed(content)):
        raise InputError(
            f"{path}: this decision was begun otherwise, and is fixed beforehand: {changed}; move it away to begin anew"
        )
    if found.plan != content.plan:
        seeds = [planned.seeds for planned in found.plan]
        command = f"softbench decide {found.suite}/{found.claim.id} --max-seeds {seeds[-1]} --block {seeds[0]}"
        raise InputError(
            f"--max-seeds, --block: the looks of this decision were fixed when it began, after {', '.join(map(str, seeds))} seeds an "
            f"arm: more looks, or others, would make more false verdicts. Go on with: {command} (the plan is in {path})"
        )


def _fixed(decision: Decision) -> dict[str, Any]:
    return decision.model_dump(include={"suite", "claim", "level", "uninformative"})


def _write(path: Path, content: Decision) -> None:
    make_folder(path.parent)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content.model_dump(exclude_none=True), indent=1, sort_keys=True) + "\n")


def plans(suite: Suite, claim: Claim, seeds: list[int], results: Path) -> list[Plan]:
    """The cells of the claim's two arms. Raises InputError where the results there cannot be added to."""
    found = []
    for task in tasks_of(claim, suite):
        found += make_plans(suite, results / "sequential", "cpu", claim.pair, task, claim.arms, seeds)
    for plan in found:
        plan.runs = results / ".runs" / plan.runs.relative_to(results / "sequential" / ".runs")
    return found


def _look(suite: Suite, claim: Claim, ledger: Ledger, seeds: list[int], last: bool, out: Path) -> Look:
    """The claim's test on `seeds`, at the look's level, which `ledger` has.

    Only the last look says what does not settle the claim.
    """
    nominal = ledger.level
    cells = {
        pair: {task: cell.model_copy(update={"seeds": None}) for task, cell in tasks.items()}
        for pair, tasks in suite.cells.items()
    }
    wider = suite.model_copy(update={"seeds": seeds, "cells": cells})
    studies, damaged = read_studies(wider, out)
    study = next((each for each in studies if each.pair == claim.pair), None)
    found = verdicts.measure(claim, ledger, wider, study, suite.primary(claim.pair), damaged)
    if found.outcome is None:
        raise InputError(f"{claim.id}: cannot be judged: {found.because}")
    outcome, (decision,) = found.outcome, verdicts.decide([found], nominal)
    settled = (
        outcome.p is not None
        and outcome.p_against is not None
        and bool(sequential.settles(outcome.p, outcome.p_against, nominal))
    )
    verdict = decision.verdict if settled or last else INCONCLUSIVE
    return Look(
        seeds=len(seeds),
        nominal=nominal,
        estimate=outcome.estimate,
        p=outcome.p,
        p_against=outcome.p_against,
        verdict=verdict,
    )


def line(look: Look) -> str:
    """A look in words."""
    p, p_against = ("undefined" if p is None else numeral(p, ".2g") for p in (look.p, look.p_against))
    tests = f"p {p}, against {p_against}, may spend {look.nominal:.2g}"
    estimate = "undefined" if look.estimate is None else numeral(look.estimate, "+.3f")
    return f"{look.seeds} seeds an arm: estimate {estimate}, {tests}: {look.verdict}"


@app.command(
    "decide",
    epilog="\b\nExamples:\n  softbench decide C1-38\n  softbench decide classic/C5 --max-seeds 20"
    + legend(Exit.INCOMPLETE, Exit.INPUT, Exit.AGAINST, Exit.INCONCLUSIVE),
)
def decide_command(
    claim: Annotated[str, typer.Argument(help="id of a claim, or suite/id, see `softbench judge`")],
    max_seeds: Annotated[int, typer.Option(min=5, max=1000, help="most seeds of each arm")] = 40,
    block: Annotated[int, typer.Option(min=5, max=1000, help="seeds of each arm that are added before each look")] = 5,
    workers: Workers = CORES,
    results: Annotated[Path, typer.Option(help="folder of the results (and checkpoints, in .runs)")] = Path("results"),
) -> None:
    """Add seeds in blocks until a group-sequential test decides a claim, with the error rates of a single test."""

    def train(plans: list[Plan]) -> bool:
        with Display(Console()) as display:
            return training.run(plans, workers, display)

    if max_seeds < block:
        raise InputError(f"--max-seeds: {max_seeds} is below --block, {block}; the first look alone takes a block")
    looks = sequential.blocks(block, block, max_seeds)
    verdict, path = decide(claim, looks, results, train, lambda look: print(line(look)))
    if verdict is None:
        raise Incomplete(INCOMPLETE)
    print(f"{verdict}: {path}")
    raise typer.Exit(EXITS.get(verdict, Exit.DONE))
