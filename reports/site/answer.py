"""The answer at first sight: a sentence that the data write, and the forest of every soft - hard difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from harness.schema.claims import Ledger
from harness.schema.grid import base
from harness.schema.suite import Suite
from reports.figures.forest import Group, Mark, Row, fits, forest, interval
from reports.figures.picture import Picture, Studio, Words
from reports.site.evidence import Evidence
from reports.site.names import stem
from reports.statistics.forms.form import NO_DIFFERENCE
from reports.statistics.intervals import Estimate
from reports.statistics.metrics import METRICS
from reports.statistics.numerals import numeral
from reports.statistics.scores import Study
from reports.statistics.summary.pooled import Effect, Pool, effect, merged, pooled
from reports.statistics.summary.readings import BETTER, UNDECIDED, WORSE, counted, margin, reading
from reports.table import NONE, Link, Table, Value, number

LEADS = {
    BETTER: "{}, yes.",
    NO_DIFFERENCE: "{}, no relevant difference.",
    WORSE: "{}, no: it is worse.",
    UNDECIDED: "Undecided so far.",
}
ELSE = ("nats", "goals")
"""Units of what is not made of returns."""


@dataclass(frozen=True)
class Comparison:
    """A soft arm and its hard arm on some `tasks` of a suite: final scores in the mode that is registered.

    Our own on the complete block; of an import on the tasks that both arms have. `seeds`: how many each arm has there. `claimed`: whether
    returns are what the suite's claims are about, or it has none.
    """

    suite: Suite
    study: Study
    soft: str
    hard: str
    found: Estimate
    margin: float | None
    tasks: list[str]
    seeds: tuple[int, int]
    claimed: bool

    @property
    def reading(self) -> str:
        return reading(self.found, self.margin)

    @property
    def diverged(self) -> bool:
        """Whether a seed of either arm diverged, so that it counts at the floor."""
        arms = [self.study.curves.get((task, arm)) for task in self.tasks for arm in (self.soft, self.hard)]
        return any(curves is not None and curves.diverged[:, -1].any() for curves in arms)


@dataclass(frozen=True)
class Answer:
    """What a page begins with; `lead` and `sentence` hold the same in a few words and in numbers. `floored`: where seeds diverged."""

    lead: str
    sentence: str
    floored: str
    basis: str
    forest: Future[Picture]


def comparisons(suite: Suite, ledger: Ledger | None, found: Sequence[Evidence]) -> list[Comparison]:
    """All comparisons of a suite for which there are results."""
    claimed = not ledger or not ledger.claims or any(METRICS[each.metric].unit not in ELSE for each in ledger.claims)
    return [
        Comparison(
            suite,
            each.study,
            its.soft,
            its.hard,
            its.found,
            margin(ledger, its.pair, its.soft, its.hard, each.study.shared((its.soft, its.hard))),
            each.study.shared((its.soft, its.hard)),
            next(block.seeds for block in each.of(its.soft, its.hard) if block.where == "all"),
            claimed,
        )
        for each in found
        for its in each.primary.values()
    ]


def cells(found: Sequence[Comparison]) -> dict[tuple[str, str], list[Effect]]:
    """(pair, task) -> what it says in each suite where it says anything: of every cell with results."""
    told: dict[tuple[str, str], list[Effect]] = {}
    for study in {id(each.study): each.study for each in found}.values():
        for task in study.cells:
            its = effect(study, task)
            told.setdefault((study.pair, task), []).extend([its] if its else [])
    return told


def answer(
    name: str, found: Sequence[Comparison], page: Callable[[Suite], str], data: Table, command: str, studio: Studio
) -> Answer | None:
    """The answer of some comparisons; None where there are none. `page` gives a suite's page, "" on the page itself."""
    if not found:
        return None
    told = cells(found)
    silent = sum(not its for its in told.values())
    total = _pool(told)
    margins = [each.margin for each in found if each.margin is not None]
    readings = {each.reading for each in found}
    pooled_reading = reading(total.mean, min(margins, default=None)) if total else UNDECIDED
    whole = "On the whole" if any(each.claimed for each in found) else "By return alone, which no claim here is about"
    lead = LEADS[readings.pop() if len(readings) == 1 else pooled_reading].format(whole)
    sentence, floored = f"{_counts(found)}{_pooled(total)}.", _floored(found)
    basis = f"Final scores with 95 % intervals; a task’s scale is 1 wide. {floored}{' ' * bool(floored)}"
    if total:
        low, high = (numeral(end, ".3f") for end in total.another)
        basis += f"Pooled by random effects (Hartung–Knapp) over {total.cells} cells of pair × task, each once however many suites have it"
        basis += (
            f" ({silent} more left out: no arm leaves the floor there, too few seeds, or no variance). "
            if silent
            else ". "
        )
        basis += f"The true difference of one more would lie between {low} and {high} with 95 %. "
    basis += "Descriptive, uncorrected: no verdict."
    words = Words(name, "Soft minus hard", basis, f"{lead} {sentence}", command)
    return Answer(
        lead, sentence, floored, basis, studio.order(forest, words, _groups(found, page), total and total.mean, data)
    )


def apart(
    name: str, found: Sequence[Comparison], page: Callable[[Suite], str], command: str, studio: Studio
) -> Future[Picture]:
    """The forest of comparisons that are no evidence: rows alone, nothing pooled."""
    said = "Smoke tests: budgets too small for conclusions. They show that everything runs, and are in no sentence and no mean above."
    words = Words(name, "Smoke tests: soft minus hard", said, f"{said} {_counts(found)}.", command)
    return studio.order(forest, words, _groups(found, page), None, table(name, found, page))


