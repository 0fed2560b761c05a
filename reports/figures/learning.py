"""Learning curves: returns over steps, and the policy's entropy where it says anything, of all arms on one task."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from reports.figures.picture import Picture, Words, picture
from reports.figures.style import PLAIN, SMALL, WIDTH, Look, say, short
from reports.figures.svg import LEGEND, mark
from reports.figures.ticks import ends, label_ends
from reports.statistics.intervals import Array, Estimate
from reports.statistics.numerals import numeral
from reports.table import Table, Value, number

LEFT, RIGHT, BELOW, GAP, ROW = 0.68, 0.14, 0.45, 0.2, 0.17
"""Margins, the gap between panels that share their x axis, and a legend's row, in inches.

Fixed ones, because a search for the best takes longer than all the rest.
"""
HEIGHT, TITLE = 1.3, 0.14
CROWD = 50
"""Seeds in one figure from which on only the mean of the entropy is drawn: more lines would take more room than a page has."""
SEEDS = "seed-lines"
"""The class of the single seeds' lines, which the page shows on demand."""


@dataclass(frozen=True)
class Curve:
    """One arm on one task: seeds are rows, evaluations columns. `steps [S]`, `returns [n, S]`, `entropy [n, S]` in nats."""

    arm: str
    look: Look
    seeds: list[int]
    steps: Array
    returns: Array
    entropy: Array
    means: list[Estimate]
    """Of the returns, with their t intervals, `[S]`."""
    entropies: list[Estimate]
    """Of the entropy, without intervals, `[S]`; [] where it was not recorded."""
    diverged: list[float]
    """Steps at which seeds diverged."""


@dataclass(frozen=True)
class Learning:
    """All curves of one task, a panel for each group of arms that belong together.

    `unit`: what a step counts; a diverged seed is drawn at `floor`; `low`, `high`: the ends of the task's declared scale; `published`:
    (arm, mean, source); `entropy`: whether the entropy says anything, that is, differs between arms or seeds.
    """

    name: str
    task: str
    mode: str
    unit: str
    floor: float
    low: float
    high: float
    groups: list[list[Curve]]
    published: list[tuple[str, float, str]]
    entropy: bool
    notes: list[str]
    """What is not drawn, or coincides, one line each."""

    @property
    def curves(self) -> list[Curve]:
        return [curve for group in self.groups for curve in group]

    @property
    def crowded(self) -> bool:
        return sum(len(curve.seeds) for curve in self.curves) > CROWD


