"""What a suite's page says, gathered: verdicts, figures, tables, and what is missing."""

from __future__ import annotations

import shlex
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.schema.baseline import baseline_path, read_baseline
from harness.schema.claims import Ledger, load_ledger
from harness.schema.manifest import Difference
from harness.schema.suite import Suite
from reports.figures import scores as plots
from reports.figures.learning import learning
from reports.figures.paths import paths
from reports.figures.picture import Picture, Studio
from reports.figures.style import Look
from reports.site import cards, records, tables
from reports.site.answer import Answer, Comparison, answer, comparisons
from reports.site.coverage import IMPROVEMENT, measured
from reports.site.evidence import Evidence
from reports.site.evidence import gather as numbers
from reports.site.strips import Strip, planes, strips
from reports.statistics.bootstrap import AGGREGATES
from reports.statistics.intervals import fewest
from reports.statistics.scores import Study, read_studies
from reports.statistics.summary import baseline
from reports.statistics.verdicts import Verdict, read_looks, verdicts
from reports.table import NONE, Table, Value, number

Promise = Future[Picture]
Record = dict[str, Any]
TALL = 8 * 900
"""Pixels that a page may have before anything on it is opened, where it is 1,400 wide: 8 screens."""


@dataclass(frozen=True)
class Section:
    """Everything that the page says about one pair."""

    study: Study
    main: list[Promise]
    curves: list[Promise]
    """Of learning, and what paths were recorded."""
    tables: list[Table]
    details: list[Table]
    sources: list[str]
    differences: list[Difference]
    legend: list[tuple[str, str, Look]]
    """Arm, role and look, for the page's one legend."""
    silent: list[str]
    """Tasks without a learning curve, and why."""
    strips: dict[str, list[Strip]]
    """Episodes by task."""
    unseen: list[str]
    """Recorded episodes and paths that cannot be shown, and why."""

    @property
    def pictures(self) -> list[Picture]:
        return [promise.result() for promise in self.main + self.curves]

    @property
    def height(self) -> float:
        """About how many pixels it takes more than a folded one, at a width of 1,400: its curves stand in pairs, each above its caption."""
        figures = [520 * each.result().ratio + 130 for each in self.curves]
        return 160 + 30 * len(self.silent) + sum(max(figures[at : at + 2]) for at in range(0, len(figures), 2))


@dataclass(frozen=True)
class Page:
    """One suite's page before it is rendered. Its pictures are there once the studio has drawn."""

    suite: Suite
    studies: list[Study]
    verdicts: list[Verdict]
    ledger: cards.Deck | None
    evidence: Table
    comparisons: list[Comparison]
    answer: Answer | None
    references: Table
    sections: list[Section]
    holes: list[str]
    damaged: list[str]
    """Cells that are there and cannot be used."""
    diverged: list[str]
    altered: list[str]
    since: Table | None
    """What changed since the last release; None where the suite has no baseline."""
    command: str

    @property
    def pictures(self) -> list[Picture]:
        claims = [each for card in self.ledger.cards for each in (card.picture, card.whole)] if self.ledger else []
        alone = [promise.result() for promise in [*claims, self.answer and self.answer.forest] if promise]
        return alone + [picture for section in self.sections for picture in section.pictures]

    @property
    def tables(self) -> list[Table]:
        found = [
            *([] if self.answer else [self.evidence]),
            self.references,
            *(self.ledger.tables if self.ledger else []),
            *([self.since] if self.since else []),
        ]
        found += [table for section in self.sections for table in section.tables + section.details]
        return found + [picture.data for picture in self.pictures if picture.data]

    @property
    def opened(self) -> list[str]:
        """The pairs whose learning curves are in sight at once: from the first on, as long as the page has about 8 screens at most."""
        lines = [*self.holes, *self.damaged, *self.diverged, *self.altered, *self.suspected]
        left: float = TALL - 2100 - 22 * len(self.comparisons) - 28 * len(lines)
        left -= 200 + 85 * len(self.ledger.cards) + 40 * len(self.ledger.undecided) if self.ledger else 0
        left -= 70 * len(self.sections)  # what a folded one takes
        found = []
        for section in self.sections:
            left -= section.height
            if left < 0:
                break
            found.append(section.study.pair)
        return found

    @property
    def suspected(self) -> list[str]:
        """Why seeds of an import may be parts or copies of one run."""
        imports = [cell.manifest.imported for study in self.studies for cell in study.cells.values()]
        return [each.why for its in imports if its for each in its.suspected]

    @property
    def changed(self) -> int:
        """Claims that were written or changed after the runs began."""
        return sum(bool(verdict.changed) for verdict in self.verdicts)

    @property
    def effort(self) -> str:
        """On how much all of it rests, in one sentence."""
        runs = sum(len(each.seeds) for study in self.studies for each in study.curves.values())
        steps = sum(
            len(each.seeds) * self.suite.registered(study.pair, task).steps
            for study in self.studies
            for (task, _), each in study.curves.items()
        )
        tasks = {task for study in self.studies for task in study.cells}
        arms = sum(len({arm for (_, arm), its in study.curves.items() if len(its.seeds)}) for study in self.studies)
        seeds = sorted({len(study.begun(*place)) for study in self.studies for place in study.curves})
        each = count(seeds[-1], "seed") if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
        taken = f"{steps / 1e6:,.1f} million" if steps >= 1e6 else f"{steps:,}"
        stepless = all(each.steps.max(initial=1) == 1 for study in self.studies for each in study.curves.values())
        effort = "" if stepless else f", {taken} environment {self.studies[0].unit}"
        return (
            f"{runs:,} training runs{effort}: {arms} arms of {count(len(self.studies), 'pair')} on "
            f"{count(len(tasks), 'task')}, {each} each."
        )


