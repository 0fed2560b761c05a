"""The tables: rows once, printed in the page and in the CSV with the same digits."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
import pandas as pd

from reports.statistics import bootstrap
from reports.statistics import intervals as statistics
from reports.statistics.intervals import Array, Estimate
from reports.statistics.scores import Study

NONE = "—"


@dataclass(frozen=True)
class Link:
    """A cell that leads elsewhere on the site."""

    text: str
    href: str


Value = str | int | float | Estimate | Link


@dataclass(frozen=True)
class Table:
    """A titled table. An `Estimate` is one cell `0.5 [0.4, 0.6]` in the page and three columns (value, low, high) in the CSV."""

    name: str
    title: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Value]]

    @cached_property
    def digits(self) -> int:
        """Decimals of all numbers of the table: 3 for scores, 1 for returns."""
        cells = [cell for row in self.rows for cell in row if isinstance(cell, float | Estimate)]
        return 3 if all(abs(cell if isinstance(cell, float) else cell.value) < 10 for cell in cells) else 1

    def text(self, cell: Value) -> str:
        """A cell as the page prints it."""
        value, *interval = self._parts(cell)
        if not isinstance(cell, Estimate):
            return value
        return f"{value} ({cell.why})" if cell.why else f"{value} [{', '.join(interval)}]"

    def csv(self) -> str:
        """The table as CSV with a header line."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        wide = [any(isinstance(row[column], Estimate) for row in self.rows) for column in range(len(self.columns))]
        header = [
            [name, f"{name} low", f"{name} high"] if is_wide else [name]
            for name, is_wide in zip(self.columns, wide, strict=True)
        ]
        writer.writerow(chain.from_iterable(header))
        for row in self.rows:
            cells = [
                [*self._parts(cell), "", ""][: 3 if is_wide else 1] for cell, is_wide in zip(row, wide, strict=True)
            ]
            writer.writerow(chain.from_iterable(cells))
        return out.getvalue()

    def latex(self) -> str:
        """The table as a LaTeX `tabular` for the package booktabs."""
        cells = [[self.text(cell) for cell in row] for row in self.rows]
        frame = pd.DataFrame(cells, columns=list(self.columns))
        return frame.to_latex(index=False, escape=True)

    def _parts(self, cell: Value) -> list[str]:
        if isinstance(cell, Estimate):
            return [
                self._number(cell.value),
                *(cell.why if each is None else self._number(each) for each in (cell.low, cell.high)),
            ]
        return [self._number(cell) if isinstance(cell, float) else cell.text if isinstance(cell, Link) else str(cell)]

    def _number(self, value: float) -> str:
        return f"{round(value, self.digits) + 0.0:.{self.digits}f}"  # + 0.0 turns -0.0 into 0.0


def reading(estimate: Estimate, seeds: int) -> str:
    """A difference soft - hard in plain words, by whether its interval leaves 0 out."""
    if estimate.low is None or estimate.high is None:
        return f"no interval ({estimate.why.removeprefix('undefined: ')})"
    return "better" if estimate.low > 0 else "worse" if estimate.high < 0 else f"not separable at n = {seeds}"


def share(found: int, registered: int) -> str:
    """`10`, or `9 of 10` where something is missing."""
    return str(found) if found == registered else f"{found} of {registered}"


def evidence(studies: Sequence[Study]) -> Table:
    """Per pair and soft arm: the difference of mean scores to the hard arm, over the pair's complete block."""
    rows: list[list[Value]] = []
    for study in studies:
        rests = (
            share(len(study.seeds), len(study.suite.seeds)),
            share(len(study.tasks), len(study.suite.cells[study.pair])),
        )
        for soft, hard in study.comparisons:
            lost = sum(study.curves[task, arm].diverged[:, -1].sum() for task in study.tasks for arm in (soft, hard))
            if study.seeds:
                found = statistics.difference(study.matrix(soft), study.matrix(hard))
                rows.append([soft, hard, reading(found, len(study.seeds)), found, *rests, int(lost), study.pair])
            else:
                rows.append([soft, hard, "nothing to compare yet", NONE, *rests, int(lost), study.pair])
    return Table(
        "evidence",
        "Soft against hard",
        "Difference of mean normalized scores, soft minus hard, at the final evaluation, with its 95 % Welch t interval over seeds "
        "(stratified by task, Satterthwaite degrees of freedom). “Better” and “worse” say that the interval leaves 0 out; intervals are "
        "not corrected for the number of rows.",
        ["soft arm", "hard arm", "the soft arm is", "difference", "seeds", "tasks", "diverged", "pair"],
        rows,
    )


