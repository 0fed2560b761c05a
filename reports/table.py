"""A table: rows once, printed rounded in the page and in LaTeX, and exact in the CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from reports.statistics.intervals import Estimate
from reports.statistics.numerals import MINUS, numeral

NONE = "—"


@dataclass(frozen=True)
class Link:
    """A cell that leads elsewhere on the site."""

    text: str
    href: str


@dataclass(frozen=True)
class Said:
    """A cell whose page text rounds or words what the CSV gives exactly."""

    text: str
    exact: str


Value = str | int | float | Estimate | Link | Said


def number(value: float | None, form: str) -> Value:
    """A number that the page prints in a form of its own, for example `.2g`; a dash for None."""
    return NONE if value is None else Said(numeral(value, form), exact(value))


def worded(text: str) -> Said:
    """Words with numbers in them: the CSV has the minus sign that programs read."""
    return Said(text, text.replace(MINUS, "-"))


def exact(value: float) -> str:
    """Every digit: a float64 that reads back bit for bit, or a whole number."""
    return str(value) if isinstance(value, int) else repr(float(value))


MOST_DIGITS = 9


@dataclass(frozen=True)
class Table:
    """A titled table. An `Estimate` is one cell `0.5 [0.4, 0.6]` in the page and three columns (value, low, high) in the CSV.

    Numbers are rounded in the page and in LaTeX; the CSV has every digit of the float64 that was computed.
    """

    name: str
    title: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Value]]

    def text(self, cell: Value) -> str:
        """A cell as the page prints it."""
        if isinstance(cell, Estimate):
            if cell.low is None or cell.high is None:
                return f"{_rounded(cell.value)} ({cell.why})"
            # As many decimals as its width needs: rows of one table may be scores, nats or returns.
            digits = 3 if abs(cell.value) < 10 or cell.high - cell.low < 1 else 1
            while cell.low < cell.high and round(cell.low, digits) == round(cell.high, digits) and digits < MOST_DIGITS:
                digits += 1
            value, low, high = (_rounded(each, digits) for each in (cell.value, cell.low, cell.high))
            return f"{value} [{low}, {high}]"
        if isinstance(cell, Link | Said):
            return cell.text
        return _rounded(cell) if isinstance(cell, float) else numeral(cell, "d") if isinstance(cell, int) else cell

    def csv(self) -> str:
        """The table as CSV with a header line; numbers as Python reads them back, bit for bit."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        wide = [any(isinstance(row[column], Estimate) for row in self.rows) for column in range(len(self.columns))]
        header = [
            [name, f"{name} low", f"{name} high"] if is_wide else [name]
            for name, is_wide in zip(self.columns, wide, strict=True)
        ]
        writer.writerow(chain.from_iterable(header))
        for row in self.rows:
            cells = [[*_columns(cell), "", ""][: 3 if is_wide else 1] for cell, is_wide in zip(row, wide, strict=True)]
            writer.writerow(chain.from_iterable(cells))
        return out.getvalue()

    def latex(self) -> str:
        """The table as a LaTeX `tabular` for the package booktabs, with the page's digits."""
        lines = [
            " & ".join(map(_escaped, row)) + r" \\" for row in ([self.text(cell) for cell in row] for row in self.rows)
        ]
        head = " & ".join(map(_escaped, self.columns)) + r" \\"
        start = rf"\begin{{tabular}}{{{'l' * len(self.columns)}}}"
        return "\n".join([start, r"\toprule", head, r"\midrule", *lines, r"\bottomrule", r"\end{tabular}", ""])


def _rounded(value: float, digits: int | None = None) -> str:
    """With 3 decimals where it is below 10, as scores are, else with 1; or with `digits`."""
    digits = digits or (3 if abs(value) < 10 else 1)
    return numeral(round(value, digits) + 0.0, f".{digits}f")  # + 0.0 turns -0.0 into 0.0


LATEX = {
    **{each: rf"\{each}" for each in "&%$#_{}"},
    "\\": r"\textbackslash ",
    "~": r"\textasciitilde ",
    "^": r"\textasciicircum ",
    MINUS: "$-$",
}


def _escaped(text: str) -> str:
    return "".join(LATEX.get(each, each) for each in text)


def _columns(cell: Value) -> list[str]:
    if isinstance(cell, Estimate):
        return [exact(cell.value), *(cell.why if end is None else exact(end) for end in (cell.low, cell.high))]
    if isinstance(cell, Said):
        return [cell.exact]
    return [exact(cell) if isinstance(cell, float) else cell.text if isinstance(cell, Link) else str(cell)]
