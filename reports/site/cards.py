"""What the page says about a suite's claims: the banner, the table of verdicts, and a card a claim with its figure and how to read it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from harness.schema.suite import Suite
from reports.figures.picture import PLAIN, Picture, interval, picture, say, short
from reports.figures.studio import Studio
from reports.figures.svg import mark
from reports.site.tables import NONE, Link, Table, Value
from reports.statistics.forms.form import Outcome
from reports.statistics.intervals import Estimate
from reports.statistics.metrics import METRICS
from reports.statistics.verdicts import INCONCLUSIVE, INVALID, NOT_MEASURED, SUPPORTED, VERDICTS, WORDS, Verdict, bar

COMPARISON = {
    "superiority": "is better than",
    "non-inferiority": "is no worse than",
    "equivalence": "is as good as",
}
METHODS = {
    "welch": "Welch’s t interval, stratified by task",
    "paired": "t interval of the differences by seed, stratified by task",
    "sign-flip": "interval of the exact sign-flip test of the differences by seed",
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
class Ledger:
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


def ledger(suite: Suite, verdicts: Sequence[Verdict], commands: Callable[[str], str], studio: Studio) -> Ledger | None:
    """The cards of a suite's claims; None where it has no ledger. `commands` gives the line that remakes a pair's figures."""
    if not verdicts:
        return None
    cards = [_card(suite, verdict, len(verdicts), commands(verdict.claim.pair), studio) for verdict in verdicts]
    return Ledger(cards, claims([(suite, card) for card in cards], "claims"), verdicts[0].level)


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
                claim.statement,
                verdict.verdict,
                _estimate(verdict.outcome) or NONE,
                bar(claim),
                f"{_p(verdict.p_holm)} / {_p(verdict.p_against_holm)}",
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
    judged = verdict.data is not None and verdict.outcome is not None
    return Card(
        verdict=verdict,
        reading=_reading(verdict, family),
        advice=advice,
        command=next_step,
        picture=studio.order(_picture, verdict, command) if judged else None,
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
        return "at this spread no number of seeds up to 10,000 would do", ""
    if verdict.seeds < verdict.registered and needed <= verdict.registered:
        return f"{make} the missing seeds: {verdict.seeds} of {verdict.registered} are complete", more
    if needed > verdict.seeds:
        decide = shlex.join(["softbench", "decide", f"{suite.name}/{claim.id}", "--max-seeds", str(needed)])
        return (
            f"not enough seeds: you need {needed} an arm, there are {verdict.seeds}",
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
        f"Each arm was trained with {verdict.seeds} seeds on {tasks} task{'s' * (tasks != 1)}; the difference observed is "
        f"{found.estimate:+.3f}. "
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
    rows: list[list[Value]] = [["difference", f"{found.estimate:.3f}" if found else NONE]]
    ends = None if found is None or found.low is None or found.high is None else f"{found.low:.3f} to {found.high:.3f}"
    rows += [
        [f"{1 - 2 * verdict.level:.0%} interval", ends or (found.why if found else NONE)],
        ["must be", bar(claim)],
        ["p, raw", _p(found.p) if found else NONE],
        ["p, Holm", _p(verdict.p_holm)],
        ["p against, raw", _p(found.p_against) if found else NONE],
        ["p against, Holm", _p(verdict.p_against_holm)],
        ["level (one-sided)", f"{verdict.level:g}"],
        ["seeds", f"{verdict.seeds} of {verdict.registered}"],
        ["seeds needed", NONE if verdict.seeds_needed is None else str(verdict.seeds_needed)],
        ["detectable difference", NONE if verdict.detectable is None else f"{verdict.detectable:.3f}"],
    ]
    rows += [[f"{mode} actions", decided] for mode, decided in (verdict.modes or {}).items()]
    rows += [[f"if lost seeds ended {case}", decided] for case, decided in (verdict.sensitivity or {}).items()]
    caption = (
        "Seeds needed: an arm, for 80 % power at the effect registered as worth finding, at the level that Holm’s correction now "
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
            _p(found.p),
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
    rows: list[list[Value]] = [
        [
            task,
            seed,
            float(data.arm[row, column]),
            float(data.against[row, column]),
            float(data.arm[row, column] - data.against[row, column]),
        ]
        for column, task in enumerate(data.tasks)
        for row, seed in enumerate(data.seeds)
    ]
    return Table(
        f"claim-{claim.id}-seeds",
        f"Seeds of claim {claim.id}",
        f"The {METRICS[claim.metric].meaning}, by task and seed: what the test was given.",
        ["task", "seed", claim.arm, claim.against, "difference"],
        rows,
    )


def _picture(verdict: Verdict, command: str) -> Picture:
    """Above: the mean over tasks of every seed of both arms; below: the difference's interval against what the claim needs."""
    claim, data, found = verdict.claim, verdict.data, verdict.outcome
    if data is None or found is None:
        raise ValueError("only a measured claim has a figure")
    estimate = Estimate(found.estimate, found.low, found.high, found.why)
    sides = [
        (claim.arm, data.arm.mean(axis=1), PLAIN["soft1"], "o"),
        (claim.against, data.against.mean(axis=1), PLAIN["ink"], "s"),
    ]

    def draw(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, height_ratios=[1.25, 1])
        for row, (arm, values, color, marker) in enumerate(sides):
            spread = _beeswarm(values)
            mark(
                above.scatter(values, -row + spread, s=16, color=color, marker=marker, alpha=0.65, linewidths=0),
                arm,
                data.seeds,
            )
            above.plot([values.mean()] * 2, [-row - 0.38, -row + 0.38], color=color, linewidth=2)
        above.set_yticks([0, -1], [short(claim.arm, 18), short(claim.against, 18)])
        above.set(ylim=(-1.55, 0.55), xlabel=f"{METRICS[claim.metric].unit} of each seed")
        ends = [each for each in (found.low, found.high, found.estimate, 0.0) if each is not None]
        low, high = min(*ends, -1.3 * claim.margin), max(*ends, 1.3 * claim.margin)
        room = 0.12 * (high - low) or 0.1
        low, high = low - room, high + room
        first = {"superiority": claim.margin, "non-inferiority": -claim.margin, "equivalence": -claim.margin}[
            claim.test
        ]
        last = claim.margin if claim.test == "equivalence" else high
        below.axvspan(first, last, color=PLAIN["soft3"], alpha=0.16, linewidth=0)
        for end in {first, last} - {high}:
            below.axvline(end, color=PLAIN["soft3"], linewidth=1.4, linestyle=(0, (4, 2)))
        below.axvline(0, color=PLAIN["ink"], linewidth=1)
        interval(below, estimate, 0, PLAIN["ink"], "D")
        below.set(xlim=(low, high), ylim=(-0.6, 0.6), yticks=[], xlabel="difference; shaded: the claim holds")
        below.spines["left"].set_visible(False)
        for axes in (above, below):
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.tick_params(axis="y", length=0)
            axes.grid(visible=False, axis="y")

    rows: list[list[Value]] = [
        [seed, *values] for seed, *values in zip(data.seeds, *(map(float, side[1]) for side in sides), strict=True)
    ]
    return picture(
        f"claim-{claim.id}",
        f"Claim {claim.id}: every seed, and the interval against the bar",
        f"Above: one mark a seed, its mean over tasks ({short(claim.arm)} ●, {short(claim.against)} ■), and a line at the mean. "
        f"Below: the difference with its {1 - 2 * verdict.level:.0%} {METHODS[claim.method]}.",
        f"Difference {say(estimate)}; the claim holds where it is {bar(claim)}. Mean of {claim.arm}: {data.arm.mean():.3f}, of "
        f"{claim.against}: {data.against.mean():.3f}; {verdict.seeds} seeds each.",
        command,
        draw,
        2.7,
        Table(
            f"claim-{claim.id}-drawn",
            "Seeds drawn",
            "Mean over tasks of every seed.",
            ["seed", claim.arm, claim.against],
            rows,
        ),
    )


