"""`softbench audit`: anyone recomputes drawn members of a published run, alone, and compares with its hash chain.

Three checks, from cheap to dear: the files of a run agree with each other (seal and hashes); its settings are those of the suite in
this checkout; drawn members, trained again from nothing, or drawn segments, executed again from kept checkpoints, leave the same
chain. A certificate says what was recomputed, and is written beside the run as `audit.json`.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, Field, ValidationError

from harness.errors import InputError, ResultsError, suggestion
from harness.files import replacing
from harness.plan import code as provenance
from harness.plan import tasks as probe
from harness.plan.cells import cell_specs
from harness.pool.local import Pool
from harness.run import environments
from harness.run.spec import Spec, learner_class, make_learner
from harness.schema.documents import first_problem
from harness.schema.fields import MOST_STEPS
from harness.schema.results import Cell, damages, read_cell
from harness.schema.suite import load_suite
from harness.store.members import Member

EQUAL, DIFFERENT, IMPOSSIBLE = "equal", "different", "cannot be audited here"


@dataclass(frozen=True)
class Draw:
    """What is recomputed: segments `first` to `last` of one member; `first` > 1 starts from the checkpoint of the segment before."""

    cell: int
    arm: str
    seed: int
    first: int
    last: int


@dataclass
class Finding:
    """What came out of one draw. `differs_at`: the first segment that differs, `differs_in`: in what; `reason`: why it has no outcome."""

    arm: str
    seed: int
    first: int
    last: int
    steps: int
    differs_at: int | None = None
    differs_in: str | None = None
    reason: str | None = None


class Facts(BaseModel, strict=True):
    chain: list[str]
    diverged_at: int | None


class Arm(BaseModel, strict=True):
    settings: dict[str, Any]


class Environment(BaseModel, strict=True):
    backend: str
    time_limit: str


class Evaluation(BaseModel, strict=True):
    episodes: int = Field(ge=1, le=1000)


class Code(BaseModel, strict=True):
    by: Literal["bytes", "syntax"] = "bytes"
    hash: str
    files: dict[str, str]
    module: dict[str, str] = {}


class Manifest(BaseModel, strict=True):
    """What an audit reads of a manifest, which anyone may have written."""

    suite: str
    pair: str
    task: str
    device: str
    steps: int = Field(ge=1, le=MOST_STEPS)
    segments: int = Field(ge=1, le=10_000)
    environment: Environment
    evaluation: Evaluation
    arms: dict[str, Arm]
    members: dict[str, dict[str, Facts]]
    code: Code
    versions: dict[str, str]
    cpu: dict[str, str]


def find_cells(run: Path) -> list[Cell]:
    """The finished cells at or below `run`. Raises InputError where there are none, or one cannot be read."""
    folders = [
        path.parent
        for path in sorted([*run.glob("manifest.json"), *run.glob("*/manifest.json"), *run.glob("*/*/manifest.json")])
    ]
    if not folders:
        raise InputError(
            f"{run}: no finished run is there; give a folder of results, such as results/smoke or results/smoke/ppo/CartPole-v1"
        )
    try:
        return [read_cell(folder) for folder in folders]
    except ResultsError as error:
        raise InputError(str(error)) from error


def spec_of(cell: Cell, arm: str) -> Spec:
    """The cohort that a manifest describes."""
    manifest = cell.manifest
    return Spec(
        pair=cell.pair,
        arm=arm,
        task=cell.task,
        backend=manifest["environment"]["backend"],
        settings=manifest["arms"][arm]["settings"],
        steps=manifest["steps"],
        segments=manifest["segments"],
        episodes=manifest["evaluation"]["episodes"],
        time_limit=manifest["environment"]["time_limit"],
    )


def _check(cell: Cell) -> None:
    """Refuse a run of a GPU or of others, or one that this version cannot even describe. Raises InputError naming the field."""
    where, device = cell.path / "manifest.json", cell.manifest.get("device")
    if isinstance(device, str) and device != "cpu":
        raise InputError(f"{where}: device: was computed on {device}; only results of the CPU can be audited")
    try:
        manifest = Manifest.model_validate(cell.manifest)
        backend = manifest.environment.backend
        if backend not in environments.BACKENDS:
            raise InputError(f"environment.backend: {backend!r} is unknown{suggestion(backend, environments.BACKENDS)}")
        offered = probe.offered(cell.task, backend)
        for arm in manifest.members:
            if arm not in learner_class(cell.pair).arms or arm not in manifest.arms:
                raise InputError(f"members: arm {arm!r} is unknown to this version")
            make_learner(spec_of(cell, arm), offered)
    except ValidationError as error:
        raise InputError(f"{where}: {first_problem(error)}") from error
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: {error}") from error


def draw_members(cells: list[Cell], count: int, seed: int) -> list[Draw]:
    """`count` members (or all), each as likely as any other."""
    everyone = [
        Draw(index, arm, int(number), 1, cell.manifest["segments"])
        for index, cell in enumerate(cells)
        for arm, members in sorted(cell.manifest["members"].items())
        for number in sorted(members, key=int)
    ]
    return _choose(everyone, count, seed)


def draw_segments(cells: list[Cell], count: int, seed: int) -> list[Draw]:
    """`count` segments (or all) among those that can be executed by themselves: every first one, and those after a kept checkpoint."""
    possible = []
    for member in draw_members(cells, 10**9, seed):
        possible.append(Draw(member.cell, member.arm, member.seed, 1, 1))
        kept = _kept(cells[member.cell], member.arm, member.seed)
        possible += [
            Draw(member.cell, member.arm, member.seed, number + 1, number + 1)
            for number in kept
            if number < member.last
        ]
    return _choose(possible, count, seed)


def _choose(everything: list[Draw], count: int, seed: int) -> list[Draw]:
    chosen = np.random.default_rng(seed).permutation(len(everything))[:count]
    return [everything[index] for index in sorted(chosen)]


def _kept(cell: Cell, arm: str, seed: int) -> list[int]:
    """Segments of which a checkpoint is kept."""
    folder = _checkpoints(cell, arm)
    return Member(folder, seed).numbers() if folder else []


def _checkpoints(cell: Cell, arm: str) -> Path | None:
    """The folder of a cohort's checkpoints: that of the same settings and code."""
    runs = cell.path.parents[2] / ".runs" / cell.path.parents[1].name / cell.path.parents[0].name / cell.path.name / arm
    for path in runs.glob("*/identity.json"):
        try:
            identity = json.loads(path.read_text())
            same = (
                identity["spec"] == spec_of(cell, arm).to_json() and identity["code"] == cell.manifest["code"]["hash"]
            )
        except (OSError, ValueError, KeyError, TypeError):
            continue  # no checkpoints of ours, or damaged ones
        if same:
            return path.parent
    return None


