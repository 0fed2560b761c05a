"""Mutation test of `algorithms/`: `python tests/mutation/run.py [--sample N] [--seed N] [--only TEXT] [--both]`.

Each mutant is one change of one expression inside a function (a sign, a factor, a comparison, swapped arguments, a call left out), found in
the syntax tree and made in a temporary copy of the files. It is killed if an exact statement fails, or else if a test of `algorithms/` does
(with --both, both are tried). Prints a line a mutant and the share killed; exits 1 if one survives that `EQUIVALENT` does not name.
A mutant takes up to a minute or two, so this is no part of the default tests.
"""

from __future__ import annotations

import argparse
import ast
import os
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
COPIED = ("algorithms", "harness", "suites", "tests", "pyproject.toml")
PATIENCE = (
    5  # times the seconds that a right tree takes: a mutant that takes longer counts as killed, since it may not end
)

SWAPPED: dict[type[Any], list[type[Any]]] = {
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div],
    ast.Div: [ast.Mult],
    ast.FloorDiv: [ast.Mult],
    ast.BitAnd: [ast.BitOr],
    ast.BitOr: [ast.BitAnd],
    ast.And: [ast.Or],
    ast.Or: [ast.And],
    ast.Lt: [ast.LtE, ast.GtE],
    ast.LtE: [ast.Lt, ast.Gt],
    ast.Gt: [ast.GtE, ast.LtE],
    ast.GtE: [ast.Gt, ast.Lt],
    ast.Eq: [ast.NotEq],
    ast.NotEq: [ast.Eq],
    ast.Is: [ast.IsNot],
    ast.IsNot: [ast.Is],
}
RENAMED = {
    "min": "max",
    "max": "min",
    "amin": "amax",
    "amax": "amin",
    "argmax": "argmin",
    "sum": "mean",
    "mean": "sum",
    "minimum": "maximum",
    "maximum": "minimum",
    "ones_like": "zeros_like",
    "zeros_like": "ones_like",
    "cumsum": "cumprod",
}
DROPPED = {"exp", "log", "sqrt", "square", "abs", "clamp", "clamp_", "tanh", "cumsum", "relu_"}
"""Methods whose object stands for their result."""

EQUIVALENT = {
    "algorithms/pairs/dqn.py DQN.target: 0 -> 1": "a penalty behind the window's last step is not read",
    "algorithms/experience.py following: (rollout.truncated.cumsum(1) - 1).clamp(min=0) -> rollout.truncated.cumsum(1) - 1": (
        "what is found at place -1 is not read; but no device need take such an index"
    ),
}
"""`file function: old -> new` -> why no test could tell."""


@dataclass(frozen=True)
class Mutant:
    """`old` becomes `new` in line `line` of a function. `number`: of the file's mutants."""

    file: str
    number: int
    function: str
    line: int
    old: str
    new: str

    @property
    def name(self) -> str:
        return f"{self.file} {self.function}: {self.old} -> {self.new}"


@dataclass(frozen=True)
class Site:
    """Where in a tree a node is held, and what takes its place."""

    holder: ast.AST
    field: str
    index: int | None
    function: str
    old: ast.AST
    new: ast.AST

    def change(self) -> None:
        if self.index is None:
            setattr(self.holder, self.field, self.new)
        else:
            getattr(self.holder, self.field)[self.index] = self.new


