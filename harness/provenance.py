"""Where numbers come from: the code that made them, its versions, the machine."""

from __future__ import annotations

import ast
import hashlib
import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parent.parent
OURS = ("algorithms", "harness", "suites")


def code_files(pair: str) -> list[str]:
    """The files that determine a pair's numbers: all of ours that the training fold and the pair import, relative to the root."""
    return reached([ROOT / "harness" / "segments.py", ROOT / "algorithms" / "pairs" / f"{pair}.py"])


def reached(starts: list[Path]) -> list[str]:
    """The given files and all of ours that they import, directly or not, relative to the root."""
    waiting, found = list(starts), set()
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imports(path)
    return sorted(str(path.relative_to(ROOT)) for path in found)


def _imports(path: Path) -> list[Path]:
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    paths = [ROOT / (name.replace(".", "/") + ".py") for name in names if name.split(".")[0] in OURS]
    return [found for found in paths if found.is_file()]


def code(pair: str) -> dict[str, Any]:
    """`{"hash", "files": {path: sha256}}` of `code_files`."""
    files = {name: hashlib.sha256((ROOT / name).read_bytes()).hexdigest() for name in code_files(pair)}
    return {"hash": digest(files), "files": files}


def digest(content: Any) -> str:
    """SHA-256 of a JSON-able value, in canonical form."""
    return hashlib.sha256(canonical(content)).hexdigest()


def canonical(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


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
