"""Learning curves: returns over steps and over wall time, and the policy's entropy, of every seed of some arms on one task."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.figures.picture import WIDTH, Picture, look, picture, say, short
from reports.figures.svg import mark
from reports.site.tables import Table, Value
from reports.statistics import intervals as statistics
from reports.statistics.intervals import Array, Estimate
from reports.statistics.scores import Study

LEFT, RIGHT, BELOW, GAP, ROW = 0.6, 0.12, 0.48, 0.12, 0.17
"""Margins, the gap between panels that share their x axis, and a legend's row, in inches.

Fixed ones, because a search for the best takes longer than all the rest.
"""
HEIGHT = 1.75
CROWD = 50
"""Seeds in one figure from which on only the mean of the entropy is drawn: more lines would take more room than a page has."""


def learning(study: Study, task: str, group: list[str], seconds: dict[str, float], command: str) -> Picture:
    """A hard arm and its soft arms on one task: means, bands and every seed behind them.

    `seconds`: of each arm, all its seeds together, for the whole budget; {} where they are not known, and then no panel shows time.
    """
    mode = study.suite.evaluation.primary
    shown = [arm for arm in group if study.curves[task, arm].seeds]
    published = [each for each in study.suite.published if each.task == task and each.arm in group]
    labels = [textwrap.fill(f"{short(each.arm)}, published: {each.source}", 52) for each in published]
    means = {arm: _means(study.curves[task, arm].returns[mode]) for arm in shown}
    entropies = [arm for arm in shown if np.isfinite(study.curves[task, arm].entropy).any()]
    steps = {arm: study.curves[task, arm].steps.astype(np.float64) for arm in shown}

    def returns(axes: Axes) -> None:
        for arm in shown:
            _curves(axes, study, arm, steps[arm], study.curves[task, arm].returns[mode], study.curves[task, arm].seeds)
            _band(axes, study, arm, steps[arm], means[arm])
            for flags in study.curves[task, arm].diverged:
                if flags[-1]:
                    at, floor = steps[arm][int(flags.argmax())], study.suite.references[task].low
                    mark(axes.plot(at, floor, "x", color=look(study, arm)[0], markersize=7, markeredgewidth=2)[0], arm)
        for each, label in zip(published, labels, strict=True):
            axes.axhline(each.mean, color=look(study, each.arm)[0], linestyle=(0, (5, 3)), linewidth=1.1, label=label)
        axes.set(ylabel=f"return, {mode}", **({} if entropies else {"xlabel": "environment steps"}))
        axes.xaxis.set_major_formatter(lambda value, _: "" if entropies else _thousands(value))

    def time(axes: Axes) -> None:
        for arm in shown:
            scaled = steps[arm] * seconds[arm] / steps[arm][-1]
            _curves(
                axes,
                study,
                arm,
                scaled,
                study.curves[task, arm].returns[mode],
                study.curves[task, arm].seeds,
                copy=True,
            )
            _band(axes, study, arm, scaled, [Estimate(each.value) for each in means[arm]])
        axes.set(
            xlabel="seconds of computing, all seeds of an arm", ylabel="return", ylim=axes.figure.axes[0].get_ylim()
        )

    def entropy(axes: Axes) -> None:
        for arm in entropies:
            values = study.curves[task, arm].entropy
            if not crowded:
                _curves(axes, study, arm, steps[arm], values, study.curves[task, arm].seeds)
            _band(axes, study, arm, steps[arm], [Estimate(float(each)) for each in values.mean(axis=0)])
        axes.set(xlabel="environment steps", ylabel="entropy in nats")
        axes.xaxis.set_major_formatter(lambda value, _: _thousands(value))

    crowded = sum(len(study.curves[task, arm].seeds) for arm in shown) > CROWD
    timed = set(shown) <= set(seconds)
    panels = [returns, *([entropy] if entropies else []), *([time] if timed else [])]
    rows = len(shown) + sum(label.count("\n") + 1 for label in labels) if published else (len(shown) + 1) // 2
    height = rows * ROW + 0.15 + HEIGHT + (GAP + HEIGHT if entropies else 0) + (BELOW + HEIGHT if timed else 0) + BELOW
    columns = [*shown, *(f"{arm}, entropy" for arm in entropies)]
    finals = [(arm, means[arm][-1]) for arm in shown]
    return picture(
        f"{study.pair}-{task}-{group[0]}",
        task if len(study.groups) == 1 else f"{task}: {group[0]} and its soft arms",
        "Bold line: mean over seeds; band (of returns over steps): its 95 % t interval; thin lines: single seeds"
        + ("; × marks where a seed diverged" if any(study.curves[task, arm].diverged.any() for arm in shown) else "")
        + ("; dashed: published figures, for reference only" if published else "")
        + ". Bands that overlap throughout give no reason to prefer an arm."
        + (" Of the entropy, the means alone." if entropies and crowded else "")
        + (
            " Time: steps, scaled by what all seeds of the arm together took (from a sidecar, no part of the results)."
            if timed
            else ""
        ),
        f"Final mean return on {task}: " + "; ".join(f"{arm} {say(each, 1)}" for arm, each in finals),
        command,
        lambda figure: _draw(figure, panels, height, rows, 1 if published else 2),
        height,
        Table(
            f"{study.pair}-{task}-{group[0]}-drawn",
            f"Curves drawn: {task}",
            "Mean return and its 95 % t interval at every evaluation; mean entropy in nats.",
            ["step", *columns],
            _rows(study, task, shown, means, entropies),
        ),
        layout=None,
    )


def _draw(figure: Figure, panels: Sequence[Callable[[Axes], None]], height: float, rows: int, columns: int) -> None:
    width = (WIDTH - LEFT - RIGHT) / WIDTH
    bottom = height - rows * ROW - 0.15
    for place, panel in enumerate(panels):
        bottom -= HEIGHT + (BELOW if place and figure.axes[-1].get_xlabel() else GAP if place else 0)
        axes = figure.add_axes((LEFT / WIDTH, bottom / height, width, HEIGHT / height))
        panel(axes)
        axes.tick_params(bottom=False, left=False)  # the grid shows where
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_locator(MaxNLocator(4))
    handles, labels = figure.axes[0].get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="upper left", ncols=columns, fontsize=8, borderaxespad=0.1)
    for handle, text, label in zip(legend.legend_handles, legend.get_texts(), labels, strict=True):
        for artist in filter(None, (handle, text)):
            mark(artist, label)


def _curves(axes: Axes, study: Study, arm: str, x: Array, values: Array, seeds: list[int], copy: bool = False) -> None:
    """One thin line a seed; `copy`: those of an earlier panel on another time scale."""
    lines = LineCollection(
        [np.column_stack([x, each]) for each in values], colors=look(study, arm)[0], linewidths=0.5, alpha=0.35
    )
    mark(lines, arm, seeds, copy)
    axes.add_collection(lines)


def _band(axes: Axes, study: Study, arm: str, x: Array, points: list[Estimate]) -> None:
    """The mean, and its interval where there is one."""
    color, marker = look(study, arm)
    values = [each.value for each in points]
    if any(each.low is not None for each in points):
        low = [each.value if each.low is None else each.low for each in points]
        high = [each.value if each.high is None else each.high for each in points]
        mark(axes.fill_between(x, low, high, color=color, alpha=0.13, linewidth=0), arm)
    every = max(1, len(x) // 5)
    mark(
        axes.plot(
            x, values, color=color, marker=marker, markersize=4, markevery=every, linewidth=1.6, label=short(arm)
        )[0],
        arm,
    )


def _means(returns: Array) -> list[Estimate]:
    return [statistics.mean_interval(returns[:, segment]) for segment in range(returns.shape[1])]


def _rows(
    study: Study, task: str, shown: list[str], means: dict[str, list[Estimate]], entropies: list[str]
) -> list[list[Value]]:
    if not shown:
        return []
    rows: list[list[Value]] = []
    mean_entropy = {arm: study.curves[task, arm].entropy.mean(axis=0) for arm in entropies}
    for segment, step in enumerate(study.curves[task, shown[0]].steps):
        rows.append(
            [
                int(step),
                *(means[arm][segment] for arm in shown),
                *(f"{mean_entropy[arm][segment]:.3f}" for arm in entropies),
            ]
        )
    return rows


def _thousands(value: float) -> str:
    return f"{value / 1e6:g}M" if value >= 1e6 else f"{value / 1e3:g}k" if value >= 1e3 else f"{value:g}"
