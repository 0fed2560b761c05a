"""Learning curves: returns over steps, and the policy's entropy, of every seed of some arms on one task."""

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
from matplotlib.ticker import MaxNLocator

from reports.figures.intervals import AS_GIVEN, three
from reports.figures.picture import Picture, Words, picture
from reports.figures.style import WIDTH, Look, say, short
from reports.figures.svg import mark
from reports.statistics.intervals import Array, Estimate
from reports.table import Table, Value, number

LEFT, RIGHT, BELOW, GAP, ROW = 0.68, 0.12, 0.48, 0.12, 0.17
"""Margins, the gap between panels that share their x axis, and a legend's row, in inches.

Fixed ones, because a search for the best takes longer than all the rest.
"""
HEIGHT = 1.75
CROWD = 50
"""Seeds in one figure from which on only the mean of the entropy is drawn: more lines would take more room than a page has."""


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
    """All curves of one figure. `floor`: the return at which a diverged seed is drawn; `published`: (arm, mean, source)."""

    name: str
    task: str
    title: str
    mode: str
    floor: float
    curves: list[Curve]
    published: list[tuple[str, float, str]]
    unit: str = "steps"

    @property
    def crowded(self) -> bool:
        return sum(len(curve.seeds) for curve in self.curves) > CROWD


def learning(drawn: Learning, command: str) -> Picture:
    """A hard arm and its soft arms on one task: means, their bands, and every seed behind them."""
    curves, with_entropy = drawn.curves, [curve for curve in drawn.curves if curve.entropies]
    caption = (
        "Bold line: mean over seeds; band (of returns): its 95 % t interval; thin lines: single seeds"
        + ("; × marks where a seed diverged" if any(curve.diverged for curve in curves) else "")
        + ("; dashed: published figures, for reference only" if drawn.published else "")
        + ". Bands that overlap throughout give no reason to prefer an arm."
        + (" Of the entropy, the means alone." if with_entropy and drawn.crowded else "")
    )
    finals = "; ".join(f"{curve.arm} {say(curve.means[-1], 1)}" for curve in curves)
    rows: list[list[Value]] = [
        [
            int(step),
            *(curve.means[at] for curve in curves),
            *(number(curve.entropies[at].value, ".3f") for curve in with_entropy),
        ]
        for at, step in enumerate(curves[0].steps if curves else [])
    ]
    data = Table(
        f"{drawn.name}-drawn",
        f"Curves drawn: {drawn.task}",
        "Mean return and its 95 % t interval at every evaluation; mean entropy in nats.",
        ["step", *(curve.arm for curve in curves), *(f"{curve.arm}, entropy" for curve in with_entropy)],
        rows,
    )
    words = Words(drawn.name, drawn.title, caption, f"Final mean return on {drawn.task}: {finals}", command)
    return picture(words, lambda: _draw(drawn, with_entropy), data)


def _draw(drawn: Learning, with_entropy: list[Curve]) -> Figure:
    labels = [textwrap.fill(f"{short(arm)}, published: {source}", 52) for arm, _, source in drawn.published]
    rows = len(drawn.curves) + sum(label.count("\n") + 1 for label in labels) if labels else len(drawn.curves) // 2 + 1
    panels = 2 if with_entropy else 1
    height = rows * ROW + 0.15 + panels * HEIGHT + (panels - 1) * GAP + BELOW
    figure = Figure(figsize=(WIDTH, height))
    found = []
    for place in range(panels):
        bottom = BELOW + (panels - 1 - place) * (HEIGHT + GAP)
        size = (LEFT / WIDTH, bottom / height, (WIDTH - LEFT - RIGHT) / WIDTH, HEIGHT / height)
        found.append(figure.add_axes(size))
    returns = found[0]
    returns.set(xlabel=" ", ylabel=f"return, {drawn.mode}")
    found[-1].set_xlabel(f"environment {drawn.unit}")
    for curve in drawn.curves:
        _seeds(returns, curve, curve.returns)
        for step in curve.diverged:
            (cross,) = returns.plot(step, drawn.floor, "x", color=curve.look.color, markersize=7, markeredgewidth=2)
            mark(cross, curve.arm)
    _means(returns, drawn.curves, [curve.means for curve in drawn.curves])
    by_arm = {curve.arm: curve.look.color for curve in drawn.curves}
    for (arm, mean, _), label in zip(drawn.published, labels, strict=True):
        returns.axhline(mean, color=by_arm[arm], linestyle=(0, (5, 3)), linewidth=1.1, label=label)
    if with_entropy:
        found[1].set_ylabel("entropy in nats")
        for curve in [] if drawn.crowded else with_entropy:
            _seeds(found[1], curve, curve.entropy)
        _means(found[1], with_entropy, [curve.entropies for curve in with_entropy])
    for axes in found:
        last = axes is found[-1]
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_major_formatter((lambda value, _: _thousands(value)) if last else (lambda value, _: ""))
    _legend(figure, returns, 1 if labels else 2)
    return figure


def _legend(figure: Figure, axes: Axes, columns: int) -> None:
    """Above the panels; its entries are hidden with their arms."""
    handles, labels = axes.get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="upper left", ncols=columns, borderaxespad=0.1)
    for handle, text, label in zip(legend.legend_handles, legend.get_texts(), labels, strict=True):
        for artist in filter(None, (handle, text)):
            mark(artist, label)


def _seeds(axes: Axes, curve: Curve, values: Array) -> None:
    """One thin line a seed."""
    lines = LineCollection(
        [np.column_stack([curve.steps, each]) for each in values], colors=curve.look.color, linewidths=0.5, alpha=0.35
    )
    mark(lines, curve.arm, curve.seeds)
    axes.add_collection(lines)


def _means(axes: Axes, curves: Sequence[Curve], points: Sequence[list[Estimate]]) -> None:
    """seaborn's bold lines and bands, one an arm."""
    lines, bands = len(axes.lines), len(axes.collections)
    given = [
        (str(number), step, value)
        for number, (curve, of_arm) in enumerate(zip(curves, points, strict=True))
        for step, point in zip(curve.steps, of_arm, strict=True)
        for value in three(point)
    ]
    names = [str(number) for number in range(len(curves))]
    sns.lineplot(
        pd.DataFrame(given, columns=["arm", "step", "value"]),
        x="step",
        y="value",
        hue="arm",
        hue_order=names,
        palette={name: curve.look.color for name, curve in zip(names, curves, strict=True)},
        legend=False,
        linewidth=1.6,
        markersize=4,
        markevery=max(1, len(curves[0].steps) // 5) if curves else 1,
        err_kws={"alpha": 0.13, "linewidth": 0},
        ax=axes,
        **AS_GIVEN,
    )
    for curve, line in zip(curves, axes.lines[lines:], strict=True):
        line.set(marker=curve.look.marker, markeredgecolor=curve.look.color, label=short(curve.arm))
        mark(line, curve.arm)
    for curve, of_arm, band in zip(curves, points, axes.collections[bands:], strict=True):
        band.set_visible(any(point.low is not None for point in of_arm))
        mark(band, curve.arm)


def _thousands(value: float) -> str:
    return f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1e3:g}k" if value >= 1e3 else f"{value:g}"