def alternatives(node: ast.AST) -> Iterator[ast.AST]:
    """All that may stand in a node's place."""
    if isinstance(node, ast.BinOp):
        yield from (ast.BinOp(node.left, kind(), node.right) for kind in SWAPPED.get(type(node.op), []))
        if isinstance(node.op, ast.Add | ast.Sub | ast.Mult | ast.Div | ast.Pow | ast.BitAnd | ast.BitOr):
            yield node.left
        if isinstance(node.op, ast.Add | ast.Mult | ast.BitAnd | ast.BitOr):
            yield node.right
    elif isinstance(node, ast.BoolOp):
        yield from (ast.BoolOp(kind(), node.values) for kind in SWAPPED[type(node.op)])
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        kinds = SWAPPED.get(type(node.ops[0]), [])
        yield from (ast.Compare(node.left, [kind()], node.comparators) for kind in kinds)
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Constant) and not isinstance(node.value, str | bytes) and node.value is not None:
        if isinstance(node.value, bool):
            yield ast.Constant(not node.value)
        elif isinstance(node.value, int):
            yield ast.Constant(node.value + 1)
        elif isinstance(node.value, float):
            yield ast.Constant(2 * node.value + (node.value == 0))
    elif isinstance(node, ast.IfExp):
        yield node.body
        yield node.orelse
    elif isinstance(node, ast.If) and not isinstance(node.test, ast.Constant):
        yield ast.If(ast.UnaryOp(ast.Not(), node.test), node.body, node.orelse)
    elif isinstance(node, ast.Call):
        yield from changed_calls(node)
    elif isinstance(node, ast.AugAssign) and type(node.op) in SWAPPED:
        yield from (ast.AugAssign(node.target, kind(), node.value) for kind in SWAPPED[type(node.op)])
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield ast.Pass()
    elif isinstance(node, ast.Return) and isinstance(node.value, ast.BinOp | ast.Call):
        yield ast.Return(ast.UnaryOp(ast.USub(), node.value))


def changed_calls(node: ast.Call) -> Iterator[ast.AST]:
    """Another function, no function, and two arguments that are alike the other way round."""
    if isinstance(node.func, ast.Attribute):
        if node.func.attr in RENAMED:
            yield ast.Call(
                ast.Attribute(node.func.value, RENAMED[node.func.attr], ast.Load()), node.args, node.keywords
            )
        if node.func.attr in DROPPED:
            yield node.func.value
    for first, (left, right) in enumerate(zip(node.args, node.args[1:], strict=False)):
        if isinstance(left, ast.Name | ast.Attribute) and isinstance(right, ast.Name | ast.Attribute):
            args = [*node.args[:first], right, left, *node.args[first + 2 :]]
            yield ast.Call(node.func, args, node.keywords)


def sites(tree: ast.Module) -> list[Site]:
    """All changes within functions, in the order of the text. Annotations, texts and errors are left as they are."""
    found: list[Site] = []

    def visit(holder: ast.AST, function: str) -> None:
        for field, value in ast.iter_fields(holder):
            if field in ("annotation", "returns", "args", "decorator_list") and not isinstance(holder, ast.Call):
                continue
            for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if not isinstance(node, ast.AST) or isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr):
                    continue
                inner = function
                if isinstance(node, ast.FunctionDef | ast.ClassDef):
                    inner = f"{function}.{node.name}".lstrip(".")
                elif isinstance(node, ast.expr | ast.stmt) and in_function(function):
                    found.extend(Site(holder, field, index, function, node, new) for new in alternatives(node))
                visit(node, inner)

    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}

    def in_function(function: str) -> bool:
        return function.rpartition(".")[2] in names

    visit(tree, "")
    return found


def mutants_of(path: Path) -> list[Mutant]:
    file = path.relative_to(ROOT).as_posix()
    return [
        Mutant(file, number, site.function, getattr(site.old, "lineno", 0), shown(site.old), shown(site.new))
        for number, site in enumerate(sites(ast.parse(path.read_text())))
    ]


def shown(node: ast.AST) -> str:
    """Its first line."""
    return ast.unparse(ast.fix_missing_locations(node)).partition("\n")[0]


def mutated(text: str, number: int) -> str:
    tree = ast.parse(text)
    sites(tree)[number].change()
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


STATEMENTS = """
import dataclasses, sys
from suites.theory import STATEMENTS
from suites.theory.statement import run
each = (dataclasses.replace(statement, mutants=(), figure=None) for statement in STATEMENTS.values())
sys.exit(next((f"statement {statement.number}" for statement in each if not run(statement, int(sys.argv[1]), 0)[0]["holds"]), 0))
"""
PYTEST = ["-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-m", "not slow"]


@dataclass(frozen=True)
class Trial:
    """What Python is given, and within how many seconds it must succeed."""

    name: str
    arguments: list[str]
    limit: float | None = None


