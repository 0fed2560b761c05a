"""The tables of the scores, from the numbers that the figures are drawn from."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np

from harness.schema.claims import Ledger
from reports.site.evidence import Block, Evidence
from reports.statistics import bootstrap
from reports.statistics.intervals import Estimate, mean_interval
from reports.statistics.numerals import numeral
from reports.statistics.scores import Study
from reports.statistics.summary.readings import margin, reading
from reports.table import NONE, Table, Value, number, worded


def said(estimate: Estimate, margin: float | None) -> str:
    """A difference soft - hard in a word, or why it has no interval."""
    if estimate.low is None:
        return f"no interval ({estimate.why.removeprefix('undefined: ')})"
    return reading(estimate, margin)


def share(found: int, registered: int) -> str:
    """`10`, or `9 of 10` where something is missing."""
    return str(found) if found == registered else f"{found} of {registered}"


def evidence(found: Sequence[Evidence], ledger: Ledger | None) -> Table:
    """Per pair and soft arm: the difference of mean scores to the hard arm, over the pair's complete block."""
    rows: list[list[Value]] = []
    for each in found:
        study, primary = each.study, each.primary
        for soft, hard in study.comparisons:
            rests = _rests(each, soft, hard)
            tasks = study.cells if study.imported else study.shared((soft, hard))
            lost = sum(study.curves[task, arm].diverged[:, -1].sum() for task in tasks for arm in (soft, hard))
            compared = study.shared((soft, hard)) or [*study.suite.cells[study.pair]]
            relevant = margin(ledger, study.pair, soft, hard, compared)
            told: list[Value] = ["nothing to compare yet", NONE]
            if (soft, hard) in primary:
                difference = primary[soft, hard].found
                told = [said(difference, relevant), difference]
            rows.append([soft, hard, *told, number(relevant, "g"), *rests, int(lost), study.pair])
    return Table(
        "evidence",
        "Soft against hard",
        "Difference of mean normalized scores, soft minus hard, at the final evaluation, with its 95 % Welch t interval over seeds "
        "(stratified by task, Satterthwaite degrees of freedom). “Better” and “worse”: the interval leaves 0 out; “no relevant "
        "difference”: it lies within the margin, the smallest that the ledger has for the comparison; else “undecided”. Descriptive: not "
        "corrected for the number of rows.",
        ["soft arm", "hard arm", "the soft arm is", "difference", "margin", "seeds", "tasks", "diverged", "pair"],
        rows,
    )


def _rests(found: Evidence, soft: str, hard: str) -> tuple[str, str]:
    """On how many seeds and tasks a comparison rests."""
    study, tasks = found.study, len(found.study.suite.cells[found.study.pair])
    if not study.imported:
        shared = len(study.shared((soft, hard))) if study.seeds else 0
        return share(len(study.seeds) if shared else 0, study.most_seeds), share(shared, tasks)
    blocks = found.of(soft, hard)
    seeds = next((each.seeds for each in blocks if each.where == "all"), (0, 0))
    return (
        str(seeds[0]) if len({*seeds}) == 1 else f"{seeds[0]} and {seeds[1]}",
        share(sum(each.where != "all" for each in blocks), tasks),
    )


def _on(study: Study, block: Block) -> list[str]:
    """The tasks of a comparison."""
    return study.shared((block.soft, block.hard)) if block.where == "all" else [block.where]


def differences(found: Evidence, ledger: Ledger | None) -> Table:
    """Every comparison in full: over all tasks (the complete block), and on each task over the seeds found there."""
    rows: list[list[Value]] = [
        [
            each.where,
            each.soft,
            each.hard,
            said(each.found, margin(ledger, found.study.pair, each.soft, each.hard, _on(found.study, each))),
            each.found,
            *each.means,
            "{} and {}".format(*each.seeds),
            number(each.found.df, ".1f"),
        ]
        for each in found.blocks
    ]
    return Table(
        f"{found.study.pair}-differences",
        "Differences, overall and on each task",
        "Normalized scores, Welch t intervals, not corrected for the number of rows: with many rows a few leave 0 out by chance.",
        ["task", "soft arm", "hard arm", "the soft arm is", "difference", "soft mean", "hard mean", "seeds", "df"],
        rows,
    )


def aggregates(found: Evidence, covered: str) -> Table:
    """IQM, median, mean and optimality gap of every arm."""
    study = found.study
    return Table(
        f"{study.pair}-aggregates",
        "Aggregate scores",
        f"Over {_spanned(found)} seeds and {len(study.tasks)} tasks; points as in rliable, intervals from a stratified "
        f"bootstrap ({bootstrap.RESAMPLES} resamples, fixed key). {covered}",
        ["arm", *bootstrap.AGGREGATES],
        [[arm, *estimates.values()] for arm, estimates in found.aggregates.items()],
    )


