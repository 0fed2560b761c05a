"""From runs to a suite and its results, in the form that reports read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from harness.errors import InputError
from harness.files import make_folder, replacing
from harness.imports.readers.tables import Array
from harness.imports.runs import Reading, Run, sha256
from harness.imports.schema import DeclaredArm, Import
from harness.schema.fields import MOST_NUMBER, MOST_SEEDS
from harness.schema.manifest import FORMAT, Manifest
from harness.schema.results import COLUMNS, folder_name, write_cell
from harness.schema.suite import SUITES, load_suite

VERSION = 3
"""Of the rules by which logs become curves and the floor; in every manifest."""


def write(
    config: Import, reading: Reading, suspected: Sequence[tuple[Run, str]], path: Path, results: Path
) -> list[Path]:
    """Write `suites/<name>/suite.yaml` and a cell a task; return what was written.

    `suspected`: runs that may be no seeds, and why; `path`: the import file.
    Raises InputError where nothing is left, or a suite of this name is there that was not imported.
    """
    runs = reading.runs
    seeds = sorted({*(config.seeds or ()), *(run.seed for run in runs if run.seed >= 0)})
    _refuse(config, runs, seeds, path)
    suite = SUITES / config.name / "suite.yaml"
    if suite.exists() and load_suite(config.name).imported is None:
        raise InputError(f"{path}: name: {suite} is there and was not imported; choose another name")
    written = [suite]
    try:
        make_folder(suite.parent)
        with replacing(suite) as temporary:
            temporary.write_text(_suite(config, seeds, path))
        for task in config.tasks:
            its = [run for run in runs if run.task == task]
            folder = results / config.name / config.name / folder_name(task)
            if any(not run.why for run in its):
                written.append(folder)
                doubts = [{"arm": run.arm, "why": line} for run, line in suspected if run.task == task]
                manifest = _manifest(config, task, its, path, doubts, reading.unread)
                write_cell(folder, _curves(config, task, its), manifest, {}, {})
            else:
                (folder / "manifest.json").unlink(missing_ok=True)  # of an earlier import: without it there is no cell
    except OSError as error:
        raise InputError(f"{written[-1]}: cannot be written: {error.strerror or error}") from error
    return written


def _refuse(config: Import, runs: Sequence[Run], seeds: list[int], path: Path) -> None:
    """Raises InputError where there is nothing to write, or numbers are too many or too large."""
    used = [run for run in runs if not run.why]
    if not used:
        grid = config.grid_of(runs[0].task)
        raise InputError(f"{path}: no run covers the grid's steps {grid.first:,} to {grid.last:,}: {runs[0].why}")
    if len(seeds) > MOST_SEEDS:
        raise InputError(f"{path}: {len(seeds):,} seeds were found; at most {MOST_SEEDS:,} are allowed")
    for run in used:
        scale = config.tasks[run.task]
        farthest = max(abs(each - scale.low) for each in (_lowest([run]), _highest(run)))
        if farthest / (scale.high - scale.low) > MOST_NUMBER:
            raise InputError(
                f"{path}: tasks.{run.task}: low {scale.low:g} and high {scale.high:g} are too close for the returns of {run.name}: "
                f"a score would be beyond ±{MOST_NUMBER:g}"
            )


def _highest(run: Run) -> float:
    return float(run.curve.returns.max()) if run.curve else 0.0


def _lowest(runs: Sequence[Run]) -> float:
    """The lowest return in the logs of some runs."""
    return min(run.curve.lowest for run in runs if run.curve)


def _suite(config: Import, seeds: list[int], path: Path) -> str:
    """The suite as YAML: one pair, of the suite's name."""
    shown = os.path.relpath(path)
    grids = {task: config.grid_of(task) for task in config.tasks}
    content = {
        "name": config.name,
        "title": config.title,
        "imported": path.name if shown.startswith("..") else shown,
        "seeds": seeds,
        "segments": max(grid.points for grid in grids.values()),
        "evaluation": {"episodes": config.smooth or 1, "primary": config.actions},
        "tasks": {task: {"steps": grid.last} for task, grid in grids.items()},
        "references": {task: scale.model_dump(exclude={"grid"}) for task, scale in config.tasks.items()},
        "cells": {config.name: {task: {} for task in config.tasks}},
    }
    return "# Written by `softbench import`; edit the import file instead.\n" + yaml.safe_dump(
        content, sort_keys=False, width=140
    )


def _curves(config: Import, task: str, runs: Sequence[Run]) -> pd.DataFrame:
    """Rows as training writes them; what a log does not say is NaN."""
    tables, grid = [], config.grid_of(task)
    for run in runs:
        if run.curve is not None and not run.why:
            returns, diverged = run.curve.at(grid)
            known: dict[str, Any] = {"step": grid.steps, f"return_{config.actions}": returns, "diverged": diverged}
            numbered = {"segment": np.arange(1, len(returns) + 1), **known}
            table = pd.DataFrame({**dict.fromkeys(COLUMNS, np.nan), **numbered})
            tables.append(table.assign(arm=run.arm, seed=run.seed))
    return pd.concat(tables, ignore_index=True)


def _manifest(
    config: Import, task: str, runs: Sequence[Run], path: Path, suspected: list[dict[str, str]], unread: list[str]
) -> Manifest:
    """What a report needs: the arms, and for every member where it comes from. Its chain is empty: nothing of it can be audited."""
    members: dict[str, dict[str, Any]] = {arm: {} for arm in config.arms}
    grid = config.grid_of(task)
    for run in runs:
        if run.curve is not None and not run.why:
            members[run.arm][str(run.seed)] = _member(run, run.curve.at(grid)[1], grid.steps)
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
        "steps": grid.last,
        "segments": grid.points,
        "evaluation": {"episodes": config.smooth or 1, "primary": config.actions},
        "device": "another machine (imported)",
        "imported": {
            "importer": VERSION,
            "file": path.name,
            "sha256": sha256(path),
            "smooth": config.smooth or 1,
            "unit": None if config.stepless else config.runs[0].unit,
            "seeds": config.seeds,
            "lowest": _lowest(runs),
            "suspected": suspected,
            "unread": unread,
            "left_out": [
                {"arm": run.arm, "seed": run.seed, "files": run.files, "why": run.why} for run in runs if run.why
            ],
        },
        "members": members,
    }
    return Manifest.model_validate(content)


def _role(arm: DeclaredArm, first: str) -> dict[str, str | None]:
    return {"role": "soft", "against": arm.hard or first} if arm.soft else {"role": "hard"}


def _member(run: Run, diverged: np.ndarray, steps: Array | np.ndarray) -> dict[str, Any]:
    assert run.curve is not None
    origin = {
        "format": run.format,
        "files": run.files,
        "first": int(run.curve.steps[0]),
        "last": run.curve.last,
        "points": run.curve.points,
    }
    step = int(steps[diverged.argmax()]) if diverged.any() else None
    return {"chain": [], "diverged_at": step, "imported": origin}
