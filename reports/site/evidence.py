"""The numbers of a study, computed once: its tables and its figures are both made from them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from reports.figures.learning import Curve, Learning
from reports.figures.scores import Difference, OnTask, Profiles
from reports.figures.style import Look, looks
from reports.statistics import bootstrap
from reports.statistics.intervals import Array, Estimate, centre, difference, fewest, mean_interval
from reports.statistics.numerals import numeral, typeset
from reports.statistics.scores import Study

SAME_ENTROPY = 0.01
"""Nats: entropies that differ by less everywhere are a schedule's, not a policy's."""


@dataclass(frozen=True)
class Block:
    """A comparison over all tasks (the complete block), or over the seeds found on one task: normalized final scores."""

    where: str
    soft: str
    hard: str
    found: Estimate
    means: tuple[float, float]
    seeds: tuple[int, int]


@dataclass(frozen=True)
class Evidence:
    """All numbers of one pair. What needs a complete block of seeds and tasks is empty, or None, where there is none."""

    study: Study
    looks: dict[str, Look]
    differences: list[Difference]
    """Of every comparison, in every evaluation mode."""
    blocks: list[Block]
    aggregates: dict[str, dict[str, Estimate]]
    """arm -> aggregate -> estimate."""
    improvements: dict[tuple[str, str], Estimate]
    """(soft arm, its hard arm) -> probability of improvement."""
    profiles: Profiles | None
    on_tasks: list[OnTask]
    returns: dict[tuple[str, str, str], Estimate]
    """(task, arm, evaluation mode) -> final mean return, where there are seeds."""
    learning: list[Learning]
    silent: list[str]
    """Tasks without a learning curve, and why, one line each."""

    def of(self, soft: str, hard: str) -> list[Block]:
        """The blocks of one comparison."""
        return [each for each in self.blocks if (each.soft, each.hard) == (soft, hard)]

    @property
    def primary(self) -> dict[tuple[str, str], Difference]:
        """(soft arm, its hard arm) -> their difference in the registered evaluation mode."""
        mode = self.study.primary
        return {(each.soft, each.hard): each for each in self.differences if each.mode == mode}


def gather(study: Study) -> Evidence:
    """The numbers of one pair."""
    seen, silent = looks(study), _silent(study)
    matrices = study.matrices
    differences = [
        Difference(study.pair, soft, hard, mode, seen[soft], difference(*sides))
        for soft, hard in study.comparisons
        for mode in study.modes
        if (sides := study.compared((soft, hard), mode))
    ]
    return Evidence(
        study=study,
        looks=seen,
        differences=differences,
        blocks=_blocks(study),
        aggregates={arm: bootstrap.aggregates(scores) for arm, scores in matrices.items()},
        improvements={
            (soft, hard): bootstrap.improvement(matrices[soft], matrices[hard])
            for soft, hard in study.comparisons
            if soft in matrices and hard in matrices
        },
        profiles=_profiles(matrices) if matrices and study.suite.evidence else None,  # of a smoke test, numbers alone
        on_tasks=_on_tasks(study, seen),
        returns={
            (task, arm, mode): mean_interval(curves.returns[mode][:, -1])
            for (task, arm), curves in study.curves.items()
            if curves.seeds
            for mode in curves.returns
        },
        learning=[_learning(study, seen, task) for task in study.cells if task not in silent],
        silent=list(silent.values()),
    )


def _blocks(study: Study) -> list[Block]:
    mode = study.primary
    found = []
    for where in ("all", *study.cells):
        for soft, hard in study.comparisons:
            if where == "all":
                sides = study.compared((soft, hard))
            else:
                sides = [study.score(where, study.curves[where, arm].returns[mode][:, -1:]) for arm in (soft, hard)]
            if all(map(len, sides)) and sides:
                means = float(centre(sides[0])), float(centre(sides[1]))
                seeds = fewest(sides[0]), fewest(sides[1])
                found.append(Block(where, soft, hard, difference(*sides), means, seeds))
    return found


def _profiles(matrices: dict[str, Array]) -> Profiles:
    """The shares of runs above a score, where they say something: from where the first run falls short to where the last one is passed."""
    scores = np.concatenate([each.ravel() for each in matrices.values()])
    lowest, highest = float(scores.min()), float(scores.max())
    room = 0.04 * (highest - lowest) or 0.02
    thresholds, middle = np.linspace(lowest - room, highest + room, 101), (lowest + highest) / 2
    shares = {arm: bootstrap.profile(each, thresholds) for arm, each in matrices.items()}
    points = np.stack([share for share, _, _ in shares.values()])
    differs = np.flatnonzero(np.ptp(points, axis=0) > 0)
    first, last = (differs[0], differs[-1]) if len(differs) else (0, len(thresholds) - 1)
    shown = slice(max(first - 4, 0), last + 5)
    return Profiles(
        thresholds[shown],
        {arm: tuple(each[shown] for each in curves) for arm, curves in shares.items()},  # type: ignore[misc]
        middle,
        {arm: float((scores > middle).mean()) for arm, scores in matrices.items()},
    )


def _on_tasks(study: Study, seen: dict[str, Look]) -> list[OnTask]:
    """Differences of the same seed, where both arms have it; of an import, where they have the same seeds."""
    mode = study.primary
    found = []
    for soft, hard in study.comparisons:
        for task in study.cells:
            ours, theirs = study.curves[task, soft], study.curves[task, hard]
            seeds = sorted({*ours.seeds} & {*theirs.seeds})
            if seeds and (not study.imported or ours.seeds == theirs.seeds):
                final = [
                    study.score(task, each.returns[mode][[each.seeds.index(seed) for seed in seeds], -1])
                    for each in (ours, theirs)
                ]
                values = final[0] - final[1]
                found.append(OnTask(task, soft, hard, seen[soft], seeds, values, mean_interval(values)))
    return found


def _silent(study: Study) -> dict[str, str]:
    """task -> why it has no learning curve: no seeds, final scores alone, or all of them stay at one return."""
    found = {}
    for task in study.cells:
        returns = [
            curves.returns[study.primary] for (its, _), curves in study.curves.items() if its == task and curves.seeds
        ]
        if not returns:
            found[task] = f"{task}: no seeds yet."
        elif max(each.shape[1] for each in returns) < 2:
            found[task] = f"{task}: final scores alone, so there is no figure."
        elif np.ptp(flat := np.concatenate([each.ravel() for each in returns])) == 0:
            found[task] = (
                f"{task}: every seed of every arm stays at {numeral(flat[0], 'g')} throughout, so there is no figure."
            )
    return found


def _learning(study: Study, seen: dict[str, Look], task: str) -> Learning:
    mode, reference = study.primary, study.suite.references[task]
    groups = [
        [_curve(study, seen[arm], task, arm) for arm in group if study.curves[task, arm].seeds]
        for group in study.groups
    ]
    groups = [group for group in groups if group]
    curves = [curve for group in groups for curve in group]
    recorded = [curve.entropy for curve in curves if curve.entropies]
    alike = bool(recorded) and np.ptp(np.concatenate(recorded), axis=0).max() < SAME_ENTROPY
    notes = ["Entropy: the same in all arms and seeds, so it has no panel."] if alike else []
    if not alike and (planned := [curve.arm for curve in curves if curve.entropies and _scheduled(curve)]):
        groups = [
            [replace(curve, entropies=[]) if curve.arm in planned else curve for curve in group] for group in groups
        ]
        notes.append(f"Entropy of {', '.join(planned)}: a schedule, the same in all seeds, so it is not drawn.")
    for at, curve in enumerate(curves):
        same = [other.arm for other in curves[:at] if np.array_equal(other.returns, curve.returns)]
        notes += [f"{curve.arm} coincides with {same[0]}."] if same else []
    notes += [typeset(each.text) for each in study.suite.remarks if (each.pair, each.task) == (study.pair, task)]
    return Learning(
        name=f"{study.pair}-{task}",
        task=task,
        mode=mode,
        unit=study.unit,
        floor=study.extremes(task)[0],
        low=reference.low,
        high=reference.high,
        groups=groups,
        published=[
            (each.arm, each.mean, each.source)
            for each in study.suite.published
            if each.task == task and each.arm in study.arms
        ],
        entropy=bool(recorded) and not alike,
        notes=notes,
    )


def _scheduled(curve: Curve) -> bool:
    return len(curve.seeds) > 1 and bool(np.ptp(curve.entropy, axis=0).max() < SAME_ENTROPY)


def _curve(study: Study, look: Look, task: str, arm: str) -> Curve:
    curves = study.curves[task, arm]
    returns, steps = curves.returns[study.primary], curves.steps.astype(np.float64)
    recorded = np.isfinite(curves.entropy).all()
    return Curve(
        arm=arm,
        look=look,
        seeds=curves.seeds,
        steps=steps,
        returns=returns,
        entropy=curves.entropy,
        means=[mean_interval(each) for each in returns.T],
        entropies=[Estimate(float(each)) for each in curves.entropy.mean(axis=0)] if recorded else [],
        diverged=[float(steps[flags.argmax()]) for flags in curves.diverged if flags[-1]],
    )