def _beeswarm(values: np.ndarray) -> np.ndarray:
    """Vertical places for dots that would lie on each other: by rank among their near neighbours."""
    places = np.zeros(len(values))
    width = max(float(np.ptp(values)), 1e-9) / 25
    order = np.argsort(values, kind="stable")
    stack: list[int] = []
    for at in order:
        stack = [other for other in stack if values[at] - values[other] < width]
        taken = {round(float(places[other]), 3) for other in stack}
        steps = (round(sign * step * 0.09, 3) for step in range(len(values)) for sign in (1, -1))
        places[at] = np.clip(next((step for step in steps if step not in taken), 0.0), -0.36, 0.36)
        stack.append(int(at))
    return places


def _estimate(found: Outcome | None) -> Estimate | None:
    return None if found is None else Estimate(found.estimate, found.low, found.high, found.why)


def _evidence(verdict: Verdict) -> str:
    if verdict.data is None:
        return "none" if not verdict.seeds else f"{verdict.seeds} of {verdict.registered} seeds"
    tasks = len(verdict.data.tasks)
    seeds = f"{verdict.seeds}" if verdict.seeds == verdict.registered else f"{verdict.seeds} of {verdict.registered}"
    late = "; claim fixed after the runs began" if verdict.changed else ""
    return f"{seeds} seeds × {tasks} task{'s' * (tasks != 1)}{late}"


def _p(value: float | None) -> str:
    return NONE if value is None else f"{value:.2g}"
