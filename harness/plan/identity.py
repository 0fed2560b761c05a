"""What numbers depend on besides settings and seed: versions, processor, our code; and the first difference between two of them."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl
import torch


def versions(backend: str) -> dict[str, str]:
    """Versions of everything that computes, but for our code (`harness.plan.code`) and packages of a user's own task."""
    packages = ["torch", "numpy", "gymnasium", "mujoco"]
    packages += {"atari": ["ale-py"], "envpool": ["envpool"]}.get(backend, [])
    return {"python": platform.python_version(), **{name: _version(name) for name in packages}}


@functools.cache
def _version(package: str) -> str:
    """Looked up once: every identity of every cohort needs it, and it is read from a file."""
    return importlib.metadata.version(package)


@functools.cache
def capability() -> dict[str, str]:
    """What decides which instructions are used: the processor, the kernel that numpy's BLAS chose by it, numpy's own dispatch.

    Environment variables can choose other ones (OPENBLAS_CORETYPE, NPY_DISABLE_CPU_FEATURES, ATEN_CPU_CAPABILITY).
    """
    simd = np.show_config(mode="dicts")["SIMD Extensions"]
    return {
        "capability": torch.backends.cpu.get_cpu_capability(),
        "architecture": platform.machine(),
        "vendor": _cpu_line("vendor_id"),
        "blas": _blas(),
        "simd": " ".join([*simd["baseline"], *simd.get("found", [])]),
    }


def _blas() -> str:
    """Library and kernel of numpy's matrix products; other packages may have loaded one of their own."""
    loaded = [library for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]
    ours = str(Path(np.__file__).resolve().parent)  # and numpy.libs beside it
    its = [library for library in loaded if library["filepath"].startswith(ours)]
    named = [" ".join(filter(None, (each["internal_api"], each.get("architecture")))) for each in its or loaded]
    return min(named, default="unknown")


def machine() -> dict[str, Any]:
    """The machine itself: for the sidecar, never for a result."""
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {"host": platform.node(), "cpu": _cpu_line("model name"), "cores": os.cpu_count(), "gpu": gpu}


def _cpu_line(name: str) -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), platform.processor())


def difference(old: Any, new: Any, path: str) -> str | None:
    """`path: was x, is now y` for the first leaf in which two JSON values differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        # Of the code, `hash` says less than the file that differs.
        keys = sorted((set(old) | set(new)) - ({"hash"} if path == "code" else set()), reverse=path == "code")
        return next((found for key in keys if (found := difference(old.get(key), new.get(key), f"{path}.{key}"))), None)
    return None if old == new else f"{path}: was {old!r:.60}, is now {new!r:.60}"


def first_difference(old: Any, new: Mapping[str, Any]) -> str | None:
    """`field: was x, is now y` for the first leaf in which `old` has not what `new` has."""
    fields = old if isinstance(old, Mapping) else {}
    return next((found for name in new if (found := difference(fields.get(name), new[name], name))), None)
