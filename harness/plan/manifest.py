"""What a cell's files will say was run: a plan as a manifest, and whether results that are there belong to it."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

from algorithms.learner import Learner
from harness.errors import InputError, ResultsError
from harness.files import ROOT
from harness.plan.cells import Plan
from harness.plan.identity import capability, difference, versions
from harness.plan.tasks import offered
from harness.run.spec import Spec, learner_class, make_learner
from harness.schema.grid import base
from harness.schema.manifest import FORMAT, Manifest
from harness.schema.results import read_cell


def describe(plan: Plan, members: dict[str, Any]) -> Manifest:
    """The manifest of a plan with these members (arm -> seed -> chain and step of divergence)."""
    kind = learner_class(plan.pair)
    first = next(iter(plan.specs.values()))
    arms = {
        name: {
            "title": kind.arms[spec.arm].title,
            "role": kind.arms[spec.arm].role,
            "against": against_of(kind, name),
            "switches": dict(kind.arms[spec.arm].switches),
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
            "hard": next(
                name
                for arm, kind_of in kind.arms.items()
                if kind_of.role == "hard"
                for name, spec in plan.specs.items()
                if spec.arm == arm
            ),
            "arms": arms,
            "difference": differing_lines(plan.pair),
            "environment": {
                "id": plan.task,
                "backend": first.backend,
                "time_limit": first.time_limit,
                "clip_rewards": first.clip_rewards,
                "environments": learner.settings.environments,
            },
            "steps": first.steps,
            "segments": first.segments,
            "evaluation": plan.suite.registered(plan.pair, plan.task).evaluation.model_dump(),
            "device": plan.hardware,
            "code": plan.code,
            "versions": versions(first.backend),
            "cpu": plan.existing.manifest.cpu if plan.existing else capability(),
            "claims": plan.claims,
            "members": members,
        }
    )


def against_of(kind: type[Learner], name: str) -> str | None:
    """The arm that the arm of that name is compared with: of a grid the one at the same point."""
    against = kind.arms[base(name)].against
    return None if against is None else name.replace(base(name), against, 1)


def differing_lines(pair: str) -> dict[str, Any]:
    """The lines of a pair's file that read a switch of its arms, and what depends on it: all in which hard and soft differ."""
    kind = learner_class(pair)
    switches = {name for arm in kind.arms.values() for name in arm.switches}
    path = Path(inspect.getfile(kind))
    source, numbers = path.read_text(), set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and _of_self(node, switches):
            numbers.add(node.lineno)
        if isinstance(node, ast.If) and any(_of_self(part, switches) for part in ast.walk(node.test)):
            numbers.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = [{"line": number, "text": text} for number, text in enumerate(source.splitlines(), 1) if number in numbers]
    return {"file": str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name, "lines": lines}


def _of_self(node: ast.AST, names: set[str]) -> bool:
    """Whether a node is `self.<one of names>`."""
    return (
        isinstance(node, ast.Attribute)
        and node.attr in names
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )


def spec_of(manifest: Manifest, arm: str) -> Spec:
    """The cohort of an arm that a manifest of a run of ours describes."""
    assert manifest.environment is not None
    return Spec(
        pair=manifest.pair,
        arm=base(arm),
        task=manifest.task,
        backend=manifest.environment.backend,
        settings=manifest.arms[arm].settings,
        steps=manifest.steps,
        segments=manifest.segments,
        episodes=manifest.evaluation.episodes,
        modes=manifest.evaluation.modes,
        time_limit=manifest.environment.time_limit,
        clip_rewards=manifest.environment.clip_rewards,
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
    # arms can be added, as seeds can, and on another processor: `write` names it
    new["arms"] = {name: arm for name, arm in new["arms"].items() if name in old["arms"]}
    for name in ("arms", "environment", "steps", "segments", "evaluation", "device", "code", "versions"):
        path = difference(old.get(name), new[name], name)
        if path is not None:
            raise InputError(
                f"{plan.folder}: holds results of another version: {path}; move the folder away or choose another --out"
            )
