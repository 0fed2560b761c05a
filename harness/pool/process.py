"""A process of ours that computes: its variables, and that it ends with its parent. For workers, trials of a user's code, and bench."""

from __future__ import annotations

import ctypes
import os
import signal
import sys

from harness.files import ROOT

# Freed memory is kept: large temporaries are otherwise returned to the system and faulted in again at every update.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "1073741824"}
MATHEMATICS = ("MKL_", "OPENBLAS_", "OMP_", "GOMP_", "KMP_")  # some choose other instructions, and so other bits
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def variables() -> dict[str, str]:
    """The variables of a computing process: nothing of the caller's that could choose other arithmetic, one thread."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(MATHEMATICS)}
    # Never a module of the user's folder.
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    deterministic = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    return kept | {"PYTHONPATH": path} | deterministic | ONE_THREAD | KEEP_MEMORY


def die_with_parent() -> None:
    """Let Linux kill this process with its parent: native code that hangs with Python's lock held never sees the end of stdin."""
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
