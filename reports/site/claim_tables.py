"""The tables of a claim: its numbers, its tasks, its seeds, and the looks that were taken at it."""

from __future__ import annotations

import numpy as np

from reports.statistics.forms.form import Outcome
from reports.statistics.intervals import Estimate
from reports.statistics.metrics import METRICS
from reports.statistics.numerals import numeral
from reports.statistics.verdicts import WORDS, Verdict, bar
from reports.table import NONE, Said, Table, Value, exact, number, worded


def numbers(verdict: Verdict) -> Table:
    """The facts of a claim; the same as in verdicts.json."""
    claim, found = verdict.claim, verdict.outcome
    estimate, p, p_against = (found.estimate, found.p, found.p_against) if found else (None, None, None)
    rows: list[list[Value]] = [
        [claim.estimand, number(estimate, ".3f")],
        [f"{1 - 2 * verdict.level:.0%} interval", _interval(found)],
        ["must be", worded(bar(claim))],
        ["p, raw", number(p, ".2g")],
        ["p, Holm", number(verdict.p_holm, ".2g")],
        ["p against, raw", number(p_against, ".2g")],
        ["p against, Holm", number(verdict.p_against_holm, ".2g")],
        *([f"p, {word}, Holm", number(p_word, ".2g")] for word, p_word in (verdict.words or {}).items()),
        ["level (one-sided)", number(verdict.level, "g")],
        ["seeds", verdict.counted.removesuffix(" seeds")],
        ["seeds needed", verdict.needed or NONE],
        [f"detectable {claim.estimand}", number(verdict.detectable, ".3f")],
    ]
    rows += [[f"{mode} actions", decided] for mode, decided in (verdict.modes or {}).items()]
    rows += [[f"if lost seeds ended {case}", decided] for case, decided in (verdict.sensitivity or {}).items()]
    caption = (
        "Seeds needed: an arm, if the effect is the one registered as worth finding, at the level that Holm’s correction now "
        "leaves this claim. Detectable: what the present seeds find with 80 % power."
    )
    return Table(f"claim-{claim.id}", f"Numbers of claim {claim.id}", caption, ["quantity", "value"], rows)


def tasks(verdict: Verdict) -> Table | None:
    """The same test on each task alone."""
    if not verdict.by_task or verdict.data is None:
        return None
    rows: list[list[Value]] = [
        [
            task,
            float(verdict.data.arm[:, at].mean()),
            float(verdict.data.against[:, at].mean()),
            estimate(found) or NONE,
            number(found.p, ".2g"),
        ]
        for at, (task, found) in enumerate(verdict.by_task.items())
    ]
    claim = verdict.claim
    return Table(
        f"claim-{claim.id}-tasks",
        f"Claim {claim.id} on each task",
        "The same test on each task alone: descriptive, not corrected, and no verdict by itself.",
        ["task", *claim.sides, claim.estimand, "p, raw"],
        rows,
    )


def values(verdict: Verdict) -> Table | None:
    """Every value that the claim was judged on."""
    if verdict.data is None:
        return None
    claim, data = verdict.claim, verdict.data
    rows: list[list[Value]] = []
    for column, task in enumerate(data.tasks):
        ours, theirs = (
            {
                seed: float(value)
                for seed, value in zip(seeds, scores[:, column], strict=True)
                if value is not np.ma.masked
            }
            for seeds, scores in ((data.seeds, data.arm), (data.of_against, data.against))
        )
        for seed in sorted({*ours, *theirs}):
            both = seed in ours and seed in theirs
            rows.append(
                [task, seed, ours.get(seed, NONE), theirs.get(seed, NONE), ours[seed] - theirs[seed] if both else NONE]
            )
    return Table(
        f"claim-{claim.id}-seeds",
        f"Seeds of claim {claim.id}",
        f"The {METRICS[claim.metric].meaning}, by task and seed: what the test was given.",
        ["task", "seed", *claim.sides, "difference"],
        rows,
    )


def looks(verdict: Verdict) -> Table | None:
    """The looks of `softbench decide`: those that were taken, and those that are planned."""
    decision = verdict.decision
    if decision is None:
        return None
    rows: list[list[Value]] = [
        [
            look.seeds,
            number(look.nominal, ".2g"),
            number(look.estimate, "+.3f"),
            number(look.p, ".2g"),
            number(look.p_against, ".2g"),
            look.verdict,
        ]
        for look in decision.looks
    ]
    rows += [
        [
            each.seeds,
            number(each.nominal, ".2g"),
            NONE,
            NONE,
            NONE,
            "not needed" if decision.verdict in WORDS else "to come",
        ]
        for each in decision.plan[len(decision.looks) :]
    ]
    return Table(
        f"claim-{verdict.claim.id}-looks",
        f"Looks at claim {verdict.claim.id}",
        "What `softbench decide` fixed beforehand and found: a test of this claim on its own, at a level of its own. Its looks begin with "
        "the seeds that the ledger judges.",
        ["seeds an arm", "level it may spend", verdict.claim.estimand, "p", "p against", "verdict"],
        rows,
    )


def estimate(found: Outcome | None) -> Estimate | None:
    """What is drawn and printed with its interval; None where nothing was estimated."""
    if found is None or found.estimate is None:
        return None
    return Estimate(found.estimate, found.low, found.high, found.why)


def rests_on(verdict: Verdict) -> str:
    if verdict.data is None:
        return "none" if not verdict.seeds else f"{verdict.seeds} of {verdict.registered} seeds"
    tasks = len(verdict.data.tasks)
    seeds = f"{verdict.seeds}" if verdict.seeds == verdict.registered else f"{verdict.seeds} of {verdict.registered}"
    seeds = seeds if len({*verdict.data.counts}) == 1 else verdict.counted.replace(" seeds", "")
    late = "; claim fixed after the runs began" if verdict.changed else ""
    return f"{seeds} seeds × {tasks} task{'s' * (tasks != 1)}{late}"


def _interval(found: Outcome | None) -> Value:
    if found is None or found.low is None or found.high is None:
        return found.why if found else NONE
    return Said(
        f"{numeral(found.low, '.3f')} to {numeral(found.high, '.3f')}", f"{exact(found.low)} to {exact(found.high)}"
    )


def both(first: float | None, second: float | None) -> Value:
    """Two p values in one cell."""
    ends = (first, second)
    return Said(" / ".join(map(p_value, ends)), " / ".join(NONE if each is None else exact(each) for each in ends))


def p_value(value: float | None) -> str:
    return NONE if value is None else numeral(value, ".2g")
