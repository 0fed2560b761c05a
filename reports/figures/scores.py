"""Figures of the scores: differences, aggregates, profiles, probability of improvement."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.figures.picture import PLAIN, WIDTH, Picture, interval, look, picture, say, short
from reports.figures.svg import mark
from reports.site.tables import Table, Value
from reports.statistics import bootstrap
from reports.statistics import intervals as statistics
from reports.statistics.intervals import Array, Estimate
from reports.statistics.scores import Study


def forest(studies: Sequence[Study], evidence: Sequence[tuple[str, str, str, Estimate]], command: str) -> Picture:
    """Differences soft - hard of all pairs with their intervals; `evidence` holds (pair, soft arm, hard arm, difference)."""
    by_pair = {study.pair: study for study in studies}

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for row, (pair, soft, hard, estimate) in enumerate(evidence):
            color, marker = look(by_pair[pair], soft)
            interval(axes, estimate, -row, color, marker)
            axes.text(
                0, -row + 0.24, f"{soft} − {hard}", transform=axes.get_yaxis_transform(), fontsize=8.5, in_layout=False
            )
        axes.axvline(0, color=PLAIN["ink"], linewidth=1)
        axes.set(
            ylim=(-len(evidence) + 0.4, 0.75),
            yticks=[],
            xlabel="← hard better · difference of mean scores · soft better →",
        )
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
        Table("evidence-drawn", "Differences drawn", "", ["pair", "soft arm", "hard arm", "difference"], evidence),
    )


def by_task(study: Study, command: str) -> Picture:
    """Differences by seed, soft - hard, on each task: every seed, the mean and its t interval; one panel a comparison."""
    mode = study.suite.evaluation.primary
    found: dict[tuple[str, str], list[tuple[str, list[int], Array, Estimate]]] = {}
    rows: list[list[Value]] = []
    for soft, hard in study.comparisons:
        for task in dict.fromkeys(task for task, _ in study.curves):
            ours, theirs = (_final(study, task, arm, mode) for arm in (soft, hard))
            seeds = [seed for seed in ours if seed in theirs]
            if seeds:
                differences = np.array([ours[seed] - theirs[seed] for seed in seeds])
                found.setdefault((soft, hard), []).append(
                    (task, seeds, differences, statistics.mean_interval(differences))
                )
                rows.append([task, soft, hard, len(seeds), found[soft, hard][-1][-1]])
    row, gap = 0.24, 0.55
    height = sum(len(each) * row + gap for each in found.values()) + 0.3

    def draw(figure: Figure) -> None:
        top, left = height - 0.1, 1.15
        for (soft, hard), lines in found.items():
            high = len(lines) * row
            top -= high + 0.2
            axes = figure.add_axes((left / WIDTH, top / height, (WIDTH - left - 0.1) / WIDTH, high / height))
            top -= gap - 0.2
            color, marker = look(study, soft)
            for place, (_, seeds, differences, estimate) in enumerate(lines):
                mark(
                    axes.vlines(differences, -place - 0.24, -place + 0.24, color=color, alpha=0.8, linewidths=0.9),
                    soft,
                    seeds,
                )
                interval(axes, estimate, -place, color, marker)
            axes.axvline(0, color=PLAIN["ink"], linewidth=1)
            axes.set_title(f"{short(soft)} − {short(hard)}", fontsize=8.5, loc="left", pad=3)
            axes.set_yticks(
                [-place for place in range(len(lines))], [short(task, 16) for task, *_ in lines], fontsize=8
            )
            axes.set_ylim(-len(lines) + 0.4, 0.6)
            axes.tick_params(axis="y", length=0)
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.margins(x=0.08)

    return picture(
        f"{study.pair}-by-task",
        "Differences by seed on each task",
        "Soft minus hard score of the same seed at the final evaluation. Strokes: single seeds; marker and bar: the mean and its 95 % t "
        "interval. Right of the line at 0 the soft arm is ahead. Descriptive: not corrected for the number of rows.",
        "; ".join(
            f"{task}, {soft} minus {hard}: {say(estimate)}"
            for (soft, hard), lines in found.items()
            for task, _, _, estimate in lines
        )
        or "no task has both arms of a comparison",
        command,
        draw,
        height,
        Table(
            f"{study.pair}-by-task",
            "Differences by seed on each task",
            "",
            ["task", "soft arm", "hard arm", "seeds", "difference"],
            rows,
        ),
        layout=None,
    )


def modes(study: Study, found: Sequence[tuple[str, str, str, Estimate]], command: str) -> Picture:
    """The differences in both evaluation modes; `found` holds (soft arm, hard arm, mode, difference)."""

    both = len(study.suite.modes)

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for row, (soft, hard, _, estimate) in enumerate(found):
            place = -1.25 * (row // both) - 0.42 * (row % both)
            interval(axes, estimate, place, look(study, soft)[0], "os"[row % both])
            if row % both == 0:
                label = f"{soft} − {hard}"
                axes.text(0, place + 0.28, label, transform=axes.get_yaxis_transform(), fontsize=8.5, in_layout=False)
        axes.axvline(0, color=PLAIN["ink"], linewidth=1)
        axes.set(
            ylim=(-1.25 * len(found) / both + 0.4, 0.8),
            yticks=[],
            xlabel="difference of mean scores: ● sampled, ■ greedy actions",
        )
        axes.margins(x=0.12)
        axes.spines["left"].set_visible(False)

    return picture(
        f"{study.pair}-modes",
        "Sampled against greedy evaluation",
        "The same comparison with actions drawn from the policy (●) and with the policy’s best action (■): where the two bars lie on "
        "different sides of 0, the choice of the evaluation decides. The verdicts use "
        f"{study.suite.evaluation.primary} actions, as registered.",
        "; ".join(f"{soft} minus {hard}, {mode}: {say(estimate)}" for soft, hard, mode, estimate in found),
        command,
        draw,
        0.9 + 0.58 * len(found) / both,
        Table(
            f"{study.pair}-modes", "Both evaluation modes", "", ["soft arm", "hard arm", "actions", "difference"], found
        ),
    )


def _final(study: Study, task: str, arm: str, mode: str) -> dict[int, float]:
    """seed -> score at the final evaluation."""
    curves = study.curves[task, arm]
    return (
        dict(zip(curves.seeds, study.score(task, curves.returns[mode][:, -1]).tolist(), strict=True))
        if curves.seeds
        else {}
    )


def intervals(study: Study, found: dict[str, dict[str, Estimate]], command: str) -> Picture:
    """rliable's interval plot: aggregate `found[arm][name]` of every arm, one panel an aggregate."""
    rows: list[list[Value]] = [[arm, *found[arm].values()] for arm in study.arms]

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
        "; ".join(
            f"{arm}: " + ", ".join(f"{name} {say(each)}" for name, each in found[arm].items()) for arm in study.arms
        ),
        command,
        draw,
        1.2 + 0.36 * len(study.arms),
        Table(f"{study.pair}-aggregates-drawn", "Aggregates drawn", "", ["arm", *bootstrap.AGGREGATES], rows),
    )


