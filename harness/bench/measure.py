"""`softbench bench`: how fast a cohort learns, what binds it, and how fast a well-known library does the same work.

Every subject (the cohort, one member, ten members, the peer) has processes of its own, one thread each. They are started and warmed
up before the clock runs, and wait while another subject is timed. The subjects are timed in turn, `ROUNDS` times, so that the noise
of a machine meets all of them; a rate is the median of its windows. Nothing is evaluated: the peer does not evaluate either.
"""

from __future__ import annotations

import json
import platform
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from typing import Any

import torch
from rich.table import Table

from harness.bench import peers, plain
from harness.bench.flops import flops_per_step
from harness.bench.peers import Work
from harness.bench.shares import shares as shares_of
from harness.errors import InputError, suggestion
from harness.plan.cells import cell_specs, check_actions
from harness.plan.pairs import find_pair
from harness.pool.process import Unanswered, variables
from harness.run import environments
from harness.run.cohort import Cohort
from harness.run.spec import Spec, make_learner
from harness.run.streams import Streams
from harness.schema.suite import Suite

ROUNDS = 5
BUDGET = 10**9  # environment steps of a member: schedules stand still within a measurement
# Of which shares are told where no suite says another.
RUN: dict[str, Any] = {"steps": 500_000, "segments": 20, "episodes": 20}
LEARNING_STARTS = 100  # environment steps, or what an update needs; learning goes on in every timed window


@dataclass(frozen=True)
class Job:
    """What one process does: `kind` is a key of `KINDS`. JSON-able."""

    kind: str
    spec: Spec
    seeds: list[int]


def learner_work(job: Job) -> tuple[Work, int]:
    """Training as `Cohort.segment` does it, without its evaluation: iterations, and environment steps of all members an iteration."""
    cohort = Cohort(job.spec, job.seeds)
    state, ends = cohort.initial(), [0]

    def work(iterations: int) -> None:
        ends.append(ends[-1] + iterations)
        cohort.train(state, Streams(job.seeds, len(ends) - 1, cohort.device), ends[-2], ends[-1])

    return work, cohort.quantum * len(job.seeds)


KINDS: dict[str, Callable[[Job], tuple[Work, int]]] = {
    "learner": learner_work,
    "environments": lambda job: peers.environment_work(job.spec, len(job.seeds)),
    "1024 x 1024 matrices": lambda _: peers.matmul_work((1024, 1024), (1024, 1024)),
    "128 x 64 layers": lambda job: peers.matmul_work((len(job.seeds), 128, 64), (len(job.seeds), 64, 64)),
    "sb3": lambda job: peers.sb3_work(job.spec),
    "torch": lambda job: plain.work(job.spec),
}
PRODUCTS = ("1024 x 1024 matrices", "128 x 64 layers")


