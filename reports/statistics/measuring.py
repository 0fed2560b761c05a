"""What finished cells say about one claim, in one evaluation mode, before any correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.errors import InputError, suggestion
from harness.schema.claims import Claim, Ledger, changes, tasks_of
from harness.schema.suite import Suite
from reports.statistics.forms import form
from reports.statistics.forms.form import INVALID, NOT_MEASURED, Outcome
from reports.statistics.intervals import NO_VARIANCE, Array, mean_interval
from reports.statistics.metrics import METRICS
from reports.statistics.scores import Damaged, Study


@dataclass(frozen=True)
class Data:
    """What a claim is judged on: `arm [n, T]` and `against [n, T]` in the claim's metric; rows are `seeds`, columns `tasks`."""

    tasks: list[str]
    seeds: list[int]
    arm: Array
    against: Array


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One claim with its outcome; where there is none, `absent` is `invalid` or `not measured`, and `because` says why."""

    claim: Claim
    level: float
    """The ledger's level, which the intervals go with."""
    tasks: tuple[str, ...]
    """The claim's tasks, with results or without, informative or not."""
    registered: int
    """Seeds of each arm that the suite registers."""
    seeds: int = 0
    """Seeds of each arm in the complete block."""
    data: Data | None = None
    outcome: Outcome | None = None
    by_task: dict[str, Outcome] | None = None
    """task -> the same test on this task alone: descriptive, not corrected."""
    lost: tuple[str, ...] = ()
    """Missing and diverged seeds, one line each."""
    changed: tuple[str, ...] = ()
    """In what the claim differs from the one registered when the runs began."""
    uninformative: tuple[str, ...] = ()
    """Tasks whose floor neither arm leaves; by the ledger's rule they are left out, or kept."""
    absent: str = ""
    because: str = ""


def measure(
    claim: Claim, ledger: Ledger, suite: Suite, study: Study | None, mode: str, damaged: Sequence[Damaged] = ()
) -> Measured:
    """The claim on the results of its pair in an evaluation mode, by the rules of its ledger.

    One of the `damaged` cells is among its tasks: `invalid`.

    Raises InputError where the claim is about an arm that these results do not have.
    """
    tasks, wanted = tasks_of(claim, suite), common_seeds(claim, suite)
    found = Measured(claim=claim, level=ledger.level, tasks=tuple(tasks), registered=len(wanted))
    broken = [each for each in damaged if each.pair == claim.pair and each.task in tasks]
    if broken:
        return replace(
            found, absent=INVALID, because=f"The results on {broken[0].task} cannot be used: {broken[0].why}."
        )
    absent = [task for task in tasks if study is None or task not in study.cells]
    if study is None or absent:
        return replace(found, absent=NOT_MEASURED, because=f"There are no results yet for {', '.join(absent)}.")
    lines = [line for task in tasks for line in changes(claim, ledger, study.cells[task].manifest.claims)]
    found = replace(found, changed=tuple(dict.fromkeys(lines)))
    altered = [line for task in tasks for line in study.altered[task]]
    if altered:
        why = f"The results were altered after they were written: {altered[0]}."
        return replace(found, absent=INVALID, because=why)
    unknown = [arm for arm in (claim.arm, claim.against) if arm not in study.arms]
    if unknown:
        where = f"suites/{suite.name}/claims.yaml: {claim.id}"
        raise InputError(f"{where}: {unknown[0]!r} is no arm of these results{suggestion(unknown[0], study.arms)}")
    idle = [task for task in tasks if not _informative(claim, study, task, mode)]
    found = replace(found, uninformative=tuple(idle))
    if idle and ledger.uninformative == "leave-out":
        tasks = [task for task in tasks if task not in idle]
    if not tasks:
        why = f"No task says anything: neither arm leaves the floor of {', '.join(idle)}."
        return replace(found, absent=INVALID, because=why)
    columns = [[values(claim, study, task, arm, mode) for task in tasks] for arm in (claim.arm, claim.against)]
    seeds = [seed for seed in wanted if all(seed in column for side in columns for column in side)]
    found = replace(found, lost=tuple(_lost(claim, suite, study, tasks)))
    if len(seeds) < 2:
        why = f"{len(seeds)} complete seed{'s' * (len(seeds) != 1)} of {len(wanted)}: at least 2 are needed."
        return replace(found, seeds=len(seeds), absent=INVALID if seeds else NOT_MEASURED, because=why)
    arm, against = (np.array([[column[seed] for column in side] for seed in seeds]) for side in columns)
    if not (np.isfinite(arm).all() and np.isfinite(against).all()):
        why = f"The results do not record what the metric {claim.metric!r} needs."
        return replace(found, absent=NOT_MEASURED, because=why)
    test = form(claim.test, claim.method, claim.margin)
    return replace(
        found,
        seeds=len(seeds),
        data=Data(tasks, seeds, arm, against),
        outcome=test.outcome(arm, against, ledger.level),
        by_task={task: test.outcome(arm[:, [at]], against[:, [at]], ledger.level) for at, task in enumerate(tasks)},
    )


