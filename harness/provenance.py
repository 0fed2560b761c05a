"""Where numbers come from: the code that made them, its versions, the machine."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import os
import platform
from pathlib import Path
from typing import Any

import torch

from harness.environments import BACKENDS
from harness.results import digest

ROOT = Path(__file__).parent.parent
OURS = ("algorithms", "harness", "suites")


def code_files(pair: str, backend: str) -> list[str]:
    """The files that determine a cell's numbers: all of ours that the fold, the pair and the environments import, relative to the root."""
    return reached([ROOT / "harness" / "segments.py", ROOT / "algorithms" / "pairs" / f"{pair}.py", ROOT / backend_file(backend)])


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
    """The file of a backend of `harness.environments`, relative to the root."""
    return BACKENDS[backend].replace(".", "/") + ".py"


def _imports(path: Path) -> list[Path]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    paths = [ROOT / (name.replace(".", "/") + ".py") for name in names if name.split(".")[0] in OURS]
    return [found for found in paths if found.is_file()]


def code(pair: str, backend: str) -> dict[str, Any]:
    """`{"hash", "files": {path: sha256}}` of `code_files`."""
    files = {name: hashlib.sha256((ROOT / name).read_bytes()).hexdigest() for name in code_files(pair, backend)}
    return {"hash": digest(files), "files": files}


def versions() -> dict[str, str]:
    """Versions of everything that computes."""
    packages = ("torch", "numpy", "gymnasium", "mujoco", "softbench")
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in packages}}


def capability() -> dict[str, str]:
    """What of the processor decides which instructions are used."""
    return {"capability": torch.backends.cpu.get_cpu_capability(), "architecture": platform.machine(), "vendor": _cpu_line("vendor_id")}


def machine() -> dict[str, Any]:
    """The machine itself: for the sidecar, never for a result."""
    model = _cpu_line("model name")
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {"host": platform.node(), "cpu": model, "cores": os.cpu_count(), "gpu": gpu}


def _cpu_line(name: str) -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), platform.processor())
