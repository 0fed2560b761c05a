"""The curves of one arm from a finished cell, with every divergence in sight.

One rule lives here and nowhere else. A diverged member keeps its place: from its divergence on, its return is the task's floor: `low`,
a score of 0, or the lowest return seen on the task where that is lower, so that no divergence is ever rewarded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.errors import ResultsError
from harness.schema.fields import MOST_NUMBER
from harness.schema.results import Cell
from harness.schema.suite import Suite
from reports.statistics.intervals import Array


@dataclass(frozen=True)
class Curves:
    """Evaluations of one arm on one task: seeds are rows, segments columns.

    `steps [S]` in environment steps of a member; `returns[mode] [n, S]` undiscounted, in each mode that the cell measures, with a
    diverged member's at the floor;
    `diverged [n, S]`; `training [n, S]` the mean return of the training episodes that ended in each segment (NaN: none);
    `entropy [n, S]` of the behaviour policy in nats, 0 from a divergence on (NaN everywhere: not recorded).
    `goals [n, S]` reached from a fixed start, and `goal_entropy` between them, both 0 from a divergence on (None: a task without goals).
    """

    seeds: list[int]
    steps: npt.NDArray[np.int64]
    returns: dict[str, Array]
    diverged: npt.NDArray[np.bool_]
    training: Array
    entropy: Array
    goals: Array | None = None
    goal_entropy: Array | None = None


def read_curves(suite: Suite, cell: Cell, arm: str) -> Curves:
    """The registered seeds of one arm, from the tidy table. Raises ResultsError where a member lacks a segment."""
    members = cell.manifest.members.get(arm, {})
    seeds = [seed for seed in suite.registered(cell.pair, cell.task).seeds if str(seed) in members]
    shape, imported = (len(seeds), cell.manifest.segments), cell.manifest.imported is not None
    modes = suite.modes(cell.pair) if imported else suite.registered(cell.pair, cell.task).evaluation.modes
    if not seeds:
        empty = np.zeros(shape)
        return Curves([], np.zeros(0, np.int64), dict.fromkeys(modes, empty), empty.astype(bool), empty, empty)
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

    measured = {mode: grid(f"return_{mode}").astype(np.float64) for mode in modes}
    finite = np.all([np.isfinite(values) for values in measured.values()], axis=0)
    diverged = np.maximum.accumulate(grid("diverged").astype(bool) | ~finite, axis=1)
    floor = _floor(suite.references[cell.task].low, cell)
    returns = {mode: np.where(diverged, floor, values) for mode, values in measured.items()}
    training = grid("train_return").astype(np.float64)
    entropy = grid("entropy").astype(np.float64)
    if not imported:
        training = np.where(diverged, floor, training)
        if np.isfinite(entropy).any():  # what was never recorded is not filled in
            entropy = np.where(diverged, 0.0, entropy)
    goals, goal_entropy = (
        np.where(diverged, 0.0, grid(name).astype(np.float64)) if name in cell.curves else None
        for name in ("goals_fixed", "goal_entropy_fixed")
    )
    steps = grid("step").astype(np.int64)[0]
    return Curves(seeds, steps, returns, diverged, training, entropy, goals, goal_entropy)


def _floor(low: float, cell: Cell) -> float:
    """The return at which a diverged member counts: nothing finite that was seen on the task lies below. Raises ResultsError."""
    returns = cell.curves[["return_sampled", "return_greedy"]].to_numpy(np.float64)
    finite = returns[np.isfinite(returns)]
    if (np.abs(finite) > MOST_NUMBER).any():
        raise ResultsError(
            f"{cell.path / 'curves.parquet'}: holds a return beyond ±{MOST_NUMBER:g}, too large for any statistics"
        )
    its = cell.manifest.imported
    lowest = its.lowest if its is not None else None
    return float(min(low, *([] if lowest is None else [lowest]), finite.min(initial=low)))
