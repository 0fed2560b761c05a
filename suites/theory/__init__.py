"""The exact statements: what the sources prove, checked on random problems by the code that trains. One file a statement."""

from __future__ import annotations

import importlib
from pathlib import Path

from suites.theory.statement import Statement

_FILES = sorted(Path(__file__).parent.glob("s[0-9][0-9]_*.py"))
_FOUND: list[Statement] = [importlib.import_module(f"{__name__}.{path.stem}").STATEMENT for path in _FILES]
STATEMENTS = {statement.number: statement for statement in _FOUND}
"""Number -> statement, in order."""
