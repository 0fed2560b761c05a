"""Figures of the scores: differences, aggregates, profiles, probability of improvement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports import bootstrap
from reports.figures import PLAIN, Picture, interval, look, picture, say, short
from reports.scores import Study
from reports.statistics import Array, Estimate


def forest(studies: Sequence[Study], evidence: Sequence[tuple[str, str, str, Estimate]], command: str) -> Picture:
    """Differences soft - hard of all pairs with their intervals; `evidence` holds (pair, soft arm, hard arm, difference)."""
    by_pair = {study.pair: study for study in studies}

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for row, (pair, soft, hard, estimate) in enumerate(evidence):
            color, marker = look(by_pair[pair], soft)
            interval(axes, estimate, -row, color, marker)
            axes.text(0, -row + 0.24, f"{soft} − {hard}", transform=axes.get_yaxis_transform(), fontsize=8.5, in_layout=False)
        axes.axvline(0, color=PLAIN["ink"], linewidth=1)
        axes.set(ylim=(-len(evidence) + 0.4, 0.75), yticks=[], xlabel="← hard better · difference of mean scores · soft better →")
        axes.margins(x=0.12)
        axes.spines["left"].set_visible(False)

    return picture(
        "evidence",
        "Soft minus hard, all pairs",
        "Each marker is a difference of mean normalized scores and each bar its 95 % interval: a bar that crosses the line at 0 is "
        "compatible with no difference.",
        "; ".join(f"{soft} minus {hard}: {say(estimate)}" for _, soft, hard, estimate in evidence),
        command,
        draw,
        0.9 + 0.46 * len(evidence),
    )


def intervals(study: Study, found: dict[str, dict[str, Estimate]], command: str) -> Picture:
    """rliable's interval plot: aggregate `found[arm][name]` of every arm, one panel an aggregate."""

    def draw(figure: Figure) -> None:
        panels = figure.subplots(2, 2, sharey=True)
        for axes, name in zip(panels.flat, bootstrap.AGGREGATES, strict=True):
            for row, arm in enumerate(study.arms):
                interval(axes, found[arm][name], -row, *look(study, arm))
            axes.set_title(name, fontsize=9)
            axes.set_yticks([-row for row in range(len(study.arms))], [short(arm) for arm in study.arms], fontsize=8)
            axes.set_ylim(-len(study.arms) + 0.4, 0.6)
            axes.xaxis.set_major_locator(MaxNLocator(3))
            axes.tick_params(axis="y", length=0)
            axes.margins(x=0.15)

    return picture(
        f"{study.pair}-aggregates",
        "Aggregate scores",
        "Each marker is an aggregate of the final scores over seeds and tasks, each bar its 95 % bootstrap interval; right is better, "
        "except in the optimality gap, where left is better.",
        "; ".join(f"{arm}: " + ", ".join(f"{name} {say(each)}" for name, each in found[arm].items()) for arm in study.arms),
        command,
        draw,
        1.2 + 0.36 * len(study.arms),
    )


def improvements(study: Study, found: dict[str, Estimate], command: str) -> Picture:
    """Probability of improvement `found[soft arm]` over its hard arm."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for row, (soft, hard) in enumerate(study.comparisons):
            interval(axes, found[soft], -row, *look(study, soft))
            axes.text(0, -row + 0.24, f"P({soft} > {hard})", transform=axes.get_yaxis_transform(), fontsize=8.5, in_layout=False)
        axes.axvline(0.5, color=PLAIN["ink"], linewidth=1)
        axes.set(xlim=(-0.02, 1.02), ylim=(-len(found) + 0.4, 0.75), yticks=[], xlabel="probability of improvement")
        axes.spines["left"].set_visible(False)

    return picture(
        f"{study.pair}-improvement",
        "Probability of improvement",
        "The chance that a random soft run scores above a random hard run of the same task, averaged over tasks; 0.5 (the line) means "
        "that neither is ahead.",
        "; ".join(f"{soft} over {hard}: {say(found[soft])}" for soft, hard in study.comparisons),
        command,
        draw,
        0.9 + 0.46 * len(found),
    )


def profiles(study: Study, matrices: dict[str, Array], command: str) -> Picture:
    """Performance profiles: the share of runs above each score, with pointwise bands."""
    lowest = min(0.0, *(float(scores.min()) for scores in matrices.values()))
    highest = max(1.0, *(float(scores.max()) for scores in matrices.values()))
    thresholds = np.linspace(lowest, highest, 101)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for arm, scores in matrices.items():
            color, marker = look(study, arm)
            share, low, high = bootstrap.profile(scores, thresholds)
            axes.fill_between(thresholds, low, high, color=color, alpha=0.13, linewidth=0)
            axes.plot(thresholds, share, color=color, marker=marker, markevery=20, markersize=4, linewidth=1.4, label=short(arm))
        axes.set(xlabel="normalized score τ", ylabel="share of runs above τ", ylim=(-0.02, 1.02))
        figure.legend(loc="outside lower center", ncols=2, fontsize=8)

    middle = (lowest + highest) / 2
    shares = ", ".join(f"{arm} {float((scores > middle).mean()):.2f}" for arm, scores in matrices.items())
    return picture(
        f"{study.pair}-profiles",
        "Performance profiles",
        "Read up from a score to the share of all runs that did better, with a pointwise 95 % band: the higher curve is the better arm, "
        "and curves that cross have no overall winner.",
        f"Share of runs with a score above {middle:.2f}: {shares}",
        command,
        draw,
        3.1 + 0.17 * ((len(matrices) + 1) // 2),
    )