class Group:
    """Processes that work at the same time. `rates`: units a wall second of all together, one number a window; `cpu_rates`: the mean
    of their units a second of CPU time, which other programs on the machine disturb less."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        self.iterations, self.units = 1, 0
        self.rates: list[float] = []
        self.cpu_rates: list[float] = []
        command = [sys.executable, "-P", "-m", "harness.bench.measure"]
        self.processes = [
            subprocess.Popen(
                [*command, json.dumps(asdict(job))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=variables(),
            )
            for job in jobs
        ]

    def warm_up(self, seconds: float) -> None:
        """Work until a window takes at least `seconds`; that also fixes the length of the next one."""
        self.units = sum(int(_answer(process)) for process in self.processes)
        while self._run()[0] < seconds:
            self.iterations *= 2
        self.iterations *= 2

    def window(self, seconds: float) -> None:
        """Time one window of about `seconds`."""
        wall, cpu = self._run()
        self.rates.append(self.iterations * self.units / wall)
        self.cpu_rates.append(self.iterations * self.units / cpu)
        self.iterations = max(1, round(self.iterations * seconds / wall))

    def _run(self) -> tuple[float, float]:
        """Do `self.iterations` in every process: wall time until the last is done, and the sum of their CPU times, in seconds."""
        start = time.perf_counter()
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(f"{self.iterations}\n")
            process.stdin.flush()
        cpu = sum(float(_answer(process)) for process in self.processes)
        return time.perf_counter() - start, cpu

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()


def _answer(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"a measuring process ended with exit code {process.wait()}; its own message stands above")
    return line


def child(job: Job) -> None:
    """A measuring process: writes its units an iteration; for every number of iterations that it reads, the CPU seconds they took."""
    answers, sys.stdout = sys.stdout, sys.stderr
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    work, units = KINDS[job.kind](job)
    print(units, file=answers, flush=True)
    for line in sys.stdin:
        before = time.process_time()
        work(int(line))
        print(time.process_time() - before, file=answers, flush=True)


def timed(jobs: dict[str, list[Job]], seconds: float) -> dict[str, Group]:
    """Time groups of processes in turn, `ROUNDS` windows of about `seconds` each."""
    groups: dict[str, Group] = {}
    try:
        for name, together in jobs.items():
            groups[name] = Group(together)
            groups[name].warm_up(seconds / 4)
        for _ in range(ROUNDS):
            for group in groups.values():
                group.window(seconds)
    finally:
        for group in groups.values():
            group.close()
    return groups


def run_spec(pair: str, arm: str | None, task: str, suite: Suite | None = None) -> Spec:
    """A run with the pair's default settings, or that of its cell in a suite; but it learns, and explores as on average, from the start on.

    Without an `arm` it is the pair's first. Raises InputError for an unknown or unfit pair, arm or task.
    """
    kind = find_pair(pair)
    if suite is not None:
        specs = _cell(suite, pair, task)
    else:
        backend = environments.default_backend(task)
        offered = environments.spaces(task, backend)
        check_actions(pair, kind, task, offered)
        settings = kind.settings_type().model_dump(mode="json")
        fit = [name for name, its in kind.arms.items() if its.actions in (None, offered.kind)]
        specs = {name: Spec(pair, name, task, backend, settings, **RUN, time_limit="bootstrap") for name in fit}
    name = arm or next(iter(specs))
    if name not in specs:
        raise InputError(f"unknown arm {name!r} of pair {pair!r} on {task}{suggestion(name, specs)}")
    spec = specs[name]
    learner = make_learner(spec, environments.spaces(task, spec.backend))
    changed: dict[str, Any] = {}
    if learner.replay is not None:
        least = learner.settings.environments * (learner.settings.horizon + learner.replay.window)
        changed["learning_starts"] = max(LEARNING_STARTS, least)
    if "exploration_fraction" in spec.settings:
        start, end, fraction = (spec.settings[f"exploration_{key}"] for key in ("start", "end", "fraction"))
        mean = fraction * (start + end) / 2 + (1 - fraction) * end
        changed |= {"exploration_start": mean, "exploration_end": mean}
    return replace(spec, settings=spec.settings | changed)


def bench_spec(pair: str, arm: str | None, task: str, suite: Suite | None = None) -> Spec:
    """`run_spec` as it is timed: without an end."""
    return replace(run_spec(pair, arm, task, suite), steps=BUDGET, segments=1, episodes=1)


def _cell(suite: Suite, pair: str, task: str) -> dict[str, Spec]:
    """The cohorts of a suite's cell. Raises InputError where it has none."""
    if pair not in suite.cells:
        raise InputError(f"--settings-of {suite.name}: has no cells of {pair!r}{suggestion(pair, suite.cells)}")
    if task not in suite.cells[pair]:
        raise InputError(f"--settings-of {suite.name}: has no cell of {task!r}{suggestion(task, suite.cells[pair])}")
    return cell_specs(suite, pair, task)