def common_seeds(claim: Claim, suite: Suite) -> list[int]:
    """The seeds that the suite registers on every task of the claim."""
    registered = [suite.registered(claim.pair, task).seeds for task in tasks_of(claim, suite)]
    return [seed for seed in registered[0] if all(seed in seeds for seeds in registered)]


def _informative(claim: Claim, study: Study, task: str, mode: str) -> bool:
    """Whether one of the claim's arms leaves the task's floor, as far as the suite records one."""
    reference = study.suite.references[task]
    arms = [study.curves[task, arm].returns[mode] for arm in (claim.arm, claim.against)]
    return reference.floor is None or any(leaves(each, reference.floor, reference.low) for each in arms)


def leaves(returns: Array, floor: float, low: float) -> bool:
    """Whether an arm with `returns [n, S]` has done better than its task's `floor` at some evaluation.

    It has where the 95 % t interval of its mean over seeds lies above the floor. A floor that is the task's `low` is no mean of better and
    worse episodes: nobody reaches it by chance from below, so there one seed above it is enough.
    """
    if not len(returns):
        return False
    if floor <= low:
        return bool((returns > floor).any())
    means = [mean_interval(each) for each in returns.T]
    lows = [mean.value if mean.why == NO_VARIANCE else mean.low for mean in means]
    return any(low is not None and low > floor for low in lows)


def values(claim: Claim, study: Study, task: str, arm: str, mode: str) -> dict[int, float]:
    """seed -> value of the claim's metric, for the seeds found; NaN where it was not recorded."""
    curves = study.curves[task, arm]
    if not curves.seeds:
        return {}
    found = METRICS[claim.metric].of(study.score(task, curves.returns[mode]), curves.entropy, curves.steps)
    return dict(zip(curves.seeds, found.tolist(), strict=True))


def _lost(claim: Claim, suite: Suite, study: Study, tasks: list[str]) -> list[str]:
    """Missing and diverged members of the claim's two arms, one line each."""
    lines = []
    for task in tasks:
        for arm in (claim.arm, claim.against):
            curves = study.curves[task, arm]
            registered = suite.registered(claim.pair, task).seeds
            lines += [f"{arm} on {task}, seed {seed}: missing" for seed in registered if seed not in curves.seeds]
            lines += [
                f"{arm} on {task}, seed {seed}: diverged"
                for seed, flags in zip(curves.seeds, curves.diverged, strict=True)
                if flags[-1]
            ]
    return lines


def as_if_lost_had_ended(measured: Measured, suite: Suite, study: Study, mode: str) -> dict[str, Measured]:
    """`best`, `worst` -> the claim as if every lost seed had ended so for it; {} where none was lost or the metric has no bounds."""
    claim, data, bounds = measured.claim, measured.data, METRICS[measured.claim.metric].bounds
    if not measured.lost or data is None or bounds is None:
        return {}
    seeds = common_seeds(claim, suite)
    low = min(bounds[0], data.arm.min(), data.against.min())
    high = max(bounds[1], data.arm.max(), data.against.max())
    found = {}
    for case, ends in (("best", (high, low)), ("worst", (low, high))):
        sides: list[Array] = []
        for name, end in zip((claim.arm, claim.against), ends, strict=True):
            columns = []
            for task in data.tasks:
                known, curves = values(claim, study, task, name, mode), study.curves[task, name]
                gone = {seed for seed, flags in zip(curves.seeds, curves.diverged, strict=True) if flags[-1]}
                columns.append([end if seed in gone else known.get(seed, end) for seed in seeds])
            sides.append(np.array(columns).T)
        arm, against = sides
        outcome = form(claim.test, claim.method, claim.margin).outcome(arm, against, measured.level)
        found[case] = replace(measured, data=Data(data.tasks, seeds, arm, against), outcome=outcome)
    return found
