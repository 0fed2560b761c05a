"""From log files to a suite and its results: which runs there are, their curves on the declared grid, and what was left out.

A run's curve is its log, smoothed as declared, then interpolated linearly at the grid's steps, within the run's own range and never
beyond it: a run that begins after the grid's first step or ends before its last is left out, and is a missing seed in the report.
From its first value that is no finite number on, a run has diverged, and stays.
"""

from __future__ import annotations

import glob
import hashlib
import os
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from rich.table import Table
from rich.text import Text

from harness.errors import InputError, suggestion
from harness.files import make_folder, replacing
from harness.imports.readers import Array, matching, read
from harness.imports.schema import EPISODIC, IDENTITY, WILD, DeclaredArm, Entry, Grid, Import
from harness.schema.fields import MOST_SEEDS, MOST_STEPS
from harness.schema.manifest import FORMAT, Manifest
from harness.schema.results import COLUMNS, folder_name, write_cell
from harness.schema.suite import SUITES, load_suite

VERSION = 1
"""Of the rules by which logs become curves; in every manifest."""
MOST_FILES = 20_000
TOGETHER = ("tensorboard", "sb3-monitor")
"""Formats in which the files of one folder are one run."""


@dataclass(frozen=True)
class Run:
    """One run as it was logged: `steps [N]` and `returns [N]`, smoothed; `files`: name -> SHA-256; `why` it is left out, or ""."""

    arm: str
    task: str
    seed: int
    format: str
    files: dict[str, str]
    steps: Array
    returns: Array
    why: str

    @property
    def last(self) -> int:
        """The last step at which a return was logged."""
        return int(self.steps[-1])


def read_runs(config: Import, folder: Path) -> list[Run]:
    """All runs of an import file that lies in `folder`, sorted by task, arm and seed. Raises InputError naming file and field."""
    runs: dict[tuple[str, str, int], Run] = {}
    only = {name for name, declared in (("arm", config.arms), ("task", config.tasks)) if len(declared) == 1}
    for number, entry in enumerate(config.runs):
        for paths, found in _files(entry, folder, number):
            files = {str(path.relative_to(folder)): _sha256(path) for path in paths}
            logged = list(read(entry, paths, {*found}, only))
            if not logged:
                raise InputError(f"{paths[0]}: holds no run")
            for inner, steps, returns in logged:
                run = _run(config, entry, files, paths[0], {**inner, **found}, steps, returns)
                key = (run.arm, run.task, run.seed)
                if key in runs:
                    other = next(iter(runs[key].files))
                    raise InputError(
                        f"{paths[0]}: arm {run.arm}, task {run.task}, seed {run.seed} appears twice; the other is in {other}"
                    )
                runs[key] = run
    order = [*config.tasks], [*config.arms]
    return sorted(runs.values(), key=lambda run: (order[0].index(run.task), order[1].index(run.arm), run.seed))


def _files(entry: Entry, folder: Path, number: int) -> list[tuple[list[Path], dict[str, str]]]:
    """The files that an entry names, with what their paths say; several where they are one run. In the order of their names."""
    pattern = "".join("*" if WILD.fullmatch(part) else glob.escape(part) for part in WILD.split(entry.files))
    root = folder.resolve()
    found: list[tuple[Path, dict[str, str]]] = []
    for path in folder.glob(pattern):
        said = matching(entry.files, path.relative_to(folder).as_posix())
        if said is None or not path.is_file():
            continue
        if not path.as_posix().isprintable():
            raise InputError(f"{path.as_posix()!r}: a file's name must be printable")
        if not path.resolve().is_relative_to(root):
            raise InputError(f"{path}: leads out of the folder {folder}")
        found.append((path, said))
        if len(found) > MOST_FILES:
            raise InputError(f"runs.{number}.files: {entry.files!r} matches more than {MOST_FILES:,} files")
    if not found:
        raise InputError(f"runs.{number}.files: {entry.files!r} matches no file in {folder}")
    found.sort(key=lambda each: each[0])
    if entry.format not in TOGETHER:
        return [([path], said) for path, said in found]
    found.sort(key=lambda each: (each[0].parent, sorted(each[1].items()), each[0]))
    runs = []
    for _, group in groupby(found, key=lambda each: (each[0].parent, each[1])):
        members = list(group)
        runs.append(([path for path, _ in members], members[0][1]))
    return runs


