"""From finished cells to score matrices, with every hole and every divergence in sight.

Two rules live here and nowhere else:

- A diverged member keeps its place: from its divergence on, its return is the task's floor (`low`, a score of 0).
- Arms are compared on one complete block: the tasks that have results for every arm of the pair, and the registered seeds
  that every arm has on each of them. What is registered and not there is listed in `Study.holes`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import ResultsError
from harness.schema.manifest import Role
from harness.schema.results import Cell, damages, folder_name, read_cell
from harness.schema.suite import Suite
from reports.statistics.intervals import Array


@dataclass(frozen=True)
class Curves:
    """Evaluations of one arm on one task: seeds are rows, segments columns.

    `steps [S]` in environment steps of a member; `returns[mode] [n, S]` undiscounted, with a diverged member's at the floor;
    `diverged [n, S]`; `training [n]` the mean return of the training episodes that ended in the last segment (NaN: none ended);
    `entropy [n, S]` of the behaviour policy in nats, 0 from a divergence on (NaN: not recorded).
    """

    seeds: list[int]
    steps: npt.NDArray[np.int64]
    returns: dict[str, Array]
    diverged: npt.NDArray[np.bool_]
    training: Array
    entropy: Array


@dataclass(frozen=True)
class Damaged:
    """A cell that is there and cannot be used: which, and why, in one line."""

    pair: str
    task: str
    why: str

    def __str__(self) -> str:
        return f"{self.pair} on {self.task}: {self.why}"


@dataclass(frozen=True)
class Study:
    """One pair of one suite: what was registered, what was found, and the complete block that comparisons use."""

    suite: Suite
    pair: str
    cells: dict[str, Cell]
    """task -> cell, in the suite's order; tasks without results are absent."""
    hard_of: dict[str, str | None]
    """arm -> the hard arm it is compared with, None for hard arms and controls; a soft arm follows its hard arm."""
    roles: dict[str, Role]
    """arm -> hard, soft or control."""
    curves: dict[tuple[str, str], Curves]
    """(task, arm) -> evaluations of the registered seeds that were found."""
    misfits: list[str]
    """Results that are not of one version: one line each."""
    damaged: list[Damaged] = field(default_factory=list)
    """The pair's cells that cannot be used."""

    @property
    def arms(self) -> list[str]:
        return list(self.hard_of)

    @property
    def comparisons(self) -> list[tuple[str, str]]:
        """(soft arm, its hard arm), in order."""
        return [(arm, hard) for arm, hard in self.hard_of.items() if hard is not None]

    @property
    def groups(self) -> list[list[str]]:
        """Arms that belong in one picture: a hard arm with its soft arms; hard arms without soft ones join the first group."""
        used = list(dict.fromkeys(hard for _, hard in self.comparisons))
        groups = [[hard, *(arm for arm, its in self.comparisons if its == hard)] for hard in used]
        alone = [arm for arm, hard in self.hard_of.items() if hard is None and arm not in used]
        return [[groups[0][0], *alone, *groups[0][1:]], *groups[1:]] if groups else [alone]

    @property
    def tasks(self) -> list[str]:
        """Tasks with results for every arm: the columns of score matrices."""
        return [task for task in self.cells if all(self.curves[task, arm].seeds for arm in self.arms)]

    @property
    def seeds(self) -> list[int]:
        """Registered seeds that every arm has on every task of `tasks`: the rows of score matrices."""
        found = [self.curves[task, arm].seeds for task in self.tasks for arm in self.arms]
        return [seed for seed in found[0] if all(seed in seeds for seeds in found)] if found else []

    @property
    def primary(self) -> str:
        """The evaluation mode that comparisons use."""
        return self.suite.primary(self.pair)

    def registered(self, task: str) -> list[int]:
        """The seeds that the suite registers for the pair on a task."""
        return self.suite.registered(self.pair, task).seeds

    @property
    def most_seeds(self) -> int:
        """Seeds that the suite registers on every task of `cells`."""
        return len(set.intersection(*(set(self.registered(task)) for task in self.cells)))

    @property
    def holes(self) -> list[str]:
        """What is registered and missing, one line each; [] where the grid is complete."""
        lines = [*self.misfits, *map(str, self.damaged)]
        for task in self.suite.cells[self.pair]:
            if task in {each.task for each in self.damaged}:
                continue
            if task not in self.cells:
                lines.append(f"{self.pair} on {task}: no results yet")
                continue
            for arm in self.arms:
                registered = self.suite.registered(self.pair, task).seeds
                missing = [seed for seed in registered if seed not in self.curves[task, arm].seeds]
                if missing:
                    named = (
                        "all seeds"
                        if len(missing) == len(registered)
                        else f"seed{'s' * (len(missing) > 1)} " + _ranges(missing)
                    )
                    lines.append(f"{self.pair} on {task}, arm {arm}: {named} missing")
        return lines

    @cached_property
    def altered(self) -> dict[str, list[str]]:
        """task -> where its files contradict each other, one line each (`harness.schema.results.damages`)."""
        return {task: damages(cell) for task, cell in self.cells.items()}

    @property
    def diverged(self) -> list[str]:
        """Members that diverged, one line each."""
        return [
            f"{self.pair} on {task}, arm {arm}, seed {seed}"
            for (task, arm), curves in self.curves.items()
            for seed, flags in zip(curves.seeds, curves.diverged, strict=True)
            if flags[-1]
        ]

    def score(self, task: str, returns: Array) -> Array:
        """Normalized scores of `returns` (any shape): 0 at the declared `low`, 1 at `high`; not clipped."""
        reference = self.suite.references[task]
        return np.asarray((returns - reference.low) / (reference.high - reference.low))

    def matrix(self, arm: str, mode: str | None = None) -> Array:
        """Final scores `[n, T]` of an arm in an evaluation mode (None: the primary one), over `seeds` and `tasks`."""
        columns = []
        for task in self.tasks:
            curves = self.curves[task, arm]
            rows = [curves.seeds.index(seed) for seed in self.seeds]
            columns.append(self.score(task, curves.returns[mode or self.primary][rows, -1]))
        return np.stack(columns, axis=1)


