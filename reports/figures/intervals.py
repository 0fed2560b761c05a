"""Interval plots and performance profiles as rliable draws them (Agarwal et al. 2021), at our size, in our colours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib import pyplot
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rliable import plot_utils

from reports.figures.style import PLAIN, SMALL, WIDTH, Look, short
from reports.figures.svg import LEGEND, mark
from reports.figures.ticks import ends, label_ends
from reports.statistics.intervals import Array, Estimate

ROW, ABOVE, TITLE, BELOW, GAP = 0.27, 0.46, 0.24, 0.26, 0.1
XLABEL = 0.16
"""Inches: a row; a row with its label above the bar; a panel's title; the axis below a panel; between panels and at the edge; the
label of an axis."""
AS_GIVEN: dict[str, Any] = {"estimator": "median", "errorbar": ("pi", 100)}
"""seaborn computes intervals from samples. Ours are computed before, once for tables and figures: an estimate is given as low, value
and high, whose median is the value and whose whole range is the interval."""
LETTER = 0.068
"""Inches: the mean width of a letter of a row's label."""


@dataclass(frozen=True)
class Row:
    """A row of an interval plot: one estimate a panel. `arm`: what it shows, where it can be hidden in the page."""

    label: str
    look: Look
    estimates: Sequence[Estimate]
    arm: str = ""


@contextmanager
def headless() -> Iterator[None]:
    """pyplot, which rliable draws with, without a window; a backend that was chosen before is chosen again."""
    before = mpl.get_backend(auto_select=False)
    pyplot.switch_backend("agg")
    try:
        yield
    finally:
        if before is not None:
            pyplot.switch_backend(before)


