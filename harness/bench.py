"""`softbench bench`: how fast a cohort learns, what binds it, and how fast a well-known library does the same work.

Every subject (the cohort, one member, ten members, the peer) has processes of its own, one thread each. They are started and warmed
up before the clock runs, and wait while another subject is timed. The subjects are timed in turn, `ROUNDS` times, so that the noise
of a machine meets all of them; a rate is the median of its windows. Nothing is evaluated: the peer does not evaluate either.
"""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from rich.table import Table

from algorithms.population import State
from harness import environments, peers
from harness.cohort import Spec, learner_class, make_learner
from harness.errors import InputError, suggestion
from harness.peers import Work
from harness.segments import Cohort, Records
from harness.streams import Streams

ROUNDS = 5
BUDGET = 10**9  # environment steps of a member: schedules stand still within a measurement
LEARNING_STARTS = 100  # environment steps; learning goes on in every timed window
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Job:
    """What one process does: `kind` is a key of `KINDS`. JSON-able."""

    kind: str
    spec: Spec
    seeds: list[int]


class Unevaluated(Cohort):
    """A cohort whose segment k ends at iteration `ends[k]`, without an evaluation."""

    def __init__(self, spec: Spec, seeds: list[int]) -> None:
        super().__init__(spec, seeds)
        self.ends = [0]

    def boundary(self, number: int) -> int:
        return self.ends[number]

    def _evaluate(self, state: State, draws: Streams, step: int) -> Records:  # noqa: ARG002
        nothing = np.full(len(self.seeds), np.nan)
        return dict.fromkeys(("return_sampled", "return_greedy", "length_sampled", "length_greedy"), nothing)


def learner_work(job: Job) -> tuple[Work, int]:
    """Training as `Cohort.segment` does it, a segment a call: iterations, and steps of all members an iteration."""
    cohort = Unevaluated(job.spec, job.seeds)
    state = cohort.initial()

    def work(iterations: int) -> None:
        cohort.ends.append(cohort.ends[-1] + iterations)
        cohort.segment(state, len(cohort.ends) - 1)

    return work, cohort.quantum * len(job.seeds)


def environment_work(job: Job) -> tuple[Work, int]:
    """As many environments as the members have, with random actions drawn beforehand; an iteration is one step of each."""
    offered = environments.spaces(job.spec.task)
    count = len(job.seeds) * make_learner(job.spec, offered).environments
    vector = environments.make(job.spec.task, count)
    vector.reset(list(range(count)))
    generator = np.random.default_rng(0)
    if offered.continuous:
        space = vector.action_space
        low, high = np.maximum(space.low, -1), np.minimum(space.high, 1)
        actions = generator.uniform(low, high, (256, count, offered.actions)).astype(np.float32)
    else:
        actions = generator.integers(offered.actions, size=(256, count))

    def work(iterations: int) -> None:
        for index in range(iterations):
            vector.step(actions[index % 256])

    return work, count


