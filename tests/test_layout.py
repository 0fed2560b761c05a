"""Arrows point one way, and nothing of ours is pickled."""

import ast
from pathlib import Path

import pytest

from harness.cohort import pair_names
from harness.provenance import code_files

ROOT = Path(__file__).parent.parent
FOLDERS = ("algorithms", "harness", "suites", "reports")
SOURCES = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]


def imports(path):
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def starts(names, *packages):
    return {name for name in names if any(name == package or name.startswith(package + ".") for package in packages)}


@pytest.mark.parametrize("path", [p for p in SOURCES if p.is_relative_to(ROOT / "algorithms")], ids=str)
def test_algorithms_know_no_environments_files_or_clocks(path):
    assert not starts(imports(path), "gymnasium", "harness", "suites", "reports", "os", "pathlib", "time", "datetime", "random")


@pytest.mark.parametrize("path", [p for p in SOURCES if p.is_relative_to(ROOT / "reports")], ids=str)
def test_reports_read_results_and_never_train(path):
    names = imports(path)
    allowed = ("harness.results", "harness.suite", "harness.errors")
    assert not starts(names, "algorithms", "torch", "gymnasium")
    assert not starts(names, "harness") - starts(names, *allowed)


@pytest.mark.parametrize("path", [p for p in SOURCES if p.is_relative_to(ROOT / "suites")], ids=str)
def test_environments_know_nothing_of_ours(path):
    assert not starts(imports(path), "algorithms", "harness", "reports", "torch")


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_nothing_is_pickled(path):
    assert not starts(imports(path), "pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal")
    assert "torch.save" not in path.read_text()
    assert "torch.load" not in path.read_text()
    assert "allow_pickle=True" not in path.read_text()


@pytest.mark.parametrize("pair", pair_names())
def test_numbers_come_from_no_global_random_generator(pair):
    for name in code_files(pair, "batched"):
        text = (ROOT / name).read_text()
        for call in ("torch.manual_seed", "np.random.seed", "torch.rand", "np.random.rand(", "np.random.normal(", "import random"):
            assert call not in text, f"{name}: {call}"