def differences(study: Study) -> Table:
    """Every comparison in full: over all tasks (the complete block), and on each task over the seeds found there."""
    mode = study.suite.evaluation.primary
    blocks = {"all": {arm: study.matrix(arm) for arm in study.arms}} if study.seeds else {}
    for task in study.cells:
        blocks[task] = {arm: study.score(task, study.curves[task, arm].returns[mode][:, -1:]) for arm in study.arms}
    rows: list[list[Value]] = []
    for block, scores in blocks.items():
        for soft, hard in study.comparisons:
            ours, theirs = scores[soft], scores[hard]
            if len(ours) and len(theirs):
                found = statistics.difference(ours, theirs)
                means = float(ours.mean()), float(theirs.mean())
                df = NONE if found.df is None else f"{found.df:.1f}"
                seeds = f"{len(ours)} and {len(theirs)}"
                rows.append([block, soft, hard, reading(found, min(len(ours), len(theirs))), found, *means, seeds, df])
    return Table(
        f"{study.pair}-differences",
        "Differences, overall and on each task",
        "Normalized scores, Welch t intervals, not corrected for the number of rows: with many rows a few leave 0 out by chance.",
        ["task", "soft arm", "hard arm", "the soft arm is", "difference", "soft mean", "hard mean", "seeds", "df"],
        rows,
    )


def aggregates(study: Study, found: dict[str, dict[str, Estimate]]) -> Table:
    """IQM, median, mean and optimality gap of every arm."""
    return Table(
        f"{study.pair}-aggregates",
        "Aggregate scores",
        f"Over {len(study.seeds)} seeds and {len(study.tasks)} tasks; points as in rliable, intervals from a stratified "
        f"bootstrap ({bootstrap.RESAMPLES} resamples, fixed key). "
        "Descriptive: such intervals cover about 85 % at n = 5 and 90 % at n = 10, not 95 %.",
        ["arm", *bootstrap.AGGREGATES],
        [[arm, *estimates.values()] for arm, estimates in found.items()],
    )


def improvements(study: Study, found: dict[str, Estimate]) -> Table:
    """Probability of improvement of every soft arm."""
    return Table(
        f"{study.pair}-improvement",
        "Probability of improvement",
        "Averaged over tasks; ties count one half; 95 % stratified bootstrap interval.",
        ["soft arm", "hard arm", "probability of improvement"],
        [[soft, hard, found[soft]] for soft, hard in study.comparisons],
    )


def modes(study: Study) -> list[tuple[str, str, str, Estimate]]:
    """(soft arm, hard arm, evaluation mode, difference of the final scores over the complete block)."""
    return [
        (soft, hard, mode, statistics.difference(study.matrix(soft, mode), study.matrix(hard, mode)))
        for soft, hard in study.comparisons
        for mode in study.suite.modes
    ]


def returns(study: Study) -> Table:
    """Final mean return of every arm on every task, sampled and greedy."""
    rows: list[list[Value]] = []
    for task in study.cells:
        for arm in study.arms:
            curves = study.curves[task, arm]
            seeds = share(len(curves.seeds), len(study.suite.seeds))
            means: list[Value] = [_mean(curves.returns[mode][:, -1]) for mode in study.suite.modes]
            rows.append([task, arm, seeds, int(curves.diverged[:, -1].sum()), *means])
    if study.suite.imported is None:
        measured = f"of the last evaluation ({study.suite.evaluation.episodes} episodes a seed)"
    else:
        measured = "at the last declared step"
    return Table(
        f"{study.pair}-returns",
        "Final returns on each task",
        f"Mean undiscounted return {measured} with its 95 % t interval over seeds; a diverged seed counts at the floor.",
        ["task", "arm", "seeds", "diverged", *(f"{mode} actions" for mode in study.suite.modes)],
        rows,
    )


def published(study: Study) -> Table:
    """Published figures beside ours; for a hard arm also whether the means agree within 5 %."""
    mode = study.suite.evaluation.primary
    rows: list[list[Value]] = []
    for figure in study.suite.published:
        curves = study.curves.get((figure.task, figure.arm))
        if figure.arm not in study.arms:
            continue
        theirs = f"{figure.mean:g}" + ("" if figure.spread is None else f" ± {figure.spread:g}")
        their_seeds = NONE if figure.seeds is None else figure.seeds
        if curves is None or not curves.seeds:
            rows.append([figure.task, figure.arm, NONE, NONE, theirs, their_seeds, NONE, NONE, figure.source])
            continue
        final, training = curves.returns[mode][:, -1], curves.training[np.isfinite(curves.training)]
        relative = (float(final.mean()) - figure.mean) / abs(figure.mean) if figure.mean else None
        within = (
            NONE
            if relative is None or study.hard_of[figure.arm] is not None
            else "yes"
            if abs(relative) <= 0.05
            else "no"
        )
        change = NONE if relative is None else f"{relative:+.1%}"
        rows.append(
            [figure.task, figure.arm, _mean(final), _mean(training), theirs, their_seeds, change, within, figure.source]
        )
    return Table(
        f"{study.pair}-published",
        "Published figures and ours",
        f"Ours: mean of the last evaluation ({mode} actions) with its 95 % t interval; training: episodes of the last segment. "
        "Theirs: mean ± spread as printed, for reference only, never a seed of ours. Difference: our evaluation relative to theirs.",
        ["task", "arm", "ours", "ours, training", "published", "seeds", "difference", "within 5 %", "source"],
        rows,
    )


def _mean(values: Array) -> Value:
    return statistics.mean_interval(values) if len(values) else NONE
