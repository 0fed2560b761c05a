"""Figures of the exact statements: errors against tolerances, and each statement's own figure as its record gives it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from pydantic import BaseModel, ConfigDict

from reports.figures.picture import Picture, Words, picture
from reports.figures.style import MARKERS, PLAIN, SERIES, SMALL, WIDTH
from reports.statistics.numerals import numeral
from reports.table import Table, Value, number

LEAST, MOST = 1e-17, 1e9
"""Errors below (0 among them) and above are drawn at these."""


class Series(BaseModel):
    """A line or a cloud of points of a statement's figure."""

    model_config = ConfigDict(frozen=True)
    label: str
    x: list[float]
    y: list[float]
    line: bool


class Plot(BaseModel):
    """A statement's own figure."""

    model_config = ConfigDict(frozen=True)
    title: str
    caption: str
    x: str
    y: str
    series: list[Series]
    log_x: bool
    log_y: bool


@dataclass(frozen=True)
class Errors:
    """Worst error and tolerance of a statement, and the errors that planted mistakes made."""

    statement: int
    name: str
    worst: float
    tolerance: float
    planted: list[float]


def overview(statements: Sequence[Errors], command: str) -> Picture:
    """Worst error and tolerance of each statement, and what the planted errors made of it."""

    def draw() -> Figure:
        height = 1.0 + 0.2 * len(statements)
        figure = Figure(figsize=(WIDTH, height))
        axes = figure.add_axes((0.55 / WIDTH, 0.7 / height, (WIDTH - 0.7) / WIDTH, (height - 0.78) / height))
        rows = range(len(statements))
        axes.barh(rows, [each.tolerance for each in statements], height=0.62, color=PLAIN["grid"], linewidth=0)
        mistakes = [(min(max(it, LEAST), MOST), row) for row, each in enumerate(statements) for it in each.planted]
        worst = [(max(each.worst, LEAST), row) for row, each in enumerate(statements)]
        for label, found, marker, color in (
            ("with a planted error", mistakes, "X", PLAIN["series2"]),
            ("worst error", worst, "o", PLAIN["series1"]),
        ):
            x, y = [error for error, _ in found], [row for _, row in found]
            sns.scatterplot(x=x, y=y, marker=marker, color=color, s=25, linewidth=0, label=label, legend=False, ax=axes)
        _logarithmic(axes, "x")
        axes.set(
            xlim=(LEAST, 4 * MOST),
            ylim=(len(statements) - 0.4, -0.6),
            xlabel="error (0 drawn at 1e−17; 1e9: larger, or no result)",
            ylabel="statement",
        )
        axes.set_yticks(rows, [str(each.statement) for each in statements], fontsize=SMALL)
        figure.legend(loc="lower center", ncols=2)
        return figure

    words = Words(
        "theory-errors",
        "Errors against tolerances",
        "A dot inside its grey bar: the statement holds to its tolerance. A cross outside: the planted error is caught.",
        "; ".join(
            f"statement {each.statement}: error {numeral(each.worst, '.1e')}, tolerance {numeral(each.tolerance, '.1e')}"
            for each in statements
        ),
        command,
    )
    rows: list[list[Value]] = [
        [each.statement, each.name, number(each.worst, ".1e"), number(each.tolerance, ".1e")] for each in statements
    ]
    columns = ["statement", "name", "worst error", "tolerance"]
    return picture(words, draw, Table("theory-errors-data", "Errors and tolerances", "", columns, rows))


def statement(name: str, plot: Plot, command: str) -> Picture:
    """A statement's own figure: lines and points as the record gives them."""

    def draw() -> Figure:
        below = 0.5 + 0.17 * -(-len(plot.series) // 2)
        height = 2.5 + below
        figure = Figure(figsize=(WIDTH, height))
        axes = figure.add_axes((0.8 / WIDTH, below / height, (WIDTH - 0.95) / WIDTH, 2.4 / height))
        axes.set(xlabel=plot.x, ylabel=plot.y)
        palette = [*SERIES, PLAIN["ink"]]
        for index, series in enumerate(plot.series):
            look: dict[str, Any] = {"color": palette[index % len(palette)], "label": series.label, "legend": False}
            marker = MARKERS[index % len(MARKERS)]
            if series.line:
                marks = {} if len(series.x) > 40 else {"marker": marker, "markersize": 4, "markeredgewidth": 0}
                sns.lineplot(
                    x=series.x, y=series.y, estimator=None, sort=False, linewidth=1.4, ax=axes, **look, **marks
                )
            else:
                sns.scatterplot(x=series.x, y=series.y, marker=marker, s=12, alpha=0.6, linewidth=0, ax=axes, **look)
        for axis in ("x", "y"):
            if plot.log_x if axis == "x" else plot.log_y:
                _logarithmic(axes, axis)
        figure.legend(loc="lower center", ncols=2)
        return figure

    words = Words(name, plot.title, plot.caption, f"{plot.title}. {plot.caption}", command)
    rows: list[list[Value]] = [
        [series.label, number(x, ".4g"), number(y, ".4g")]
        for series in plot.series
        for x, y in zip(series.x, series.y, strict=True)
    ]
    return picture(words, draw, Table(f"{name}-data", plot.title, "", ["series", plot.x, plot.y], rows))


def _logarithmic(axes: Axes, name: str) -> None:
    """A logarithmic axis, its ticks in plain text."""
    (axes.set_xscale if name == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if name == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(numticks=7))
    axis.set_major_formatter(lambda value, _: numeral(value, ".0e"))
    axis.set_minor_locator(NullLocator())
