"""What an audit recomputes: members or segments of a run, drawn so that nobody who made the run could foresee them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.errors import InputError
from harness.plan.identity import capability
from harness.plan.manifest import spec_of
from harness.schema.results import Cell
from harness.store.cohorts import NAME
from harness.store.members import Member


@dataclass(frozen=True)
class Draw:
    """Segments `first` to `last` of one member of the cell of that index; `first` > 1 starts from the checkpoint of the one before."""

    cell: int
    arm: str
    seed: int
    first: int
    last: int


def cell_folders(run: Path) -> list[Path]:
    """The folders of the finished cells at or below `run`. Raises InputError where there are none."""
    places = ("manifest.json", "*/manifest.json", "*/*/manifest.json")
    folders = sorted(path.parent for place in places for path in run.glob(place))
    if not folders:
        example = "give a folder of results, such as results/smoke or results/smoke/ppo/CartPole-v1"
        raise InputError(f"{run}: no finished run is there; {example}")
    return folders


def draw_members(cells: list[Cell], count: int, seed: int) -> list[Draw]:
    """`count` members (or all), each as likely as any other."""
    return _choose(_everyone(cells), count, seed)


def draw_segments(cells: list[Cell], count: int, seed: int) -> list[Draw]:
    """`count` segments (or all) of those that can be executed by themselves: every first one, and those after a kept checkpoint."""
    possible = []
    for member in _everyone(cells):
        kept = kept_checkpoints(cells[member.cell], member.arm)
        numbers = Member(kept, member.seed).numbers() if kept else []
        starts = [1, *(number + 1 for number in numbers if number < member.last)]
        possible += [Draw(member.cell, member.arm, member.seed, start, start) for start in starts]
    return _choose(possible, count, seed)


def kept_checkpoints(cell: Cell, arm: str) -> Path | None:
    """The folder of a cohort's checkpoints, of the same settings and code, beside the results; None where they are gone."""
    suite, pair, task = cell.path.parts[-3:]
    code = cell.manifest.code
    for path in (cell.path.parents[2] / ".runs" / suite / pair / task / arm).glob(f"*/{NAME}"):
        try:
            identity = json.loads(path.read_text())
            same = identity["spec"] == spec_of(cell.manifest, arm).to_json() and code and identity["code"] == code.hash
        except (OSError, ValueError, KeyError, TypeError):
            continue  # no checkpoints of ours, or damaged ones
        if same:
            return path.parent
    return None


def comparable(cell: Cell) -> dict[str, list[int]]:
    """arm -> seeds that were trained on a processor like this one; all where none was."""
    manifest, here = cell.manifest, capability()
    members = {arm: sorted(map(int, its)) for arm, its in sorted(manifest.members.items())}
    if here not in manifest.processors():
        return members
    return {arm: [seed for seed in its if manifest.processor(arm, seed) == here] for arm, its in members.items()}


def _everyone(cells: list[Cell]) -> list[Draw]:
    return [
        Draw(index, arm, seed, 1, cell.manifest.segments)
        for index, cell in enumerate(cells)
        for arm, seeds in comparable(cell).items()
        for seed in seeds
    ]


def _choose(everything: list[Draw], count: int, seed: int) -> list[Draw]:
    chosen = np.random.default_rng(seed).permutation(len(everything))[:count]
    return [everything[index] for index in sorted(chosen)]
