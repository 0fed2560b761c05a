"""Arrows point one way, files and folders stay small, and nothing of ours is pickled."""

import ast
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml

from harness.plan.code import code_files
from harness.run.spec import pair_names
from harness.schema.documents import Loader

ROOT = Path(__file__).parent.parent
FOLDERS = ("algorithms", "harness", "suites", "reports")
SOURCES = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")]


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


def lint_imports(folder):
    """What import-linter says of the packages in a folder: its contracts stand in pyproject.toml."""
    command = [Path(sys.executable).with_name("lint-imports"), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_arrows_point_one_way():
    said = lint_imports(ROOT)
    assert said.returncode == 0, said.stdout


FORBIDDEN = {
    "harness.plan.work": ("harness.commands.train", "Rooms of harness"),
    "harness.schema.fields": ("harness.plan.work", "Rooms of harness"),
    "harness.pool.local": ("reports.statistics.scores", "Nobody but commands imports reports"),
    "reports.site.site": ("harness.training", "Reports import harness.schema and harness.errors alone"),
    "reports.statistics.power": ("matplotlib", "Statistics draw nothing"),
    "algorithms.replay": ("time", "Algorithms know no environments, files or clocks"),
    "suites.theory.statement": ("harness.errors", "Statements know algorithms alone"),
    "suites.envs.classic": ("algorithms.maxent", "Environments know nothing of ours"),
}
"""Module -> what it must not import, not even late, and the contract that says so."""


@pytest.fixture
def copied(tmp_path):
    """A copy of the packages, to break arrows in."""
    for path in (*SOURCES, ROOT / "pyproject.toml"):
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    return tmp_path


def test_every_contract_of_imports_catches_what_it_forbids(copied):
    assert lint_imports(copied).returncode == 0
    for module, (wrong, _) in FORBIDDEN.items():
        path = copied / f"{module.replace('.', '/')}.py"
        path.write_text(f"{path.read_text()}\ndef late():\n    import {wrong}\n")
    said = lint_imports(copied)
    assert said.returncode == 1 and "0 kept" in said.stdout
    for module, (wrong, contract) in FORBIDDEN.items():
        assert re.search(rf"^{contract}.* BROKEN", said.stdout, re.M)
        assert f"{module} -> {wrong} (l." in said.stdout


def test_a_new_module_of_harness_needs_a_room(copied):
    (copied / "harness" / "utilities.py").write_text("")
    said = lint_imports(copied)
    assert said.returncode == 1 and "utilities" in said.stdout


MOST_LINES, MOST_MODULES, MOST_OF_A_PAIR = 350, 14, 160


@pytest.mark.parametrize("folder", ["algorithms", "harness", "reports"])
def test_files_and_folders_stay_small(folder):
    files = [path for path in SOURCES if path.is_relative_to(ROOT / folder)]
    lines = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in files}
    assert not {name: count for name, count in lines.items() if count > MOST_LINES}
    modules = Counter(path.parent for path in files if path.name != "__init__.py")
    most = {path: 20 if path == ROOT / "harness" / "commands" else MOST_MODULES for path in modules}
    assert not {path: count for path, count in modules.items() if count > most[path]}


def test_a_pair_is_read_at_one_sitting():
    lines = {path.stem: len(path.read_text().splitlines()) for path in (ROOT / "algorithms" / "pairs").glob("*.py")}
    assert "ppo" in lines and not {name: count for name, count in lines.items() if count > MOST_OF_A_PAIR}


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
