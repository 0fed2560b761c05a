"""Figures of the scores: differences, aggregates, profiles, probability of improvement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from reports.figures import intervals as drawn
from reports.figures.intervals import Row, points, reference
from reports.figures.picture import Picture, Words, picture
from reports.figures.style import SMALL, WIDTH, Look, say, short
from reports.figures.svg import mark
from reports.figures.ticks import ends, label_ends
from reports.statistics.intervals import Array, Estimate
from reports.statistics.numerals import numeral
from reports.table import Table, Value


@dataclass(frozen=True)
class Difference:
    """Soft minus hard, of final scores over the complete block of their pair, in one evaluation mode."""

    pair: str
    soft: str
    hard: str
    mode: str
    look: Look
    found: Estimate

    @property
    def label(self) -> str:
        return f"{self.soft} − {self.hard}"


@dataclass(frozen=True)
class OnTask:
    """Soft minus hard of the same seed on one task, `differences [n]` of `seeds`, and their mean with its t interval."""

    task: str
    soft: str
    hard: str
    look: Look
    seeds: list[int]
    differences: Array
    found: Estimate


@dataclass(frozen=True)
class Profiles:
    """Of each arm the share of runs above each of `thresholds [K]`, and the band's low and high: three arrays `[K]`."""

    thresholds: Array
    curves: dict[str, tuple[Array, Array, Array]]
    middle: float
    above: dict[str, float]
    """Of each arm the share of runs above `middle`."""


def modes(pair: str, primary: str, differences: Sequence[Difference], command: str) -> Picture:
    """The differences in both evaluation modes, which alternate."""

    def draw() -> Figure:
        first = differences[0].mode
        rows = [
            Row(
                each.label if each.mode == first else "",
                Look(each.look.color, "o" if each.mode == first else "s"),
                [each.found],
                each.soft,
            )
            for each in differences
        ]
        figure, (axes,) = drawn.intervals(rows, [""], at=0)
        axes.set_xlabel("difference of mean scores: ● sampled, ■ greedy actions")
        return figure

    words = Words(
        f"{pair}-modes",
        "Sampled against greedy evaluation",
        "The same comparison with actions drawn from the policy (●) and with the policy’s best action (■): where the two bars lie on "
        f"different sides of 0, the choice of the evaluation decides. The verdicts use {primary} actions, as registered.",
        "; ".join(f"{each.soft} minus {each.hard}, {each.mode}: {say(each.found)}" for each in differences),
        command,
    )
    rows: list[list[Value]] = [[each.soft, each.hard, each.mode, each.found] for each in differences]
    columns = ["soft arm", "hard arm", "actions", "difference"]
    return picture(words, draw, Table(f"{pair}-modes", "Both evaluation modes", "", columns, rows))


def by_task(pair: str, found: Sequence[OnTask], command: str) -> Picture:
    """Differences by seed on each task: every seed, the mean and its interval; one panel a comparison."""
    panels: dict[tuple[str, str], list[OnTask]] = {}
    for each in found:
        panels.setdefault((each.soft, each.hard), []).append(each)
    row, gap = 0.24, 0.55
    height = sum(len(each) * row + gap for each in panels.values()) + 0.1

    def draw() -> Figure:
        figure = Figure(figsize=(WIDTH, height))
        top, left = height - 0.1, 1.15
        for (soft, hard), rows in panels.items():
            high = len(rows) * row
            top -= high + 0.2
            axes = figure.add_axes((left / WIDTH, top / height, (WIDTH - left - 0.1) / WIDTH, high / height))
            top -= gap - 0.2
            axes.set(xlabel=" ", ylabel=" ")  # seaborn would look for labels
            sns.stripplot(
                x=np.concatenate([each.differences for each in rows]),
                y=[str(place) for place, each in enumerate(rows) for _ in each.seeds],
                color=rows[0].look.color,
                marker="|",
                size=9,
                alpha=0.8,
                linewidth=0.9,
                jitter=False,
                ax=axes,
            )
            for strokes, each in zip(axes.collections, rows, strict=True):
                mark(strokes, soft, each.seeds)
            points(axes, [each.found for each in rows], rows[0].look)
            reference(axes, 0)
            axes.set(xlabel="", ylabel="")
            axes.set_title(f"{short(soft)} − {short(hard)}", fontsize=SMALL, loc="left", y=1.0, pad=3)
            mark(axes, soft)
            axes.set_yticks(range(len(rows)), [short(each.task, 16) for each in rows], fontsize=SMALL)
            axes.set_ylim(len(rows) - 0.4, -0.6)
            seen = np.concatenate(
                [np.append(each.differences, [each.found.low or 0, each.found.high or 0]) for each in rows]
            )
            label_ends(axes.xaxis, ends(float(seen.min()), float(seen.max())))
        return figure

    words = Words(
        f"{pair}-by-task",
        "Differences by seed on each task",
        "Soft minus hard score of the same seed at the final evaluation. Strokes: single seeds; marker and bar: the mean and its 95 % t "
        "interval. Right of the line at 0 the soft arm is ahead. Descriptive: not corrected for the number of rows.",
        "; ".join(f"{each.task}, {each.soft} minus {each.hard}: {say(each.found)}" for each in found)
        or "no task has both arms of a comparison",
        command,
    )
    rows: list[list[Value]] = [[each.task, each.soft, each.hard, len(each.seeds), each.found] for each in found]
    columns = ["task", "soft arm", "hard arm", "seeds", "difference"]
    return picture(words, draw, Table(f"{pair}-by-task", "Differences by seed on each task", "", columns, rows))