def read_studies(suite: Suite, results: Path) -> tuple[list[Study], list[Damaged]]:
    """The suite's pairs that have usable results, in the suite's order, and the cells that cannot be used.

    One damaged cell stops no other. Cells that the suite does not register are not read.
    """
    studies: list[Study] = []
    damaged: list[Damaged] = []
    for pair, tasks in suite.cells.items():
        cells: dict[str, Cell] = {}
        curves: dict[tuple[str, str], Curves] = {}
        broken: list[Damaged] = []
        for task in tasks:
            folder = results / suite.name / folder_name(pair) / folder_name(task)
            if not (folder / "manifest.json").exists():
                continue
            try:
                cell = read_cell(folder)
                _check(suite, pair, task, cell)
                curves |= {(task, arm): _curves(suite, cell, arm) for arm in cell.manifest.arms}
            except ResultsError as error:
                broken.append(Damaged(pair, task, str(error)))
            else:
                cells[task] = cell
        damaged += broken
        if cells:
            studies.append(_study(suite, pair, cells, curves, broken))
    return studies, damaged


def _check(suite: Suite, pair: str, task: str, cell: Cell) -> None:
    """Raises ResultsError where a cell is not the one that the suite registers."""
    manifest = cell.manifest
    if (manifest.pair, manifest.task) != (pair, task):
        raise ResultsError(f"{cell.path}: holds results of {manifest.pair} on {manifest.task}")
    ours = suite.registered(pair, task)
    registered = {"steps": ours.steps, "segments": suite.segments, "evaluation": ours.evaluation.model_dump()}
    found = {name: manifest.content()[name] for name in registered}
    if manifest.environment is not None:
        registered["time_limit"], found["time_limit"] = suite.tasks[task].time_limit, manifest.environment.time_limit
    for name, value in ours.settings.items():
        registered[name] = value
        found[name] = next(iter(manifest.arms.values())).settings.get(name)
    for name, value in registered.items():
        if found[name] != value:
            differs = f"{name} is {found[name]} there, {value} in the suite"
            raise ResultsError(f"results of another protocol are not used ({differs})")
    for arm in manifest.arms:
        hard = manifest.against(arm)
        if hard is not None and (hard not in manifest.arms or manifest.role(hard) == "soft"):
            raise ResultsError(f"{cell.path}: arm {arm!r} names {hard!r}, which is no hard arm of these results")


