"""Ray as the engine for more than one machine (the optional extra `ray`): a task is a shard of a cohort.

A task runs a `Pool` of one worker on its node, so that environment variables, time limit and signs of life are those of the local pool.
All that lasts is in the checkpoints, on storage that every node sees at the same path: a task that is lost with its Ray worker or its
node is given out again, goes on from the last checkpoint, and ends with the same bits.
"""

from __future__ import annotations

import logging
import math
import os
import platform
import queue
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.errors import InputError
from harness.files import ROOT
from harness.pool.local import ATTEMPTS, Pool, until_ended
from harness.pool.messages import Failed, Job, Retry, Told, from_line, to_line

OBJECT_STORE = 128 * 2**20  # bytes; events are all that passes


class RayEngine:
    """Has the interface of `harness.pool.local.Pool`. `address` is a cluster's, `auto` for the one here, `local` for a new one."""

    def __init__(self, count: int, log: Path, timeout: float, address: str) -> None:
        self.count, self.log, self.timeout, self.address = count, log.resolve(), timeout, address
        self.ray = require_ray()
        self._events: queue.Queue[Told] = queue.Queue()

    def __enter__(self) -> RayEngine:
        if self.address not in ("local", "auto"):
            _check_address(self.address)
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        path = [
            str(ROOT),
            *(str(Path(entry).resolve()) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry),
        ]
        local = {"num_cpus": self.count, "object_store_memory": OBJECT_STORE, "include_dashboard": False}
        try:
            self.ray.init(
                address=self.address,
                runtime_env={"env_vars": {"PYTHONPATH": os.pathsep.join(path)}},
                log_to_driver=False,
                logging_level=logging.CRITICAL,
                **(local if self.address == "local" else {}),
            )
        except (
            ConnectionError,
            RuntimeError,
            ValueError,
            self.ray.exceptions.RayError,
        ) as error:  # the last: a token is wanted
            raise InputError(f"--ray: {self.address!r}: {str(error).splitlines()[0]}") from error
        for number, handler in handlers.items():  # Ray has put its own in their place
            signal.signal(number, handler)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.ray.shutdown()

    def run(self, jobs: list[Job]) -> Iterator[Told]:
        """Train all jobs; yields every message as it comes."""
        # In a thread: within Ray's calls, an exception that a signal's handler raises in the main thread would get lost.
        threading.Thread(target=self._drive, args=(jobs,), daemon=True).start()
        return until_ended(self._events, len(jobs))

    def _drive(self, jobs: list[Job]) -> None:
        """Give out the jobs, pass on what is told of them, and give out again what is lost."""
        # Stream of messages -> job, attempts before this one.
        running = {self._submit(job, 0): (job, 0) for job in jobs}
        seen: dict[Any, int] = {}  # stream -> attempts so far
        while running:
            ready, _ = self.ray.wait(list(running), num_returns=1)
            stream = ready[0]
            job, before = running[stream]
            try:
                attempts, message = self.ray.get(next(stream))
            except (self.ray.exceptions.RayError, StopIteration) as error:
                del running[stream]
                attempts = max(before + 1, seen.get(stream, 0))
                reason = f"its Ray task was lost: {_reason(error)}"
                told = Told(job, attempts, Retry(reason) if attempts < ATTEMPTS else Failed(reason))
                if not told.ends:
                    running[self._submit(job, attempts)] = (job, attempts)
            else:
                told = Told(job, attempts + before, from_line(message))
                seen[stream] = told.attempts
                if told.ends:
                    del running[stream]
            self._events.put(told)

    def _submit(self, job: Job, attempts: int) -> Any:
        """The stream of messages about a job that has had `attempts` so far."""
        device = job.device.split(":")[0]  # Ray shows a task its own GPUs alone
        gpus = self.ray.cluster_resources().get("GPU", 0) if device == "cuda" else 0
        share = 1 / math.ceil(self.count / gpus) if gpus else 0
        task = self.ray.remote(_shard).options(num_returns="streaming", num_cpus=1, num_gpus=share, max_retries=0)
        absolute = replace(job, rows=[replace(row, folder=row.folder.resolve()) for row in job.rows], device=device)
        return task.remote(absolute.to_line(), str(self.log), self.timeout, ATTEMPTS - attempts)


def _shard(line: str, log: str, timeout: float, attempts: int) -> Iterator[tuple[int, str]]:
    """The Ray task: train one job in a worker process of this node; yields attempts and messages, as lines."""
    job = Job.from_line(line)
    unseen = next((row.folder for row in job.rows if not row.folder.is_dir()), None)
    if unseen is not None:
        reason = f"{platform.node()} does not see {unseen}: all nodes must share --out at the same path"
        yield 1, to_line(Failed(reason))
        return
    with Pool(1, Path(log), timeout, attempts) as pool:
        for told in pool.run([job]):
            yield told.attempts, to_line(told.message)


def require_ray() -> Any:
    """The package `ray`. Raises InputError naming the extra where it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise InputError("--ray: the package 'ray' is not installed; pip install 'softbench[ray]'") from error
    return ray


def _check_address(address: str) -> None:
    """Raises InputError where nothing answers at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "//" in host:
        raise InputError(
            f"--ray: {address!r} is no address of a cluster; write HOST:PORT, auto, or nothing for a new local one"
        )
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
        raise InputError(f"--ray: no Ray cluster answers at {address}: {error}") from error


def _reason(error: Exception) -> str:
    """One line on a lost task: the cause where our own code failed there, else what Ray calls it."""
    cause = getattr(error, "cause", None)
    return f"{type(cause).__name__}: {cause}".splitlines()[0] if cause else type(error).__name__
