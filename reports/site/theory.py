"""The Theory page: the exact statements, their errors against tolerances, and the planted errors. Reads `theory.json` alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from pydantic import BaseModel, ConfigDict, ValidationError

from harness.errors import InputError
from harness.schema.documents import first_problem
from reports.figures import picture as figures
from reports.figures.picture import MARKERS, PLAIN, SOFT, Picture
from reports.site.tables import Table, Value

FILE = Path("theory") / "theory.json"
COMMAND = "softbench theory --out results/theory && softbench report"
LEAST, MOST = 1e-17, 1e9
"""Errors below (0 among them) and above are drawn at these."""


class Planted(BaseModel):
    model_config = ConfigDict(frozen=True)
    name: str
    where: str
    printed: str
    corrected: str
    worst_error: float
    caught: bool


class Statement(BaseModel):
    """A record of `softbench theory`."""

    model_config = ConfigDict(frozen=True)
    statement: int
    name: str
    title: str
    formula: str
    source: str
    computed: str
    cases: int
    seed: int
    worst_error: float
    tolerance: float
    reason: str
    holds: bool
    parts: dict[str, float]
    mutants: int
    mutants_caught: int
    planted: list[Planted]
    code: str
    figure: dict[str, Any] | None

    @property
    def command(self) -> str:
        return f"softbench theory --statement {self.statement} --cases {self.cases} --seed {self.seed}"

    def errors(self) -> Table:
        rows: list[list[Value]] = [
            [name, f"{error:.1e}", "holds" if error <= self.tolerance else "fails"]
            for name, error in self.parts.items()
        ]
        return Table(
            f"parts-{self.statement}",
            f"Parts of statement {self.statement}",
            "",
            ["part", "worst error", "verdict"],
            rows,
        )

    def mistakes(self) -> Table:
        rows: list[list[Value]] = [
            [each.name, each.where, _size(each.worst_error), "caught" if each.caught else "missed"]
            for each in self.planted
        ]
        columns = ["planted error", "planted in", "worst error", "verdict"]
        return Table(f"planted-{self.statement}", f"Errors planted for statement {self.statement}", "", columns, rows)

    @cached_property
    def picture(self) -> Picture | None:
        return None if self.figure is None else _plot(f"statement-{self.statement}", self.figure, self.command)


@dataclass(frozen=True)
class Theory:
    """Everything that the page says."""

    statements: list[Statement]
    overview: Picture
    misprints: Table
    pictures: list[Picture]

    @property
    def holding(self) -> int:
        return sum(each.holds for each in self.statements)

    @property
    def planted(self) -> int:
        return sum(each.mutants for each in self.statements)

    @property
    def caught(self) -> int:
        return sum(each.mutants_caught for each in self.statements)


def read_theory(results: Path) -> Theory | None:
    """The page's content from `results/theory/theory.json`; None where there is none. InputError where it is damaged."""
    path = results / FILE
    if not path.exists():
        return None
    try:
        statements = [Statement.model_validate(record) for record in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError, ValidationError) as error:
        why = first_problem(error) if isinstance(error, ValidationError) else str(error).splitlines()[0]
        raise InputError(
            f"{path}: cannot be read ({why}); write it anew: softbench theory --out {path.parent}"
        ) from error
    if not statements:
        raise InputError(f"{path}: holds no statement; write it anew: softbench theory --out {path.parent}")
    pictures = [picture for each in statements if (picture := each.picture)]
    return Theory(statements, _overview(statements), _misprints(statements), pictures)


