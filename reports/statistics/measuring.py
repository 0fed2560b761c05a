"""What finished cells say about one claim, in one evaluation mode, before any correction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.errors import InputError, suggestion
from harness.schema.claims import Claim, Ledger, Side, changes, tasks_of
from harness.schema.grid import base
from harness.schema.suite import Suite
from reports.statistics.forms import form
from reports.statistics.forms.form import INVALID, NOT_MEASURED, Outcome
from reports.statistics.forms.spread import TEST as SPREAD
from reports.statistics.intervals import NO_VARIANCE, Array, fewest, mean_interval, stack
from reports.statistics.metrics import METRICS, Recorded
from reports.statistics.scores import Damaged, Study


@dataclass(frozen=True)
class Data:
    """What a claim is judged on: `arm [n, T]` and `against [m, T]` in the claim's metric; rows are seeds, columns `tasks`.

    The rows of both are `seeds`, or those of `against` are `against_seeds`, where the arms have seeds of their own.
    """

    tasks: list[str]
    seeds: list[int]
    arm: Array
    against: Array
    against_seeds: list[int] | None = None

    @property
    def of_against(self) -> list[int]:
        """The seeds of `against`."""
        return self.seeds if self.against_seeds is None else self.against_seeds

    @property
    def counts(self) -> tuple[int, int]:
        """Seeds of each arm, on the task where they are fewest."""
        return fewest(self.arm), fewest(self.against)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One claim with its outcome; where there is none, `absent` is `invalid` or `not measured`, and `because` says why."""

    claim: Claim
    level: float
    """The ledger's level, which the intervals go with."""
    tasks: tuple[str, ...]
    """The claim's tasks, with results or without, informative or not."""
    registered: int
    """Seeds of each arm that the suite registers; of an import those used and those begun and lost."""
    seeds: int = 0
    """Seeds of each arm in the complete block; of arms with seeds of their own, those of the arm that has fewer."""
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

    @property
    def counted(self) -> str:
        """`8 of 8 seeds`, `3 of 4 seeds`; of arms with unequal numbers of seeds `6 and 3 seeds`, and how many are missing."""
        counts = self.data.counts if self.data is not None else (self.seeds, self.seeds)
        if len({*counts}) == 1:
            return f"{self.seeds} of {self.registered} seeds"
        missing = self.registered - self.seeds
        return f"{counts[0]} and {counts[1]} seeds" + (f", {missing} missing" if missing else "")


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
    for side in claim.arms:
        if not behind(claim, study.hard_of, side):
            where, what = f"suites/{suite.name}/claims.yaml: {claim.id}", WANTED[claim.of]
            raise InputError(f"{where}: {side!r} is no {what} of these results{suggestion(side, study.arms)}")
    idle = [task for task in tasks if not _informative(claim, study, task, mode)]
    found = replace(found, uninformative=tuple(idle))
    if idle and ledger.uninformative == "leave-out":
        tasks = [task for task in tasks if task not in idle]
    if not tasks:
        why = f"No task says anything: neither arm leaves the floor of {', '.join(idle)}."
        return replace(found, absent=INVALID, because=why)
    data = _data(claim, study, tasks, mode, wanted)
    seeds = min(data.counts)
    missing = _missing(claim, study, tasks)
    if study.imported:
        gone = [{seed for its, _, seed in missing if its == arm} for arm in (claim.arm, claim.against)]
        most = max(map(len, gone)) if own_seeds(claim, study) else len(gone[0] | gone[1])
        found = replace(found, registered=seeds + most)
    found = replace(found, lost=tuple(_lost(claim, study, tasks, missing)))
    if seeds < 2:
        why = _too_few(claim, study, data, seeds, len(wanted))
        return replace(found, seeds=seeds, absent=INVALID if seeds else NOT_MEASURED, because=why)
    if not (np.isfinite(data.arm).all() and np.isfinite(data.against).all()):
        why = f"The results do not record what the metric {claim.metric!r} needs."
        return replace(found, absent=NOT_MEASURED, because=why)
    test = form(claim.test, claim.method, claim.margin)
    alone = [(_column(data.arm, at), _column(data.against, at)) for at in range(len(tasks))]
    return replace(
        found,
        seeds=seeds,
        data=data,
        outcome=test.outcome(data.arm, data.against, ledger.level),
        by_task={task: test.outcome(*sides, ledger.level) for task, sides in zip(tasks, alone, strict=True)},
    )


WANTED = {"arm": "arm", "gain": "soft arm", "grid": "arm with a grid"}
"""What a side of a claim must be, by what of it is compared."""


