"""What the page says about a suite's claims: the banner, the table of verdicts, and a row a claim that opens into its card."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from harness.schema.suite import Suite
from reports.figures import claims as figures
from reports.figures.forest import interval
from reports.figures.picture import Picture, Studio
from reports.site import claim_tables as tables
from reports.site.evidence import Evidence
from reports.statistics.forms.spread import TOO_FEW
from reports.statistics.metrics import METRICS
from reports.statistics.numerals import numeral
from reports.statistics.power import MOST_SEEDS
from reports.statistics.sequential import FIRST
from reports.statistics.verdicts import INCONCLUSIVE, INVALID, NOT_MEASURED, SUPPORTED, VERDICTS, WORDS, Verdict, bar
from reports.table import NONE, Link, Table, Value, worded

COMPARISON = {
    "superiority": "is better than",
    "non-inferiority": "is no worse than",
    "equivalence": "is as good as",
    "smaller-spread": "has seeds that are closer together than those of",
}


@dataclass(frozen=True)
class Card:
    """One claim on the page. `advice` says what to do next ("" where the claim is decided), `command` is the line that does it."""

    verdict: Verdict
    reading: str
    advice: str
    command: str
    picture: Future[Picture] | None
    whole: Future[Picture] | None
    """The whole curves' difference, of a claim that their areas are equivalent."""
    numbers: Table
    tasks: Table | None
    values: Table | None
    looks: Table | None
    """What `softbench decide` planned and found."""
    other: str
    """Why the number differs from that of the same two arms in the page's first figure; "" where it does not, or is not there."""

    @property
    def evidence(self) -> str:
        """On how much it rests."""
        return tables.rests_on(self.verdict)

    @property
    def difference(self) -> str:
        """The claim's difference with its interval, as the row prints it; "" where there is none."""
        found = tables.estimate(self.verdict.outcome)
        return interval(found) if found else ""

    @property
    def by_looks(self) -> str:
        """What became of `softbench decide`, in a few words; "" where it was not asked."""
        decision = self.verdict.decision
        if decision is None:
            return ""
        done = len(decision.looks)
        if not done:
            return f"begun, {len(decision.plan)} looks to come"
        return f"{decision.verdict} after {decision.looks[-1].seeds} seeds an arm (look {done} of {len(decision.plan)})"


@dataclass(frozen=True)
class Deck:
    """All cards of a suite, and what stands above them."""

    cards: list[Card]
    claims: Table
    level: float

    @property
    def tables(self) -> list[Table]:
        found = [table for card in self.cards for table in (card.numbers, card.tasks, card.values, card.looks)]
        return [self.claims, *(table for table in found if table)]

    @property
    def groups(self) -> list[tuple[str, int, list[Link]]]:
        """The claims by verdict, as links into the page; see `groups`."""
        claims = [(card.verdict, card.verdict.claim.id) for card in self.cards]
        return groups([(verdict, Link(name, f"#claim-{name}")) for verdict, name in claims])

    @property
    def other(self) -> bool:
        """Whether a claim's number differs from that of the same arms in the page's first figure."""
        return any(card.other for card in self.cards)

    @property
    def undecided(self) -> list[Card]:
        """Claims that more seeds, or other data, could decide."""
        return [card for card in self.cards if card.verdict.verdict in (INCONCLUSIVE, INVALID)]


def groups(found: Sequence[tuple[Verdict, Link]]) -> list[tuple[str, int, list[Link]]]:
    """(verdict, how many claims got it, their links, each once) in the order of `VERDICTS`, without verdicts that none got."""
    of = {name: [link for each, link in found if each.verdict == name] for name in VERDICTS}
    return [(name, len(links), [*dict.fromkeys(links)]) for name, links in of.items() if links]


@dataclass(frozen=True)
class Step:
    """What would decide some claims of a suite, and the line that does it, or ""."""

    suite: Suite
    advice: str
    command: str
    claims: list[str]