def _study(
    suite: Suite, pair: str, cells: dict[str, Cell], curves: dict[tuple[str, str], Curves], broken: list[Damaged]
) -> Study:
    several = len({cell.manifest.code and cell.manifest.code.hash for cell in cells.values()}) > 1
    hard_of: dict[str, str | None] = {}
    roles: dict[str, Role] = {}
    for cell in cells.values():
        for arm in cell.manifest.arms:
            hard_of.setdefault(arm, cell.manifest.against(arm))
            roles.setdefault(arm, cell.manifest.role(arm))
    default = next(iter(cells.values())).manifest.hard
    ordered: dict[str, str | None] = {}
    for hard in sorted((arm for arm, its in hard_of.items() if its is None), key=lambda arm: (arm != default, arm)):
        ordered[hard] = None
        ordered.update((arm, hard) for arm in sorted(hard_of) if hard_of[arm] == hard)
    every = {
        (task, arm): curves[task, arm] if (task, arm) in curves else _curves(suite, cell, arm)
        for task, cell in cells.items()
        for arm in ordered
    }
    misfits = [f"{pair}: its tasks were not all run with the same code"] if several else []
    return Study(suite, pair, cells, ordered, {arm: roles[arm] for arm in ordered}, every, misfits, broken)


def _curves(suite: Suite, cell: Cell, arm: str) -> Curves:
    """The registered seeds of one arm, from the tidy table. Raises ResultsError where a member lacks a segment."""
    members = cell.manifest.members.get(arm, {})
    seeds = [seed for seed in suite.registered(cell.pair, cell.task).seeds if str(seed) in members]
    shape = len(seeds), cell.manifest.segments
    if not seeds:
        empty = np.zeros(shape)
        return Curves(
            [], np.zeros(0, np.int64), dict.fromkeys(suite.modes, empty), empty.astype(bool), empty[:, -1], empty
        )
    chosen = (cell.curves["arm"] == arm).to_numpy() & np.isin(cell.curves["seed"], seeds)
    places = {(seed, segment + 1): (row, segment) for row, seed in enumerate(seeds) for segment in range(shape[1])}
    there = zip(*(cell.curves[name].to_numpy()[chosen].tolist() for name in ("seed", "segment")), strict=True)
    found = [places.get(place) for place in there]
    if len(found) != len(places) or {*found} != {*places.values()}:
        raise ResultsError(
            f"{cell.path / 'curves.parquet'}: arm {arm!r} does not have one row for every seed and segment"
        )
    at = tuple(np.array(found).T)

    def grid(column: str) -> npt.NDArray[Any]:
        values = cell.curves[column].to_numpy()[chosen]
        table = np.empty(shape, values.dtype)
        table[at] = values
        return table

    measured = {mode: grid(f"return_{mode}").astype(np.float64) for mode in suite.modes}
    finite = np.all([np.isfinite(values) for values in measured.values()], axis=0)
    diverged = np.maximum.accumulate(grid("diverged").astype(bool) | ~finite, axis=1)
    floor = suite.references[cell.task].low
    returns = {mode: np.where(diverged, floor, values) for mode, values in measured.items()}
    training = np.where(diverged[:, -1], floor, grid("train_return").astype(np.float64)[:, -1])
    entropy = np.where(diverged, 0.0, grid("entropy").astype(np.float64))
    return Curves(seeds, grid("step").astype(np.int64)[0], returns, diverged, training, entropy)


def _ranges(seeds: list[int]) -> str:
    """`0-3, 7` for [0, 1, 2, 3, 7]."""
    runs: list[list[int]] = []
    for seed in sorted(seeds):
        if runs and seed == runs[-1][-1] + 1:
            runs[-1].append(seed)
        else:
            runs.append([seed])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
