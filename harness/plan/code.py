"""The code that determines numbers: which files of ours and of a user's own, found by their imports, and digests of what they say."""

from __future__ import annotations

import ast
import functools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.files import ROOT, digest
from harness.plan.tasks import BACKENDS
from harness.run.spec import pair_module
from harness.syntax import file_digest

OURS = ("algorithms", "harness", "suites")
WITH_OUTCOMES = ("multigoal",)
"""Backends whose tasks have outcomes (`harness.run.outcomes`); a test holds it to their modules."""


def code(pair: str, backend: str, task: str = "", by: str = "syntax") -> dict[str, Any]:
    """`{"by", "hash", "files": {path: digest}}` of `code_files`; for a user's own pair or task also `"module"`, of `own_files`.

    `by`: "syntax", what the files say, or "bytes", how results of an earlier version name them.
    """
    files = {name: file_digest(ROOT / name, by) for name in code_files(pair, backend, task)}
    module = {name: file_digest(path, by) for name, path in sorted(own_files(pair, task).items())}
    return {"by": by, "hash": digest(files | module), "files": files} | ({"module": module} if module else {})


def code_files(pair: str, backend: str, task: str = "") -> list[str]:
    """The files of ours that determine a cell's numbers, relative to the root: all that the fold, the pair and the environments import."""
    starts = ["harness.run.cohort", BACKENDS[backend], *([] if ":" in pair else [pair_module(pair)])]
    starts += ["harness.run.outcomes"] if backend in WITH_OUTCOMES else []
    # a user may keep a pair or task among ours
    named = [name.rpartition(":")[0] for name in (pair, task) if ":" in name]
    imported = [name for path in own_files(pair, task).values() for name in _imported(path)]
    own = [name for name in (*named, *imported) if name.split(".")[0] in OURS]
    return reached([*(ROOT / f"{name.replace('.', '/')}.py" for name in starts), *_paths(own)])


def reached(starts: Iterable[Path], ours: Sequence[str] = OURS) -> list[str]:
    """The given files and all of our packages `ours` that they import, directly or not, relative to the root."""
    waiting = list(starts)
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _paths(name for name in _imported(path) if name.split(".")[0] in ours)
    return sorted(str(path.relative_to(ROOT)) for path in found)


def own_files(*names: str) -> dict[str, Path]:
    """Name -> path of the modules of a user's own pair or task (`module:name`) and of all that they import from PYTHONPATH.

    {} for names without a module. Packages that are installed are not among them.
    """
    folders = [Path(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    if (ROOT / "pyproject.toml").exists():  # a worker finds a checkout's folder first
        folders.insert(0, ROOT)
    waiting = [name.rpartition(":")[0] for name in names if ":" in name]
    found: dict[str, Path] = {}
    while waiting:
        for stem in _stems(waiting.pop()):
            places = ((folder, name) for folder in folders for name in (f"{stem}/__init__.py", f"{stem}.py"))
            folder, name = next(((at, name) for at, name in places if stem and (at / name).is_file()), (ROOT, ""))
            if name and name not in found and stem.split("/")[0] not in OURS:
                found[name] = folder / name
                waiting += _imported(found[name], str(Path(name).parent).replace("/", "."))
    return found


def _paths(modules: Iterable[str]) -> list[Path]:
    """The files of modules of ours; what is no module (a name in one) or is empty has none."""
    stems = {stem for module in modules for stem in _stems(module)}
    paths = [ROOT / name for stem in stems for name in (f"{stem}/__init__.py", f"{stem}.py")]
    return [path for path in paths if path.is_file() and path.stat().st_size]


def _stems(module: str) -> list[str]:
    """`a` and `a/b` of `a.b`: a package is imported before what is in it."""
    parts = module.split(".")
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _imported(path: Path, package: str = "") -> list[str]:
    """The modules that a file of `package` imports, by name; some may be names in a module. [] for a file that is no Python."""
    return _imports(path.read_bytes(), package)


@functools.cache
def _imports(source: bytes, package: str) -> list[str]:
    names: list[str] = []
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):  # of a user's module, which may never be imported
        return names
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return names
