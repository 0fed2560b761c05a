"""What the page says about a suite's claims: the banner, the table of verdicts, and a card a claim with its figure and how to read it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np

from harness.schema.suite import Suite
from reports.figures import claims as figures
from reports.figures.picture import Picture, Studio
from reports.statistics.forms.form import Outcome
from reports.statistics.intervals import Estimate
from reports.statistics.metrics import METRICS
from reports.statistics.verdicts import INCONCLUSIVE, INVALID, NOT_MEASURED, SUPPORTED, VERDICTS, WORDS, Verdict, bar
from reports.table import NONE, Link, Said, Table, Value, exact, number

COMPARISON = {
    "superiority": "is better than",
    "non-inferiority": "is no worse than",
    "equivalence": "is as good as",
}


@dataclass(frozen=True)
class Card:
    """One claim on the page. `advice` says what to do next ("" where the claim is decided), `command` is the line that does it."""

    verdict: Verdict
    reading: str
    advice: str
    command: str
    picture: Future[Picture] | None
    numbers: Table
    tasks: Table | None
    values: Table | None


@dataclass(frozen=True)
class Deck:
    """All cards of a suite, and what stands above them."""

    cards: list[Card]
    claims: Table
    level: float

    @property
    def tables(self) -> list[Table]:
        found = [table for card in self.cards for table in (card.numbers, card.tasks, card.values)]
        return [self.claims, *(table for table in found if table)]

    @property
    def groups(self) -> list[tuple[str, list[Link]]]:
        """verdict -> its claims, as links into the page, without verdicts that no claim got."""
        return groups([(card.verdict, f"#claim-{card.verdict.claim.id}") for card in self.cards])

    @property
    def undecided(self) -> list[Card]:
        """Claims that more seeds, or other data, could decide."""
        return [card for card in self.cards if card.verdict.verdict in (INCONCLUSIVE, INVALID)]


def groups(found: Sequence[tuple[Verdict, str]]) -> list[tuple[str, list[Link]]]:
    """(verdict, its claims) in the order of `VERDICTS`, of (claim judged, where its card is, or ""), without verdicts that none got."""
    of = {name: [Link(each.claim.id, href) for each, href in found if each.verdict == name] for name in VERDICTS}
    return [(name, links) for name, links in of.items() if links]


def ledger(suite: Suite, verdicts: Sequence[Verdict], commands: Callable[[str], str], studio: Studio) -> Deck | None:
    """The cards of a suite's claims; None where it has no ledger. `commands` gives the line that remakes a pair's figures."""
    if not verdicts:
        return None
    cards = [_card(suite, verdict, len(verdicts), commands(verdict.claim.pair), studio) for verdict in verdicts]
    return Deck(cards, claims([(suite, card) for card in cards], "claims"), verdicts[0].level)


def claims(cards: Sequence[tuple[Suite, Card]], name: str, pages: Sequence[str] | None = None) -> Table:
    """The table of verdicts: one row a claim, with the evidence and what is to be done.

    `pages`: the suites that have a page, for a table over several suites; None for the table on the suite's own page.
    """
    rows: list[list[Value]] = []
    for suite, card in cards:
        verdict, claim = card.verdict, card.verdict.claim
        page = f"{suite.name}.html" if pages is not None else ""
        linked = pages is None or suite.name in pages
        rows.append(
            [
                *([Link(suite.title, page) if linked else suite.title] if pages is not None else []),
                Link(claim.id, f"{page}#claim-{claim.id}") if linked else claim.id,
                verdict.statement,
                verdict.verdict,
                _estimate(verdict.outcome) or NONE,
                bar(claim),
                _both(verdict.p_holm, verdict.p_against_holm),
                _evidence(verdict),
                ": ".join(filter(None, (card.advice, card.command))) or "decided",
            ]
        )
    columns = [
        *(["suite"] if pages is not None else []),
        "claim",
        "statement",
        "verdict",
        "difference",
        "must be",
        "Holm p",
        "evidence",
        "what to do",
    ]
    return Table(
        name,
        "Verdicts",
        "Difference: of the claim’s metric between its two arms, mean over tasks, with its interval; the claim holds if the true "
        "difference is as “must be” says. Holm p: for the claim / against it, after correction for all claims of the suite.",
        columns,
        rows,
    )


def _card(suite: Suite, verdict: Verdict, family: int, command: str, studio: Studio) -> Card:
    advice, next_step = _advice(suite, verdict)
    judged, claim = verdict.data is not None and verdict.outcome is not None, verdict.claim
    return Card(
        verdict=verdict,
        reading=_reading(verdict, family),
        advice=advice,
        command=next_step,
        picture=studio.order(figures.claim, verdict, METRICS[claim.metric].unit, command) if judged else None,
        numbers=_numbers(verdict),
        tasks=_tasks(verdict),
        values=_values(verdict),
    )


def _advice(suite: Suite, verdict: Verdict) -> tuple[str, str]:
    """What would decide the claim, and the command; two empty strings where it is decided."""
    claim, needed = verdict.claim, verdict.seeds_needed
    if suite.imported is None:
        make, more = "train", shlex.join(["softbench", "train", suite.name, "--pair", claim.pair])
    else:
        make, more = "import", shlex.join(["softbench", "import", suite.imported])
    if verdict.verdict == NOT_MEASURED:
        return f"{make} the pair", more
    if verdict.verdict == INVALID:
        return f"look at the data first, then {make} the pair again", more
    if verdict.verdict != INCONCLUSIVE:
        return "", ""
    if needed is None:
        return "there is no spread between seeds, so how many would decide is not known", ""
    if verdict.seeds < verdict.registered and needed <= verdict.registered:
        return f"{make} the missing seeds: {verdict.counted.removesuffix(' seeds')} are complete", more
    if needed > verdict.seeds:
        decide = shlex.join(["softbench", "decide", f"{suite.name}/{claim.id}", "--max-seeds", str(needed)])
        return (
            f"not enough seeds: there are {_an_arm(verdict)}, you need {verdict.needed}",
            decide if make == "train" and needed <= 1000 else "",
        )
    return f"{verdict.seeds} seeds would usually show a difference of {claim.assumed:g}: expect a smaller one", ""


def _reading(verdict: Verdict, family: int) -> str:
    """How to read the card, in one paragraph."""
    claim, found = verdict.claim, verdict.outcome
    start = f"The claim: {claim.arm} {COMPARISON[claim.test]} {claim.against}, that is, the difference of their means is {bar(claim)}"
    start += f" (metric: {METRICS[claim.metric].meaning}). "
    if found is None or verdict.data is None:
        return f"{start}{verdict.why} So nothing is said about it."
    tasks = len(verdict.data.tasks)
    start += (
        f"{_trained(verdict)} on {tasks} task{'s' * (tasks != 1)}; the difference observed is {found.estimate:+.3f}. "
    )
    if found.low is None or found.high is None or verdict.p_holm is None:
        return f"{start}{verdict.why}"
    start += (
        f"The bar in the figure is its {1 - 2 * verdict.level:.0%} interval, from {found.low:.3f} to {found.high:.3f}; "
        "the shaded range is where the claim holds. "
    )
    corrected = (
        f"corrected for the {family} claims of this suite (Holm)" if family > 1 else "the only claim of this suite"
    )
    if verdict.verdict == SUPPORTED:
        start += f"The data leave little room outside the shaded range: p, {_p(verdict.p_holm)}, {corrected}, "
        return f"{start}is at most {verdict.level:g}."
    if verdict.verdict in WORDS and verdict.words:
        start += f"{verdict.why} The p value of this, {_p(verdict.words[verdict.verdict])}, {corrected}, "
        return f"{start}is at most {verdict.level:g}."
    return (
        f"{start}The data agree with true differences inside and outside the shaded range ({corrected}). {verdict.why}"
    )


def _numbers(verdict: Verdict) -> Table:
    """The facts of a claim; the same as in verdicts.json."""
    claim, found = verdict.claim, verdict.outcome
    estimate, p, p_against = (found.estimate, found.p, found.p_against) if found else (None, None, None)
    rows: list[list[Value]] = [
        ["difference", number(estimate, ".3f")],
        [f"{1 - 2 * verdict.level:.0%} interval", _interval(found)],
        ["must be", bar(claim)],
        ["p, raw", number(p, ".2g")],
        ["p, Holm", number(verdict.p_holm, ".2g")],
        ["p against, raw", number(p_against, ".2g")],
        ["p against, Holm", number(verdict.p_against_holm, ".2g")],
        *([f"p, {word}, Holm", number(p_word, ".2g")] for word, p_word in (verdict.words or {}).items()),
        ["level (one-sided)", number(verdict.level, "g")],
        ["seeds", verdict.counted.removesuffix(" seeds")],
        ["seeds needed", verdict.needed or NONE],
        ["detectable difference", number(verdict.detectable, ".3f")],
    ]
    rows += [[f"{mode} actions", decided] for mode, decided in (verdict.modes or {}).items()]
    rows += [[f"if lost seeds ended {case}", decided] for case, decided in (verdict.sensitivity or {}).items()]
    caption = (
        "Seeds needed: an arm, if the effect is the one registered as worth finding, at the level that Holm’s correction now "
        "leaves this claim. Detectable: what the present seeds find with 80 % power."
    )
    return Table(f"claim-{claim.id}", f"Numbers of claim {claim.id}", caption, ["quantity", "value"], rows)


def _tasks(verdict: Verdict) -> Table | None:
    """The same test on each task alone."""
    if not verdict.by_task or verdict.data is None:
        return None
    rows: list[list[Value]] = [
        [
            task,
            float(verdict.data.arm[:, at].mean()),
            float(verdict.data.against[:, at].mean()),
            _estimate(found) or NONE,
            number(found.p, ".2g"),
        ]
        for at, (task, found) in enumerate(verdict.by_task.items())
    ]
    claim = verdict.claim
    return Table(
        f"claim-{claim.id}-tasks",
        f"Claim {claim.id} on each task",
        "The same test on each task alone: descriptive, not corrected, and no verdict by itself.",
        ["task", claim.arm, claim.against, "difference", "p, raw"],
        rows,
    )


def _values(verdict: Verdict) -> Table | None:
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
        ["task", "seed", claim.arm, claim.against, "difference"],
        rows,
    )


def _estimate(found: Outcome | None) -> Estimate | None:
    return None if found is None else Estimate(found.estimate, found.low, found.high, found.why)


def _evidence(verdict: Verdict) -> str:
    if verdict.data is None:
        return "none" if not verdict.seeds else f"{verdict.seeds} of {verdict.registered} seeds"
    tasks = len(verdict.data.tasks)
    seeds = f"{verdict.seeds}" if verdict.seeds == verdict.registered else f"{verdict.seeds} of {verdict.registered}"
    seeds = seeds if len({*verdict.data.counts}) == 1 else verdict.counted.replace(" seeds", "")
    late = "; claim fixed after the runs began" if verdict.changed else ""
    return f"{seeds} seeds × {tasks} task{'s' * (tasks != 1)}{late}"


def _trained(verdict: Verdict) -> str:
    counts = verdict.data.counts if verdict.data is not None else (verdict.seeds,)
    if len({*counts}) == 1:
        return f"Each arm was trained with {counts[0]} seeds"
    return f"{verdict.claim.arm} was trained with {counts[0]} seeds and {verdict.claim.against} with {counts[-1]}"


def _an_arm(verdict: Verdict) -> str:
    """`8 an arm`, or `6 and 3`."""
    counts = verdict.data.counts if verdict.data is not None else (verdict.seeds,)
    return f"{counts[0]} an arm" if len({*counts}) == 1 else f"{counts[0]} and {counts[-1]}"


def _interval(found: Outcome | None) -> Value:
    if found is None or found.low is None or found.high is None:
        return found.why if found else NONE
    return Said(f"{found.low:.3f} to {found.high:.3f}", f"{exact(found.low)} to {exact(found.high)}")


def _both(first: float | None, second: float | None) -> Value:
    """Two p values in one cell."""
    ends = (first, second)
    return Said(" / ".join(map(_p, ends)), " / ".join(NONE if each is None else exact(each) for each in ends))


def _p(value: float | None) -> str:
    return NONE if value is None else f"{value:.2g}"
