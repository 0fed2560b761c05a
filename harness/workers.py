"""The local pool: worker processes that train jobs. A killed worker is replaced and its job goes on from the last checkpoint."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.provenance import ROOT

ATTEMPTS = 3
# Freed memory is kept: large temporaries are otherwise returned to the system and faulted in again at every update.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "1073741824"}
MATH_VARIABLES = ("MKL_", "OPENBLAS_", "OMP_", "GOMP_", "KMP_")  # some choose other instructions, and so other bits


class Pool:
    """`with Pool(count, log) as pool: for event in pool.run(jobs): ...`; leaving it ends every worker at once.

    `log` receives what workers write to stderr. Events are the worker's, each with its `job`; the last one of a job is `done` or `failed`.
    """

    def __init__(self, count: int, log: Path) -> None:
        self.count, self.log = count, log
        self._events: queue.Queue[dict[str, Any]] = queue.Queue()
        self._jobs: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._processes: dict[int, subprocess.Popen[str]] = {}
        self._closed = False

    def __enter__(self) -> Pool:
        for slot in range(self.count):
            self._start(slot)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._closed = True
        for process in self._processes.values():
            process.kill()
            process.wait()

    def run(self, jobs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Train all jobs; yields every event as it comes."""
        for job in jobs:
            self._jobs.put(job)
        threads = [threading.Thread(target=self._serve, args=(slot,), daemon=True) for slot in range(self.count)]
        for thread in threads:
            thread.start()
        open_jobs = len(jobs)
        while open_jobs:
            event = self._events.get()
            open_jobs -= event["event"] in ("done", "failed")
            yield event

    def _start(self, slot: int) -> None:
        environment = (
            {name: value for name, value in os.environ.items() if not name.startswith(MATH_VARIABLES)}
            | {
                "PYTHONPATH": os.pathsep.join(
                    filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
                ),  # never a module of the user's folder
                "OMP_NUM_THREADS": "1",
                "MKL_NUM_THREADS": "1",
                "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # torch's deterministic mode asks for it
            }
            | KEEP_MEMORY
        )
        with self.log.open("a") as log:
            self._processes[slot] = subprocess.Popen(
                [sys.executable, "-P", "-m", "harness.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the parent, which then ends its workers
            )

    def _serve(self, slot: int) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._attempt(slot, job)
            except Exception as error:  # a job that is lost would keep `run` waiting for ever
                self._events.put({"event": "failed", "reason": f"{type(error).__name__}: {error}", "job": job, "attempts": ATTEMPTS})

    def _attempt(self, slot: int, job: dict[str, Any]) -> None:
        """Train a job to its end, in a new worker where the old one died, ATTEMPTS times at most."""
        for attempt in range(1, ATTEMPTS + 1):
            final = self._train(slot, job, attempt)
            if final or self._closed:
                break
            self._start(slot)
        else:
            reason = f"its worker died {ATTEMPTS} times; see {self.log}"
            self._events.put({"event": "failed", "reason": reason, "job": job, "attempts": ATTEMPTS})

    def _train(self, slot: int, job: dict[str, Any], attempt: int) -> bool:
        """Send a job to a worker and pass on its events; False where the worker died."""
        process = self._processes[slot]
        assert process.stdin and process.stdout
        try:
            process.stdin.write(json.dumps(job) + "\n")
            process.stdin.flush()
            for line in process.stdout:
                event = json.loads(line) | {"job": job, "attempts": attempt}
                self._events.put(event)
                if event["event"] in ("done", "failed"):
                    return True
        except (BrokenPipeError, ValueError):
            pass
        process.kill()
        process.wait()
        return False
