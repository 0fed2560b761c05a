"""The local pool: worker processes that train jobs. A lost worker is replaced and its job goes on from the last checkpoint.

A worker is lost when it is killed, when it crashes, and when it has taken no environment step for `timeout` seconds: then it hangs.
"""

from __future__ import annotations

import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from harness.pool.messages import Alive, Failed, Job, Message, Retry, Told, from_line
from harness.pool.process import variables

ATTEMPTS = 3
TIMEOUT = 600.0  # seconds; between two environment steps there is one update at most, which takes seconds
STARTING = 120.0  # seconds that a worker may take beyond the time limit to import everything on a busy machine


class Pool:
    """`with Pool(count, log) as pool: for told in pool.run(jobs): ...`; leaving it ends every worker at once.

    `log` receives what workers write to stderr. What is told is the worker's, and `Retry` where a worker was lost; the last message
    about a job is `Done` or `Failed`. A job is given to `attempts` workers at most.
    """

    def __init__(self, count: int, log: Path, timeout: float = TIMEOUT, attempts: int = ATTEMPTS) -> None:
        self.count, self.log, self.timeout, self.attempts = count, log, timeout, attempts
        self._events: queue.Queue[Told] = queue.Queue()
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._processes: dict[int, subprocess.Popen[str]] = {}
        self._closed = False
        self._starting = threading.Lock()  # no worker may start while the pool is left

    def __enter__(self) -> Pool:
        for slot in range(self.count):
            self._start(slot)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._starting:
            self._closed = True
        for process in self._processes.values():
            process.kill()
            process.wait()
            self._jobs.put(None)  # ends a thread

    def run(self, jobs: list[Job]) -> Iterator[Told]:
        """Train all jobs; yields every message as it comes."""
        for job in jobs:
            self._jobs.put(job)
        threads = [threading.Thread(target=self._serve, args=(slot,), daemon=True) for slot in range(self.count)]
        for thread in threads:
            thread.start()
        return until_ended(self._events, len(jobs))

    def _start(self, slot: int) -> None:
        with self._starting, self.log.open("a") as log:
            if self._closed:
                return
            self._processes[slot] = subprocess.Popen(
                [sys.executable, "-P", "-m", "harness.pool.worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=variables(),
                start_new_session=True,  # Ctrl-C is for the parent, which then ends its workers
            )

    def _serve(self, slot: int) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                self._attempt(slot, job)
            except Exception as error:  # a job that is lost would keep `run` waiting for ever
                self._events.put(Told(job, self.attempts, Failed(f"{type(error).__name__}: {error}")))

    def _attempt(self, slot: int, job: Job) -> None:
        """Train a job to its end, in a new worker where the old one is lost."""
        for attempt in range(1, self.attempts + 1):
            lost = self._train(slot, job, attempt)
            if lost is None or self._closed:
                return
            self._start(slot)
            if attempt < self.attempts:
                self._events.put(Told(job, attempt, Retry(lost)))
        self._events.put(Told(job, self.attempts, Failed(f"{lost}; see {self.log}")))

    def _train(self, slot: int, job: Job, attempt: int) -> str | None:
        """Send a job to a worker and pass on its messages; why the worker was lost, None where the job has ended."""
        process = self._processes[slot]
        assert process.stdin and process.stdout
        limit = self.timeout + STARTING
        since = time.monotonic()
        try:
            process.stdin.write(job.to_line() + "\n")
            process.stdin.flush()
            while line := _read(process, limit):
                since, limit = time.monotonic(), self.timeout
                told = Told(job, attempt, self._complete(from_line(line)))
                if not isinstance(told.message, Alive):
                    self._events.put(told)
                if told.ends:
                    return None
        except (BrokenPipeError, ValueError, KeyError, TypeError):
            pass
        if time.monotonic() - since >= limit:
            return f"its worker took no environment step for {self.timeout:g} s (--timeout) and was killed"
        return f"its worker {_ending(process)}"

    def _complete(self, message: Message) -> Message:
        """A failure with the place of its traceback."""
        return Failed(f"{message.reason}; its traceback is in {self.log}") if isinstance(message, Failed) else message


def until_ended(events: queue.Queue[Told], open_jobs: int) -> Iterator[Told]:
    """Messages as they come, until so many jobs have ended."""
    while open_jobs:
        told = events.get()
        open_jobs -= told.ends
        yield told


def _read(process: subprocess.Popen[str], limit: float) -> str:
    """The next line of a worker; after `limit` seconds without one the worker is killed. Empty where the worker has ended."""
    assert process.stdout
    watch = threading.Timer(limit, process.kill)
    watch.daemon = True
    watch.start()
    try:
        return process.stdout.readline()
    finally:
        watch.cancel()


def _ending(process: subprocess.Popen[str]) -> str:
    """How a worker ended that tells nothing more."""
    try:
        code = process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.wait()
    return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
