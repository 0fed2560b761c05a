"""What stands for seeds and is none: the environments of one run, its episodes, copies. The unit of replication is a run of training.

What is certain is refused, what is likely is told.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from harness.errors import InputError
from harness.imports.runs import Run
from harness.imports.schema import PARTS

WITHIN = 60.0
"""Seconds within which the environments of one run are started, at most."""
AT_ONCE = 5.0
"""Seconds within which separate runs are seldom all started."""
RANK = re.compile(r"[0-9]+\.monitor\.csv(\.[a-z0-9]+)?")
"""How Stable-Baselines3 names the files of a run's environments."""
EVENTS = re.compile(r"events\.out\.tfevents\.([0-9]+).*")
"""How TensorBoard names a file: by the second in which it was begun."""
PART = re.compile(rf"{PARTS}[-_]?([0-9]+)", re.I)
"""What a folder or file of a run's part is called: env0, worker_3."""


def refuse_parts(runs: Sequence[Run]) -> None:
    """Raises InputError where files of one folder that are parts of one run stand for several seeds."""
    for its in _cells(runs):
        folders: dict[str, list[Run]] = {}
        for run in its:
            folders.setdefault(str(PurePosixPath(next(iter(run.files))).parent), []).append(run)
        for folder, inside in folders.items():
            names = [PurePosixPath(next(iter(run.files))).name for run in inside]
            if len(inside) < 2:
                continue
            where = f"{inside[0].arm} on {inside[0].task}: {names[0]} to {names[-1]} in {folder}"
            if all(RANK.fullmatch(name) for name in names) and _spread(inside, 0.0) <= WITHIN:
                raise InputError(
                    f"files: {where} are the environments of one run, started within {WITHIN:g} s, not {len(inside)} seeds; "
                    "name the seed by a folder, and let * stand for the number: {seed}/*.monitor.csv"
                )
            times = [EVENTS.fullmatch(name) for name in names]
            if all(time and int(time[1]) == run.seed for time, run in zip(times, inside, strict=True)):
                raise InputError(
                    f"files: {where} are the files of one run and its restarts, not {len(inside)} seeds: the number in their "
                    "names is a time; name the seed by a folder: {seed}/events*"
                )


def suspicions(runs: Sequence[Run]) -> list[tuple[Run, str]]:
    """Runs that may be parts or copies of one: the first of them, and a line that says why."""
    found = []
    for its in _cells(runs):
        found += [(its[0], line) for line in (*(_started_together(its) or _called_parts(its)), *_copies(its))]
    return found


def _cells(runs: Sequence[Run]) -> list[list[Run]]:
    """The runs that are used, by arm and task."""
    cells: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if run.curve is not None and not run.why:
            cells.setdefault((run.task, run.arm), []).append(run)
    return [*cells.values()]


def _spread(runs: Sequence[Run], unknown: float) -> float:
    """Seconds between the starts of the first and the last run; `unknown` where a log does not say it."""
    began = [run.began for run in runs if run.began is not None]
    return max(began) - min(began) if len(began) == len(runs) else unknown


def _started_together(runs: Sequence[Run]) -> list[str]:
    spread = _spread(runs, np.inf)
    if len(runs) < 2 or spread > AT_ONCE:
        return []
    return [
        f"all {len(runs)} seeds of {runs[0].arm} on {runs[0].task} were started within {spread:.1f} s; if they are the environments "
        "of one run, they are one seed"
    ]


def _called_parts(runs: Sequence[Run]) -> list[str]:
    """Runs whose seed is, in every path, the number of an environment, a worker or an episode."""
    names = [next((name for name in _names(run) if _part(name) == run.seed), None) for run in runs]
    if len(runs) < 2 or None in names:
        return []
    return [
        f"all {len(runs)} seeds of {runs[0].arm} on {runs[0].task} are called as parts of a run are ({names[0]} to {names[-1]}); "
        "if they are, they are one seed"
    ]


def _names(run: Run) -> list[str]:
    """What a run's path is made of, without endings."""
    return [part.split(".")[0] for part in PurePosixPath(next(iter(run.files))).parts]


def _part(name: str) -> int | None:
    found = PART.fullmatch(name)
    return int(found[found.re.groups]) if found else None


def _copies(runs: Sequence[Run]) -> list[str]:
    """Runs of equal values that are not all the same."""
    by_values: dict[bytes, list[int]] = {}
    for run in runs:
        if run.curve is not None and len(run.curve.returns) > 1 and np.ptp(run.curve.returns) > 0:
            values = np.concatenate([run.curve.steps, run.curve.returns]).tobytes()
            by_values.setdefault(values, []).append(run.seed)
    return [
        f"seeds {', '.join(map(str, seeds))} of {runs[0].arm} on {runs[0].task} have the same values; copies of a run are one seed"
        for seeds in by_values.values()
        if len(seeds) > 1
    ]