def count(number: int, what: str) -> str:
    """`1 task`, `3 tasks`."""
    return f"{number} {what}{'s' * (number != 1)}"


def gather(suite: Suite, results: Path, simulated: Record | None, studio: Studio) -> Page:
    """Everything that a suite's page says; `simulated`: the record of `softbench coverage`.

    Raises InputError where the suite has no results, or damaged ones.
    """
    studies, damaged = read_studies(suite, results)
    if damaged and not studies:
        raise InputError(str(damaged[0]))
    if not studies:
        raise InputError(
            f"no results for suite {suite.name!r} in {results / suite.name}; make them first: {making(suite)}"
        )
    ledger = load_ledger(suite)
    looks = read_looks(ledger, suite, results) if ledger else {}
    judged = verdicts(ledger, suite, studies, damaged, looks) if ledger else []
    known = {study.pair for study in studies}
    known |= {each.pair for each in damaged}
    absent = [f"{pair}: no results yet" for pair in suite.cells if pair not in known]
    unusable = [str(each) for each in damaged]
    command = remake(suite)
    found = [numbers(study) for study in studies]
    compared, evidence = comparisons(suite, ledger, found), tables.evidence(found, ledger)
    return Page(
        suite=suite,
        studies=studies,
        verdicts=judged,
        ledger=cards.ledger(suite, judged, found, partial(remake, suite), studio),
        evidence=evidence,
        comparisons=compared,
        answer=answer("evidence", compared, lambda _: "", evidence, command, studio),
        references=records.references(suite),
        sections=[_section(each, ledger, simulated, studio) for each in found],
        holes=absent + [line for study in studies for line in study.holes if line not in unusable],
        damaged=unusable,
        diverged=[line for study in studies for line in study.diverged],
        altered=[
            f"{study.pair}/{task}: {line}"
            for study in studies
            for task, lines in study.altered.items()
            for line in lines
        ],
        since=_since(suite, studies, judged),
        command=command,
    )


