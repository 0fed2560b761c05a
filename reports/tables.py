"""The tables: rows once, printed in the page and in the CSV with the same digits."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from harness.suite import Suite
from reports import bootstrap, statistics
from reports.scores import Study
from reports.statistics import Array, Estimate

Value = str | int | float | Estimate
NONE = "—"


@dataclass(frozen=True)
class Table:
    """A titled table. An `Estimate` is one cell `0.5 [0.4, 0.6]` in the page and three columns (value, low, high) in the CSV."""

    name: str
    title: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Value]]

    @property
    def digits(self) -> int:
        """Decimals of all numbers of the table: 3 for scores, 1 for returns."""
        cells = [cell for row in self.rows for cell in row if isinstance(cell, float | Estimate)]
        return 3 if all(abs(cell if isinstance(cell, float) else cell.value) < 10 for cell in cells) else 1

    def text(self, cell: Value) -> str:
        """A cell as the page prints it."""
        value, *interval = self._parts(cell)
        if not isinstance(cell, Estimate):
            return value
        return f"{value} ({cell.why})" if cell.why else f"{value} [{', '.join(interval)}]"

    def csv(self) -> str:
        """The table as CSV with a header line."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        wide = [any(isinstance(row[column], Estimate) for row in self.rows) for column in range(len(self.columns))]
        header = [[name, f"{name} low", f"{name} high"] if is_wide else [name] for name, is_wide in zip(self.columns, wide, strict=True)]
        writer.writerow(chain.from_iterable(header))
        for row in self.rows:
            cells = [[*self._parts(cell), "", ""][: 3 if is_wide else 1] for cell, is_wide in zip(row, wide, strict=True)]
            writer.writerow(chain.from_iterable(cells))
        return out.getvalue()

    def _parts(self, cell: Value) -> list[str]:
        if isinstance(cell, Estimate):
            return [self._number(cell.value), *(cell.why if each is None else self._number(each) for each in (cell.low, cell.high))]
        return [self._number(cell) if isinstance(cell, float) else str(cell)]

    def _number(self, value: float) -> str:
        return f"{round(value, self.digits) + 0.0:.{self.digits}f}"  # + 0.0 turns -0.0 into 0.0


def reading(estimate: Estimate, seeds: int) -> str:
    """A difference soft - hard in plain words, by whether its interval leaves 0 out."""
    if estimate.low is None or estimate.high is None:
        return f"no interval ({estimate.why.removeprefix('undefined: ')})"
    return "better" if estimate.low > 0 else "worse" if estimate.high < 0 else f"not separable at n = {seeds}"


def share(found: int, registered: int) -> str:
    """`10`, or `9 of 10` where something is missing."""
    return str(found) if found == registered else f"{found} of {registered}"


def evidence(studies: Sequence[Study]) -> Table:
    """Per pair and soft arm: the difference of mean scores to the hard arm, over the pair's complete block."""
    rows: list[list[Value]] = []
    for study in studies:
        rests = share(len(study.seeds), len(study.suite.seeds)), share(len(study.tasks), len(study.suite.cells[study.pair]))
        for soft, hard in study.comparisons:
            lost = sum(study.curves[task, arm].diverged[:, -1].sum() for task in study.tasks for arm in (soft, hard))
            if study.seeds:
                found = statistics.difference(study.matrix(soft), study.matrix(hard))
                rows.append([soft, hard, reading(found, len(study.seeds)), found, *rests, int(lost), study.pair])
            else:
                rows.append([soft, hard, "nothing to compare yet", NONE, *rests, int(lost), study.pair])
    return Table(
        "evidence",
        "Soft against hard",
        "Difference of mean normalized scores, soft minus hard, at the final evaluation, with its 95 % Welch t interval over seeds "
        "(stratified by task, Satterthwaite degrees of freedom). “Better” and “worse” say that the interval leaves 0 out; intervals are "
        "not corrected for the number of rows.",
        ["soft arm", "hard arm", "the soft arm is", "difference", "seeds", "tasks", "diverged", "pair"],
        rows,
    )


