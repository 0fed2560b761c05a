"""`softbench audit`: anyone recomputes drawn members of a published run, alone, and compares with its hash chain.

Three checks, from cheap to dear: the files of a run agree with each other (seal and hashes); its settings are those of the suite in
this checkout; drawn members, trained again from nothing, or drawn segments, executed again from kept checkpoints, leave the same
chain. A certificate says what was recomputed, and is written beside the run as `audit.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from harness.audit.compare import Finding, recompute
from harness.audit.draw import cell_folders, comparable, draw_members, draw_segments
from harness.errors import InputError, ResultsError, suggestion
from harness.files import replacing
from harness.plan import tasks
from harness.plan.cells import cell_specs
from harness.plan.code import code
from harness.plan.identity import capability, machine, versions
from harness.plan.manifest import against_of, spec_of
from harness.plan.pairs import find_pair
from harness.pool.messages import Event, Note
from harness.run.environments import BACKENDS
from harness.run.spec import make_learner
from harness.schema.documents import first_problem
from harness.schema.grid import base
from harness.schema.manifest import Code, Environment
from harness.schema.results import Cell, damages, read_cell
from harness.schema.suite import load_suite

EQUAL, DIFFERENT, IMPOSSIBLE = "equal", "different", "cannot be audited here"


def audit(
    run: Path, members: int | None, segments: int | None, seed: int, workers: int, tell: Callable[[Event], None]
) -> str:
    """Audit a run, write a certificate beside every cell that was touched, and return the verdict over all of them.

    Raises InputError where nothing can be audited: no run, or only damaged results, those of a GPU, or of others.
    """
    cells, refused = [], []
    for folder in cell_folders(run):
        try:
            cells.append(_auditable(folder))
        except (InputError, ResultsError) as error:
            refused.append(str(error))
    if not cells:
        raise InputError(refused[0])
    for line in refused:
        tell(Note(f"cannot be audited: {line}"))
    for cell in cells:
        name, processors = f"{cell.pair}/{cell.task}", cell.manifest.processors()
        for line in differences_here(cell):
            if line.startswith("cpu") and capability() not in processors:
                tell(Note(f"{name}: other arithmetic than the run's may leave other bits: {line}"))
        if capability() in processors and len(processors) > 1:
            there, here = (sum(map(len, its.values())) for its in (cell.manifest.members, comparable(cell)))
            tell(Note(f"{name}: {here} of {there} members are of a processor like this one; of them is drawn"))
    draws = draw_members(cells, members, seed) if members else []
    draws += draw_segments(cells, segments, seed) if segments else []
    findings = recompute(cells, draws, workers, tell) if draws else []
    verdicts = [IMPOSSIBLE] if refused else []
    for index, cell in enumerate(cells):
        its = [found for found, draw in zip(findings, draws, strict=True) if draw.cell == index]
        problems = damages(cell) + [f"settings: {problem}" for problem in settings_problems(cell)]
        if its or problems:
            made = certificate(cell, its, problems, seed)
            verdicts.append(made["verdict"])
            for line in [*lines(made), keep(cell, made)]:
                tell(Note(line))
    return next((each for each in (DIFFERENT, IMPOSSIBLE) if each in verdicts), EQUAL if verdicts else IMPOSSIBLE)


def _auditable(folder: Path) -> Cell:
    """A cell, but no damaged one, of a GPU, of others, or that this version cannot even describe: InputError naming the field."""
    cell = read_cell(folder)
    where, manifest = folder / "manifest.json", cell.manifest
    if manifest.device != "cpu":
        raise InputError(f"{where}: device: was computed on {manifest.device}; only results of the CPU can be audited")
    try:
        missing = [name for name in ("environment", "code", "versions", "cpu") if not getattr(manifest, name)]
        if missing:
            raise InputError(f"{missing[0]}: is missing")
        backend = environment_of(cell).backend
        if backend not in BACKENDS:
            raise InputError(f"environment.backend: {backend!r} is unknown{suggestion(backend, BACKENDS)}")
        offered = tasks.offered(cell.task, backend)
        kind = find_pair(cell.pair)
        for arm in manifest.members:
            if base(arm) not in kind.arms or arm not in manifest.arms:
                raise InputError(f"members: arm {arm!r} is unknown to this version")
            make_learner(spec_of(manifest, arm), offered)
    except ValidationError as error:
        raise InputError(f"{where}: arms.{arm}.settings.{first_problem(error)}") from error
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: {error}") from error
    return cell


def environment_of(cell: Cell) -> Environment:
    """What every run of ours has."""
    assert cell.manifest.environment is not None
    return cell.manifest.environment


def code_of(cell: Cell) -> Code:
    assert cell.manifest.code is not None
    return cell.manifest.code


def certificate(cell: Cell, findings: list[Finding], problems: list[str], seed: int) -> dict[str, Any]:
    """The certificate of one cell, JSON-able. `seal` binds it to the run's files as they are now."""
    here = differences_here(cell)
    unequal = [found for found in findings if found.differs_at is not None]
    versions_differ = any(line.startswith("versions") for line in here)
    ours = [found for found in unequal if cell.manifest.processor(found.arm, found.seed) == capability()]
    verdict = EQUAL
    if problems or (ours and not versions_differ):
        verdict = DIFFERENT
    elif unequal or any(found.reason for found in findings) or not findings:
        verdict = IMPOSSIBLE
    return {
        "suite": cell.manifest.suite,
        "pair": cell.pair,
        "task": cell.task,
        "seal": cell.manifest.seal,
        "verdict": verdict,
        "problems": problems,
        "recomputed": [asdict(found) for found in findings],
        "steps": sum(found.steps for found in findings),
        "differences": here,
        "seed_of_draw": seed,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"versions": versions(environment_of(cell).backend), **machine(), "cpu": capability()},
    }


