"""Paths of a trained policy on a plane, and samples of its actions at a few places, for a picture of the task.

Such a task's module says all that is needed: its `OUTCOMES` name a variant `fixed`, from one start, and it has the places of its `GOALS`
with their `RADIUS`, the `EDGE` of the plane, and the `STATES` at which a policy is looked at.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from algorithms.learner import Draw
from harness.errors import ResultsError
from harness.files import replacing
from harness.plan.manifest import spec_of
from harness.policy.policy import Policy
from harness.run import environments
from harness.run.outcomes import offered
from harness.run.streams import Streams
from harness.schema.paths import ACTIONS, FILE, FORMAT, PATHS, Moves, Paths, read_paths
from harness.schema.results import Cell


def plane(task: str, backend: str) -> dict[str, Any] | None:
    """What `paths.json` says of a task; None where it is none on a plane."""
    its, module = offered(task, backend), importlib.import_module(environments.BACKENDS[backend])
    if its is None or "fixed" not in its[1] or not hasattr(module, "STATES"):
        return None
    places = {"goals": module.GOALS.tolist(), "at": module.STATES.tolist()}
    return {"format": FORMAT, "task": its[1]["fixed"], "edge": module.EDGE, "radius": module.RADIUS, **places}


def write(cell: Cell, members: Sequence[tuple[str, int]], load: Callable[[str, int], Policy | None]) -> None:
    """Bring a cell's `paths.json` up to date with its `members` (arm, seed); what is recorded of one that cannot be loaded stays."""
    spec = spec_of(cell.manifest, cell.manifest.hard)
    if (on := plane(spec.task, spec.backend)) is None:
        return
    known, found = {each.link: each for each in _known(cell, on)}, []
    for arm, seed in members:
        made = known.get(cell.manifest.members[arm][str(seed)].chain[-1])
        if made is None and (policy := load(arm, seed)):
            made = moves(policy, on)
        found += [made] if made else []
    if found and [*known.values()] != found:
        content = Paths.model_validate({**on, "members": found}).model_dump()
        with replacing(cell.path / FILE) as path:
            path.write_text(json.dumps(content, sort_keys=True, separators=(",", ":")) + "\n")


def _known(cell: Cell, on: dict[str, Any]) -> list[Moves]:
    """What is recorded; a damaged file, or one of other goals or places, is made anew."""
    try:
        recorded = read_paths(cell.path)
    except ResultsError:
        return []
    if recorded is None or recorded.model_copy(update={"members": []}) != Paths(**on, members=[]):
        return []
    return recorded.members


def moves(policy: Policy, on: dict[str, Any]) -> Moves:
    """Of one member, by sampled actions: always the same, whoever else is recorded. Streams of its own."""
    draws = Streams([policy.seed], 1, torch.device("cpu"))
    actions = [
        policy.act(np.tile(np.array(place, np.float32), (ACTIONS, 1)), _noise(policy, draws, f"place {at}", ACTIONS))
        for at, place in enumerate(on["at"])
    ]
    return Moves(
        arm=policy.arm,
        seed=policy.seed,
        link=policy.link,
        paths=[_rounded(path) for path in _paths(policy, draws, on["task"])],
        actions=[_rounded(each) for each in actions],
    )


def _noise(policy: Policy, draws: Streams, role: str, count: int) -> np.ndarray:
    taken: np.ndarray = draws.take(f"moves {role}", Draw(policy.noise.kind, (count, *policy.noise.shape)))[0].numpy()
    return taken


def _paths(policy: Policy, draws: Streams, task: str) -> list[list[np.ndarray]]:
    """The observations of PATHS episodes, the first and the last ones among them."""
    batch = environments.make(task, policy.spec.backend, PATHS)
    seen = batch.reset(draws.environment_seeds("moves environment", PATHS))
    found, running = [[place] for place in seen.copy()], np.full(PATHS, True)
    while running.any():
        seen, _, terminated, truncated, led = batch.step(policy.act(seen, _noise(policy, draws, "action", PATHS)))
        for index in np.flatnonzero(running):
            found[index].append(led[index].copy())
        running &= ~(terminated | truncated)
    return found


def _rounded(places: Sequence[np.ndarray] | np.ndarray) -> list[tuple[float, float]]:
    """Three decimals, no -0: as small a file as a drawing allows."""
    return [(round(x, 3) + 0.0, round(y, 3) + 0.0) for x, y in np.asarray(places, np.float64).tolist()]