def differences(study: Study) -> Table:
    """Every comparison in full: over all tasks (the complete block), and on each task over the seeds found there."""
    mode = study.suite.evaluation.primary
    blocks = {"all": {arm: study.matrix(arm) for arm in study.arms}} if study.seeds else {}
    for task in study.cells:
        blocks[task] = {arm: study.score(task, study.curves[task, arm].returns[mode][:, -1:]) for arm in study.arms}
    rows: list[list[Value]] = []
    for block, scores in blocks.items():
        for soft, hard in study.comparisons:
            ours, theirs = scores[soft], scores[hard]
            if len(ours) and len(theirs):
                found = statistics.difference(ours, theirs)
                means = float(ours.mean()), float(theirs.mean())
                df = NONE if found.df is None else f"{found.df:.1f}"
                seeds = f"{len(ours)} and {len(theirs)}"
                rows.append([block, soft, hard, reading(found, min(len(ours), len(theirs))), found, *means, seeds, df])
    return Table(
        f"{study.pair}-differences",
        "Differences, overall and on each task",
        "Normalized scores, Welch t intervals, not corrected for the number of rows: with many rows a few leave 0 out by chance.",
        ["task", "soft arm", "hard arm", "the soft arm is", "difference", "soft mean", "hard mean", "seeds", "df"],
        rows,
    )


def aggregates(study: Study, found: dict[str, dict[str, Estimate]]) -> Table:
    """IQM, median, mean and optimality gap of every arm."""
    return Table(
        f"{study.pair}-aggregates",
        "Aggregate scores",
        f"Over {len(study.seeds)} seeds and {len(study.tasks)} tasks; points as in rliable, intervals from a stratified "
        f"bootstrap ({bootstrap.RESAMPLES} resamples, fixed key). "
        "Descriptive: such intervals cover about 85 % at n = 5 and 90 % at n = 10, not 95 %.",
        ["arm", *bootstrap.AGGREGATES],
        [[arm, *estimates.values()] for arm, estimates in found.items()],
    )


def improvements(study: Study, found: dict[str, Estimate]) -> Table:
    """Probability of improvement of every soft arm."""
    return Table(
        f"{study.pair}-improvement",
        "Probability of improvement",
        "Averaged over tasks; ties count one half; 95 % stratified bootstrap interval.",
        ["soft arm", "hard arm", "probability of improvement"],
        [[soft, hard, found[soft]] for soft, hard in study.comparisons],
    )


def returns(study: Study) -> Table:
    """Final mean return of every arm on every task, sampled and greedy."""
    rows: list[list[Value]] = []
    for task in study.cells:
        for arm in study.arms:
            curves = study.curves[task, arm]
            seeds = share(len(curves.seeds), len(study.suite.seeds))
            means: list[Value] = [_mean(curves.returns[mode][:, -1]) for mode in study.suite.modes]
            rows.append([task, arm, seeds, int(curves.diverged[:, -1].sum()), *means])
    if study.suite.imported is None:
        measured = f"of the last evaluation ({study.suite.evaluation.episodes} episodes a seed)"
    else:
        measured = "at the last declared step"
    return Table(
        f"{study.pair}-returns",
        "Final returns on each task",
        f"Mean undiscounted return {measured} with its 95 % t interval over seeds; a diverged seed counts at the floor.",
        ["task", "arm", "seeds", "diverged", *(f"{mode} actions" for mode in study.suite.modes)],
        rows,
    )