def aggregates(
    pair: str, looks: Mapping[str, Look], found: Mapping[str, Mapping[str, Estimate]], covered: str, command: str
) -> Picture:
    """Aggregate `found[arm][name]` of every arm, one panel an aggregate."""
    names = list(next(iter(found.values())))

    def draw() -> Figure:
        return drawn.intervals([Row(arm, looks[arm], list(each.values()), arm) for arm, each in found.items()], names)[
            0
        ]

    said = [f"{arm}: " + ", ".join(f"{name} {say(each)}" for name, each in of.items()) for arm, of in found.items()]
    words = Words(
        f"{pair}-aggregates",
        "Aggregate scores",
        "Each marker is an aggregate of the final scores over seeds and tasks, each bar its 95 % bootstrap interval; right is better, "
        f"except in the optimality gap, where left is better. {covered}",
        "; ".join(said),
        command,
    )
    rows: list[list[Value]] = [[arm, *each.values()] for arm, each in found.items()]
    return picture(words, draw, Table(f"{pair}-aggregates-drawn", "Aggregates drawn", "", ["arm", *names], rows))


def improvements(
    pair: str, looks: Mapping[str, Look], found: Mapping[tuple[str, str], Estimate], covered: str, command: str
) -> Picture:
    """Probability of improvement of each (soft arm, its hard arm)."""

    def draw() -> Figure:
        rows = [Row(f"P({soft} > {hard})", looks[soft], [each], soft) for (soft, hard), each in found.items()]
        figure, (axes,) = drawn.intervals(rows, [""], at=0.5)
        label_ends(axes.xaxis, [0, 0.5, 1])
        axes.set_xlabel("probability of improvement")
        return figure

    words = Words(
        f"{pair}-improvement",
        "Probability of improvement",
        "The chance that a random soft run scores above a random hard run of the same task, averaged over tasks; 0.5 (the line) means "
        f"that neither is ahead. {covered}",
        "; ".join(f"{soft} over {hard}: {say(each)}" for (soft, hard), each in found.items()),
        command,
    )
    rows: list[list[Value]] = [[soft, hard, each] for (soft, hard), each in found.items()]
    columns = ["soft arm", "hard arm", "probability"]
    return picture(words, draw, Table(f"{pair}-improvement-drawn", "Probabilities drawn", "", columns, rows))


def profiles(pair: str, looks: Mapping[str, Look], found: Profiles, command: str) -> Picture:
    """Performance profiles: the share of runs above each score, with pointwise bands."""
    legend = 0.1 + 0.17 * -(-len(found.curves) // 2)
    words = Words(
        f"{pair}-profiles",
        "Performance profiles",
        "Read up from a score to the share of all runs that did better, with a pointwise 95 % band: the higher curve is the better arm, "
        "and curves that cross have no overall winner. Drawn where the arms differ. Bootstrap bands: descriptive, coverage not simulated.",
        f"Share of runs with a score above {numeral(found.middle, '.2f')}: "
        + ", ".join(f"{arm} {share:.2f}" for arm, share in found.above.items()),
        command,
    )
    rows: list[list[Value]] = [
        [
            float(score),
            *(
                Estimate(float(share[at]), float(low[at]), float(high[at]))
                for share, low, high in found.curves.values()
            ),
        ]
        for at, score in list(enumerate(found.thresholds))[::5]
    ]
    data = Table(
        f"{pair}-profiles-drawn",
        "Profiles drawn",
        "Share of runs above the score, with its band; every fifth of the points drawn.",
        ["score above", *found.curves],
        rows,
    )
    return picture(words, lambda: drawn.profiles(found.thresholds, found.curves, looks, legend), data, 72 * legend)