def behind(claim: Claim, hard_of: Mapping[str, str | None], side: Side) -> list[str]:
    """The arms that a side of a claim is made of, among those that there are; [] for a number, or where what it needs is not among them.

    `hard_of`: arm -> the hard arm that it is compared with, None for a hard one.
    """
    if claim.of == "grid":
        return [arm for arm in hard_of if arm != side and base(arm) == side]
    if side not in hard_of or not isinstance(side, str):
        return []
    hard = hard_of[side]
    if claim.of == "gain":
        return [] if hard is None else [side, hard]
    return [side]


def _all_behind(claim: Claim, study: Study) -> list[str]:
    return list(dict.fromkeys(arm for side in (claim.arm, claim.against) for arm in behind(claim, study.hard_of, side)))


def own_seeds(claim: Claim, study: Study) -> bool:
    """Whether each arm is taken with the seeds that it has: runs of others, by a test for which they are independent."""
    return study.imported and claim.method == "welch"


def _data(claim: Claim, study: Study, tasks: list[str], mode: str, wanted: Sequence[int]) -> Data:
    """What was found: each arm's own seeds, or those that both have on every task."""
    columns = [[values(claim, study, task, arm, mode) for task in tasks] for arm in (claim.arm, claim.against)]
    if own_seeds(claim, study):
        (seeds, arm), (against_seeds, against) = map(stack, columns)
        return Data(tasks, seeds, arm, against, against_seeds)
    seeds = [seed for seed in wanted if all(seed in column for side in columns for column in side)]
    arm, against = (
        np.array([[column[seed] for column in side] for seed in seeds]).reshape(len(seeds), len(tasks))
        for side in columns
    )
    return Data(tasks, seeds, arm, against)


def _column(scores: Array, at: int) -> Array:
    """A score matrix on one of its tasks."""
    column = scores[:, [at]]
    return column.compressed()[:, None] if isinstance(column, np.ma.MaskedArray) else column


def _too_few(claim: Claim, study: Study, data: Data, seeds: int, registered: int) -> str:
    """Why there is no test, in a sentence."""
    if not study.imported:
        return f"{seeds} complete seed{'s' * (seeds != 1)} of {registered}: at least 2 are needed."
    if own_seeds(claim, study):
        counts = " and ".join(
            f"{count} of {arm}" for arm, count in zip((claim.arm, claim.against), data.counts, strict=True)
        )
        return f"There are runs with {counts} on the task where they are fewest: at least 2 of each are needed."
    return (
        f"{claim.arm} and {claim.against} have {seeds or 'no'} seed{'s' * (seeds != 1)} in common on every task, and {claim.method!r} "
        "compares runs of the same seed: at least 2 are needed; 'welch' needs none in common."
    )


def suspicions(measured: Measured, study: Study | None) -> list[str]:
    """Why seeds of the claim's arms may be parts or copies of one run, as their import found."""
    arms = (measured.claim.arm, measured.claim.against)
    if study is None or not study.imported:
        return []
    imports = [study.cells[task].manifest.imported for task in measured.tasks if task in study.cells]
    return [each.why for its in imports if its for each in its.suspected if each.arm in arms]


def common_seeds(claim: Claim, suite: Suite) -> list[int]:
    """The seeds that the suite registers on every task of the claim."""
    registered = [suite.registered(claim.pair, task).seeds for task in tasks_of(claim, suite)]
    return [seed for seed in registered[0] if all(seed in seeds for seeds in registered)]


def _informative(claim: Claim, study: Study, task: str, mode: str) -> bool:
    """Whether one of the claim's arms leaves the task's floor, as far as the suite records one."""
    reference = study.suite.references[task]
    arms = [study.curves[task, arm].returns[mode] for arm in _all_behind(claim, study)]
    return reference.floor is None or any(leaves(each, reference.floor, reference.low) for each in arms)


def leaves(returns: Array, floor: float, low: float) -> bool:
    """Whether an arm with `returns [n, S]` has done better than its task's `floor` at some evaluation.

    It has where the 95 % t interval of its mean over seeds lies above the floor. A floor that is the task's `low` is no mean of better and
    worse episodes: nobody reaches it by chance from below, so there one seed above it is enough, as long as nothing was seen below it.
    """
    if not len(returns):
        return False
    if floor <= low and not (returns < low).any():
        return bool((returns > floor).any())
    means = [mean_interval(each) for each in returns.T]
    lows = [mean.value if mean.why == NO_VARIANCE else mean.low for mean in means]
    return any(low is not None and low > floor for low in lows)


def values(claim: Claim, study: Study, task: str, side: Side, mode: str) -> dict[int, float]:
    """seed -> value of a side of the claim, for the seeds found; NaN where its metric was not recorded."""
    if not isinstance(side, str):
        return {seed: side for arm in _all_behind(claim, study) for seed in study.curves[task, arm].seeds}
    columns = [_of_arm(claim, study, task, arm, mode) for arm in behind(claim, study.hard_of, side)]
    seeds = [seed for seed in columns[0] if all(seed in column for column in columns)]
    if claim.of == "gain":
        own, hard = columns
        return {seed: own[seed] - hard[seed] for seed in seeds}
    if claim.of == "grid":
        return {seed: -float(np.ptp([column[seed] for column in columns])) for seed in seeds}
    return columns[0]