def keep(cell: Cell, made: dict[str, Any]) -> str:
    """Write a certificate beside its cell, unless a stronger one is there; one line that says so.

    A certificate of the same results that recomputed more steps is stronger, but none outlives the finding of a difference.
    """
    path, old = cell.path / "audit.json", cell.audit
    its = made["steps"] if made["verdict"] in (EQUAL, DIFFERENT) else 0
    stronger = old is not None and old.verdict in (EQUAL, DIFFERENT) and old.steps > its
    if old and stronger and made["verdict"] != DIFFERENT and old.seal == made["seal"]:
        return f"certificate: {path} is kept: it recomputed more ({old.steps:,} steps, {old.time})"
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(made, indent=1) + "\n")
    return f"certificate: {path}"


def differences_here(cell: Cell) -> list[str]:
    """In what this machine and this checkout differ from those of the run, or may: one line a field."""
    manifest, then, backend = cell.manifest, code_of(cell), environment_of(cell).backend
    made = code(cell.pair, backend, cell.task, by=then.by)
    parts = (
        ("versions", manifest.versions, versions(backend)),
        *(("cpu", processor, capability()) for processor in manifest.processors()),
        ("code", then.all_files, made["files"] | made.get("module", {})),
    )
    return [
        f"{part}: {name}: {_was(there, name, part)}, is {_short(here.get(name), part)} here"
        for part, there, here in parts
        for name in sorted(set(there) | set(here))
        if there.get(name) != here.get(name)
    ]


def _was(there: Mapping[str, str], name: str, part: str) -> str:
    """Results of earlier versions do not say the kernels of numpy."""
    return "is not recorded" if part == "cpu" and name not in there else f"was {_short(there.get(name), part)}"


def _short(value: str | None, part: str) -> str:
    return str(value)[: 16 if part == "code" else 60]  # of a hash the beginning


def settings_problems(cell: Cell) -> list[str]:
    """The first field in which a run differs from its pair or suite in this checkout; [] where in none, or the suite is not here."""
    manifest, kind = cell.manifest, find_pair(cell.pair)
    for arm in manifest.members:
        ours, theirs = kind.arms[base(arm)], manifest.arms[arm]
        here = {"role": ours.role, "against": against_of(kind, arm), "switches": dict(ours.switches)}
        for name, value in here.items():
            if getattr(theirs, name) != value:
                return [f"{arm}: {name}: {getattr(theirs, name)!r} in the run, {value!r} in the pair of this checkout"]
    try:
        specs = cell_specs(load_suite(manifest.suite), cell.pair, cell.task)
    except (InputError, KeyError):
        return []
    for arm in manifest.members:
        if arm not in specs:
            return [f"arm {arm!r} is not in the suite of this checkout"]
        both = (spec_of(manifest, arm).to_json(), specs[arm].to_json())
        flat = [{**spec, **{f"settings.{name}": value for name, value in spec["settings"].items()}} for spec in both]
        for name in sorted((set(flat[0]) | set(flat[1])) - {"settings"}):
            if flat[0].get(name) != flat[1].get(name):
                registered = f"{flat[1].get(name)!r} in the suite of this checkout"
                return [f"{arm}: {name}: {flat[0].get(name)!r} in the run, {registered}"]
    return []


def lines(made: dict[str, Any]) -> list[str]:
    """A certificate in plain words."""
    said = [f"{made['suite']}/{made['pair']}/{made['task']}: {made['verdict'].upper()}"]
    said += [f"  {problem}" for problem in made["problems"]]
    for found in made["recomputed"]:
        one = found["first"] == found["last"]
        part = f"segment {found['last']}" if one else f"segments {found['first']} to {found['last']}"
        what = f"  {found['arm']}, seed {found['seed']}, {part} ({found['steps']:,} steps): "
        if found["reason"]:
            said.append(what + f"not recomputed: {found['reason']}")
        elif found["differs_at"]:
            said.append(what + f"differs from segment {found['differs_at']} on: {found['differs_in']}")
        else:
            said.append(what + "equal, bit for bit")
    return said + [f"  difference of this machine or checkout: {line}" for line in made["differences"]]
