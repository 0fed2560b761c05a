"""The Theory page: the exact statements, their errors against tolerances, and the planted errors. Reads `theory.json` alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from html import unescape
from pathlib import Path
from typing import Annotated
from xml.etree import ElementTree

from latex2mathml.converter import convert_to_element
from markupsafe import Markup
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from harness.errors import InputError
from harness.schema.documents import first_problem
from reports.figures import theory as figures
from reports.figures.picture import Picture
from reports.figures.theory import MOST, Errors, Plot
from reports.table import Table, Value, number

FILE = Path("theory") / "theory.json"
COMMAND = "softbench theory --out results/theory && softbench report"
ATTRIBUTES = {"display", "stretchy", "fence", "form", "accent", "mathvariant", "width"}
"""Of MathML's attributes those that a formula may have: the page's policy allows no style, and a formula leads nowhere."""
PARTS = {"mfrac": 2, "msub": 2, "msup": 2, "munder": 2, "mover": 2, "msubsup": 3, "munderover": 3}


def mathml(formula: str) -> Markup:
    """A formula in LaTeX as MathML, which browsers draw without scripts or network. Raises ValueError where it is none."""
    wrong = ValueError(f"formula: no LaTeX: {formula!r}")
    try:
        root = convert_to_element(formula, display="block")
    except Exception as error:  # latex2mathml's errors have no common class
        raise wrong from error
    if formula.count("{") != formula.count("}"):
        raise wrong
    for element in root.iter():
        text = element.text = unescape(element.text) if element.text else None
        if len(element) != PARTS.get(element.tag, len(element)) or (text or "").startswith("\\"):
            raise wrong
        for name in set(element.attrib) - ATTRIBUTES:
            del element.attrib[name]
        if element.tag == "mi" and text and len(text) > 1 and text.isascii():
            element.tag = "mo"  # log, exp: an operator, with room at its sides
            element.attrib.update(lspace="0.1em", rspace="0.15em")
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def _formula(text: str) -> str:
    mathml(text)
    return text


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
    formula: Annotated[str, AfterValidator(_formula)]
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
    figure: Plot | None

    @property
    def command(self) -> str:
        return f"softbench theory --statement {self.statement} --cases {self.cases} --seed {self.seed}"

    def errors(self) -> Table:
        rows: list[list[Value]] = [
            [name, number(error, ".1e"), "holds" if error <= self.tolerance else "fails"]
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
        if self.figure is None:
            return None
        return figures.statement(f"statement-{self.statement}", self.figure, self.command)


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
    except (OSError, ValueError, TypeError, RecursionError, ValidationError) as error:
        why = first_problem(error) if isinstance(error, ValidationError) else str(error).splitlines()[0]
        raise InputError(
            f"{path}: cannot be read ({why}); write it anew: softbench theory --out {path.parent}"
        ) from error
    if not statements:
        raise InputError(f"{path}: holds no statement; write it anew: softbench theory --out {path.parent}")
    pictures = [picture for each in statements if (picture := each.picture)]
    errors = [
        Errors(each.statement, each.name, each.worst_error, each.tolerance, [it.worst_error for it in each.planted])
        for each in statements
    ]
    return Theory(statements, figures.overview(errors, COMMAND), _misprints(statements), pictures)


def _misprints(statements: list[Statement]) -> Table:
    rows: list[list[Value]] = [
        [
            planted.printed,
            planted.corrected,
            _size(planted.worst_error),
            number(each.worst_error, ".1e"),
            each.statement,
        ]
        for each in statements
        for planted in each.planted
        if planted.printed
    ]
    columns = ["source, as printed", "as it must read", "error as printed", "error corrected", "statement"]
    caption = "Each print was put into the code in place of the correction, and its statement checked again on random problems."
    return Table("misprints", "Misprints found in the sources", caption, columns, rows)


def _size(error: float) -> Value:
    return "no result, or above 1e9" if error >= MOST else number(error, ".1e")