def _spanned(found: Evidence) -> str:
    """Seeds an arm of the aggregates."""
    counts = sorted({len(found.study.matrices[arm]) for arm in found.aggregates})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def improvements(found: Evidence, covered: str) -> Table:
    """Probability of improvement of every soft arm."""
    return Table(
        f"{found.study.pair}-improvement",
        "Probability of improvement",
        f"Averaged over tasks; ties count one half; 95 % stratified bootstrap interval. {covered}",
        ["soft arm", "hard arm", "probability of improvement"],
        [[soft, hard, each] for (soft, hard), each in found.improvements.items()],
    )


STARTS = ("fixed", "normal")
"""Ends of columns of the curves, by the start of the episodes that these are of (`harness.run.outcomes`)."""


def outcomes(study: Study) -> Table:
    """What episodes came to beyond their returns, on tasks that record it: every arm, from either start."""
    finals = {task: cell.curves[cell.curves["segment"] == cell.manifest.segments] for task, cell in study.cells.items()}
    columns = dict.fromkeys(str(name) for final in finals.values() for name in final)
    first, *others = (f"_{start}" for start in STARTS)
    names = [name.removesuffix(first) for name in columns if name.endswith(first)]
    names = [name for name in names if all(name + other in columns for other in others)]
    rows: list[list[Value]] = []
    for task, final in finals.items() if names else ():
        for arm, start in product(study.arms, STARTS):
            its = final[(final["arm"] == arm) & final["seed"].isin(study.curves[task, arm].seeds) & ~final["diverged"]]
            kept = [f"{name}_{start}" for name in names if f"{name}_{start}" in final]
            if len(its) and len(kept) == len(names):
                rows.append([task, arm, start, len(its), *(float(its[name].mean()) for name in kept)])
    return Table(
        f"{study.pair}-outcomes",
        "What episodes came to",
        "Episodes of sampled actions at the end of training, by their start, fixed or normal: goals reached, entropy in nats of the "
        "histogram of these, and the share of all episodes that reached each goal. Means over seeds that did not diverge.",
        ["task", "arm", "start", "seeds", *(name.replace("_", " ") for name in names)],
        rows,
    )


def returns(found: Evidence) -> Table:
    """Final mean return of every arm on every task, sampled and greedy."""
    study = found.study
    rows: list[list[Value]] = []
    for task in study.cells:
        for arm in study.arms:
            curves = study.curves[task, arm]
            seeds = share(len(curves.seeds), len(study.begun(task, arm)))
            means: list[Value] = [found.returns.get((task, arm, mode), NONE) for mode in study.modes]
            rows.append([task, arm, seeds, int(curves.diverged[:, -1].sum()), *means])
    if study.suite.imported is None:
        episodes = {study.suite.registered(study.pair, task).evaluation.episodes for task in study.cells}
        measured = f"of the last evaluation ({' or '.join(map(str, sorted(episodes)))} episodes a seed)"
    else:
        measured = "at the last declared step"
    return Table(
        f"{study.pair}-returns",
        "Final returns on each task",
        f"Mean undiscounted return {measured} with its 95 % t interval over seeds; a diverged seed counts at the floor.",
        ["task", "arm", "seeds", "diverged", *(f"{mode} actions" for mode in study.modes)],
        rows,
    )


def published(found: Evidence) -> Table:
    """Published figures beside ours by the same actions; but for soft arms also whether the means agree within 5 %."""
    study = found.study
    rows: list[list[Value]] = []
    for figure in study.suite.published:
        if figure.arm not in study.arms:
            continue
        theirs = worded(numeral(figure.mean, "g") + ("" if figure.spread is None else f" ± {figure.spread:g}"))
        their_seeds = NONE if figure.seeds is None else figure.seeds
        actions = figure.actions or study.primary
        ours = _ours(found, figure.task, figure.arm, actions)
        relative = (ours.value - figure.mean) / abs(figure.mean) if ours and figure.mean else None
        within = NONE
        if relative is not None and study.roles[figure.arm] != "soft":
            within = ": ".join(filter(None, ("yes" if abs(relative) <= 0.05 else "no", figure.departs)))
        shown = [ours or NONE, actions, theirs, their_seeds, number(relative, "+.1%"), within]
        rows.append([figure.task, figure.arm, *shown, figure.source])
    return Table(
        f"{study.pair}-published",
        "Published figures and ours",
        "Ours: mean of the last evaluation, or of the training episodes of the last segment, by the actions named, with its 95 % t "
        "interval. Published: mean ± spread as printed, for reference only, never a seed of ours. Difference: of ours relative to it. "
        "Within 5 %: and in what ours departs, as in actions or in steps.",
        ["task", "arm", "ours", "actions", "published", "seeds", "difference", "within 5 %", "source"],
        rows,
    )


def _ours(found: Evidence, task: str, arm: str, actions: str) -> Estimate | None:
    """Our mean at the end; None where it was not measured."""
    if actions != "training" or (task, arm) not in found.study.curves:
        return found.returns.get((task, arm, actions))
    episodes = found.study.curves[task, arm].training[:, -1]
    episodes = episodes[np.isfinite(episodes)]
    return mean_interval(episodes) if len(episodes) else None