def learning(drawn: Learning, command: str) -> Picture:
    """All arms on one task: means and their bands, and every seed behind them, on demand."""
    curves = drawn.curves
    with_entropy = [curve for curve in curves if curve.entropies] if drawn.entropy else []
    labels = [textwrap.fill(f"{short(arm)}, published: {source}", 52) for arm, _, source in drawn.published]
    rows = len(curves) + sum(label.count("\n") + 1 for label in labels) if labels else -(-len(curves) // 2)
    legend = rows * ROW + 0.1
    finals = "; ".join(f"{curve.arm} {say(curve.means[-1], 1)}" for curve in curves)
    table: list[list[Value]] = [
        [
            int(step),
            *(curve.means[at] for curve in curves),
            *(number(None if np.isnan(value := curve.entropies[at].value) else value, ".3f") for curve in with_entropy),
        ]
        for at, step in enumerate(curves[0].steps if curves else [])
    ]
    data = Table(
        f"{drawn.name}-drawn",
        f"Curves drawn: {drawn.task}",
        "Mean return and its 95 % t interval at every evaluation; mean entropy in nats.",
        ["step", *(curve.arm for curve in curves), *(f"{curve.arm}, entropy" for curve in with_entropy)],
        table,
    )
    words = Words(drawn.name, drawn.task, _caption(drawn), f"Final mean return on {drawn.task}: {finals}", command)
    return picture(words, lambda: _draw(drawn, with_entropy, labels, legend), data, 72 * legend)


def _caption(drawn: Learning) -> str:
    said = [f"Return ({drawn.mode} actions): mean over seeds with its 95 % t band."]
    if any(curve.diverged for curve in drawn.curves):
        said.append("× marks where a seed diverged.")
    if drawn.published:
        sources = "; ".join(dict.fromkeys(f"{numeral(mean, 'g')} by {source}" for _, mean, source in drawn.published))
        said.append(f"Dashed across: published, for reference only ({sources}).")
    return " ".join([*said, *drawn.notes])


def _draw(drawn: Learning, with_entropy: list[Curve], labels: list[str], legend: float) -> Figure:
    entropies = [[curve for curve in group if curve in with_entropy] for group in drawn.groups]
    panels = [(group, False) for group in drawn.groups] + [(group, True) for group in entropies if group]
    several = len(drawn.groups) > 1
    gap = GAP + TITLE * several
    height = legend + TITLE * several + len(panels) * HEIGHT + (len(panels) - 1) * gap + BELOW + 0.08
    figure = Figure(figsize=(WIDTH, height))
    limits = {
        False: _reach([curve.returns for curve in drawn.curves], drawn.low, drawn.high),
        True: _reach([curve.entropy for curve in with_entropy], 0.0, np.inf) if with_entropy else [],
    }
    for place, (group, of_entropy) in enumerate(panels):
        bottom = BELOW + (len(panels) - 1 - place) * (HEIGHT + gap)
        size = (LEFT / WIDTH, bottom / height, (WIDTH - LEFT - RIGHT) / WIDTH, HEIGHT / height)
        axes = figure.add_axes(size)
        axes.set(xlabel=" ", ylabel=" ")  # seaborn would look for labels
        if of_entropy:
            _panel(axes, group, [curve.entropy for curve in group], [curve.entropies for curve in group], drawn.crowded)
        else:
            _panel(axes, group, [curve.returns for curve in group], [curve.means for curve in group])
            _extras(axes, drawn, group, labels)
        label_ends(axes.yaxis, limits[of_entropy])
        label_ends(axes.xaxis, _steps(drawn.curves), named=place == len(panels) - 1)
        axes.set(
            xlabel=f"environment {drawn.unit}" if place == len(panels) - 1 else "",
            ylabel="entropy in nats" if of_entropy else "return",
        )
        axes.yaxis.set_label_coords(-0.155, 0.5)
        axes.xaxis.set_label_coords(0.5, -0.23)
        if several:
            axes.set_title(f"{short(group[0].arm)} and its soft arms", fontsize=SMALL, loc="left", y=1.0, pad=3)
    _legend(figure)
    return figure


def _reach(values: Sequence[Array], low: float, high: float) -> list[float]:
    finite = np.concatenate([each[np.isfinite(each)] for each in values])
    return ends(float(finite.min()), float(finite.max()), low, high) if finite.size else [low, high]


def _steps(curves: Sequence[Curve]) -> list[float]:
    last = max(float(curve.steps[-1]) for curve in curves)
    return [0.0, last / 2, last]


def _panel(
    axes: Axes, curves: list[Curve], values: Sequence[Array], points: Sequence[list[Estimate]], crowded: bool = False
) -> None:
    for curve, each in zip([] if crowded else curves, values, strict=False):
        lines = LineCollection(
            [np.column_stack([curve.steps, row]) for row in each], colors=curve.look.color, linewidths=0.5, alpha=0.45
        )
        mark(lines, curve.arm, curve.seeds, SEEDS)
        axes.add_collection(lines)
    _means(axes, curves, points)


def _extras(axes: Axes, drawn: Learning, group: list[Curve], labels: list[str]) -> None:
    """Where seeds diverged, and what others published of these arms."""
    colors = {curve.arm: curve.look.color for curve in group}
    for curve in group:
        for step in curve.diverged:
            (cross,) = axes.plot(step, drawn.floor, "x", color=curve.look.color, markersize=7, markeredgewidth=2)
            mark(cross, curve.arm)
    for (arm, mean, _), label in zip(drawn.published, labels, strict=True):
        if arm in colors:
            axes.axhline(mean, color=colors[arm], linestyle=(0, (5, 3)), linewidth=1.1, label=label)


def _legend(figure: Figure) -> None:
    """Above the panels, for the file; the page has one for all figures. Its entries are hidden with their arms."""
    found = [pair for axes in figure.axes for pair in zip(*axes.get_legend_handles_labels(), strict=True)]
    entries = {label: handle for handle, label in reversed(found)}
    labels = list(dict.fromkeys(label for _, label in found))
    columns = 1 if any("published" in label for label in labels) else 2
    handles = [entries[label] for label in labels]
    legend = figure.legend(handles, labels, loc="upper left", ncols=columns, borderaxespad=0.1, handlelength=2.6)
    legend.set_gid(f'{{"class": "{LEGEND}"}}')
    for handle, text, label in zip(legend.legend_handles, legend.get_texts(), labels, strict=True):
        for artist in filter(None, (handle, text)):
            mark(artist, label)


def _means(axes: Axes, curves: Sequence[Curve], points: Sequence[list[Estimate]]) -> None:
    """seaborn's bold lines, one an arm, and the bands about them."""
    lines = len(axes.lines)
    given = [
        (arm, step, point.value)
        for arm, (curve, of_arm) in enumerate(zip(curves, points, strict=True))
        for step, point in zip(curve.steps, of_arm, strict=True)
    ]
    sns.lineplot(
        pd.DataFrame(given, columns=["arm", "step", "value"]),
        x="step",
        y="value",
        units="arm",  # by hue it would go through its table once an arm
        color=PLAIN["ink"],
        estimator=None,
        sort=False,
        legend=False,
        linewidth=1.6,
        markersize=4,
        markevery=max(1, len(curves[0].steps) // 5) if curves else 1,
        ax=axes,
    )
    for curve, of_arm, line in zip(curves, points, axes.lines[lines:], strict=True):
        look = curve.look
        line.set(
            color=look.color,
            marker=look.marker,
            markeredgecolor=look.color,
            linestyle=look.dash,
            label=short(curve.arm),
        )
        mark(line, curve.arm)
        if all(point.low is None for point in of_arm):
            continue
        lows, highs = (
            [point.value if end is None else end for point, end in zip(of_arm, its, strict=True)]
            for its in _ends(of_arm)
        )
        band = axes.fill_between(curve.steps, lows, highs, color=look.color, alpha=0.13, linewidth=0)
        mark(band, curve.arm)


def _ends(points: Sequence[Estimate]) -> tuple[list[float | None], list[float | None]]:
    return [point.low for point in points], [point.high for point in points]
