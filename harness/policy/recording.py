"""Moments of an episode of the median and the worst seed of each hard and soft arm, written beside a cell's results for its page, and
paths of the median one where the task is one of places on a plane.

They are recorded when training has ended, from its checkpoints, and are nothing that anybody's numbers depend on.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.errors import ResultsError
from harness.files import replacing
from harness.plan import tasks
from harness.plan.cells import Plan
from harness.plan.manifest import spec_of
from harness.policy import paths
from harness.policy.episodes import OwnScene, episode
from harness.policy.policy import Policy
from harness.policy.trained import acting_rows
from harness.pool.process import answer, ask
from harness.schema.episodes import CELLS, FILE, FORMAT, FRAMES, NUMBERS, Episode, Rank, read_episodes
from harness.schema.grid import base
from harness.schema.results import Cell, read_cell
from harness.store.members import Member

LIMIT = 600.0
"""Seconds for a user's own task or pair, whose code may hang."""
MOST_ARMS = 8
"""Of a cell: a grid has many."""


def record(plan: Plan) -> None:
    """Bring `episodes.json` and `paths.json` of a trained cell up to date. Raises whatever a user's own code raises."""
    question = {
        "folder": str(plan.folder),
        "cohorts": {arm: str(plan.cohort_folder(arm)) for arm in plan.specs},
    }
    if ":" in plan.pair + plan.task:
        ask("harness.policy.recording", question, LIMIT)
    else:
        write(question)


def write(question: dict[str, Any]) -> None:
    """`record`, in this process. Where a checkpoint is gone, what is recorded of that member stays, or nothing is."""
    cell, cohorts = read_cell(Path(question["folder"])), question["cohorts"]

    def load(arm: str, seed: int) -> Policy | None:
        return _policy(cell, Path(cohorts[arm]), arm, seed) if arm in cohorts else None

    _write_episodes(cell, load)
    paths.write(cell, [(arm, seed) for arm, seed, rank in chosen(cell) if rank == "median"], load)


def _write_episodes(cell: Cell, load: Callable[[str, int], Policy | None]) -> None:
    known = {(each.link, each.rank): each for each in _known(cell)}
    found = []
    for arm, seed, rank in chosen(cell):
        made = known.get((cell.manifest.members[arm][str(seed)].chain[-1], rank))
        if made is None and (policy := load(arm, seed)):
            made = _episode(policy, cell.manifest.evaluation.primary, rank)
        found += [made] if made else []
    if not found or [*known.values()] == found:
        return
    first = spec_of(cell.manifest, found[0].arm)
    shape = list(tasks.offered(first.task, first.backend).observation)
    content = {
        "format": FORMAT,
        "mode": cell.manifest.evaluation.primary,
        "shape": shape,
        "episodes": [each.model_dump() for each in found],
    }
    with replacing(cell.path / FILE) as path:
        path.write_text(json.dumps(content, sort_keys=True) + "\n")


def _known(cell: Cell) -> list[Episode]:
    """What is recorded; a damaged file is made anew."""
    try:
        recorded = read_episodes(cell.path)
    except ResultsError:
        return []
    return recorded.episodes if recorded else []


def chosen(cell: Cell) -> list[tuple[str, int, Rank]]:
    """(arm, seed, rank) of the members to record."""
    manifest, curves = cell.manifest, cell.curves
    final = curves[(curves["segment"] == manifest.segments) & ~curves["diverged"]]
    found: list[tuple[str, int, Rank]] = []
    for arm in _in_turn(cell, final):
        its: pd.DataFrame = final[final["arm"] == arm].sort_values([f"return_{manifest.evaluation.primary}", "seed"])
        seeds = [int(seed) for seed in its["seed"]]
        if seeds:
            median = seeds[(len(seeds) - 1) // 2]
            found.append((arm, median, "median"))
            found += [(arm, seeds[0], "worst")] if seeds[0] != median else []
    return found


def _in_turn(cell: Cell, final: pd.DataFrame) -> list[str]:
    """MOST_ARMS, hard and soft by turns, first points of a grid before second ones; a point with an earlier one's returns is left out."""
    manifest, seen, places = cell.manifest, set(), dict[str, int]()
    for arm in manifest.members:
        its = final[final["arm"] == arm].sort_values("seed")
        returns = (base(arm), *its[f"return_{manifest.evaluation.primary}"])
        if returns not in seen:
            places[arm] = sum(base(each) == base(arm) for each in places)
            seen.add(returns)
    arms = sorted(places, key=lambda arm: (arm != manifest.hard, places[arm]))
    turns = ([arm for arm in arms if manifest.role(arm) == role] for role in ("hard", "soft"))
    taken = [arm for pair in zip_longest(*turns) for arm in pair if arm is not None][:MOST_ARMS]
    return sorted(taken, key=lambda arm: (arm != manifest.hard, manifest.role(arm) != "hard", arm))


def _policy(cell: Cell, cohort: Path, arm: str, seed: int) -> Policy | None:
    """None where the member's last checkpoint is gone."""
    spec, chain = spec_of(cell.manifest, arm), cell.manifest.members[arm][str(seed)].chain
    try:
        state, progress = Member(cohort, seed).load()
    except OSError:
        return None
    if progress.chain != chain:
        return None
    offered = tasks.offered(spec.task, spec.backend)
    return Policy(spec, offered, arm, seed, cell.manifest.suite, acting_rows(state), chain[-1])


def _episode(policy: Policy, mode: str, rank: Rank) -> Episode | None:
    """None where its observations are too large to be kept."""
    moments = list(episode(policy, OwnScene(policy.spec, policy.spaces), mode, 1))
    steps = [int(step) for step in np.unique(np.linspace(0, len(moments) - 1, FRAMES).round())]
    seen = [_kept(moments[step].observation) for step in steps]
    if None in seen:
        return None
    total = float(f"{sum(moment.reward for moment in moments):.6g}")
    return Episode.model_validate(
        {
            "arm": policy.arm,
            "seed": policy.seed,
            "rank": rank,
            "link": policy.link,
            "total": total,
            "length": len(moments),
            "steps": steps,
            "seen": seen,
        }
    )


def _kept(observation: np.ndarray) -> list[float] | str | None:
    """An observation in few bytes: numbers to four digits, zeros and ones as bits."""
    if observation.ndim == 1 and observation.size <= NUMBERS:
        return [float(f"{each:.4g}") for each in observation.tolist()]
    if observation.dtype == np.uint8 and observation.size <= CELLS and observation.max() <= 1:
        return np.packbits(observation).tobytes().hex()
    return None


if __name__ == "__main__":
    answer(write)
