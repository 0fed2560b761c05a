"""The forms of test, one file each: what a claim of that form says, and how it is tested, planned for and simulated."""

from __future__ import annotations

from harness.errors import InputError, suggestion
from reports.statistics.forms.difference import TESTS, Difference
from reports.statistics.forms.form import Form
from reports.statistics.forms.spread import TEST, Spread

FORMS: dict[str, type[Form]] = {**dict.fromkeys(TESTS, Difference), TEST: Spread}
"""test, as a ledger names it -> its form. Another form is a file here and its line."""


def form(test: str, method: str, margin: float) -> Form:
    """The form of a claim's test. Raises InputError where test, method or margin are not allowed."""
    if test not in FORMS:
        raise InputError(f"test: {test!r} is unknown{suggestion(test, FORMS)}")
    return FORMS[test](test, method, margin)
