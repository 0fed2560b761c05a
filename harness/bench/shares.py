"""How much of a run's time its evaluations, its checkpoints and its looks for divergence take.

Each is timed by itself, in a process like a worker, and counted as often as a run does it. An evaluation is counted at its dearest, with
episodes that last to the time limit; a checkpoint with a replay of which a segment has changed all that it writes.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from algorithms.learner import State
from harness.plan import tasks  # noqa: F401 - names every backend
from harness.pool.process import answer, ask
from harness.run.cohort import CHECKED, Checks, Cohort
from harness.run.collection import Collector
from harness.run.environments import Environments, Step
from harness.run.evaluation import Evaluator
from harness.run.spec import Spec
from harness.run.streams import Streams
from harness.store.members import Member, Progress, fingerprint, rows

LIMIT = 600.0
"""Seconds in which all of it must be timed."""
SECONDS = 1.0
"""Of training that are timed."""


def shares(spec: Spec, members: int) -> dict[str, float]:
    """Shares of the time of a run of `spec` by a worker with so many members: `evaluation`, `checkpoints`, `divergence_checks`.

    Raises harness.pool.process.Unanswered where it takes too long or fails.
    """
    found: dict[str, float] = ask("harness.bench.shares", {"spec": spec.to_json(), "members": members}, LIMIT)
    return found


def measure(spec: Spec, members: int) -> dict[str, float]:
    """`shares`, in this process."""
    cohort = Cohort(spec, list(range(members)))
    state, iteration = cohort.initial(), _seconds_of_training(cohort)
    iterations = spec.steps // cohort.quantum
    spent = {
        "evaluation": spec.segments * _seconds_of_evaluation(cohort, state),
        "checkpoints": spec.segments * _seconds_of_checkpoints(cohort, state),
        "divergence_checks": iterations * _seconds_of_checks(cohort, state),
    }
    total = iterations * iteration + spent["evaluation"] + spent["checkpoints"]  # training looks for divergence itself
    return {name: seconds / total for name, seconds in spent.items()}


def _seconds_of_training(cohort: Cohort) -> float:
    """Of an iteration, once the members learn."""
    state, first, count = cohort.initial(), 0, 1
    starts = cohort.replay.replay.starts if cohort.replay else 0
    while True:
        draws = Streams(cohort.seeds, count, cohort.device)
        learning, before = first * cohort.quantum >= starts, time.perf_counter()
        cohort.train(state, draws, first, first + count)
        spent = time.perf_counter() - before
        if learning and spent > SECONDS:
            return spent / count
        first, count = first + count, 2 * count


class _Counting:
    """Environments that count their steps."""

    def __init__(self, environments: Environments) -> None:
        self._environments, self.steps = environments, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._environments, name)

    def step(self, actions: np.ndarray) -> Step:
        self.steps += 1
        return self._environments.step(actions)


def _seconds_of_evaluation(cohort: Cohort, state: State) -> float:
    counting = _Counting(cohort.evaluation)
    cohort.evaluation = counting
    draws = Streams(cohort.seeds, 1, cohort.device)
    spent = _timed(lambda: Evaluator(cohort).evaluate(state, draws, cohort.now(0)))
    longest = cohort.spaces.limit if cohort.spaces.limit > 1 else counting.steps
    return spent * longest / counting.steps


def _seconds_of_checkpoints(cohort: Cohort, state: State) -> float:
    """Of all members after a segment, in this folder."""
    record = {name: np.zeros(len(cohort.seeds)) for name in cohort.learner.metrics}
    generator = torch.Generator().manual_seed(0)
    with tempfile.TemporaryDirectory(dir=Path.cwd(), prefix=".bench-") as folder:
        members = [Member(Path(folder), seed) for seed in cohort.seeds]

        def save(progress: Sequence[Progress]) -> None:
            for member, entry, (row, numbers) in zip(members, progress, rows(state, record), strict=True):
                entry.chain.append(fingerprint(entry.chain[-1] if entry.chain else "", row, numbers))
                entry.records.append(numbers)
                member.save(row, entry)

        progress = [Progress() for _ in members]
        _fill(state, generator, None)
        save(progress)
        _fill(state, generator, cohort.spec.steps // cohort.spec.segments // cohort.learner.settings.environments)
        return _timed(lambda: save(progress))


def _fill(state: State, generator: torch.Generator, count: int | None) -> None:
    """Write noise over the first `count` entries of a replay, over all for None."""
    for name, tensor in state.items():
        if name.startswith("replay."):
            part = tensor[:, :count]
            part.copy_(torch.randint(0, 2, part.shape, generator=generator))


def _seconds_of_checks(cohort: Cohort, state: State) -> float:
    """Of an iteration, on average: at every CHECKEDth the whole state is looked at."""
    rollout = Collector(cohort, Streams(cohort.seeds, 1, cohort.device)).collect(state, 0, cut=False)
    updates = cohort.replay.replay.updates if cohort.replay else 1
    metrics = [{name: torch.zeros(len(cohort.seeds)) for name in cohort.learner.metrics}] * updates
    checks = Checks(cohort)

    def look() -> None:
        for number in range(CHECKED):
            checks.look({} if number else state, rollout, metrics, 0)

    look()
    return _timed(look) / CHECKED


def _timed(work: Callable[[], Any]) -> float:
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


if __name__ == "__main__":
    answer(lambda question: measure(Spec(**question["spec"]), question["members"]))