def improvements(study: Study, found: dict[str, Estimate], command: str) -> Picture:
    """Probability of improvement `found[soft arm]` over its hard arm."""
    rows: list[list[Value]] = [[soft, hard, found[soft]] for soft, hard in study.comparisons]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for row, (soft, hard) in enumerate(study.comparisons):
            interval(axes, found[soft], -row, *look(study, soft))
            axes.text(
                0,
                -row + 0.24,
                f"P({soft} > {hard})",
                transform=axes.get_yaxis_transform(),
                fontsize=8.5,
                in_layout=False,
            )
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
        Table(
            f"{study.pair}-improvement-drawn", "Probabilities drawn", "", ["soft arm", "hard arm", "probability"], rows
        ),
    )


def profiles(study: Study, matrices: dict[str, Array], command: str) -> Picture:
    """Performance profiles: the share of runs above each score, with pointwise bands."""
    lowest = min(0.0, *(float(scores.min()) for scores in matrices.values()))
    highest = max(1.0, *(float(scores.max()) for scores in matrices.values()))
    thresholds = np.linspace(lowest, highest, 101)
    curves = {arm: bootstrap.profile(scores, thresholds) for arm, scores in matrices.items()}
    shares_drawn = {
        arm: [Estimate(float(at), float(low), float(high)) for at, low, high in zip(*curve, strict=True)]
        for arm, curve in curves.items()
    }

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for arm, (share, low, high) in curves.items():
            color, marker = look(study, arm)
            axes.fill_between(thresholds, low, high, color=color, alpha=0.13, linewidth=0)
            axes.plot(
                thresholds,
                share,
                color=color,
                marker=marker,
                markevery=20,
                markersize=4,
                linewidth=1.4,
                label=short(arm),
            )
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
        Table(
            f"{study.pair}-profiles-drawn",
            "Profiles drawn",
            "Share of runs above the score, with its band; every fifth of the points drawn.",
            ["score above", *matrices],
            [[f"{thresholds[at]:.2f}", *(shares_drawn[arm][at] for arm in matrices)] for at in range(0, 101, 5)],
        ),
    )
