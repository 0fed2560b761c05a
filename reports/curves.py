"""Learning curves: return over steps of every seed."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports import statistics
from reports.figures import Picture, look, picture, say, short
from reports.scores import Study


def learning(study: Study, task: str, group: list[str], command: str) -> Picture:
    """Return over steps of a hard arm and its soft arms on one task: mean, t band, and every seed behind them."""
    mode = study.suite.evaluation.primary
    shown = [arm for arm in group if study.curves[task, arm].seeds]
    published = [each for each in study.suite.published if each.task == task and each.arm in group]
    labels = [textwrap.fill(f"{short(each.arm)}, published: {each.source}", 52) for each in published]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for arm in shown:
            curves, (color, marker) = study.curves[task, arm], look(study, arm)
            steps, returns = curves.steps.astype(np.float64), curves.returns[mode]
            gap = np.full((len(returns), 1), np.nan)
            traces = np.hstack([returns, gap]).ravel()
            axes.plot(np.tile(np.append(steps, np.nan), len(returns)), traces, color=color, alpha=0.35, linewidth=0.5)
            points = [statistics.mean_interval(returns[:, each]) for each in range(len(steps))]
            low = [each.value if each.low is None else each.low for each in points]
            high = [each.value if each.high is None else each.high for each in points]
            axes.fill_between(steps, low, high, color=color, alpha=0.13, linewidth=0)
            means = [each.value for each in points]
            axes.plot(
                steps, means, color=color, marker=marker, markersize=4, markevery=max(1, len(steps) // 5), linewidth=1.6, label=short(arm)
            )
            for flags in curves.diverged[curves.diverged[:, -1]]:
                first = int(flags.argmax())
                axes.plot(steps[first], study.suite.references[task].low, "x", color=color, markersize=7, markeredgewidth=2)
        for each, label in zip(published, labels, strict=True):
            color = look(study, each.arm)[0]
            axes.axhline(each.mean, color=color, linestyle=(0, (5, 3)), linewidth=1.1, label=label)
        axes.set(xlabel="environment steps", ylabel=f"return ({mode} actions)")
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1e3:g}k" if value else "0")
        figure.legend(loc="outside lower center", ncols=1 if published else 2, fontsize=8)

    finals = [(arm, statistics.mean_interval(study.curves[task, arm].returns[mode][:, -1])) for arm in shown]
    rows = len(shown) + sum(label.count("\n") + 1 for label in labels) if published else (len(shown) + 1) // 2
    return picture(
        f"{study.pair}-{task}-{group[0]}",
        task if len(study.groups) == 1 else f"{task}: {group[0]} and its soft arms",
        "Bold line: mean over seeds; band: its 95 % t interval; thin lines: single seeds"
        + ("; × marks where a seed diverged" if any(study.curves[task, arm].diverged.any() for arm in shown) else "")
        + ("; dashed: published figures, for reference only" if published else "")
        + ". Bands that overlap throughout give no reason to prefer an arm.",
        f"Final mean return on {task}: " + "; ".join(f"{arm} {say(each, 1)}" for arm, each in finals),
        command,
        draw,
        2.6 + 0.17 * rows,
    )