def intervals(rows: Sequence[Row], panels: Sequence[str], at: float | None = None) -> tuple[Figure, list[Axes]]:
    """rliable's interval plot of `rows`, the first on top: bars for intervals, a line and the arm's marker at each point.

    rliable sets its panels in one row; here they stand two in a row, labels of rows at their left, or one alone with its labels above
    the bars. An undefined interval is a bar without width and a hollow marker. `at`: where the line of no difference stands.
    """
    names = [str(number) for number in range(len(rows))]  # labels may repeat
    points = {name: np.array([each.value for each in row.estimates]) for name, row in zip(names, rows, strict=True)}
    ends = {name: np.array([_ends(each) for each in row.estimates]).T for name, row in zip(names, rows, strict=True)}
    colors = {name: row.look.color for name, row in zip(names, rows, strict=True)}
    alone = len(panels) == 1
    with headless():
        figure, found = plot_utils.plot_interval_estimates(
            points, ends, panels, colors=colors, xlabel="", interval_height=0.34 if alone else 0.6
        )
    axes: list[Axes] = list(np.atleast_1d(found))
    columns = 1 if alone else 2
    left = GAP if alone else 2 * GAP + LETTER * max(len(short(row.label)) for row in rows)
    body, title = (ABOVE if alone else ROW) * len(rows), 0.0 if alone else TITLE
    lines = -(-len(panels) // columns)
    below = BELOW + (XLABEL if alone else 0)
    height = lines * (title + body + below) + GAP
    width = (WIDTH - left - GAP * columns) / columns
    figure.set_size_inches(WIDTH, height)
    for number, each in enumerate(axes):
        line, column = divmod(number, columns)
        bottom = height - GAP / 2 - (line + 1) * (title + body) - line * below
        each.set_position(((left + column * (width + GAP)) / WIDTH, bottom / height, width / WIDTH, body / height))
        _restyle(each, rows, number)
        if alone:
            each.xaxis.set_label_coords(0.5, -0.23 / body)
            each.set_yticks([])
            for place, row in enumerate(rows):
                text = each.text(0, place - 0.27, row.label, transform=each.get_yaxis_transform(), fontsize=SMALL)
                _name(text, row)
                if at is not None:  # beside the bar alone, so that it crosses no label
                    each.plot([at, at], [place - 0.22, place + 0.22], color=PLAIN["ink"], linewidth=1, zorder=1)
        elif column:
            each.set_yticks([])
        else:
            each.set_yticks(range(len(rows)), [short(row.label) for row in rows])
            for text, row in zip(each.get_yticklabels(), rows, strict=True):
                _name(text, row)
    return figure, axes


def _restyle(axes: Axes, rows: Sequence[Row], panel: int) -> None:
    """One panel of rliable's at our sizes and in our colours, with the arms' markers."""
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_title(axes.get_title(), fontsize=9, y=1.0, pad=3)  # a place that is given need not be looked for
    axes.tick_params(axis="both", length=0, labelsize=SMALL, pad=2)
    axes.spines["bottom"].set(position=("outward", 0), linewidth=0.8)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x", alpha=1)
    seen = [end for row in rows for end in (*_ends(row.estimates[panel]), row.estimates[panel].value)]
    places = ends(min(seen), max(seen))
    label_ends(axes.xaxis, places if len(axes.figure.axes) == 1 else [places[0], places[-1]])
    for bar, row in zip(axes.patches, rows, strict=True):
        bar.set(alpha=0.35, linewidth=0)
        _name(bar, row)
    for line, (number, row) in zip(axes.collections, enumerate(rows), strict=True):
        line.set(color=row.look.color, alpha=1)
        estimate = row.estimates[panel]
        fill: Literal["none", "full"] = "none" if estimate.low is None else "full"
        (point,) = axes.plot(
            estimate.value, number, row.look.marker, color=row.look.color, markersize=6, fillstyle=fill
        )
        for artist in (line, point):
            _name(artist, row)


def _name(artist: Artist, row: Row) -> None:
    if row.arm:
        mark(artist, row.arm)


def profiles(
    thresholds: Array, curves: Mapping[str, tuple[Array, Array, Array]], looks: Mapping[str, Look], legend: float
) -> Figure:
    """rliable's performance profiles: of each arm the share of runs above each of `thresholds [K]`, low and high: three arrays `[K]`.

    `legend`: inches above the panel that its legend takes.
    """
    height = 2.6 + legend
    figure = Figure(figsize=(WIDTH, height))
    axes = figure.add_axes((0.62 / WIDTH, 0.45 / height, (WIDTH - 0.74) / WIDTH, 2.08 / height))
    plot_utils.plot_performance_profiles(
        {arm: share for arm, (share, _, _) in curves.items()},
        thresholds,
        {arm: (low, high) for arm, (_, low, high) in curves.items()},
        colors={arm: looks[arm].color for arm in curves},
        ax=axes,
        xlabel="score",
        ylabel="share of runs above it",
        labelsize=9,
        ticklabelsize=9,
        grid_alpha=1,
        wrect=0,
        hrect=0,
    )
    for side in ("left", "bottom"):
        axes.spines[side].set_linewidth(0.8)
    for arm, line, band in zip(curves, axes.get_lines(), axes.collections, strict=True):
        look = looks[arm]
        line.set(marker=look.marker, markevery=20, markersize=4, linewidth=1.4, linestyle=look.dash, label=short(arm))
        band.set(alpha=0.13, linewidth=0)
        for artist in (line, band):
            mark(artist, arm)
    label_ends(axes.xaxis, ends(thresholds[0], thresholds[-1]))
    axes.set_xlim(thresholds[0], thresholds[-1])
    label_ends(axes.yaxis, [0, 0.5, 1])
    figure.legend(loc="upper left", ncols=2, borderaxespad=0.1, handlelength=2.6).set_gid(f'{{"class": "{LEGEND}"}}')
    return figure


def three(estimate: Estimate) -> tuple[float, ...]:
    """Low, value and high, or the value alone: what seaborn, told to draw `AS_GIVEN`, draws as this very estimate."""
    return (
        (estimate.value,)
        if estimate.low is None or estimate.high is None
        else (estimate.low, estimate.value, estimate.high)
    )


def points(axes: Axes, estimates: Sequence[Estimate], look: Look) -> None:
    """seaborn's points with their intervals, one a row, the first at 0; a hollow marker has no interval."""
    places = [str(place) for place in range(len(estimates))]
    for whole in (True, False):
        given = [
            (value, place)
            for place, estimate in zip(places, estimates, strict=True)
            if (estimate.low is not None) == whole
            for value in three(estimate)
        ]
        if given:
            sns.pointplot(
                x=[value for value, _ in given],
                y=[place for _, place in given],
                order=places,
                color=look.color,
                markers=look.marker,
                markersize=6,
                fillstyle="full" if whole else "none",
                linestyle="none",
                err_kws={"linewidth": 2},
                ax=axes,
                **AS_GIVEN,
            )


def reference(axes: Axes, at: float) -> None:
    """The line of no difference."""
    axes.axvline(at, color=PLAIN["ink"], linewidth=1, zorder=1)


def _ends(estimate: Estimate) -> tuple[float, float]:
    """Low and high; an undefined interval has no width."""
    if estimate.low is None or estimate.high is None:
        return estimate.value, estimate.value
    return estimate.low, estimate.high