def matmul_work(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[Work, int]:
    """float32 products of two batches of matrices: iterations (one product), and FLOPs an iteration (2 a multiply-add)."""
    a, b = torch.randn(left), torch.randn(right)
    out = torch.empty(*left[:-1], right[-1])

    def work(iterations: int) -> None:
        for _ in range(iterations):
            torch.matmul(a, b, out=out)

    return work, 2 * math.prod(left) * right[-1]


KINDS = {
    "learner": learner_work,
    "environments": environment_work,
    "matmul, large": lambda _: matmul_work((1024, 1024), (1024, 1024)),
    "matmul, layers": lambda job: matmul_work((len(job.seeds), 128, 64), (len(job.seeds), 64, 64)),
    "sb3": lambda job: peers.work(job.spec),
}


class Group:
    """Processes that work at the same time, one thread each. `rates` holds a rate for every window so far: units a second, all together."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.iterations = 1
        self.rates: list[float] = []
        command = [sys.executable, "-m", "harness.bench"]
        variables = {**os.environ, **dict.fromkeys(THREADS, "1")}
        self.processes = [
            subprocess.Popen([*command, json.dumps(asdict(job))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables)
            for job in jobs
        ]
        self.units = 0

    def warm_up(self, seconds: float) -> None:
        """Work until a window takes at least `seconds`; that also fixes the length of the next ones."""
        self.units = sum(int(self._answer(process)) for process in self.processes)
        while self._run() < seconds:
            self.iterations *= 2
        self.iterations *= 2

    def window(self, seconds: float) -> None:
        """Time one window of about `seconds`."""
        wall = self._run()
        self.rates.append(self.iterations * self.units / wall)
        self.iterations = max(1, round(self.iterations * seconds / wall))

    def rate(self) -> float:
        return statistics.median(self.rates)

    def _run(self) -> float:
        """Wall time in seconds until every process has done `self.iterations`."""
        start = time.perf_counter()
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(f"{self.iterations}\n")
            process.stdin.flush()
        for process in self.processes:
            self._answer(process)
        return time.perf_counter() - start

    @staticmethod
    def _answer(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"a measuring process ended with exit code {process.wait()}; its own message stands above")
        return line

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()


def child(job: Job) -> None:
    """A measuring process: writes its units an iteration, then a line for every number of iterations it reads and has done."""
    answers, sys.stdout = sys.stdout, sys.stderr
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    work, units = KINDS[job.kind](job)
    print(units, file=answers, flush=True)
    for line in sys.stdin:
        work(int(line))
        print("done", file=answers, flush=True)


def timed(jobs: dict[str, list[Job]], seconds: float, rounds: int) -> dict[str, Group]:
    """Time groups of processes in turn, `rounds` windows of about `seconds` each."""
    groups: dict[str, Group] = {}
    try:
        for name, together in jobs.items():
            groups[name] = Group(together)
        for group in groups.values():
            group.warm_up(seconds / 4)
        for _ in range(rounds):
            for group in groups.values():
                group.window(seconds)
    finally:
        for group in groups.values():
            group.close()
    return groups


def flops_per_step(job: Job) -> float:
    """FLOPs of the matrix products of an iteration (rollout and update) over its environment steps; the same for any member."""
    from torch.utils.flop_counter import FlopCounterMode

    work, steps = learner_work(replace(job, seeds=job.seeds[:1]))
    work(math.ceil(LEARNING_STARTS / steps))
    with FlopCounterMode(display=False) as counter:
        work(1)
    return int(counter.get_total_flops()) / steps


def bench_spec(pair: str, arm: str | None, task: str) -> Spec:
    """The pair's default settings, but learning from the start and its exploration at the mean of its schedule throughout.

    Without an `arm` it is the pair's first. Raises InputError for an unknown or unfit pair, arm or task.
    """
    kind = learner_class(pair)
    name = arm or next(iter(kind.arms))
    if name not in kind.arms:
        raise InputError(f"unknown arm {name!r} of pair {pair!r}{suggestion(name, kind.arms)}")
    offered = environments.spaces(task)
    if not (kind.continuous if offered.continuous else kind.discrete):
        raise InputError(f"task {task!r}: has {'continuous' if offered.continuous else 'discrete'} actions, which pair {pair!r} cannot take")
    settings = kind.settings_type().model_dump(mode="json")
    if "learning_starts" in settings:
        settings["learning_starts"] = LEARNING_STARTS
    if "exploration_fraction" in settings:
        start, end, fraction = (settings[f"exploration_{key}"] for key in ("start", "end", "fraction"))
        settings["exploration_start"] = settings["exploration_end"] = fraction * (start + end) / 2 + (1 - fraction) * end
    return Spec(pair=pair, arm=name, task=task, settings=settings, steps=BUDGET, segments=1, episodes=1, time_limit="bootstrap")


def run(pair: str, arm: str | None, task: str, members: int, workers: int, peer: str | None, seconds: float) -> list[dict[str, Any]]:
    """Measure one arm; windows of about `seconds`. Returns one JSON-able row. Raises InputError for wrong input.

    Rates are environment steps a wall second of all members together; FLOPs are those of matrix products alone.
    """
    for flag, value, allowed in (
        ("--members", members, members >= 1),
        ("--workers", workers, 1 <= workers <= members),
        ("--seconds", seconds, 0 < seconds <= 600),
    ):
        if not allowed:
            raise InputError(f"{flag}: {value} is out of range; 1 <= workers <= members and 0 < seconds <= 600 are needed")
    spec = bench_spec(pair, arm, task)
    if peer is not None:
        peers.check(peer, pair)
    shares = [list(range(members))[worker::workers] for worker in range(workers)]
    limits = timed(
        {
            "environments": [Job("environments", spec, seeds) for seeds in shares],
            **{kind: [Job(kind, spec, shares[0])] for kind in ("matmul, large", "matmul, layers")},
        },
        min(seconds, 1.0),
        rounds=3,
    )
    subjects = {
        "all": [Job("learner", spec, seeds) for seeds in shares],
        "one": [Job("learner", spec, [0])],
        "ten": [Job("learner", spec, list(range(10)))],
    }
    groups = timed(subjects | ({peer: [Job(peer, spec, [0])]} if peer else {}), seconds, ROUNDS)
    kernel = max(("matmul, large", "matmul, layers"), key=lambda kind: limits[kind].rate())
    flops = flops_per_step(Job("learner", spec, [0]))
    rate, one, stepping = groups["all"].rate(), groups["one"].rate(), limits["environments"].rate()
    arithmetic = limits[kernel].rate() * workers / flops
    time_shares = {"environments": rate / stepping, "arithmetic": rate / arithmetic}
    time_shares["overhead"] = 1 - sum(time_shares.values())
    packages = ("torch", "numpy", "gymnasium")
    return [
        {
            "pair": pair,
            "arm": spec.arm,
            "task": task,
            "members": members,
            "workers": workers,
            "steps_per_s": rate,
            "steps_per_s_lowest": min(groups["all"].rates),
            "steps_per_s_highest": max(groups["all"].rates),
            "steps_per_s_one_member": one,
            "members_10_over_1_wall": 10 * one / groups["ten"].rate(),
            "environment_steps_per_s": stepping,
            "arithmetic_limit_steps_per_s": arithmetic,
            "flops_per_step": flops,
            "matmul_flops_per_s": limits[kernel].rate(),
            "matmul": kernel,
            "time_shares": time_shares,
            "binds": max(time_shares, key=lambda name: time_shares[name]),
            "peer": peer,
            "peer_steps_per_s": groups[peer].rate() if peer else None,
            "peer_ratio_per_core": rate / workers / groups[peer].rate() if peer else None,
            "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}}
            | ({peer: peers.peer_version(peer)} if peer else {}),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        }
    ]


def table(rows: list[dict[str, Any]]) -> Table:
    """The rows of `run` as a table, one column each."""
    made = Table("", *(f"{row['arm']} on {row['task']}" for row in rows))
    for title, cell in CELLS.items():
        made.add_row(title, *(cell(row) for row in rows))
    return made


def _rate(key: str) -> Any:
    return lambda row: "-" if row[key] is None else f"{row[key]:,.0f}"


def _ratio(key: str) -> Any:
    return lambda row: "-" if row[key] is None else f"{row[key]:.2f}"


CELLS: dict[str, Any] = {
    "members, workers": lambda row: f"{row['members']}, {row['workers']}",
    "steps/s, all members": _rate("steps_per_s"),
    "  lowest to highest window": lambda row: f"{row['steps_per_s_lowest']:,.0f} to {row['steps_per_s_highest']:,.0f}",
    "steps/s, one member alone": _rate("steps_per_s_one_member"),
    "wall time, 10 members over 1, one core": _ratio("members_10_over_1_wall"),
    "environments alone, steps/s": _rate("environment_steps_per_s"),
    "arithmetic limit, steps/s": _rate("arithmetic_limit_steps_per_s"),
    "  FLOPs a step": _rate("flops_per_step"),
    "  GFLOP/s a core": lambda row: f"{row['matmul_flops_per_s'] / 1e9:.0f} ({row['matmul']})",
    "time goes to": lambda row: ", ".join(f"{name} {share:.0%}" for name, share in row["time_shares"].items()),
    "what binds": lambda row: row["binds"],
    "peer, steps/s": lambda row: "-" if row["peer"] is None else f"{row['peer_steps_per_s']:,.0f} ({row['peer']} {row['versions'][row['peer']]})",
    "per core over the peer": _ratio("peer_ratio_per_core"),
}


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    child(Job(given["kind"], Spec(**given["spec"]), given["seeds"]))