def _of_arm(claim: Claim, study: Study, task: str, arm: str, mode: str) -> dict[int, float]:
    """seed -> value of the claim's metric."""
    curves = study.curves[task, arm]
    if not curves.seeds:
        return {}
    scores, training = study.score(task, curves.returns[mode]), study.score(task, curves.training)
    recorded = Recorded(scores, training, curves.entropy, curves.steps, curves.goals, curves.goal_entropy)
    found = METRICS[claim.metric].of(recorded)
    return dict(zip(curves.seeds, found.tolist(), strict=True))


def _wanted(claim: Claim, study: Study, task: str, arm: Side) -> list[int]:
    """The seeds that a side of the claim should have on a task.

    Our own: those registered on every task. Of others: those that it was begun with, and, where runs of the same seed are compared,
    those that the other arm was begun with.
    """
    if not study.imported:
        return common_seeds(claim, study.suite)
    if own_seeds(claim, study) and isinstance(arm, str):
        return study.begun(task, arm)
    tasks = [each for each in tasks_of(claim, study.suite) if each in study.cells]
    return sorted({seed for each in tasks for arm in _all_behind(claim, study) for seed in study.begun(each, arm)})


def _missing(claim: Claim, study: Study, tasks: Sequence[str]) -> list[tuple[str, str, int]]:
    """(arm, task, seed) of the members of the claim's arms that are not there."""
    found = []
    for task in tasks:
        for arm in _all_behind(claim, study):
            there = {*study.curves[task, arm].seeds}
            wanted = _wanted(claim, study, task, arm) if study.imported else study.registered(task)
            own = study.begun(task, arm)  # paired, one that cannot be read is wanted of the other arm as well
            found += [(arm, task, seed) for seed in wanted if seed not in there and (seed >= 0 or seed in own)]
    return found


def _lost(claim: Claim, study: Study, tasks: Sequence[str], missing: Sequence[tuple[str, str, int]]) -> list[str]:
    """Missing and diverged members of the claim's arms, one line each."""
    lines = []
    for task in tasks:
        for arm in _all_behind(claim, study):
            lines += [
                f"{arm} on {task}, {f'seed {seed}' if seed >= 0 else 'a seed that cannot be read'}: missing"
                for its, on, seed in missing
                if (its, on) == (arm, task)
            ]
            lines += [f"{arm} on {task}, seed {seed}: diverged" for seed in _diverged(study, task, arm)]
    return lines


def _diverged(study: Study, task: str, arm: str) -> list[int]:
    curves = study.curves[task, arm]
    return [seed for seed, flags in zip(curves.seeds, curves.diverged, strict=True) if flags[-1]]


def as_if_lost_had_ended(measured: Measured, study: Study, mode: str) -> dict[str, Measured]:
    """`best`, `worst` -> the claim as if every lost seed had ended so for it; {} where none was lost, or nothing is known to be worst: the
    metric has no bounds, or spreads are compared, to which the lowest and the highest score do the same.

    The best and the worst are the metric's bounds, or what was seen beyond them: a task's `low` is no bound where returns lie below it.
    """
    claim, data, bounds = measured.claim, measured.data, METRICS[measured.claim.metric].bounds
    if not measured.lost or data is None or bounds is None or claim.test == SPREAD:
        return {}
    low, high = bounds
    if claim.of == "arm":
        low, high = min(low, data.arm.min(), data.against.min()), max(high, data.arm.max(), data.against.max())
    if METRICS[claim.metric].on_scale:
        ends = [study.score(task, np.array(study.extremes(task))) for task in data.tasks]
        low, high = min(low, *(each[0] for each in ends)), max(high, *(each[1] for each in ends))
    if claim.of != "arm":  # the differences that such values can have
        low, high = low - high, 0.0 if claim.of == "grid" else high - low
    found = {}
    for case, ends_of in (("best", (high, low)), ("worst", (low, high))):
        sides = []
        for name, end in zip((claim.arm, claim.against), ends_of, strict=True):
            columns = []
            for task in data.tasks:
                known = values(claim, study, task, name, mode)
                gone = {seed for arm in behind(claim, study.hard_of, name) for seed in _diverged(study, task, arm)}
                wanted, lost = _wanted(claim, study, task, name), end if isinstance(name, str) else name
                columns.append({seed: float(lost if seed in gone else known.get(seed, lost)) for seed in wanted})
            sides.append(stack(columns))
        (seeds, arm), (against_seeds, against) = sides
        outcome = form(claim.test, claim.method, claim.margin).outcome(arm, against, measured.level)
        found[case] = replace(measured, data=Data(data.tasks, seeds, arm, against, against_seeds), outcome=outcome)
    return found