def recompute(
    cells: list[Cell], draws: list[Draw], workers: int, tell: Callable[[dict[str, Any]], None]
) -> list[Finding]:
    """Train every draw, each member alone, in a folder of its own, and compare link by link."""
    findings = []
    with tempfile.TemporaryDirectory(prefix="softbench-audit-") as scratch:
        jobs = []
        for number, draw in enumerate(draws):
            cell = cells[draw.cell]
            spec = spec_of(cell, draw.arm)
            steps = spec.steps * (draw.last - draw.first + 1) // spec.segments
            findings.append(Finding(draw.arm, draw.seed, draw.first, draw.last, steps))
            folder = Path(scratch) / str(number)
            if draw.first > 1:
                kept = _checkpoints(cell, draw.arm)
                assert kept is not None
                Member(kept, draw.seed).copy_segment(draw.first - 1, folder)
            job = {
                "spec": spec.to_json(),
                "seeds": [draw.seed],
                "folder": str(folder),
                "device": "cpu",
                "until": draw.last,
            }
            jobs.append(job | {"draw": number, "cell": f"{cell.pair}/{cell.task}"})
        tell(
            {
                "event": "start",
                "steps": sum(found.steps for found in findings),
                "cells": len(cells),
                "members": len(draws),
            }
        )
        with Pool(min(workers, len(jobs)), Path(scratch) / "workers.log") as pool:
            for event in pool.run(jobs):
                tell(event)
                found, draw = findings[event["job"]["draw"]], draws[event["job"]["draw"]]
                if event["event"] == "failed":
                    found.reason = event["reason"]
                if event["event"] == "done":
                    _compare(cells[draw.cell], Member(Path(event["job"]["folder"]), draw.seed), found)
    return findings