def failure(trial: Trial, tree: Path) -> str:
    """The last lines of what it says where it does not succeed in the tree in time; else nothing."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, *trial.arguments]
    try:
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=trial.limit)
    except subprocess.TimeoutExpired:
        return "no end"
    return (done.stdout + done.stderr)[-2000:] or "no word" if done.returncode else ""


def judge(mutant: Mutant, tree: Path, trials: list[Trial], both: bool) -> list[str]:
    """Which trials kill it."""
    path = tree / mutant.file
    original = path.read_text()
    path.write_text(mutated(original, mutant.number))
    killers: list[str] = []
    try:
        for trial in trials:
            if (both or not killers) and failure(trial, tree):
                killers.append(trial.name)
    finally:
        path.write_text(original)
    return killers


def timed(trial: Trial, tree: Path) -> Trial:
    """With the limit that follows from a right tree, which must pass."""
    started = time.perf_counter()
    if said := failure(trial, tree):
        raise SystemExit(f"without any mutant the {trial.name} fail already:\n{said}")
    return replace(trial, limit=PATIENCE * (time.perf_counter() - started))


def copied_tree(folder: Path) -> Path:
    for name in COPIED:
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=int, default=60, help="mutants to try; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="which ones")
    parser.add_argument("--only", default="", help="mutants whose file, function or text holds this")
    parser.add_argument("--cases", type=int, default=20, help="random problems for each statement")
    parser.add_argument("--both", action="store_true", help="try the tests on what the statements have killed, too")
    parser.add_argument("--tests", nargs="+", default=["tests/algorithms"], help="what pytest is given")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--list", action="store_true", help="print the mutants and try none")
    chosen = parser.parse_args()
    every = [each for path in sorted((ROOT / "algorithms").rglob("*.py")) for each in mutants_of(path)]
    every = [mutant for mutant in every if chosen.only in mutant.name]
    count = min(chosen.sample or len(every), len(every))
    mutants = random.Random(chosen.seed).sample(every, count)
    if chosen.list:
        print(*(f"{mutant.file}:{mutant.line} {mutant.name.partition(' ')[2]}" for mutant in mutants), sep="\n")
        return
    trees: queue.SimpleQueue[Path] = queue.SimpleQueue()
    with tempfile.TemporaryDirectory() as folder:
        for worker in range(chosen.workers):
            (Path(folder) / str(worker)).mkdir()
            trees.put(copied_tree(Path(folder) / str(worker)))
        first = trees.get()
        trials = [
            timed(Trial("statements", ["-c", STATEMENTS, str(chosen.cases)]), first),
            timed(Trial("tests", [*PYTEST, *chosen.tests]), first),
        ]
        trees.put(first)

        def work(mutant: Mutant) -> list[str]:
            tree = trees.get()
            try:
                killers = judge(mutant, tree, trials, chosen.both)
            finally:
                trees.put(tree)
            reason = EQUIVALENT.get(mutant.name, "")
            verdict = " and ".join(killers) or ("(equivalent)" if reason else "SURVIVES")
            print(f"{verdict:20} {mutant.file}:{mutant.line} {mutant.name.partition(' ')[2]} {reason}", flush=True)
            return killers

        with ThreadPoolExecutor(chosen.workers) as pool:
            found = list(pool.map(work, mutants))
    report(mutants, found, len(every), "tests" if chosen.both else "tests among the others")


def report(mutants: list[Mutant], found: list[list[str]], every: int, tests: str) -> None:
    """The shares, and the survivors once more; exits 1 where there are any."""
    survivors = [mutant for mutant, killers in zip(mutants, found, strict=True) if not killers]
    real = [mutant for mutant in survivors if mutant.name not in EQUIVALENT]
    tried = len(mutants) - (len(survivors) - len(real))
    by_statements, by_tests = (sum(name in killers for killers in found) for name in ("statements", "tests"))
    print(
        f"{tried - len(real)} of {tried} mutants killed ({len(mutants)} of {every} tried, {len(mutants) - tried} equivalent):"
    )
    print(f"{by_statements} by the statements, {by_tests} by the {tests}")
    print(*(f"survives: {mutant.file}:{mutant.line} {mutant.name.partition(' ')[2]}" for mutant in real), sep="\n")
    sys.exit(bool(real))


if __name__ == "__main__":
    main()
