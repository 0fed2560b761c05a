"""What a statement is: a check on random problems, a tolerance with its reason, and planted errors that the check must catch."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ROOT = Path(__file__).parent.parent.parent
MUTANT_CASES = 20
"""A planted error is tried on so many problems, whatever the number of cases: it must show in few, but no single one shows them all
(none without a discount at gamma 0, none in the temperature at 1)."""
LARGEST = 1e9
"""Stands for any larger error, and for one that is not a number."""

# Why a tolerance is what it is, where several statements share the reason.
SOLVED = "float64 rounding (2e-16), amplified by 1/(1 − γ) = 100 in a linear solve and again in Q* and its policy; two digits to spare"
SUMMED = "float64 rounding (2e-16) of returns up to 100 rewards, summed over visits up to 1/(1 − γ) = 100 and solved for at that condition"
EXPONENTIATED = (
    "float64 rounding (2e-16) of q/τ up to 5000 at τ = 0.001, which exponentials turn into relative errors of 1e-12"
)

Errors = dict[str, Tensor]
"""Part of the statement -> [cases], scaled errors: 0 where it holds exactly, comparable with the statement's one tolerance."""

Series = dict[str, Any]
"""{"label", "x": [...], "y": [...], "line": bool}"""


@dataclass(frozen=True)
class Mutant:
    """An error planted in the code that is checked: `change` makes the wrong function from the right one.

    Where the error stands in a source, `printed` quotes it with its equation, and `corrected` says how it must read.
    """

    name: str
    owner: Any
    attribute: str
    change: Callable[[Any], Any]
    printed: str = ""
    corrected: str = ""

    @property
    def where(self) -> str:
        return f"{self.owner.__name__.removeprefix('algorithms.')}.{self.attribute}"

    @contextmanager
    def planted(self) -> Iterator[None]:
        right = getattr(self.owner, self.attribute)
        setattr(self.owner, self.attribute, self.change(right))
        try:
            yield
        finally:
            setattr(self.owner, self.attribute, right)


@dataclass(frozen=True)
class Plot:
    title: str
    caption: str
    x: str
    y: str
    series: list[Series]
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Statement:
    """One statement of the sources.

    `title` says it in one sentence and `formula` in LaTeX; `computed` says what was done about it.
    `check(cases, seed)` gives errors of exactly `cases` random problems.
    """

    number: int
    name: str
    title: str
    formula: str
    source: str
    computed: str
    tolerance: float
    reason: str
    check: Callable[[int, int], Errors]
    mutants: tuple[Mutant, ...]
    figure: Callable[[int], Plot] | None = None


def worst(errors: Errors) -> dict[str, float]:
    """Largest error of each part; to three digits, so that the last bit's noise does not change the file."""
    values = {
        name: torch.nan_to_num(error.detach(), nan=LARGEST).max().clamp(max=LARGEST) for name, error in errors.items()
    }
    return {name: float(f"{float(value):.2e}") for name, value in values.items()}


def run(statement: Statement, cases: int, seed: int) -> tuple[dict[str, Any], float]:
    """The statement's record, JSON-able and without times, and its wall time in seconds."""
    started = time.perf_counter()
    parts = _judged(statement, cases, seed)
    planted: list[dict[str, Any]] = []
    for mutant in statement.mutants:
        with mutant.planted():
            error = max(_judged(statement, MUTANT_CASES, seed).values())
        about = {"name": mutant.name, "where": mutant.where, "printed": mutant.printed, "corrected": mutant.corrected}
        planted.append({**about, "worst_error": error, "caught": error > statement.tolerance})
    path = Path(inspect.getsourcefile(statement.check) or "").resolve().relative_to(ROOT)
    record = {
        "statement": statement.number,
        "name": statement.name,
        "title": statement.title,
        "formula": statement.formula,
        "source": statement.source,
        "computed": statement.computed,
        "cases": cases,
        "seed": seed,
        "worst_error": max(parts.values()),
        "tolerance": statement.tolerance,
        "reason": statement.reason,
        "holds": max(parts.values()) <= statement.tolerance,
        "parts": parts,
        "mutants": len(planted),
        "mutants_caught": sum(each["caught"] for each in planted),
        "planted": planted,
        "code": f"{path}:{inspect.getsourcelines(statement.check)[1]}",
        "figure": vars(statement.figure(seed)) if statement.figure else None,
    }
    return record, time.perf_counter() - started


def _judged(statement: Statement, cases: int, seed: int) -> dict[str, float]:
    try:
        errors = statement.check(cases, seed)
    except RuntimeError as stopped:  # an iteration that does not converge: with right code it does
        return {f"stopped: {stopped}": LARGEST}
    for name, error in errors.items():
        if error.shape != (cases,):
            raise ValueError(
                f"statement {statement.number}: {name!r} has {tuple(error.shape)} errors for {cases} cases"
            )
    return worst(errors)