def published(study: Study) -> Table:
    """Published figures beside ours; for a hard arm also whether the means agree within 5 %."""
    mode = study.suite.evaluation.primary
    rows: list[list[Value]] = []
    for figure in study.suite.published:
        curves = study.curves.get((figure.task, figure.arm))
        if figure.arm not in study.arms:
            continue
        theirs = f"{figure.mean:g}" + ("" if figure.spread is None else f" ± {figure.spread:g}")
        their_seeds = NONE if figure.seeds is None else figure.seeds
        if curves is None or not curves.seeds:
            rows.append([figure.task, figure.arm, NONE, NONE, theirs, their_seeds, NONE, NONE, figure.source])
            continue
        final, training = curves.returns[mode][:, -1], curves.training[np.isfinite(curves.training)]
        relative = (float(final.mean()) - figure.mean) / abs(figure.mean) if figure.mean else None
        within = NONE if relative is None or study.hard_of[figure.arm] is not None else "yes" if abs(relative) <= 0.05 else "no"
        change = NONE if relative is None else f"{relative:+.1%}"
        rows.append([figure.task, figure.arm, _mean(final), _mean(training), theirs, their_seeds, change, within, figure.source])
    return Table(
        f"{study.pair}-published",
        "Published figures and ours",
        f"Ours: mean of the last evaluation ({mode} actions) with its 95 % t interval; training: episodes of the last segment. "
        "Theirs: mean ± spread as printed, for reference only, never a seed of ours. Difference: our evaluation relative to theirs.",
        ["task", "arm", "ours", "ours, training", "published", "seeds", "difference", "within 5 %", "source"],
        rows,
    )


def members(study: Study) -> Table:
    """Every registered member: status, final returns, score, and the last hash of its chain."""
    mode = study.suite.evaluation.primary
    rows: list[list[Value]] = []
    for task, cell in study.cells.items():
        for arm in study.arms:
            curves = study.curves[task, arm]
            for seed in study.suite.seeds:
                if seed not in curves.seeds:
                    rows.append([task, arm, seed, "missing", *([NONE] * (2 + len(study.suite.modes)))])
                    continue
                row = curves.seeds.index(seed)
                fate = f"diverged at step {curves.steps[curves.diverged[row].argmax()]}" if curves.diverged[row, -1] else "finished"
                finals = [f"{curves.returns[each][row, -1]:.2f}" for each in study.suite.modes]
                score = f"{float(study.score(task, curves.returns[mode][row, -1])):.4f}"
                chain = cell.manifest["members"][arm][str(seed)]["chain"]
                rows.append([task, arm, seed, fate, *finals, score, chain[-1] if chain else NONE])
    return Table(
        f"{study.pair}-members",
        "Every seed",
        "One row a training seed: what became of it, its final returns and score, and the hash of its final state "
        "(equal hashes mean bit-identical training).",
        ["task", "arm", "seed", "status", *(f"{each} return" for each in study.suite.modes), "score", "final hash"],
        rows,
    )


def arms(study: Study) -> Table:
    """The arms and their switches."""
    described = {arm: facts for cell in study.cells.values() for arm, facts in cell.manifest["arms"].items()}
    switches = sorted({name for facts in described.values() for name in facts.get("switches", {})})
    rows: list[list[Value]] = []
    for arm, hard in study.hard_of.items():
        own = described[arm].get("switches", {})
        title = described[arm].get("title", "")
        rows.append([arm, "hard" if hard is None else "soft", hard or NONE, title, *(_plain(own.get(name)) for name in switches)])
    caption = "The last columns are the switches in which the arms differ; the lines that they act on are shown below."
    if study.suite.imported is not None:
        caption = "As the import file declares them; what the code of the arms is, and whether it differs in more, is not known here."
    return Table(f"{study.pair}-arms", "The arms", caption, ["arm", "kind", "compared with", "what it is", *switches], rows)


def settings(study: Study) -> Table:
    """All settings, one row where all arms and tasks agree, else one a task and arm."""
    values = {(task, arm): facts.get("settings", {}) for task, cell in study.cells.items() for arm, facts in cell.manifest["arms"].items()}
    rows: list[list[Value]] = []
    for name in sorted({name for each in values.values() for name in each}):
        found = {key: _plain(each.get(name)) for key, each in values.items()}
        by_task = {task: {value for (at, _), value in found.items() if at == task} for task, _ in found}
        if len(set(found.values())) == 1:
            rows.append([name, "all", "all", next(iter(found.values()))])
        elif all(len(each) == 1 for each in by_task.values()):
            rows += [[name, task, "all", *each] for task, each in by_task.items()]
        else:
            rows += [[name, task, arm, value] for (task, arm), value in found.items()]
    columns = ["setting", "task", "arm", "value"]
    return Table(f"{study.pair}-settings", "Settings", "Settings of the training runs as recorded.", columns, rows)


