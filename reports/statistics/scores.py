"""From finished cells to score matrices, with every hole and every divergence in sight.

One rule lives here and nowhere else. Our own arms are compared on one complete block: the tasks that have results for every arm of the
pair that has any, and the registered seeds that every one has on each of them. Runs of others (`Study.imported`) were not made in pairs:
two arms are compared on the tasks that both have, each by its own seeds. What was begun and is not there is listed in `Study.holes`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import ResultsError
from harness.schema.grid import base
from harness.schema.manifest import Role
from harness.schema.results import Cell, damages, folder_name, read_cell
from harness.schema.suite import Suite
from reports.statistics.curves import Curves, read_curves
from reports.statistics.intervals import Array, stack
from reports.statistics.numerals import ranges


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
        """Arms that belong in one picture: a hard arm, its controls and its soft arms; what belongs to none joins the first group."""
        used = list(dict.fromkeys(hard for _, hard in self.comparisons))
        alone = [arm for arm, hard in self.hard_of.items() if hard is None and arm not in used]
        controls = _controls(self.cells)
        places = {arm: hard if (hard := controls.get(arm)) in used else used[0] for arm in alone if used}
        return [
            [
                hard,
                *(arm for arm in alone if places[arm] == hard),
                *(arm for arm, its in self.comparisons if its == hard),
            ]
            for hard in used
        ] or [alone]

    @property
    def imported(self) -> bool:
        """Whether the runs are not ours."""
        return self.suite.imported is not None

    @property
    def unit(self) -> str:
        """What a step of the curves counts: steps, or frames of a game, of which a step has several."""
        manifest = next(iter(self.cells.values())).manifest
        return (manifest.imported.unit if manifest.imported is not None else None) or "steps"

    @property
    def tasks(self) -> list[str]:
        """Tasks with results for every arm that has any at all: the columns of score matrices."""
        return self._tasks(self.begun_arms) if self.begun_arms else []

    @property
    def begun_arms(self) -> list[str]:
        """Arms with results on some task."""
        return [arm for arm in self.arms if self._seen(arm)]

    def _tasks(self, arms: Sequence[str]) -> list[str]:
        return [task for task in self.cells if all(self.curves[task, arm].seeds for arm in arms)]

    def _seen(self, arm: str) -> bool:
        return any(self.curves[task, arm].seeds for task in self.cells)

    @property
    def seeds(self) -> list[int]:
        """Registered seeds that every such arm has on every task of `tasks`: the rows of our own score matrices."""
        arms = self.begun_arms
        found = [set(self.curves[task, arm].seeds) for task in self.tasks for arm in arms]
        first = self.curves[self.tasks[0], arms[0]].seeds if found else []
        return [seed for seed in first if all(seed in seeds for seeds in found)]

    @property
    def primary(self) -> str:
        """The evaluation mode that comparisons use."""
        return self.suite.primary(self.pair)

    @property
    def modes(self) -> tuple[str, ...]:
        """The evaluation modes that all its results have, `primary` first."""
        return self.suite.modes(self.pair)

    def registered(self, task: str) -> list[int]:
        """The seeds that the suite registers for the pair on a task."""
        return self.suite.registered(self.pair, task).seeds

    def begun(self, task: str, arm: str) -> list[int]:
        """The seeds that an arm was begun with: those registered; of an import those declared, or the ones of all logs found.

        A negative one stands for a run whose seed cannot be read.
        """
        its = self.cells[task].manifest.imported if self.imported else None
        if its is None:
            return self.registered(task)
        if its.seeds is not None:
            return its.seeds
        return sorted({*self.curves[task, arm].seeds, *(out.seed for out in its.left_out if out.arm == arm)})

    def extremes(self, task: str) -> tuple[float, float]:
        """The floor at which a diverged member of a task counts, and the highest return that was seen or is on its scale."""
        reference = self.suite.references[task]
        seen = [returns for arm in self.arms for returns in self.curves[task, arm].returns.values() if returns.size]
        lowest, highest = (min(map(np.min, seen), default=np.inf), max(map(np.max, seen), default=-np.inf))
        return float(min(reference.low, lowest)), float(max(reference.high, highest))

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
            chosen = self.suite.registered(self.pair, task).arms
            for arm in self.arms:
                if chosen is not None and base(arm) not in chosen:
                    continue
                registered, there = self.begun(task, arm), {*self.curves[task, arm].seeds}
                missing = [seed for seed in registered if seed not in there and seed >= 0]
                if nameless := sum(seed < 0 for seed in registered):
                    lines.append(
                        f"{self.pair} on {task}, arm {arm}: missing with a seed that cannot be read: {nameless}"
                    )
                if missing:
                    named = (
                        "all seeds"
                        if len(missing) == len(registered) and not self.imported
                        else f"seed{'s' * (len(missing) > 1)} " + ranges(missing)
                    )
                    lines.append(f"{self.pair} on {task}, arm {arm}: {named} missing")
                elif not registered:
                    lines.append(f"{self.pair} on {task}, arm {arm}: no run was found")
        imports = [cell.manifest.imported for cell in self.cells.values() if self.imported]
        return lines + list(dict.fromkeys(f"not read: {line}" for each in imports if each for line in each.unread))

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

    def final(self, task: str, arm: str, mode: str) -> dict[int, float]:
        """seed -> final score of an arm on a task."""
        curves = self.curves[task, arm]
        return dict(zip(curves.seeds, self.score(task, curves.returns[mode][:, -1]).tolist(), strict=True))

    @property
    def matrices(self) -> dict[str, Array]:
        """arm -> its matrix, of those that have a row; {} where no task has results for every arm that has any."""
        found = {arm: self.matrix(arm) for arm in self.begun_arms} if self.tasks else {}
        return {arm: scores for arm, scores in found.items() if len(scores)}

    def shared(self, arms: Sequence[str]) -> list[str]:
        """The tasks on which arms are compared: our own on those of all begun arms ([] where one is not), an import's on what they have."""
        return self._tasks(arms) if self.imported else self.tasks if all(map(self._seen, arms)) else []

    def compared(self, arms: Sequence[str], mode: str | None = None) -> list[Array]:
        """Final scores `[n, T]` of arms that are compared, in an evaluation mode (None: the primary one); [] where they cannot be.

        Our own on the complete block of all arms; those of an import on the tasks that these have, each with its own seeds.
        """
        if not self.imported:
            return [self.matrix(arm, mode) for arm in arms] if self.seeds and self.shared(arms) else []
        tasks = self.shared(arms)
        return (
            [stack([self.final(task, arm, mode or self.primary) for task in tasks])[1] for arm in arms] if tasks else []
        )

    def matrix(self, arm: str, mode: str | None = None) -> Array:
        """Final scores `[n, T]` of an arm in an evaluation mode (None: the primary one), over `seeds` and `tasks`.

        Of an import the rows are the arm's own seeds: those that it has on every task, or as many as each task has, where these are
        equally many, since tasks are independent of each other.
        """
        if self.imported:
            finals = [self.final(task, arm, mode or self.primary) for task in self.tasks]
            common = set.intersection(*map(set, finals)) if finals else set()
            if len({len(each) for each in finals}) > 1:
                finals = [{seed: each[seed] for seed in sorted(common)} for each in finals]
            return np.array([[*each.values()] for each in finals]).T.reshape(-1, len(finals))
        columns, seeds = [], self.seeds
        for task in self.tasks:
            curves = self.curves[task, arm]
            places = {seed: row for row, seed in enumerate(curves.seeds)}
            rows = [places[seed] for seed in seeds]
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
                curves |= {(task, arm): read_curves(suite, cell, arm) for arm in cell.manifest.arms}
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
    registered: dict[str, Any] = {"steps": ours.steps, "evaluation": ours.evaluation.model_dump()}
    if suite.imported is None:  # the tasks of an import may have grids of their own
        registered["segments"] = suite.segments
    found = {name: manifest.content()[name] for name in registered}
    # results of earlier versions and of others do not say their modes
    found["evaluation"] = manifest.evaluation.model_dump()
    if manifest.environment is not None:
        for name in ("time_limit", "clip_rewards"):
            registered[name], found[name] = getattr(suite.tasks[task], name), getattr(manifest.environment, name)
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
    controls, first = _controls(cells), base(next(iter(cells.values())).manifest.hard)
    alone = sorted(
        (arm for arm, its in hard_of.items() if its is None), key=lambda arm: (base(arm) != first, base(arm), arm)
    )
    ordered: dict[str, str | None] = {}
    for hard in [arm for arm in alone if controls.get(arm) is None]:
        ordered[hard] = None
        ordered.update((arm, hard) for arm in sorted(hard_of) if hard_of[arm] == hard)
        ordered.update((arm, None) for arm in alone if controls.get(arm) == hard)
    ordered |= {arm: None for arm in alone if arm not in ordered}
    every = {
        (task, arm): curves[task, arm] if (task, arm) in curves else read_curves(suite, cell, arm)
        for task, cell in cells.items()
        for arm in ordered
    }
    misfits = [f"{pair}: its tasks were not all run with the same code"] if several else []
    return Study(suite, pair, cells, ordered, {arm: roles[arm] for arm in ordered}, every, misfits, broken)


def _controls(cells: dict[str, Cell]) -> dict[str, str | None]:
    """control -> the hard arm that it belongs to, None where it names none."""
    found = [cell.manifest for cell in cells.values()]
    return {arm: its.against for each in found for arm, its in each.arms.items() if each.role(arm) == "control"}