def _run(
    config: Import, entry: Entry, files: dict[str, str], path: Path, said: dict[str, str], steps: Array, returns: Array
) -> Run:
    """A run, checked and smoothed."""
    for name, declared in (("arm", config.arms), ("task", config.tasks)):
        if name not in said and len(declared) == 1:
            said = {**said, name: next(iter(declared))}
        if name in said:
            said = {**said, name: entry.rename.get(said[name], said[name])}
            if said[name] not in declared:
                raise InputError(f"{path}: unknown {name} {said[name][:80]!r}{suggestion(said[name][:80], declared)}")
    missing = next((name for name in IDENTITY if name not in said), None)
    if missing is not None:
        raise InputError(
            f"{path}: nothing says its {missing}; put {{{missing}}} into `files` (or `run`), or name its column"
        )
    if not (said["seed"].isascii() and said["seed"].isdigit() and len(said["seed"]) <= 9):
        raise InputError(f"{path}: seed: {said['seed'][:40]!r} is no integer from 0 to 999,999,999")
    name = f"arm {said['arm']}, task {said['task']}, seed {said['seed']}"
    again = entry.format in EPISODIC
    if not len(steps):
        raise InputError(f"{path}: {name}: has no return at all")
    if not ((steps >= 0) & (steps <= MOST_STEPS)).all():  # NaN and inf neither
        raise InputError(f"{path}: {name}: step: a step is no number from 0 to {MOST_STEPS:,}")
    wrong = np.flatnonzero(np.diff(steps) < 0 if again else np.diff(steps) <= 0)
    if len(wrong):
        before, after = steps[wrong[0]], steps[wrong[0] + 1]
        raise InputError(
            f"{path}: {name}: step: {after:,.0f} comes after {before:,.0f}; steps must {'not fall' if again else 'rise'}"
        )
    steps, returns = _smooth(steps, returns, config.smooth or 1)
    why = _short(config.grid, steps, returns)
    return Run(said["arm"], said["task"], int(said["seed"]), entry.format, files, steps, returns, why)


def _smooth(steps: Array, returns: Array, window: int) -> tuple[Array, Array]:
    """The mean of the last `window` values (fewer at the start); NaN from the first value on that is not finite; of equal steps the
    last alone is kept."""
    finite = np.logical_and.accumulate(np.isfinite(returns))
    means = pd.Series(np.where(finite, returns, 0.0)).rolling(window, min_periods=1).mean().to_numpy()
    last = np.append(np.diff(steps) > 0, True)
    return steps[last], np.where(finite, means, np.nan)[last]


def _short(grid: Grid, steps: Array, returns: Array) -> str:
    """Why a run cannot be read at every step of the grid, or ""."""
    if steps[0] > grid.first:
        return f"begins at step {steps[0]:,.0f}, after the grid's first, {grid.first:,}"
    if steps[-1] < grid.last and np.isfinite(returns[-1]):
        return f"ends at step {steps[-1]:,.0f}, before the grid's last, {grid.last:,}"
    return ""


def curve(run: Run, grid: Grid) -> tuple[Array, Array]:
    """`(returns [points], diverged [points])` at the grid's steps. A run that ended diverged is diverged to the last step."""
    at = np.interp(
        grid.steps, run.steps, run.returns
    )  # after the last step its value, which is NaN where the run diverged
    return at, ~np.isfinite(at)


def overview(config: Import, runs: list[Run]) -> Table:
    """What was understood: one row an arm and task."""
    table = Table(
        "task",
        "arm",
        "kind",
        "seeds",
        "first step",
        "last step",
        "points",
        "diverged",
        "left out",
        title=Text(config.title),
    )
    table.columns[0].no_wrap = table.columns[1].no_wrap = True
    for task in config.tasks:
        for arm, definition in config.arms.items():
            its = [run for run in runs if (run.task, run.arm) == (task, arm)]
            used = [run for run in its if not run.why]
            cells = ["none"] * 4
            if its:
                numbers = [
                    [int(run.steps[0]) for run in its],
                    [run.last for run in its],
                    [len(run.steps) for run in its],
                ]
                cells = [",".join(str(run.seed) for run in used) or "none", *map(_span, numbers)]
            diverged = sum(not np.isfinite(run.returns[-1]) for run in used)
            table.add_row(
                task, arm, "soft" if definition.soft else "hard", *cells, str(diverged), str(len(its) - len(used))
            )
    return table


