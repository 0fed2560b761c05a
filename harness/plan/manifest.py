"""What a cell's files will say was run: a plan as a manifest, and whether results that are there belong to it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

from harness.errors import InputError, ResultsError
from harness.files import ROOT
from harness.plan.cells import Plan
from harness.plan.identity import capability, difference, versions
from harness.plan.tasks import offered
from harness.run.spec import Spec, learner_class, make_learner
from harness.schema.manifest import FORMAT, Manifest
from harness.schema.results import read_cell


def describe(plan: Plan, members: dict[str, Any]) -> Manifest:
    """The manifest of a plan with these members (arm -> seed -> chain and step of divergence)."""
    kind = learner_class(plan.pair)
    first = next(iter(plan.specs.values()))
    arms = {
        name: {
            "title": kind.arms[name].title,
            "soft": kind.arms[name].soft,
            "hard": kind.arms[name].hard,
            "switches": dict(kind.arms[name].switches),
            "settings": spec.settings,
        }
        for name, spec in plan.specs.items()
    }
    learner = make_learner(first, offered(plan.task, first.backend))
    return Manifest.model_validate(
        {
            "format": FORMAT,
            "suite": plan.suite.name,
            "pair": plan.pair,
            "task": plan.task,
            "source": kind.source,
            # in the pair's order, as `cell_specs` asks for it, whatever the order of the cell's arms
            "hard": next(name for name, arm in kind.arms.items() if name in plan.specs and not arm.soft),
            "arms": arms,
            "difference": differing_lines(plan.pair),
            "environment": {
                "id": plan.task,
                "backend": first.backend,
                "time_limit": first.time_limit,
                "environments": learner.environments,
            },
            "steps": first.steps,
            "segments": first.segments,
            "evaluation": plan.suite.registered(plan.pair, plan.task).evaluation.model_dump(),
            "device": plan.hardware,
            "code": plan.code,
            "versions": versions(first.backend),
            "cpu": capability(),
            "claims": plan.claims,
            "members": members,
        }
    )


def differing_lines(pair: str) -> dict[str, Any]:
    """The lines of a pair's file that read a switch of its arms: all in which hard and soft differ."""
    kind = learner_class(pair)
    switches = sorted({name for arm in kind.arms.values() for name in arm.switches})
    reads = re.compile(rf"\bself\.({'|'.join(switches)})\b")
    path = Path(inspect.getfile(kind))
    lines = [
        {"line": number, "text": text}
        for number, text in enumerate(path.read_text().splitlines(), 1)
        if switches and reads.search(text) and not re.match(r"\s*self\.\w+(, self\.\w+)* = ", text)
    ]
    return {"file": str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name, "lines": lines}


def spec_of(manifest: Manifest, arm: str) -> Spec:
    """The cohort that a manifest of a run of ours describes."""
    assert manifest.environment is not None
    return Spec(
        pair=manifest.pair,
        arm=arm,
        task=manifest.task,
        backend=manifest.environment.backend,
        settings=manifest.arms[arm].settings,
        steps=manifest.steps,
        segments=manifest.segments,
        episodes=manifest.evaluation.episodes,
        time_limit=manifest.environment.time_limit,
    )


def read_existing(plan: Plan) -> None:
    """Take over finished results of the same version; refuse others, naming the first field that differs."""
    if not (plan.folder / "manifest.json").exists():
        return  # none, or an interrupted write: the files are made anew from the checkpoints
    try:
        plan.existing = read_cell(plan.folder)
    except ResultsError as error:
        raise InputError(f"{error}; move the folder away or choose another --out") from error
    old, new = plan.existing.manifest.content(), describe(plan, {}).content()
    # arms can be added, as seeds can
    new["arms"] = {name: arm for name, arm in new["arms"].items() if name in old["arms"]}
    for name in ("arms", "environment", "steps", "segments", "evaluation", "device", "code", "versions", "cpu"):
        path = difference(old.get(name), new[name], name)
        if path is not None:
            raise InputError(
                f"{plan.folder}: holds results of another version: {path}; move the folder away or choose another --out"
            )