def _compare(cell: Cell, member: Member, found: Finding) -> None:
    """Set the first segment that differs, and in what: a number of its row in the curves, or else its link of the chain."""
    state, progress = member.load()
    facts = cell.manifest["members"][found.arm][str(found.seed)]
    rows = cell.curves[(cell.curves["arm"] == found.arm) & (cell.curves["seed"] == found.seed)].drop(
        columns=["arm", "seed"]
    )
    for number in range(found.first, found.last + 1):
        found.differs_in = _row_difference(
            rows[rows["segment"] == number].to_dict("records"), progress.records[number - 1]
        )
        if found.differs_in is None and facts["chain"][number - 1 : number] != progress.chain[number - 1 : number]:
            found.differs_in = "the state, by its hash"
        if found.differs_in:
            found.differs_at = number
            return
    step = int(state["diverged_at"])
    if found.last == cell.manifest["segments"] and facts["diverged_at"] != (None if step < 0 else step):
        found.differs_at, found.differs_in = (
            found.last,
            f"diverged_at {facts['diverged_at']} published, {step} here (-1: never)",
        )


def _row_difference(rows: list[dict[Any, Any]], record: dict[str, Any]) -> str | None:
    """The first published column that differs from a recomputed record, bit for bit; None where all are equal."""
    if len(rows) != 1:
        return f"{len(rows)} rows in curves.parquet"
    for name, value in rows[0].items():
        here = record.get(name)
        if value != here and (value == value or here == here):  # NaN is equal to NaN
            return f"{name} {value!s:.40} published, {here!s:.40} here"
    return None


def differences_here(cell: Cell) -> list[str]:
    """In what this machine and this checkout differ from those of the run: one line a field."""
    manifest = cell.manifest
    backend = manifest["environment"]["backend"]
    here = {"versions": provenance.versions(backend), "cpu": provenance.capability()}
    made = provenance.code(cell.pair, backend, cell.task, by=manifest["code"].get("by", "bytes"))
    here["code"] = made["files"] | made.get("module", {})
    code = manifest["code"]["files"] | manifest["code"].get("module", {})
    lines = []
    for part, there in (("versions", manifest["versions"]), ("cpu", manifest["cpu"]), ("code", code)):
        for name in sorted(set(there) | set(here[part])):
            then, now = there.get(name), here[part].get(name)
            if then != now:
                lines.append(f"{part}: {name}: was {then!s:.16}, is {now!s:.16} here")
    return lines


def settings_problem(cell: Cell) -> str | None:
    """The first field in which a run differs from its pair or suite in this checkout; None where they agree, or the suite is not here."""
    for arm in cell.manifest["members"]:
        ours, theirs = learner_class(cell.pair).arms[arm], cell.manifest["arms"][arm]
        for name, value in (("soft", ours.soft), ("hard", ours.hard), ("switches", dict(ours.switches))):
            if theirs.get(name) != value:
                return f"{arm}: {name}: {theirs.get(name)!r} in the run, {value!r} in the pair of this checkout"
    try:
        specs = cell_specs(load_suite(str(cell.manifest["suite"])), cell.pair, cell.task)
    except (InputError, KeyError):
        return None
    for arm in cell.manifest["members"]:
        if arm not in specs:
            return f"arm {arm!r} is not in the suite of this checkout"
        both = (spec_of(cell, arm).to_json(), specs[arm].to_json())
        flat = [{**spec, **{f"settings.{name}": value for name, value in spec["settings"].items()}} for spec in both]
        for name in sorted((set(flat[0]) | set(flat[1])) - {"settings"}):
            if flat[0].get(name) != flat[1].get(name):
                return f"{arm}: {name}: {flat[0].get(name)!r} in the run, {flat[1].get(name)!r} in the suite of this checkout"
    return None


