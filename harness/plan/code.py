"""Where numbers come from: the code that made them, its versions, the machine."""

from __future__ import annotations

import ast
import contextlib
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import torch

from harness.files import ROOT, digest
from harness.run.environments import BACKENDS
from harness.syntax import file_digest

OURS = ("algorithms", "harness", "suites")


def code_files(pair: str, backend: str) -> list[str]:
    """The files that determine a cell's numbers: all of ours that the fold, the pair and the environments import, relative to the root."""
    return reached(
        [
            ROOT / "harness" / "run" / "cohort.py",
            ROOT / "algorithms" / "pairs" / f"{pair}.py",
            ROOT / backend_file(backend),
        ]
    )


def reached(starts: list[Path]) -> list[str]:
    """The given files and all of ours that they import, directly or not, relative to the root."""
    waiting = list(starts)
    found: set[Path] = set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imports(path)
    return sorted(str(path.relative_to(ROOT)) for path in found)


def backend_file(backend: str) -> str:
    """The file of a backend of `harness.run.environments`, relative to the root."""
    return BACKENDS[backend].replace(".", "/") + ".py"


def _imports(path: Path) -> list[Path]:
    stems = {stem for name in _imported(path) if name.split(".")[0] in OURS for stem in _stems(name)}
    paths = [ROOT / name for stem in stems for name in (f"{stem}/__init__.py", f"{stem}.py")]
    return [found for found in paths if found.is_file() and found.stat().st_size]


def _stems(module: str) -> list[str]:
    """`a/b` and `a` of `a.b`: a package is imported before what is in it."""
    parts = module.split(".")
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _imported(path: Path, package: str = "") -> list[str]:
    """The modules that a file of `package` imports, by name; some may be names in a module."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return names


def own_files(task: str) -> dict[str, Path]:
    """Name -> path of the module of a user's own task (`module:Task-v0`) and of all that it imports from PYTHONPATH; {} for other tasks.

    Packages that are installed are not among them.
    """
    folders = [
        Path(entry) for entry in (str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)) if entry
    ]  # as a worker's
    waiting = [task.rpartition(":")[0]]
    found: dict[str, Path] = {}
    while waiting:
        for stem in _stems(waiting.pop()):
            places = ((folder, name) for folder in folders for name in (f"{stem}/__init__.py", f"{stem}.py"))
            folder, name = next(
                ((folder, name) for folder, name in places if stem and (folder / name).is_file()), (ROOT, "")
            )
            if name and name not in found:
                found[name] = folder / name
                with contextlib.suppress(SyntaxError):  # of a module that may never be imported
                    waiting += _imported(found[name], str(Path(name).parent).replace("/", "."))
    return found


def code(pair: str, backend: str, task: str = "", by: str = "syntax") -> dict[str, Any]:
    """`{"by", "hash", "files": {path: digest}}` of `code_files`; for a user's own task also `"module"`, the same of `own_files`.

    `by`: "syntax", what the files say, or "bytes", how results of an earlier version name them.
    """
    files = {name: file_digest(ROOT / name, by) for name in code_files(pair, backend)}
    module = {name: file_digest(path, by) for name, path in sorted(own_files(task).items())}
    return {"by": by, "hash": digest(files | module), "files": files} | ({"module": module} if module else {})


def versions(backend: str) -> dict[str, str]:
    """Versions of everything that computes, but for our code (see `code`) and packages of a user's own task."""
    packages = [
        "torch",
        "numpy",
        "gymnasium",
        "mujoco",
        *{"atari": ["ale-py"], "envpool": ["envpool"]}.get(backend, []),
    ]
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in packages}}


def capability() -> dict[str, str]:
    """What of the processor decides which instructions are used."""
    return {
        "capability": torch.backends.cpu.get_cpu_capability(),
        "architecture": platform.machine(),
        "vendor": _cpu_line("vendor_id"),
    }


def machine() -> dict[str, Any]:
    """The machine itself: for the sidecar, never for a result."""
    model = _cpu_line("model name")
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {"host": platform.node(), "cpu": model, "cores": os.cpu_count(), "gpu": gpu}


def _cpu_line(name: str) -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), platform.processor())