def provenance(study: Study) -> Table:
    """Where each cell comes from: code, versions, processor; hardware and speed where the sidecar is there."""
    manifests = {task: cell.manifest for task, cell in study.cells.items()}
    libraries = sorted({name for manifest in manifests.values() for name in manifest.get("versions", {})})
    rows: list[list[Value]] = []
    for task, manifest in manifests.items():
        timing, cpu = study.cells[task].timing, manifest.get("cpu", {})
        parts = [timing.get("cpu", NONE), f"{timing.get('cores', NONE)} cores", f"GPU {timing.get('gpu') or 'none'}"]
        hardware = ", ".join(parts) if timing else "not recorded"
        wall = f"{timing['wall_seconds']:.0f} s" if "wall_seconds" in timing else NONE
        speed = f"{timing['steps_per_second']:,.0f}" if "steps_per_second" in timing else NONE
        versions = [manifest.get("versions", {}).get(name, NONE) for name in libraries]
        processor = f"{manifest.get('device', NONE)}, {cpu.get('architecture', NONE)} {cpu.get('capability', '')}"
        code = manifest.get("code", {}).get("hash", NONE)[:16]
        changed = ", ".join(study.cells[task].changed_code(Path())) or "no"
        environment = ", ".join(f"{name} {_plain(value)}" for name, value in sorted(manifest.get("environment", {}).items()))
        rows.append(
            [task, f"{manifest['steps']:,}", manifest["segments"], environment, processor, *versions, code, changed, hardware, wall, speed]
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
        "wall time",
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
        its = cell.manifest["imported"]
        members = [(arm, int(seed), facts["imported"]) for arm, found in cell.manifest["members"].items() for seed, facts in found.items()]
        for arm, seed, run in sorted(members, key=lambda member: (study.arms.index(member[0]), member[1])):
            logged = f"{run['first']:,} to {run['last']:,}"
            rows += [[task, arm, seed, "used", run["format"], logged, run["points"], *file] for file in sorted(run["files"].items())]
        for run in its["left_out"]:
            rows += [
                [task, run["arm"], run["seed"], f"left out: {run['why']}", NONE, NONE, NONE, *file] for file in sorted(run["files"].items())
            ]
    first = next(iter(study.cells.values())).manifest["imported"]
    smooth = (
        "The values are used as they were logged" if first["smooth"] == 1 else f"A value is the mean of the last {first['smooth']} logged"
    )
    return Table(
        f"{study.pair}-origins",
        "Where the runs come from",
        f"Read by `softbench import {study.suite.imported}` (SHA-256 of that file: {first['sha256']}). {smooth}; curves are interpolated "
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
        if not made:
            rows.append([task, "not audited", NONE, NONE, NONE, NONE])
        elif made.get("seal") != cell.manifest.get("seal"):
            rows.append([task, "audited before the results were made anew", NONE, NONE, NONE, made.get("time", NONE)])
        else:
            names = ("arm", "seed", "first", "last")
            drawn = "; ".join("{} {} ({}–{})".format(*(found.get(name, NONE) for name in names)) for found in made.get("recomputed", []))
            differ = "; ".join(map(str, [*made.get("problems", []), *made.get("differences", [])])) or "none"
            verdict, steps, when = (str(made.get(name, NONE)) for name in ("verdict", "steps", "time"))
            rows.append([task, verdict, drawn or "nothing", steps, differ, when])
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
    for task, its in suite.tasks.items():
        if any(task in tasks for tasks in suite.cells.values()):
            scale = suite.references[task]
            rows.append([task, f"{its.steps:,}", f"{scale.low:g}", f"{scale.high:g}", scale.source])
    caption = "Score = (return − low) / (high − low), declared beforehand; not clipped. A diverged seed counts at low, a score of 0."
    return Table("references", "How returns become scores", caption, ["task", "steps a seed", "low", "high", "source"], rows)


def _mean(values: Array) -> Value:
    return statistics.mean_interval(values) if len(values) else NONE


def _plain(value: object) -> str:
    """A setting as it would be written in YAML's flow style; absent values as a dash."""
    return NONE if value is None else value if isinstance(value, str) else json.dumps(value, sort_keys=True)