def _since(suite: Suite, studies: list[Study], judged: list[Verdict]) -> Table | None:
    """Verdicts and scores that differ from the last release's, which are kept in `baseline.json`."""
    path = baseline_path(suite.name)
    if not path.exists():
        return None
    before = read_baseline(path, suite)
    rows: list[list[Value]] = []
    now = {verdict.claim.id: verdict.verdict for verdict in judged}
    for claim in [*now, *(name for name in before.verdicts if name not in now)]:
        old, new = before.verdicts.get(claim, NONE), now.get(claim, NONE)
        if not baseline.same_verdict(old, new):
            rows.append([f"claim {claim}", old, new, NONE, "verdict changed"])
    found = baseline.compare(before, suite, studies)
    for change in found:
        if change.status != baseline.SAME:
            means = [number(mean, ".3f") for mean in (change.then, change.now)]
            rows.append(
                [
                    f"{change.arm} on {change.task} ({change.pair})",
                    *means,
                    change.difference or NONE,
                    change.status,
                ]
            )
    same = sum(change.status == baseline.SAME for change in found)
    kept = sum(baseline.same_verdict(before.verdicts.get(claim), its) for claim, its in now.items())
    return Table(
        "since",
        "What changed since the last release",
        f"Not listed, because they are the same: {same} of {count(len(found), 'mean score')}, {kept} of {count(len(now), 'verdict')}. "
        "Loss and gain: Welch’s one-sided test, Holm-corrected over all arms and tasks.",
        ["what", "then", "now", "difference", "change"],
        rows,
    )


def _section(found: Evidence, ledger: Ledger | None, simulated: Record | None, studio: Studio) -> Section:
    study = found.study
    suite, pair = study.suite, study.pair
    (shown_episodes, unseen), (shown_paths, unseen_paths) = strips(study), planes(study)
    command = remake(suite, pair)
    main: list[Promise] = []
    shown: list[Table] = []
    size = min(map(fewest, study.matrices.values()), default=0), len(study.tasks)
    covered, won = (measured(simulated, names, *size) for names in ([*AGGREGATES], [IMPROVEMENT]))
    if found.profiles:
        main += [
            studio.order(plots.aggregates, pair, found.looks, found.aggregates, covered, command),
            studio.order(plots.profiles, pair, found.looks, found.profiles, command),
        ]
        if found.improvements:
            main += [studio.order(plots.improvements, pair, found.looks, found.improvements, won, command)]
        if found.on_tasks and found.differences:
            main += [studio.order(plots.by_task, pair, found.on_tasks, command)]
        if found.improvements and len(study.modes) > 1:
            main += [studio.order(plots.modes, pair, study.primary, found.differences, command)]
    if found.aggregates:
        shown += [tables.aggregates(found, covered)]
    if found.improvements:
        shown += [tables.improvements(found, won)]
    shown += [tables.differences(found, ledger), tables.returns(found), tables.outcomes(study), tables.published(found)]
    curves = [studio.order(learning, each, remake(suite, pair, each.task)) for each in found.learning]
    for task, each in shown_paths.items():
        curves += [studio.order(paths, pair, task, found.looks, each, remake(suite, pair, task))]
    manifests = [cell.manifest for cell in study.cells.values()]
    lines = [manifest.difference for manifest in manifests]
    if suite.imported is None:
        origins = [records.settings(study), records.provenance(study), records.audits(study)]
    else:
        origins = [records.origins(study)]
    return Section(
        study=study,
        main=main,
        curves=curves,
        tables=[table for table in shown if table.rows],
        details=[records.arms(study), *origins, records.members(study)],
        sources=list(dict.fromkeys(manifest.source for manifest in manifests)),
        differences=[each for at, each in enumerate(lines) if each and each not in lines[:at]],
        legend=[(arm, study.roles[arm], look) for arm, look in found.looks.items()],
        silent=found.silent,
        strips=shown_episodes,
        unseen=unseen + unseen_paths,
    )


def making(suite: Suite, pair: str | None = None, task: str | None = None) -> str:
    """The shell line that makes results, from nothing or from the files that were imported."""
    if suite.imported is not None:
        return shlex.join(["softbench", "import", suite.imported])
    return shlex.join(
        ["softbench", "train", suite.name, *(["--pair", pair] if pair else []), *(["--task", task] if task else [])]
    )


def remake(suite: Suite, pair: str | None = None, task: str | None = None) -> str:
    """The shell line that makes a figure."""
    return f"{making(suite, pair, task)} && {shlex.join(['softbench', 'report', suite.name])}"
