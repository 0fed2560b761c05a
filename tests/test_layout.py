"""Arrows point one way, and nothing of ours is pickled."""

import ast
from pathlib import Path

import pytest
import yaml

from harness.plan.code import code_files
from harness.run.spec import pair_names
from harness.schema.documents import Loader

ROOT = Path(__file__).parent.parent
FOLDERS = ("algorithms", "harness", "suites", "reports")
SOURCES = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]


def imports(path):
    return imports_of(path.read_text())


def imports_of(source):
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def starts(names, *packages):
    return {name for name in names if any(name == package or name.startswith(package + ".") for package in packages)}


@pytest.mark.parametrize("path", [p for p in SOURCES if p.is_relative_to(ROOT / "algorithms")], ids=str)
def test_algorithms_know_no_environments_files_or_clocks(path):
    assert not starts(
        imports(path), "gymnasium", "harness", "suites", "reports", "os", "pathlib", "time", "datetime", "random"
    )


@pytest.mark.parametrize("path", [p for p in SOURCES if p.is_relative_to(ROOT / "reports")], ids=str)
def test_reports_read_results_and_never_train(path):
    names = imports(path)
    allowed = ("harness.schema", "harness.errors")
    assert not starts(names, "algorithms", "torch", "gymnasium")
    assert not starts(names, "harness") - starts(names, *allowed)


@pytest.mark.parametrize("path", [p for p in SOURCES if p.is_relative_to(ROOT / "suites" / "envs")], ids=str)
def test_environments_know_nothing_of_ours(path):
    assert not starts(imports(path), "algorithms", "harness", "reports", "torch")


@pytest.mark.parametrize("path", [p for p in SOURCES if p.is_relative_to(ROOT / "suites" / "theory")], ids=str)
def test_statements_know_algorithms_alone(path):
    assert not starts(imports(path), "harness", "reports", "gymnasium")


PICKLING = (
    "pickle",
    "_pickle",
    "cPickle",
    "cloudpickle",
    "dill",
    "joblib",
    "shelve",
    "marshal",
    "copyreg",
    "pandas.read_pickle",
)
EXECUTING = (
    "torch.load",
    "torch.save",
    "torch.jit",
    "read_pickle",
    "to_pickle",
    "allow_pickle",
    "np.load",
    "numpy.load",
    "eval",
    "exec",
)
UNSAFE_YAML = ("unsafe_load", "full_load", "load_all", "UnsafeLoader", "FullLoader", "yaml.Loader", "CLoader")


def unsafe(source):
    """What in a source text could make an object, or run code, out of a file."""
    found = sorted(starts(imports_of(source), *PICKLING))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Attribute, ast.Name)):
            name = ast.unparse(node)
            found += [
                each
                for each in (*EXECUTING, *UNSAFE_YAML)
                if name == each or (name.endswith(f".{each}") and each not in ("eval", "exec"))
            ]
        if isinstance(node, ast.keyword) and node.arg in EXECUTING:
            found.append(node.arg)
        if (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) == "yaml.load"
            and ast.unparse(node.args[1]) not in ("Loader", "yaml.SafeLoader")
        ):
            found.append("yaml.load")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_nothing_is_pickled(path):
    assert not unsafe(path.read_text())


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import loads",
        "import cloudpickle as c",
        "torch.load(p)",
        "torch.save(x, p)",
        "np.load(p, allow_pickle=True)",
        "pd.read_pickle(p)",
        "frame.to_pickle(p)",
        "yaml.load(t, yaml.Loader)",
        "yaml.load(t, Other)",
        "yaml.unsafe_load(t)",
        "eval(t)",
        "exec(t)",
        "import joblib",
    ],
)
def test_the_search_for_pickles_finds_them(line):
    assert unsafe(line)


def test_the_loader_of_suites_is_the_safe_one():
    assert issubclass(Loader, yaml.SafeLoader) and not issubclass(Loader, yaml.FullLoader)


@pytest.mark.parametrize("pair", pair_names())
def test_numbers_come_from_no_global_random_generator(pair):
    for name in code_files(pair, "batched"):
        text = (ROOT / name).read_text()
        for call in (
            "torch.manual_seed",
            "np.random.seed",
            "torch.rand",
            "np.random.rand(",
            "np.random.normal(",
            "import random",
        ):
            assert call not in text, f"{name}: {call}"