def steps(found: Sequence[tuple[Suite, Card]]) -> list[Step]:
    """What to do next: for claims that are measured and not decided, then for those that are not measured, in their order."""
    steps: dict[tuple[str, str, str], Step] = {}
    for suite, card in sorted(found, key=lambda each: each[1].verdict.verdict == NOT_MEASURED):
        if card.advice:
            key = suite.name, card.advice, card.command
            steps.setdefault(key, Step(suite, card.advice, card.command, [])).claims.append(card.verdict.claim.id)
    return [*steps.values()]


def ledger(
    suite: Suite,
    verdicts: Sequence[Verdict],
    evidence: Sequence[Evidence],
    commands: Callable[[str], str],
    studio: Studio,
) -> Deck | None:
    """The cards of a suite's claims; None where it has no ledger. `commands` gives the line that remakes a pair's figures."""
    if not verdicts:
        return None
    by_pair = {each.study.pair: each for each in evidence}
    cards = [
        _card(suite, verdict, len(verdicts), by_pair.get(verdict.claim.pair), commands(verdict.claim.pair), studio)
        for verdict in verdicts
    ]
    return Deck(cards, _claims(cards), verdicts[0].level)


def overview(cards: Sequence[tuple[Suite, Card]], name: str, pages: Sequence[str]) -> Table:
    """The table of verdicts over several suites, in few columns; `pages`: the suites that have a page."""
    looked = any(card.by_looks for _, card in cards)
    rows: list[list[Value]] = []
    for suite, card in cards:
        verdict, page = card.verdict, f"{suite.name}.html"
        linked = suite.name in pages
        rows.append(
            [
                Link(suite.title, page) if linked else suite.title,
                Link(verdict.claim.id, f"{page}#claim-{verdict.claim.id}") if linked else verdict.claim.id,
                verdict.statement,
                verdict.verdict,
                tables.estimate(verdict.outcome) or NONE,
                *([card.by_looks or NONE] if looked else []),
            ]
        )
    columns = ["suite", "claim", "statement", "verdict", "difference", *(["by looks"] if looked else [])]
    return Table(
        name,
        "The ledger",
        "Each claim is judged once, in the metric that is registered for it, Holm-corrected over its suite.",
        columns,
        rows,
    )


def _claims(cards: Sequence[Card]) -> Table:
    """The table of a suite's verdicts, with the evidence and what is to be done."""
    rows: list[list[Value]] = [
        [
            Link(card.verdict.claim.id, f"#claim-{card.verdict.claim.id}"),
            card.verdict.statement,
            card.verdict.verdict,
            tables.estimate(card.verdict.outcome) or NONE,
            worded(bar(card.verdict.claim)),
            tables.both(card.verdict.p_holm, card.verdict.p_against_holm),
            tables.rests_on(card.verdict),
            ": ".join(filter(None, (card.advice, card.command))) or "decided",
        ]
        for card in cards
    ]
    columns = ["claim", "statement", "verdict", "difference", "must be", "Holm p", "evidence", "what to do"]
    return Table("claims", "Verdicts", "", columns, rows)


def _card(suite: Suite, verdict: Verdict, family: int, evidence: Evidence | None, command: str, studio: Studio) -> Card:
    advice, next_step = _advice(suite, verdict)
    judged, claim = evidence is not None and tables.estimate(verdict.outcome) is not None, verdict.claim
    looks = evidence.looks if evidence else {}
    return Card(
        verdict=verdict,
        reading=_reading(verdict, family),
        advice=advice,
        command=next_step,
        picture=studio.order(figures.claim, verdict, looks, METRICS[claim.metric].unit, command) if judged else None,
        whole=studio.order(figures.whole, verdict, verdict.whole, command) if verdict.whole else None,
        numbers=tables.numbers(verdict),
        tasks=tables.tasks(verdict),
        values=tables.values(verdict),
        looks=tables.looks(verdict),
        other=_other(verdict, evidence),
    )