def _span(numbers: list[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def left_out(runs: list[Run]) -> list[str]:
    """One line a run that is not used: which, where, and why."""
    return [
        f"left out: {run.arm} on {run.task}, seed {run.seed} ({next(iter(run.files))}): {run.why}"
        for run in runs
        if run.why
    ]


def write(config: Import, runs: list[Run], path: Path, results: Path) -> list[Path]:
    """Write `suites/<name>/suite.yaml` and a cell a task; return what was written. `path`: the import file.

    Raises InputError where nothing is left, or a suite of this name is there that was not imported.
    """
    used = [run for run in runs if not run.why]
    seeds = sorted({run.seed for run in runs})
    if not used:
        raise InputError(
            f"{path}: no run covers the grid's steps {config.grid.first:,} to {config.grid.last:,}: {runs[0].why}"
        )
    if len(seeds) > MOST_SEEDS:
        raise InputError(f"{path}: {len(seeds):,} seeds were found; at most {MOST_SEEDS:,} are allowed")
    suite = SUITES / config.name / "suite.yaml"
    if suite.exists() and load_suite(config.name).imported is None:
        raise InputError(f"{path}: name: {suite} is there and was not imported; choose another name")
    written = [suite]
    try:
        make_folder(suite.parent)
        with replacing(suite) as temporary:
            temporary.write_text(_suite(config, seeds, path))
        for task in config.tasks:
            of_task = [run for run in runs if run.task == task]
            folder = results / config.name / config.name / folder_name(task)
            if any(not run.why for run in of_task):
                written.append(folder)
                write_cell(folder, _curves(config, of_task), _manifest(config, task, of_task, path), {}, {})
            else:
                (folder / "manifest.json").unlink(missing_ok=True)  # of an earlier import: without it there is no cell
    except OSError as error:
        raise InputError(f"{written[-1]}: cannot be written: {error.strerror or error}") from error
    return written


def _suite(config: Import, seeds: list[int], path: Path) -> str:
    """The suite as YAML: one pair, of the suite's name."""
    shown = os.path.relpath(path)
    content = {
        "name": config.name,
        "title": config.title,
        "imported": path.name if shown.startswith("..") else shown,
        "seeds": seeds,
        "segments": config.grid.points,
        "evaluation": {"episodes": config.smooth or 1, "primary": config.actions},
        "tasks": {task: {"steps": config.grid.last} for task in config.tasks},
        "references": {task: scale.model_dump() for task, scale in config.tasks.items()},
        "cells": {config.name: {task: {} for task in config.tasks}},
    }
    return "# Written by `softbench import`; edit the import file instead.\n" + yaml.safe_dump(
        content, sort_keys=False, width=140
    )


def _curves(config: Import, runs: list[Run]) -> pd.DataFrame:
    """Rows as training writes them; what a log does not say is NaN."""
    tables = []
    for run in runs:
        if not run.why:
            returns, diverged = curve(run, config.grid)
            known = {"step": config.grid.steps, f"return_{config.actions}": returns, "diverged": diverged}
            table = pd.DataFrame({**dict.fromkeys(COLUMNS, np.nan), "segment": np.arange(1, len(returns) + 1), **known})
            tables.append(table.assign(arm=run.arm, seed=run.seed))
    return pd.concat(tables, ignore_index=True)


def _manifest(config: Import, task: str, runs: list[Run], path: Path) -> Manifest:
    """What a report needs: the arms, and for every member where it comes from. Its chain is empty: nothing of it can be audited."""
    members: dict[str, dict[str, Any]] = {arm: {} for arm in config.arms}
    for run in runs:
        if not run.why:
            _, diverged = curve(run, config.grid)
            origin = {
                "format": run.format,
                "files": run.files,
                "first": int(run.steps[0]),
                "last": run.last,
                "points": len(run.steps),
            }
            step = int(config.grid.steps[diverged.argmax()]) if diverged.any() else None
            members[run.arm][str(run.seed)] = {"chain": [], "diverged_at": step, "imported": origin}
    first = next(name for name, arm in config.arms.items() if not arm.soft)
    kinds = {name: _role(arm, first) for name, arm in config.arms.items()}
    content = {
        "format": FORMAT,
        "suite": config.name,
        "pair": config.name,
        "task": task,
        "source": f"runs of others, imported by {path.name}",
        "hard": first,
        "arms": {name: {"title": "", "switches": {}, "settings": {}, **kind} for name, kind in kinds.items()},
        "steps": config.grid.last,
        "segments": config.grid.points,
        "evaluation": {"episodes": config.smooth or 1, "primary": config.actions},
        "device": "another machine (imported)",
        "imported": {
            "importer": VERSION,
            "file": path.name,
            "sha256": _sha256(path),
            "smooth": config.smooth or 1,
            "left_out": [
                {"arm": run.arm, "seed": run.seed, "files": run.files, "why": run.why} for run in runs if run.why
            ],
        },
        "members": members,
    }
    return Manifest.model_validate(content)


def _role(arm: DeclaredArm, first: str) -> dict[str, str | None]:
    return {"role": "soft", "against": arm.hard or first} if arm.soft else {"role": "hard"}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
