"""The numbers of a study, computed once: its tables and its figures are both made from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reports.figures.learning import Curve, Learning
from reports.figures.scores import Difference, OnTask, Profiles
from reports.figures.style import Look, looks
from reports.statistics import bootstrap
from reports.statistics.intervals import Array, Estimate, difference, mean_interval
from reports.statistics.scores import Study


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

    @property
    def primary(self) -> dict[tuple[str, str], Difference]:
        """(soft arm, its hard arm) -> their difference in the registered evaluation mode."""
        mode = self.study.primary
        return {(each.soft, each.hard): each for each in self.differences if each.mode == mode}


def gather(study: Study) -> Evidence:
    """The numbers of one pair."""
    seen = looks(study)
    matrices = {arm: study.matrix(arm) for arm in study.arms} if study.seeds else {}
    differences = [
        Difference(
            study.pair, soft, hard, mode, seen[soft], difference(study.matrix(soft, mode), study.matrix(hard, mode))
        )
        for soft, hard in (study.comparisons if matrices else [])
        for mode in study.suite.modes
    ]
    return Evidence(
        study=study,
        looks=seen,
        differences=differences,
        blocks=_blocks(study, matrices),
        aggregates={arm: bootstrap.aggregates(scores) for arm, scores in matrices.items()},
        improvements={
            (soft, hard): bootstrap.improvement(matrices[soft], matrices[hard])
            for soft, hard in (study.comparisons if matrices else [])
        },
        profiles=_profiles(matrices) if matrices else None,
        on_tasks=_on_tasks(study, seen),
        returns={
            (task, arm, mode): mean_interval(curves.returns[mode][:, -1])
            for (task, arm), curves in study.curves.items()
            if curves.seeds
            for mode in study.suite.modes
        },
        learning=[_learning(study, seen, task, group) for task in study.cells for group in study.groups],
    )


def _blocks(study: Study, matrices: dict[str, Array]) -> list[Block]:
    mode = study.primary
    scores = {"all": matrices} if matrices else {}
    for task in study.cells:
        scores[task] = {arm: study.score(task, study.curves[task, arm].returns[mode][:, -1:]) for arm in study.arms}
    found = []
    for where, of_arm in scores.items():
        for soft, hard in study.comparisons:
            ours, theirs = of_arm[soft], of_arm[hard]
            if len(ours) and len(theirs):
                means = float(ours.mean()), float(theirs.mean())
                found.append(Block(where, soft, hard, difference(ours, theirs), means, (len(ours), len(theirs))))
    return found


def _profiles(matrices: dict[str, Array]) -> Profiles:
    lowest = min(0.0, *(float(scores.min()) for scores in matrices.values()))
    highest = max(1.0, *(float(scores.max()) for scores in matrices.values()))
    thresholds, middle = np.linspace(lowest, highest, 101), (lowest + highest) / 2
    return Profiles(
        thresholds,
        {arm: bootstrap.profile(scores, thresholds) for arm, scores in matrices.items()},
        middle,
        {arm: float((scores > middle).mean()) for arm, scores in matrices.items()},
    )


def _on_tasks(study: Study, seen: dict[str, Look]) -> list[OnTask]:
    """Differences of the same seed, where both arms have it."""
    mode = study.primary
    found = []
    for soft, hard in study.comparisons:
        for task in study.cells:
            ours, theirs = study.curves[task, soft], study.curves[task, hard]
            seeds = [seed for seed in ours.seeds if seed in theirs.seeds]
            if seeds:
                final = [
                    study.score(task, each.returns[mode][[each.seeds.index(seed) for seed in seeds], -1])
                    for each in (ours, theirs)
                ]
                values = final[0] - final[1]
                found.append(OnTask(task, soft, hard, seen[soft], seeds, values, mean_interval(values)))
    return found


def _learning(study: Study, seen: dict[str, Look], task: str, group: list[str]) -> Learning:
    mode = study.primary
    return Learning(
        name=f"{study.pair}-{task}-{group[0]}",
        task=task,
        title=task if len(study.groups) == 1 else f"{task}: {group[0]} and its soft arms",
        mode=mode,
        floor=study.suite.references[task].low,
        curves=[_curve(study, seen[arm], task, arm) for arm in group if study.curves[task, arm].seeds],
        published=[
            (each.arm, each.mean, each.source)
            for each in study.suite.published
            if each.task == task and each.arm in group
        ],
    )


def _curve(study: Study, look: Look, task: str, arm: str) -> Curve:
    curves = study.curves[task, arm]
    returns, steps = curves.returns[study.primary], curves.steps.astype(np.float64)
    recorded = np.isfinite(curves.entropy).any()
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