def _other(verdict: Verdict, evidence: Evidence | None) -> str:
    """One line for a reader who has seen another number of the same two arms."""
    claim, found = verdict.claim, verdict.outcome
    if not claim.of_means:
        return ""
    arm, against = claim.arms
    primary = evidence.primary if evidence else {}
    shown = primary.get((arm, against)) or primary.get((against, arm))
    if shown is None or found is None or found.estimate is None or verdict.data is None or evidence is None:
        return ""
    differs = [
        *([f"the claim is about the {METRICS[claim.metric].meaning}"] if claim.metric != "final" else []),
        *([f"on {', '.join(verdict.data.tasks)} alone"] if verdict.data.tasks != evidence.study.tasks else []),
        *([f"{arm} minus {against}"] if shown.soft != arm else []),
    ]
    if not differs:
        return ""
    return (
        f"Two numbers for these arms: {numeral(shown.found.value, '+.3f')} in the first figure is {shown.label} in the final score on all "
        f"tasks; {numeral(found.estimate, '+.3f')} here: {', '.join(differs)}, as registered."
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
    if verdict.seeds < verdict.registered and (needed is None or needed <= verdict.registered):
        return f"{make} the missing seeds: {verdict.counted.removesuffix(' seeds')} are complete", more
    if any(p <= verdict.level for p in (verdict.words or {}).values()):
        return "seeds that diverged could change what the others show: more seeds do not decide it", ""
    if needed is None:
        few = verdict.outcome is not None and verdict.outcome.why == TOO_FEW
        why = "there are too few seeds for a test" if few else "there is no spread between seeds"
        return f"{why}, so how many would decide is not known", ""
    if needed > verdict.seeds:
        if needed > MOST_SEEDS:
            return f"you need {verdict.needed}", ""
        said = f"add seeds, up to {needed:,.0f} an arm"
        if make == "import" or not claim.of_arms or needed > 1000 or verdict.decision is not None:
            return said, ""
        most = f"{max(needed, FIRST):.0f}"
        return said, shlex.join(["softbench", "decide", f"{suite.name}/{claim.id}", "--max-seeds", most])
    return f"{verdict.seeds} seeds would usually show a {claim.estimand} of {claim.assumed:g}: expect a smaller one", ""


def _reading(verdict: Verdict, family: int) -> str:
    """How to read the card, in one paragraph."""
    claim, found = verdict.claim, verdict.outcome
    arm, against = claim.sides
    start = f"The claim: {arm} {COMPARISON[claim.test]} {against}, that is, the {claim.estimand} {claim.contrast} is {bar(claim)}"
    start += f" (metric: {METRICS[claim.metric].meaning}). "
    if found is None or verdict.data is None:
        return f"{start}{verdict.why} So nothing is said about it."
    tasks = len(verdict.data.tasks)
    observed = "" if found.estimate is None else f"; the {claim.estimand} observed is {numeral(found.estimate, '+.3f')}"
    start += f"{_trained(verdict)} on {tasks} task{'s' * (tasks != 1)}{observed}. "
    if found.low is None or found.high is None or verdict.p_holm is None:
        return f"{start}{verdict.why}"
    start += (
        f"The bar in the figure is its {1 - 2 * verdict.level:.0%} interval, from "
        f"{numeral(found.low, '.3f')} to {numeral(found.high, '.3f')}; "
        "the shaded range is where the claim holds. "
    )
    corrected = (
        f"corrected for the {family} claims of this suite (Holm)" if family > 1 else "the only claim of this suite"
    )
    if verdict.verdict == SUPPORTED:
        start += (
            f"The data leave little room outside the shaded range: p, {tables.p_value(verdict.p_holm)}, {corrected}, "
        )
        return f"{start}is at most {verdict.level:g}."
    if verdict.verdict in WORDS and verdict.words:
        start += f"{verdict.why} The p value of this, {tables.p_value(verdict.words[verdict.verdict])}, {corrected}, "
        return f"{start}is at most {verdict.level:g}."
    return (
        f"{start}The data agree with true differences inside and outside the shaded range ({corrected}). {verdict.why}"
    )


def _trained(verdict: Verdict) -> str:
    counts = verdict.data.counts if verdict.data is not None else (verdict.seeds,)
    if len({*counts}) == 1:
        return f"Each arm was trained with {counts[0]} seeds"
    arm, against = verdict.claim.sides
    return f"{arm} was trained with {counts[0]} seeds and {against} with {counts[-1]}"
