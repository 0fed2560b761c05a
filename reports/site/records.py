"""The tables of what was run: members, arms, settings, provenance, audits, references."""

from __future__ import annotations

import json

from harness.schema.suite import Suite
from reports.statistics.numerals import typeset
from reports.statistics.scores import Study
from reports.table import NONE, Said, Table, Value, exact, number


def members(study: Study) -> Table:
    """Every registered member: status, final returns, score, and the last hash of its chain."""
    mode = study.primary
    rows: list[list[Value]] = []
    for task, cell in study.cells.items():
        for arm in study.arms:
            curves = study.curves[task, arm]
            places = {seed: row for row, seed in enumerate(curves.seeds)}
            for seed in sorted({*study.begun(task, arm), *curves.seeds}):
                if seed not in places:
                    rows.append([task, arm, _seed(seed), "missing", *([NONE] * (2 + len(study.modes)))])
                    continue
                row = places[seed]
                fate = (
                    f"diverged at step {curves.steps[curves.diverged[row].argmax()]}"
                    if curves.diverged[row, -1]
                    else "finished"
                )
                finals = [number(curves.returns[each][row, -1], ".2f") for each in study.modes]
                score = number(float(study.score(task, curves.returns[mode][row, -1])), ".4f")
                chain = cell.manifest.members[arm][str(seed)].chain
                rows.append([task, arm, seed, fate, *finals, score, chain[-1] if chain else NONE])
    return Table(
        f"{study.pair}-members",
        "Every seed",
        "One row a training seed: what became of it, its final returns and score, and the hash of its final state "
        "(equal hashes mean bit-identical training).",
        ["task", "arm", "seed", "status", *(f"{each} return" for each in study.modes), "score", "final hash"],
        rows,
    )


def arms(study: Study) -> Table:
    """The arms and their switches."""
    described = {arm: facts for cell in study.cells.values() for arm, facts in cell.manifest.arms.items()}
    switches = sorted({name for facts in described.values() for name in facts.switches})
    rows: list[list[Value]] = []
    for arm, hard in study.hard_of.items():
        own = described[arm].switches
        title = described[arm].title
        rows.append(
            [
                arm,
                study.roles[arm],
                hard or NONE,
                title,
                *(_plain(own.get(name)) for name in switches),
            ]
        )
    caption = "The last columns are the switches in which the arms differ; the lines that they act on are shown below."
    if study.suite.imported is not None:
        caption = "As the import file declares them; what the code of the arms is, and whether it differs in more, is not known here."
    return Table(
        f"{study.pair}-arms", "The arms", caption, ["arm", "kind", "compared with", "what it is", *switches], rows
    )


def settings(study: Study) -> Table:
    """All settings, one row where all arms and tasks agree, else one a task and arm."""
    values = {
        (task, arm): facts.settings for task, cell in study.cells.items() for arm, facts in cell.manifest.arms.items()
    }
    rows: list[list[Value]] = []
    for name in sorted({name for each in values.values() for name in each}):
        found = {key: _plain(each.get(name)) for key, each in values.items()}
        by_task = {task: {value for (at, _), value in found.items() if at == task} for task, _ in found}
        if len(set(found.values())) == 1:
            rows.append([name, "all", "all", _typed(next(iter(found.values())))])
        elif all(len(each) == 1 for each in by_task.values()):
            rows += [[name, task, "all", *map(_typed, each)] for task, each in by_task.items()]
        else:
            rows += [[name, task, arm, _typed(value)] for (task, arm), value in found.items()]
    columns = ["setting", "task", "arm", "value"]
    return Table(f"{study.pair}-settings", "Settings", "Settings of the training runs as recorded.", columns, rows)


def provenance(study: Study) -> Table:
    """Where each cell comes from: code, versions, processor; hardware and speed where the sidecar is there."""
    manifests = {task: cell.manifest for task, cell in study.cells.items()}
    libraries = sorted({name for manifest in manifests.values() for name in manifest.versions})
    rows: list[list[Value]] = []
    for task, manifest in manifests.items():
        timing = study.cells[task].timing
        runs = timing.runs() if timing else []
        machines = [f"{run.cpu}, {run.cores or NONE} cores, GPU {run.gpu or 'none'}" for run in runs if run.cpu]
        hardware = "; ".join(dict.fromkeys(machines)) or "not recorded"
        taken = timing.arm_seconds() if timing else {}
        wall, rate = (timing.total() if timing else None) or (None, None)
        seconds = ", ".join(f"{arm} {each:.0f}" for arm, each in sorted(taken.items())) or NONE
        versions = [manifest.versions.get(name, NONE) for name in libraries]
        processors = [f"{cpu.get('architecture', NONE)} {cpu.get('capability', '')}" for cpu in manifest.processors()]
        processor = f"{manifest.device}, {' and '.join(processors)}"
        code = manifest.code.hash[:16] if manifest.code else NONE
        changed = ", ".join(study.cells[task].changed_code()) or "no"
        environment = ", ".join(
            f"{name} {_plain(value)}" for name, value in sorted(manifest.content().get("environment", {}).items())
        )
        rows.append(
            [
                task,
                number(manifest.steps, ",d"),
                manifest.segments,
                environment,
                processor,
                *versions,
                code,
                changed,
                hardware,
                Said(seconds, ", ".join(f"{arm} {exact(each)}" for arm, each in sorted(taken.items())) or NONE),
                number(wall, ".0f"),
                number(rate, ",.0f"),
            ]
        )
    columns = [
        "task",
        "steps",
        "segments",
        "environment",
        "processor",
        *libraries,
        "code hash",
        "changed since",
        "hardware",
        "seconds by arm",
        "seconds in all",
        "steps/s",
    ]
    caption = (
        "What was run, and on what. “Changed since”: files of that code that read otherwise in this checkout. Hardware and times come "
        "from a sidecar beside the results and are no part of them."
    )
    return Table(f"{study.pair}-provenance", "Versions and hardware", caption, columns, rows)