def _pool(told: dict[tuple[str, str], list[Effect]]) -> Pool | None:
    return pooled([merged(its) for its in told.values() if its])


def _counts(found: Sequence[Comparison]) -> str:
    """`Of 9 comparisons of a soft arm with its hard arm (ppo; 3 tasks), none is better, ...`."""
    pairs = sorted({each.study.pair for each in found})
    tasks = {task for each in found for task in each.tasks}
    named = ", ".join(pairs) if len(pairs) <= 6 else f"{len(pairs)} pairs"
    start = (
        f"Of {_many(len(found), 'comparison')} of a soft arm with its hard arm ({named}; {_many(len(tasks), 'task')}), "
    )
    counts = counted(each.reading for each in found)
    said = [
        _verb(counts[BETTER], "is better", "are better"),
        _verb(counts[NO_DIFFERENCE], "shows no relevant difference", "show no relevant difference"),
        _verb(counts[WORSE], "is worse", "are worse"),
    ]
    return f"{start}{', '.join(said)} and {_verb(counts[UNDECIDED], 'is undecided', 'are undecided')}"


def _pooled(total: Pool | None) -> str:
    return "" if total is None else f"; pooled over {total.cells} cells, soft minus hard is {interval(total.mean)}"


def _floored(found: Sequence[Comparison]) -> str:
    """`In 3 comparisons (1 better, 2 undecided) seeds diverged; these count at the floor.`; "" where none did."""
    lost = counted(each.reading for each in found if each.diverged)
    named = ", ".join(f"{count} {word}" for word, count in lost.items() if count)
    count = _many(sum(lost.values()), "comparison")
    return f"In {count} ({named}) seeds diverged; these count at the floor." if named else ""


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"


def _spanned(counts: Sequence[int], what: str) -> str:
    """`3 seeds`, `3 to 6 seeds`."""
    low, high = min(counts), max(counts)
    return _many(high, what) if low == high else f"{low} to {high} {what}s"


def _verb(count: int, one: str, many: str) -> str:
    return f"none {one}" if count == 0 else f"{count} {one if count == 1 else many}"


def _groups(found: Sequence[Comparison], page: Callable[[Suite], str]) -> list[Group]:
    """By suite, and by pair within it; where these are too many rows, by pair alone."""
    by_suite: dict[str, list[Comparison]] = {}
    for each in found:
        by_suite.setdefault(each.suite.name, []).append(each)
    titled = [(same[0].suite.title if page(same[0].suite) else "", same) for same in by_suite.values()]
    groups = [group for title, same in titled for group in _by_pair(same, title, page)]
    return groups if fits(groups) or len(titled) == 1 else _by_pair(found, "", page)


def _by_pair(found: Sequence[Comparison], title: str, page: Callable[[Suite], str]) -> list[Group]:
    """The pair with the highest mean first, and within a group the arm with the highest."""
    by_pair: dict[str, list[Comparison]] = {}
    for each in found:
        by_pair.setdefault(each.study.pair, []).append(each)
    return [_group(same, title, page) for same in sorted(by_pair.values(), key=_highest_first)]


def _highest_first(its: Sequence[Comparison]) -> float:
    """A key to sort by."""
    return -sum(each.found.value for each in its) / len(its)


def _group(same: Sequence[Comparison], title: str, page: Callable[[Suite], str]) -> Group:
    """On a suite's own page each point of a grid has a row, and tasks are counted; elsewhere points share a row, and words are few."""
    aside = _spanned([n for each in same for n in each.seeds], "seed")
    if not page(same[0].suite):
        aside = f"{_spanned([len(each.tasks) for each in same], 'task')} × {aside}"
    by_arm: dict[tuple[str, ...], list[Comparison]] = {}
    for each in same:
        names = (base(arm) if page(each.suite) else arm for arm in (each.soft, each.hard))
        by_arm.setdefault(tuple(names), []).append(each)
    rows = [_row(its, page, title) for its in sorted(by_arm.values(), key=_highest_first)]
    return Group(title, same[0].study.pair, aside, rows)


def _row(its: Sequence[Comparison], page: Callable[[Suite], str], title: str) -> Row:
    """Marks tell their suite where suites share a page and no heading does."""
    named = [each.suite.title if page(each.suite) and not title else "" for each in its]
    marks = [
        Mark(each.soft, each.hard, each.found, each.margin, each.reading, suite)
        for each, suite in zip(its, named, strict=True)
    ]
    return Row(its[0].study.pair, _place(its[0], page), marks)


def _place(each: Comparison, page: Callable[[Suite], str]) -> str:
    return f"{page(each.suite)}#{stem(each.study.pair)}"


def table(name: str, found: Sequence[Comparison], page: Callable[[Suite], str]) -> Table:
    """What a forest over several suites is drawn from."""
    rows: list[list[Value]] = [
        [
            Link(each.soft, _place(each, page)),
            each.hard,
            each.reading
            if each.found.low is not None
            else f"no interval ({each.found.why.removeprefix('undefined: ')})",
            each.found,
            number(each.margin, "g"),
            each.seeds[0] if len({*each.seeds}) == 1 else "{} and {}".format(*each.seeds),
            len(each.tasks),
            each.study.pair,
            each.suite.title,
        ]
        for each in found
    ]
    total = _pool(cells(found))
    if total:
        rows.append(["all", "all", "pooled", total.mean, NONE, NONE, NONE, "all", "all"])
    columns = ["soft arm", "hard arm", "the soft arm is", "difference", "margin", "seeds", "tasks", "pair", "suite"]
    return Table(name, "Every difference drawn", "", columns, rows)
