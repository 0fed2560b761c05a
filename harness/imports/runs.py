"""From log files to runs: which there are, which log belongs to which, and why one is left out.

A fault of one run, or of one file, leaves out that one alone, and is told.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from harness.errors import InputError, suggestion
from harness.imports import curves
from harness.imports.curves import Curve
from harness.imports.files import Group, groups, shown
from harness.imports.patterns import IDENTITY
from harness.imports.readers import read
from harness.imports.readers.content import Unusable, short
from harness.imports.readers.log import Log
from harness.imports.readers.tables import number
from harness.imports.schema import EPISODIC, Entry, Import
from harness.schema.fields import MOST_SEED
from harness.schema.results import folder_name

Key = tuple[str, str, int]


@dataclass(frozen=True)
class Run:
    """One run as it was logged; `files`: name -> SHA-256; `why` it is left out, or ""; no `curve` where it could not be read.

    A negative `seed`: what says it cannot be read; the run was begun and counts as missing.
    """

    arm: str
    task: str
    seed: int
    format: str
    files: dict[str, str]
    curve: Curve | None
    why: str = ""
    began: float | None = None

    @property
    def name(self) -> str:
        return f"arm {self.arm}, task {self.task}, seed {self.seed}"


@dataclass
class Reading:
    """All that an import found. `unread`: files and runs without a name of their own, one line each; `notes`: what else is to be known."""

    runs: list[Run] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Attempt:
    """A log of a run, with the files it comes from."""

    log: Log
    entry: Entry
    paths: list[Path]


@dataclass(frozen=True)
class Unnamed(Exception):
    """A run that has no place in the import. `undeclared`: (kind, name) of an arm or task that is not declared; `of`: its arm and task."""

    why: str
    undeclared: tuple[str, str] | None = None
    of: tuple[str, str] | None = None


def read_runs(config: Import, folder: Path) -> Reading:
    """All runs of an import file that lies in `folder`, sorted by task, arm and seed.

    Raises InputError naming file and field where none can be used, or a declared arm or task has no run and another name is there.
    """
    found = Reading()
    attempts: dict[Key, list[Attempt]] = {}
    nameless: list[tuple[Entry, Path, Log, Unnamed]] = []
    for number_, entry in enumerate(config.runs):
        for group in groups(entry, folder, number_, _slashed(config, entry)):
            for log in _logs(config, entry, group):
                try:
                    key = _key(config, entry, {**log.said, **group.said}, log.fault)
                except Unnamed as error:
                    nameless.append((entry, group.paths[0], log, error))
                else:
                    attempts.setdefault(key, []).append(Attempt(log, entry, [log.path] if log.path else group.paths))
    undeclared: dict[tuple[str, str], list[Path]] = {}
    digests: dict[Path, str] = {}
    readers = {(path, id(each.entry)) for its in attempts.values() for each in its for path in each.paths}
    for entry, path, log, unnamed in nameless:
        if not log.said and any((path, id(other)) in readers for other in config.runs if other is not entry):
            continue  # its path alone is at fault, and another entry names it: this one's pattern is only wider than needed
        if unnamed.undeclared:
            undeclared.setdefault(unnamed.undeclared, []).append(path)
        else:
            of = " (arm {} on {})".format(*unnamed.of) if unnamed.of else ""
            found.unread.append(f"{shown(path)}: {unnamed.why}{of}")
            if unnamed.of:
                if path not in digests:
                    digests[path] = sha256(path)
                hashed = {path.relative_to(folder).as_posix(): digests[path]}
                found.runs.append(Run(*unnamed.of, -1 - len(found.runs), entry.format, hashed, None, unnamed.why))
    _refuse_undeclared(config, {*attempts}, undeclared)
    for (kind, name), paths in undeclared.items():
        many = f"{len(paths):,} runs, the first in {shown(paths[0])}" if len(paths) > 1 else shown(paths[0])
        found.unread.append(f"{kind} {name[:80]!r}, which is not declared ({many})")
    for key, its in attempts.items():
        _add(found, config, folder, key, its, digests)
    tasks, arms = [*config.tasks], [*config.arms]
    found.runs.sort(key=lambda run: (tasks.index(run.task), arms.index(run.arm), run.seed))
    if all(run.curve is None for run in found.runs):
        raise InputError(_first_fault(found, folder))
    return found


def _logs(config: Import, entry: Entry, group: Group) -> list[Log]:
    """The logs of some files; where they cannot be read, one that says why."""
    only = {name for name, declared in (("arm", config.arms), ("task", config.tasks)) if len(declared) == 1}
    if group.fault:
        return [Log(fault=group.fault)]
    try:
        return read(entry, group.paths, {*group.said}, only, config.tasks) or [Log(fault="holds no run")]
    except Unusable as error:
        return [Log(fault=str(error))]
    except (MemoryError, OverflowError) as error:
        return [Log(fault=f"is too large to be read: {short(error)}")]


def _slashed(config: Import, entry: Entry) -> list[str]:
    """Names of arms and tasks with a slash, the longest first."""
    names = {name for name in (*config.arms, *config.tasks, *entry.rename) if "/" in name}
    return sorted(names, key=lambda name: (-len(name), name))


def _key(config: Import, entry: Entry, said: dict[str, str], fault: str) -> Key:
    """Arm, task and seed of a run. Raises Unnamed."""
    kinds: tuple[tuple[str, Sequence[str]], ...] = (("arm", [*config.arms]), ("task", [*config.tasks]))
    for kind, declared in kinds:
        if kind not in said and len(declared) == 1:
            said[kind] = next(iter(declared))
        if kind in said:
            said[kind] = _declared(entry.rename.get(said[kind], said[kind]), declared)
            if said[kind] not in declared:
                raise Unnamed("", (kind, said[kind]))
    of = (said["arm"], said["task"]) if "arm" in said and "task" in said else None
    missing = next((name for name in IDENTITY if name not in said), None)
    if missing is not None:
        told = f"nothing says its {missing}; put {{{missing}}} into `files` (or `run`), or name its column"
        raise Unnamed(fault or told, of=of)
    # 1_0 may be two numbers.
    value = number(said["seed"]) if said["seed"].isascii() and "_" not in said["seed"] else None
    if value is None or not 0 <= value <= MOST_SEED or value != int(value):
        raise Unnamed(f"seed: {said['seed'][:40]!r} is no integer from 0 to {MOST_SEED:,}", of=of)
    return said["arm"], said["task"], int(value)


def _declared(name: str, declared: Sequence[str]) -> str:
    """A name, or the declared one whose folder is so called: ALE/Pong-v5 is kept in ALE_Pong-v5."""
    same = [each for each in declared if folder_name(each) == name]
    return same[0] if name not in declared and len(same) == 1 else name


def _refuse_undeclared(config: Import, keys: set[Key], undeclared: dict[tuple[str, str], list[Path]]) -> None:
    """Where a declared arm or task has no run, another name that is there is more likely a misspelt one than a stray run."""
    kinds: tuple[tuple[str, Sequence[str]], ...] = (("arm", [*config.arms]), ("task", [*config.tasks]))
    for place, (kind, declared) in enumerate(kinds):
        idle = [name for name in declared if name not in {key[place] for key in keys}]
        others = [(name, paths) for (its, name), paths in undeclared.items() if its == kind]
        if idle and others:
            name, paths = others[0]
            raise InputError(f"{shown(paths[0])}: unknown {kind} {name[:80]!r}{suggestion(name[:80], declared)}")


def _add(
    found: Reading, config: Import, folder: Path, key: Key, attempts: list[Attempt], digests: dict[Path, str]
) -> None:
    """Put the run of some logs into what was found: the only good one, those that continue each other, or a fault."""

    def run(chosen: Sequence[Attempt], log: Log | None, why: str = "") -> Run:
        files = dict.fromkeys(path for each in chosen for path in each.paths)
        for path in files:
            if path not in digests:
                digests[path] = sha256(path)
        hashed = {path.relative_to(folder).as_posix(): digests[path] for path in files}
        its = curves.curve(log, config.smooth or 1) if log else None
        grid = config.grid_of(key[1])
        why = why or (its.short(grid) if its else "")
        if why and log and log.emptied:
            why += " (its later returns are empty: absent; write nan where a run has diverged)"
        return Run(*key, chosen[0].entry.format, hashed, its, why, log.began if log else None)

    checked = [each for attempt in attempts for each in _checked(attempt)]
    good = [each for each in checked if not each.log.fault]
    if not good:
        found.runs.append(run(checked[:1], None, checked[0].log.fault))
        return
    whole = [each for each in good if not run([each], each.log).why] if len(good) > 1 else []
    joined = _continued(good, bool(whole)) if len(good) > 1 else None
    if len(good) == 1:
        chosen = run(good, good[0].log)
    elif joined is not None:
        chosen = run(good, joined)
        named = ", ".join(dict.fromkeys(shown(each.paths[0]) for each in good))
        found.notes.append(
            f"{chosen.name}: was continued after a restart; its {len(good)} logs are read as one ({named})"
        )
    elif len(whole) == 1 or _same(whole):
        chosen = run(whole[:1], whole[0].log)
        others = ", ".join(shown(each.paths[0]) for each in good if each is not whole[0])
        found.notes.append(f"{chosen.name}: was begun more than once; {shown(whole[0].paths[0])} is used, not {others}")
    else:
        why = f"appears twice; the other is in {shown(good[0].paths[0])}"
        chosen = run(good[1:2], None, why)
    found.runs.append(chosen)
    notes = ((each.log.note, shown(each.paths[0])) for each in good if each.log.note)
    found.notes += [f"{chosen.name}: {note} ({where})" for note, where in dict.fromkeys(notes)]
    for each in checked:
        if each.log.fault:
            found.notes.append(
                f"{shown(each.paths[0])}: {chosen.name}: {each.log.fault}; another log of this run is used"
            )


def _checked(attempt: Attempt) -> Iterator[Attempt]:
    """A log, or its sessions where it was continued, with the faults of their numbers."""
    log = attempt.log
    parts = [log] if log.fault else curves.sessions(log)
    for part in parts:
        fault = part.fault or curves.fault(part, attempt.entry.format in EPISODIC)
        yield replace(attempt, log=replace(part, fault=fault) if fault else part)


def _continued(good: list[Attempt], whole: bool) -> Log | None:
    """One log where several continue each other: by their steps, or, of Monitor, whose steps start anew, by time where none is whole."""
    if all(each.entry.format == "sb3-monitor" for each in good):
        logs = sorted((each.log for each in good), key=lambda log: log.began or 0.0)
        if whole or any(log.began is None for log in logs) or len({log.began for log in logs}) < len(logs):
            return None
        done, later = 0.0, []
        for log in logs:
            later.append(replace(log, steps=log.steps + done))
            done = float(later[-1].steps[-1])
        return curves.chained(later)
    logs = sorted((each.log for each in good), key=lambda log: float(log.steps[0]))
    if all(curves.continues(before, after) for before, after in pairwise(logs)):
        return curves.chained(logs)
    return None


def _same(whole: list[Attempt]) -> bool:
    """Whether some logs are copies of one."""
    first = whole[0].log if whole else Log()
    return bool(whole) and all(
        each.log.steps.tolist() == first.steps.tolist() and each.log.returns.tolist() == first.returns.tolist()
        for each in whole
    )


def _first_fault(found: Reading, folder: Path) -> str:
    """Why nothing can be used: the first fault."""
    run = next((run for run in found.runs if run.seed >= 0), None)
    if run is None:
        return found.unread[0]
    return f"{shown(folder / next(iter(run.files)))}: {run.name}: {run.why}"


def sha256(path: Path) -> str:
    """The digest of a file; "" where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
