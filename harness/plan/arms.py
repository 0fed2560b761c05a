"""The arms of the pairs, read from their files without importing what computes: torch alone takes seconds.

Of a pair's file only the statements are executed that its table of arms needs, as Python would execute them; so a table may be
written in any way. Where it needs more (a name of a module that is imported whole), that is imported.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from importlib.abc import InspectLoader
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from algorithms import pairs
from harness.files import ROOT

OURS = "algorithms."


class ListedArm(Protocol):
    """What of `algorithms.learner.Arm` is shown without training."""

    @property
    def title(self) -> str: ...
    @property
    def role(self) -> str: ...


def arms_of_pairs() -> dict[str, dict[str, ListedArm]]:
    """pair -> arm -> what it is, of all pairs here."""
    found = {}
    for path in sorted(Path(pairs.__path__[0]).glob("[!_]*.py")):
        try:
            found[path.stem] = arms_of(path)
        except Exception:  # more is needed than an excerpt: the pair itself, or what is wrong with it
            from harness.run.spec import learner_class

            found[path.stem] = dict(learner_class(path.stem).arms)
    return found


def arms_of(path: Path) -> dict[str, ListedArm]:
    """The `arms` of the class that `LEARNER` names in a pair's file. Raises an error of any kind where an excerpt has not all it needs."""
    tree = ast.parse(path.read_bytes())
    bound = _bindings(tree.body)
    learner: Any = bound["LEARNER"]
    kind: Any = bound[learner.value.id]
    arms: dict[str, ListedArm] = _excerpt(tree, _bindings(kind.body)["arms"], path).arms
    return arms


def _excerpt(tree: ast.Module, wanted: ast.stmt, path: Path) -> ModuleType:
    """A module of one statement of a file and of all that it needs; from files of ours it imports excerpts."""
    bound = _bindings(tree.body)
    needed, waiting = [wanted], _names(wanted)
    given: dict[str, Any] = {}
    while waiting:
        name = waiting.pop()
        statement = bound.pop(name, None)
        if isinstance(statement, ast.ImportFrom) and (statement.module or "").startswith(OURS):
            given[name] = _imported(statement, name)
        elif statement is not None and statement not in needed:
            needed.append(statement)
            waiting += _names(statement)
    body = [statement for statement in tree.body if statement in needed or _is_future(statement)]
    source = ast.unparse(ast.Module(body if wanted in body else [*body, wanted], []))
    spec = importlib.util.spec_from_loader(f"{path.stem} (excerpt)", _Source(source), origin=str(path))
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)  # dataclasses look there
    vars(module).update(given)
    spec.loader.exec_module(module)
    return module


def _imported(statement: ast.ImportFrom, name: str) -> Any:
    """What `from algorithms.x import y as name` binds."""
    original = next(alias.name for alias in statement.names if (alias.asname or alias.name) == name)
    path = ROOT / f"{(statement.module or '').replace('.', '/')}.py"
    tree = ast.parse(path.read_bytes())
    return getattr(_excerpt(tree, _bindings(tree.body)[original], path), original)


def _bindings(body: list[ast.stmt]) -> dict[str, ast.stmt]:
    """Name -> the statement that binds it."""
    bound: dict[str, ast.stmt] = {}
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            bound[statement.name] = statement
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            bound |= {
                node.id: statement for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)
            }
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            bound |= {(alias.asname or alias.name).split(".")[0]: statement for alias in statement.names}
    return bound


def _names(statement: ast.stmt) -> list[str]:
    return [node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]


def _is_future(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"


class _Source(InspectLoader):
    def __init__(self, source: str) -> None:
        self.source = source

    def get_source(self, fullname: str) -> str:
        return self.source
