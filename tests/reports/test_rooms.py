"""`reports/statistics` knows numbers: no figures, no pages, and of packages numpy, scipy and one module of rliable and statsmodels each."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "reports" / "statistics").rglob("*.py"))
ALLOWED = ("numpy", "scipy", "reports.statistics", "harness.schema", "harness.errors")


def foreign(source: str, allowed: tuple[str, ...]) -> list[str]:
    """Modules that a source imports and that are neither of the standard library nor allowed."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    known = [name for name in names if name.split(".")[0] in sys.stdlib_module_names]
    return [
        name for name in names if name not in known and not any(f"{name}.".startswith(f"{each}.") for each in allowed)
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_statistics_know_numbers_alone(path: Path) -> None:
    kept = {"bootstrap": ("rliable.metrics",), "pooled": ("statsmodels.stats.meta_analysis",)}
    assert foreign(path.read_text(), (*ALLOWED, *kept.get(path.stem, ()))) == []


def test_the_search_for_imports_finds_them() -> None:
    source = (
        "import pandas as pd\nfrom reports.site import tables\nimport numpy\nfrom harness import training\nimport os"
    )
    assert foreign(source, ALLOWED) == ["pandas", "reports.site.tables", "harness.training"]