def certificate(cell: Cell, findings: list[Finding], seed: int) -> dict[str, Any]:
    """The certificate of one cell, JSON-able. `seal` binds it to the run's files as they are now."""
    problems, here = damages(cell), differences_here(cell)
    other = settings_problem(cell)
    if other:
        problems.append(f"settings: {other}")
    unequal = [found for found in findings if found.differs_at is not None]
    foreign = [line for line in here if not line.startswith("code")]
    verdict = EQUAL
    if problems or (unequal and not foreign):
        verdict = DIFFERENT
    elif unequal or any(found.reason for found in findings) or not findings:
        verdict = IMPOSSIBLE
    return {
        "suite": cell.manifest["suite"],
        "pair": cell.pair,
        "task": cell.task,
        "seal": cell.manifest.get("seal"),
        "verdict": verdict,
        "problems": problems,
        "recomputed": [asdict(found) for found in findings],
        "steps": sum(found.steps for found in findings),
        "differences": here,
        "seed_of_draw": seed,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "versions": provenance.versions(cell.manifest["environment"]["backend"]),
            **provenance.machine(),
            "cpu": provenance.capability(),
        },
    }


def lines(made: dict[str, Any]) -> list[str]:
    """A certificate in plain words."""
    said = [f"{made['suite']}/{made['pair']}/{made['task']}: {made['verdict'].upper()}"]
    said += [f"  {problem}" for problem in made["problems"]]
    for found in made["recomputed"]:
        part = (
            f"segment {found['last']}"
            if found["first"] == found["last"]
            else f"segments {found['first']} to {found['last']}"
        )
        what = f"  {found['arm']}, seed {found['seed']}, {part} ({found['steps']:,} steps): "
        if found["reason"]:
            said.append(what + f"not recomputed: {found['reason']}")
        elif found["differs_at"]:
            said.append(what + f"differs from segment {found['differs_at']} on: {found['differs_in']}")
        else:
            said.append(what + "equal, bit for bit")
    said += [f"  difference of this machine or checkout: {line}" for line in made["differences"]]
    return said


def audit(
    run: Path,
    members: int | None,
    segments: int | None,
    seed: int,
    workers: int,
    tell: Callable[[dict[str, Any]], None],
) -> str:
    """Audit a run, write a certificate beside every cell that was touched, and return the verdict over all of them.

    Raises InputError where nothing can be audited: no run, results of a GPU, or no segment that can be executed by itself.
    """
    cells = find_cells(run)
    for cell in cells:
        _check(cell)
    draws = draw_members(cells, members, seed) if members else []
    draws += draw_segments(cells, segments, seed) if segments else []
    findings = recompute(cells, draws, workers, tell) if draws else []
    verdicts = []
    for index, cell in enumerate(cells):
        its = [found for found, draw in zip(findings, draws, strict=True) if draw.cell == index]
        if not its and not damages(cell) and not settings_problem(cell):
            continue  # nothing of it was drawn, and its files are sound
        made = certificate(cell, its, seed)
        verdicts.append(made["verdict"])
        with replacing(cell.path / "audit.json") as path:
            path.write_text(json.dumps(made, indent=1) + "\n")
        tell({"event": "certificate", "lines": lines(made), "path": str(cell.path / "audit.json")})
    return next(
        (verdict for verdict in (DIFFERENT, IMPOSSIBLE) if verdict in verdicts), EQUAL if verdicts else IMPOSSIBLE
    )