def run(
    pair: str,
    arm: str | None,
    task: str,
    members: int,
    workers: int,
    peer: str | None,
    seconds: float,
    suite: Suite | None = None,
) -> list[dict[str, Any]]:
    """Measure one arm in windows of about `seconds`; one JSON-able row. Raises InputError for wrong input.

    Rates are environment steps of all members together a wall second; FLOPs are those of the matrix products alone.
    """
    if not (1 <= workers <= members and 0 < seconds <= 600):
        raise InputError(
            f"--members {members} --workers {workers}, {seconds} s: 1 <= workers <= members and 0 < seconds <= 600 are needed"
        )
    spec = bench_spec(pair, arm, task, suite)
    if peer is not None:
        peers.check(peer, pair, environments.spaces(task, spec.backend).observation)
    shares = [list(range(members))[worker::workers] for worker in range(workers)]
    jobs = {"all": [Job("learner", spec, seeds) for seeds in shares]}
    if peer is not None:
        jobs["peer"] = [Job(peer, spec, [0])]
    jobs |= {name: [Job("learner", spec, list(range(count)))] for name, count in (("one", 1), ("ten", 10))}
    jobs["environments"] = [Job("environments", spec, seeds) for seeds in shares]
    jobs |= {kind: [Job(kind, spec, shares[0])] for kind in PRODUCTS}
    groups = timed(jobs, seconds)
    rates = {name: statistics.median(group.rates) for name, group in groups.items()}
    cpu_rates = {name: statistics.median(group.cpu_rates) for name, group in groups.items()}
    product = max(PRODUCTS, key=lambda kind: rates[kind])
    flops = flops_per_step(spec)
    limit = rates[product] * workers / flops
    spent = {"environments": rates["all"] / rates["environments"], "arithmetic": rates["all"] / limit}
    spent["overhead"] = 1 - sum(spent.values())  # calls, element-wise operations, copies, random numbers
    whole = run_spec(pair, arm, task, suite)
    try:
        run_shares, unmeasured = shares_of(whole, len(shares[0])), None
    except Unanswered as error:  # the rates were measured none the less
        run_shares, unmeasured = None, str(error)
    versions = {"python": platform.python_version()} | {name: version(name) for name in ("torch", "numpy", "gymnasium")}
    row = {
        "pair": pair,
        "arm": spec.arm,
        "settings_of": suite.name if suite else None,
        "task": task,
        "members": members,
        "workers": workers,
        "steps_per_s": rates["all"],
        "steps_per_s_lowest": min(groups["all"].rates),
        "steps_per_s_highest": max(groups["all"].rates),
        "cores_busy": rates["all"] / cpu_rates["all"],
        "steps_per_s_one_member": rates["one"],
        "members_10_over_1_wall": 10 * rates["one"] / rates["ten"],
        "members_10_over_1_cpu": 10 * cpu_rates["one"] / cpu_rates["ten"],
        "environment_steps_per_s": rates["environments"],
        "arithmetic_limit_steps_per_s": limit,
        "flops_per_step": flops,
        "matmul_flops_per_s": rates[product],
        "matmul": product,
        "time_shares": spent,
        "binds": max(spent, key=lambda name: spent[name]),
        "run": {name: getattr(whole, name) for name in RUN},
        "run_shares": run_shares,
        "run_shares_unmeasured": unmeasured,
        "peer": peer,
        "peer_steps_per_s": rates["peer"] if peer else None,
        "peer_ratio_per_core": rates["all"] / workers / rates["peer"] if peer else None,
        "peer_ratio_per_cpu_second": cpu_rates["all"] / cpu_rates["peer"] if peer else None,
        "versions": versions | ({peer: peers.peer_version(peer, pair)} if peer else {}),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }
    return [row]


CELLS = {
    "members, workers": "{members}, {workers}",
    "steps/s, all members": "{steps_per_s:,.0f}",
    "  lowest to highest window": "{steps_per_s_lowest:,.0f} to {steps_per_s_highest:,.0f}",
    "  cores that were ours on average": "{cores_busy:.2f}",
    "steps/s, one member alone": "{steps_per_s_one_member:,.0f}",
    "wall time, 10 members over 1, one core": "{members_10_over_1_wall:.2f}",
    "  the same in CPU time": "{members_10_over_1_cpu:.2f}",
    "environments alone, steps/s": "{environment_steps_per_s:,.0f}",
    "arithmetic limit, steps/s": "{arithmetic_limit_steps_per_s:,.0f}",
    "  FLOPs a step": "{flops_per_step:,.0f}",
    "  FLOP/s a core": "{matmul_flops_per_s:.2g} ({matmul})",
    "time in environments": "{time_shares[environments]:.0%}",
    "time in arithmetic": "{time_shares[arithmetic]:.0%}",
    "time in overhead": "{time_shares[overhead]:.0%}",
    "what binds": "{binds}",
    "a run of so many steps, segments, episodes": "{run[steps]:,}, {run[segments]}, {run[episodes]}",
    "  its time in evaluation, at most": "{run_shares[evaluation]:.1%}",
    "  in checkpoints": "{run_shares[checkpoints]:.1%}",
    "  in looks for divergence": "{run_shares[divergence_checks]:.1%}",
    "peer, steps/s": "{peer_steps_per_s:,.0f} ({peer})",
    "per core over the peer": "{peer_ratio_per_core:.2f}",
    "per CPU second over the peer": "{peer_ratio_per_cpu_second:.2f}",
}


def table(rows: list[dict[str, Any]]) -> Table:
    """The rows of `run` as a table, one column each."""
    made = Table("", *(f"{row['arm']} on {row['task']}" for row in rows))
    for title, template in CELLS.items():
        made.add_row(title, *(_told(template, row) for row in rows))
    return made


def _told(template: str, row: dict[str, Any]) -> str:
    if "{run_shares" in template and row["run_shares"] is None:
        return f"not measured: {row['run_shares_unmeasured']}"
    return "-" if "{peer" in template and row["peer"] is None else template.format_map(row)


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    child(Job(given["kind"], Spec(**given["spec"]), given["seeds"]))