def origins(study: Study) -> Table:
    """Where imported runs come from: files with their SHA-256, what was logged, and the runs that were left out, with the reason."""
    rows: list[list[Value]] = []
    for task, cell in study.cells.items():
        its = cell.manifest.imported
        members = [
            (arm, int(seed), facts.imported)
            for arm, found in cell.manifest.members.items()
            for seed, facts in found.items()
            if facts.imported
        ]
        for arm, seed, run in sorted(members, key=lambda member: (study.arms.index(member[0]), member[1])):
            logged = f"{run.first:,} to {run.last:,}"
            rows += [
                [task, arm, seed, "used", run.format, logged, run.points, *file] for file in sorted(run.files.items())
            ]
        for out in its.left_out if its else []:
            rows += [
                [task, out.arm, _seed(out.seed), f"left out: {out.why}", NONE, NONE, NONE, *file]
                for file in sorted(out.files.items())
            ]
    first = next(iter(study.cells.values())).manifest.imported
    assert first is not None
    smooth = (
        "The values are used as they were logged"
        if first.smooth == 1
        else f"A value is the mean of the last {first.smooth} logged"
    )
    return Table(
        f"{study.pair}-origins",
        "Where the runs come from",
        f"Read by `softbench import {study.suite.imported}` (SHA-256 of that file: {first.sha256}). {smooth}; curves are interpolated "
        "linearly at the declared steps, never beyond a run's own range. These runs were made elsewhere: nothing here retrained or "
        "audited them.",
        ["task", "arm", "seed", "status", "format", "steps logged", "points", "file", "SHA-256"],
        rows,
    )


def audits(study: Study) -> Table:
    """The certificate of each cell, where one was written for the results as they are now."""
    rows: list[list[Value]] = []
    for task, cell in study.cells.items():
        made = cell.audit
        if made is None:
            rows.append([task, "not audited", NONE, NONE, NONE, NONE])
        elif made.seal != cell.manifest.seal:
            rows.append([task, "audited before the results were made anew", NONE, NONE, NONE, made.time])
        else:
            drawn = "; ".join(f"{each.arm} {each.seed} ({each.first}–{each.last})" for each in made.recomputed)
            differing = [each.differs_in for each in made.recomputed if each.differs_in]
            differ = "; ".join([*differing, *made.problems, *made.differences]) or "none"
            rows.append([task, made.verdict, drawn or "nothing", str(made.steps), differ, made.time])
    return Table(
        f"{study.pair}-audits",
        "Audits",
        "What `softbench audit` recomputed and compared with the hash chain: arm, seed (segments). Run it yourself on any member.",
        ["task", "verdict", "recomputed", "steps", "differences", "time"],
        rows,
    )


def references(suite: Suite) -> Table:
    """The declared scale of every task that the suite's cells use."""
    rows: list[list[Value]] = []
    for task in suite.tasks:
        if any(task in tasks for tasks in suite.cells.values()):
            scale = suite.references[task]
            steps = {suite.registered(pair, task).steps for pair, tasks in suite.cells.items() if task in tasks}
            taken = " or ".join(f"{each:,}" for each in sorted(steps))
            rows.append(
                [
                    task,
                    taken,
                    number(scale.low, "g"),
                    number(scale.high, "g"),
                    Said(typeset(scale.source), scale.source),
                ]
            )
    caption = (
        "Score = (return − low) / (high − low), declared beforehand; not clipped. A diverged seed counts at low, a score of 0, or at the "
        "lowest return seen on the task, where that is lower."
    )
    return Table(
        "references", "How returns become scores", caption, ["task", "steps a seed", "low", "high", "source"], rows
    )


def _plain(value: object) -> str:
    """A setting as it would be written in YAML's flow style; absent values as a dash."""
    return NONE if value is None else value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _typed(text: str) -> Said:
    """A setting on the page; the CSV has it as it was written."""
    return Said(typeset(text), text)


def _seed(seed: int) -> Value:
    return seed if seed >= 0 else "cannot be read"
