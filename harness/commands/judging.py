"""`softbench judge`: verdicts for people and for CI, with exit codes that tell them apart."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from harness.commands.shared import Json, Results, new_app
from harness.errors import InputError, suggestion
from harness.exits import Exit, legend
from harness.schema.claims import load_ledger
from harness.schema.decision import Decision
from harness.schema.suite import CLAIMS, SUITES, load_suite, suite_names
from reports.statistics.numerals import numeral
from reports.statistics.verdicts import (
    BELOW_MARGIN,
    CONTRADICTED,
    INCONCLUSIVE,
    INVALID,
    NO_DIFFERENCE,
    NOT_MEASURED,
    SUPPORTED,
    VERDICTS,
    Verdict,
    judge,
)

app = new_app()

EXITS = {
    INVALID: Exit.INVALID,
    NOT_MEASURED: Exit.NOT_MEASURED,
    CONTRADICTED: Exit.AGAINST,
    BELOW_MARGIN: Exit.AGAINST,
    NO_DIFFERENCE: Exit.AGAINST,
    INCONCLUSIVE: Exit.INCONCLUSIVE,
}
"""verdict -> exit code, the worst first; 0 where none of them counts as a failure."""
NOT_AS_CLAIMED = (NO_DIFFERENCE, CONTRADICTED, BELOW_MARGIN)
"""What was called refuted: the difference is shown not to be as the claim says."""
SIGNS = {
    SUPPORTED: "✓",
    NO_DIFFERENCE: "=",
    CONTRADICTED: "✗",
    BELOW_MARGIN: "<",
    INCONCLUSIVE: "?",
    INVALID: "!",
    NOT_MEASURED: "–",
}


def judge_suites(names: Sequence[str], results: Path) -> tuple[dict[str, list[Verdict]], list[str]]:
    """suite -> verdicts, and a line for each suite that cannot be judged; all suites that have a ledger where none is named.

    Raises InputError where it is about one suite alone, or none here has a ledger.
    """
    chosen = list(dict.fromkeys(names)) or [name for name in suite_names() if (SUITES / name / CLAIMS).exists()]
    found, broken = {}, []
    for name in chosen:
        try:
            suite = load_suite(name)
            if load_ledger(suite) is None:
                raise InputError(f"suite {name!r} has no ledger: write its claims to {SUITES / name / CLAIMS}")
            found[name] = judge(suite, results)
        except InputError as error:
            if len(chosen) == 1:
                raise
            broken.append(str(error))
    if not chosen:
        raise InputError(f"no suite here has a ledger ({SUITES}/*/{CLAIMS})")
    return found, broken


def parse_fail_on(text: str) -> list[str]:
    """Verdicts from `contradicted,not-measured`; [] from `none`. Raises InputError on anything else.

    `refuted` stands for the three words that took its place, which is said on stderr.
    """
    if text.strip() == "none":
        return []
    words = {verdict.replace(" ", "-"): [verdict] for verdict in VERDICTS if verdict in EXITS}
    chosen = [word.strip() for word in text.split(",")]
    for word in chosen:
        if word not in words and word != "refuted":
            raise InputError(
                f"--fail-on: {word!r} is unknown{suggestion(word, words)}; allowed: {', '.join(words)}, or none"
            )
    known = {**words, "refuted": list(NOT_AS_CLAIMED)}
    if "refuted" in chosen:
        instead = ",".join(word.replace(" ", "-") for word in NOT_AS_CLAIMED)
        print(f"softbench: --fail-on: 'refuted' is an old word; write {instead}", file=sys.stderr)
    return list(dict.fromkeys(verdict for word in chosen for verdict in known[word]))


def exit_code(verdicts: Sequence[Verdict], fail_on: Sequence[str]) -> int:
    """The exit code of the worst verdict among those that count as failures; 0 where there is none."""
    present = {verdict.verdict for verdict in verdicts} & set(fail_on)
    return next((code for verdict, code in EXITS.items() if verdict in present), 0)


def looks(decision: Decision) -> str:
    """The outcome of `softbench decide` in words."""
    done, planned = len(decision.looks), len(decision.plan)
    if not done:
        return f"begun, none of {planned} looks is done"
    seeds = f"{done} of {planned} looks, {decision.looks[-1].seeds} seeds an arm"
    ended = done == planned or decision.verdict != INCONCLUSIVE
    return f"{decision.verdict} after {seeds}" if ended else f"open after {seeds}"


def lines(suite: str, verdicts: Sequence[Verdict]) -> list[str]:
    """The verdicts in words, for a terminal or a log."""
    counts = ", ".join(
        f"{count} {verdict}" for verdict in VERDICTS if (count := sum(each.verdict == verdict for each in verdicts))
    )
    found = [f"{suite}: {counts}"]
    for verdict in verdicts:
        facts = [f"{SIGNS[verdict.verdict]} {verdict.claim.id}", verdict.verdict]
        outcome = verdict.outcome
        if outcome is not None:
            ends = [numeral(end, "+.3f") for end in (outcome.low, outcome.high) if end is not None]
            interval = f" [{', '.join(ends)}]" if len(ends) == 2 else ""
            estimate = "undefined" if outcome.estimate is None else numeral(outcome.estimate, "+.3f")
            facts.append(f"{verdict.claim.contrast} = {estimate}{interval}")
        facts.append(verdict.counted)
        found += ["", "  ".join(facts), f"    {verdict.statement}", f"    {verdict.why}"]
        if verdict.whole:
            found.append(f"    Difference of the whole curves: {verdict.whole.said}")
        if verdict.flips and verdict.modes:
            found.append(
                "    By evaluation: " + ", ".join(f"{mode} {each}" for mode, each in verdict.modes.items()) + "."
            )
        if verdict.sensitivity:
            found.append(
                "    If lost seeds had ended "
                + ", ".join(f"{case}: {each}" for case, each in verdict.sensitivity.items())
                + "."
            )
        if verdict.uninformative:
            kept = "left out" if verdict.data is None or verdict.uninformative[0] not in verdict.data.tasks else "kept"
            found.append(
                f"    Uninformative, and {kept}: {', '.join(verdict.uninformative)}; neither arm leaves the floor."
            )
        if verdict.changed:
            found.append("    The claim " + "; ".join(verdict.changed) + ".")
        if verdict.decision:
            found.append(f"    By looks of its own (softbench decide): {looks(verdict.decision)}.")
        found += [f"    Note: {note}." for note in verdict.notes]
    return found


@app.command(
    "judge",
    epilog="\b\nExamples:\n  softbench judge\n  softbench judge classic --json\n  softbench judge smoke --fail-on invalid,not-measured"
    + legend(Exit.INPUT, *EXITS.values()),
)
def judge_command(
    suites: Annotated[
        list[str] | None, typer.Argument(help="suites to judge; all that have a ledger where none is given")
    ] = None,
    as_json: Json = False,
    fail_on: Annotated[
        str, typer.Option(help="verdicts that end in an exit code other than 0, comma-separated, or none")
    ] = "contradicted,below-the-margin,no-relevant-difference,not-measured,invalid",
    results: Results = Path("results"),
) -> None:
    """Judge the claims of the suites' ledgers by the tests fixed there. Trains nothing."""
    failing = parse_fail_on(fail_on)
    found, broken = judge_suites(suites or [], results)
    verdicts = [verdict for of_suite in found.values() for verdict in of_suite]
    if as_json:
        table = [{"suite": name, **verdict.to_json()} for name, of_suite in found.items() for verdict in of_suite]
        print(json.dumps(table, indent=1))
    else:
        print("\n\n".join("\n".join(lines(name, of_suite)) for name, of_suite in found.items()))
    for line in broken:
        print(f"softbench: {line}", file=sys.stderr)
    raise typer.Exit(Exit.INVALID if broken else exit_code(verdicts, failing))
