"""A process of ours that computes: its variables, and that it ends with its parent. For workers, trials of a user's code, and bench."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from harness.files import ROOT

# Freed memory is kept: large temporaries are otherwise returned to the system and faulted in again at every update.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "1073741824"}
MATHEMATICS = ("MKL_", "OPENBLAS_", "OMP_", "GOMP_", "KMP_")  # some choose other instructions, and so other bits
RECORDED = "OPENBLAS_CORETYPE"  # the kernel is a part of a run's identity: an audit may choose that of the run
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def variables() -> dict[str, str]:
    """The variables of a computing process: nothing of the caller's that could choose other arithmetic unseen, one thread."""
    kept = {name: value for name, value in os.environ.items() if name == RECORDED or not name.startswith(MATHEMATICS)}
    # Never a module of the user's folder.
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    deterministic = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    return kept | {"PYTHONPATH": path} | deterministic | ONE_THREAD | KEEP_MEMORY


def die_with_parent() -> None:
    """Let Linux kill this process with its parent: native code that hangs with Python's lock held never sees the end of stdin."""
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)


class Unanswered(Exception):
    """A process gave no answer: what became of it."""


def ask(module: str, question: Any, limit: float) -> Any:
    """The JSON answer of `python -m module` (see `answer`) to a JSON question: code that may hang or crash is tried there, not here.

    Raises Unanswered where it takes longer than `limit` seconds, is killed, or says nothing.
    """
    command = [sys.executable, "-P", "-m", module]
    text = json.dumps(question)
    try:
        ended = subprocess.run(command, input=text, env=variables(), capture_output=True, text=True, timeout=limit)
    except subprocess.TimeoutExpired as error:
        raise Unanswered(f"it took longer than {limit:g} s") from error
    if ended.returncode or not ended.stdout:
        code = ended.returncode
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        last = ended.stderr.strip().splitlines()[-1:] if code > 0 else []
        raise Unanswered(": ".join([f"the process that tried {how}", *last])[:300])
    return json.loads(ended.stdout)


def answer(find: Callable[[Any], Any]) -> None:
    """Answer the question on stdin, and end at once: threads of a user's code must not keep this process."""
    die_with_parent()
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not mix with the answer
    print(json.dumps(find(json.load(sys.stdin))), file=out, flush=True)
    os._exit(0)