def _overview(statements: list[Statement]) -> Picture:
    """Worst error and tolerance of each statement, and what the planted errors made of it."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for row, each in enumerate(statements):
            axes.barh(-row, each.tolerance, height=0.62, color=PLAIN["grid"], linewidth=0)
            shown = [min(max(mutant.worst_error, LEAST), MOST) for mutant in each.planted]
            axes.plot(
                shown,
                [-row] * len(shown),
                "x",
                color=PLAIN["soft2"],
                markersize=5,
                label="with a planted error" if row == 0 else None,
            )
            label = "worst error" if row == 0 else None
            axes.plot(max(each.worst_error, LEAST), -row, "o", color=PLAIN["soft1"], markersize=5, label=label)
        _logarithmic(axes, "x")
        axes.set(
            xlim=(LEAST, 4 * MOST),
            ylim=(-len(statements) + 0.4, 0.6),
            xlabel="error (0 drawn at 1e-17; 1e9: larger, or no result)",
        )
        axes.set_yticks(
            [-row for row in range(len(statements))], [f"{each.statement}" for each in statements], fontsize=8
        )
        axes.set_ylabel("statement")
        axes.tick_params(axis="y", length=0)
        figure.legend(loc="outside lower center", ncols=2, fontsize=8)

    alt = "; ".join(
        f"statement {each.statement}: error {each.worst_error:.1e}, tolerance {each.tolerance:.1e}"
        for each in statements
    )
    caption = (
        "A dot inside its grey bar: the statement holds to its tolerance. A cross outside: the planted error is caught."
    )
    rows: list[list[Value]] = [
        [each.statement, each.name, f"{each.worst_error:.1e}", f"{each.tolerance:.1e}"] for each in statements
    ]
    data = Table(
        "theory-errors-data", "Errors and tolerances", "", ["statement", "name", "worst error", "tolerance"], rows
    )
    return figures.picture(
        "theory-errors", "Errors against tolerances", caption, alt, COMMAND, draw, 1.2 + 0.2 * len(statements), data
    )


def _plot(name: str, plot: dict[str, Any], command: str) -> Picture:
    """A statement's own figure: lines and points as the record gives them."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for index, series in enumerate(plot["series"]):
            look: dict[str, Any] = {"color": [*SOFT, PLAIN["ink"]][index % 7], "label": series["label"]}
            if series["line"]:
                marks: dict[str, Any] = (
                    {} if len(series["x"]) > 40 else {"marker": MARKERS[index % len(MARKERS)], "markersize": 4}
                )
                axes.plot(series["x"], series["y"], linewidth=1.4, **look, **marks)
            else:
                axes.plot(series["x"], series["y"], MARKERS[index % len(MARKERS)], markersize=3.5, alpha=0.6, **look)
        for name in ("x", "y"):
            if plot[f"log_{name}"]:
                _logarithmic(axes, name)
        axes.set(xlabel=plot["x"], ylabel=plot["y"])
        figure.legend(loc="outside lower center", ncols=2, fontsize=8)

    rows = [
        [series["label"], f"{x:.4g}", f"{y:.4g}"]
        for series in plot["series"]
        for x, y in zip(series["x"], series["y"], strict=True)
    ]
    data = Table(f"{name}-data", plot["title"], "", ["series", plot["x"], plot["y"]], rows)
    return figures.picture(
        name, plot["title"], plot["caption"], f"{plot['title']}. {plot['caption']}", command, draw, 3.0, data
    )


def _logarithmic(axes: Axes, name: str) -> None:
    """A logarithmic axis, its ticks in plain text."""
    (axes.set_xscale if name == "x" else axes.set_yscale)("log")
    axis = axes.xaxis if name == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(numticks=7))
    axis.set_major_formatter(lambda value, _: f"{value:.0e}")
    axis.set_minor_formatter(NullFormatter())


def _misprints(statements: list[Statement]) -> Table:
    rows: list[list[Value]] = [
        [planted.printed, planted.corrected, _size(planted.worst_error), f"{each.worst_error:.1e}", str(each.statement)]
        for each in statements
        for planted in each.planted
        if planted.printed
    ]
    columns = ["source, as printed", "as it must read", "error as printed", "error corrected", "statement"]
    caption = "Each print was put into the code in place of the correction, and its statement checked again on random problems."
    return Table("misprints", "Misprints found in the sources", caption, columns, rows)


def _size(error: float) -> str:
    return "no result, or above 1e9" if error >= MOST else f"{error:.1e}"
