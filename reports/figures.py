"""The figures, as SVG text that is equal for equal results.

One look for all: hard arms in neutral ink, soft arms in colour (Okabe & Ito 2008), every arm with a marker of its own, so that
nothing hangs on colour alone. Colours become CSS variables in the page (light and dark) and stay plain in downloaded files.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports import bootstrap, statistics
from reports.scores import Study
from reports.statistics import Array, Estimate

PLAIN = {
    "ink": "#333333",
    "muted": "#757575",
    "grid": "#d8d8d8",
    "hard2": "#8c8c8c",
    "soft1": "#0072b2",
    "soft2": "#d55e00",
    "soft3": "#009e73",
    "soft4": "#cc79a7",
    "soft5": "#b8860b",
    "soft6": "#56b4e9",
}
HARD = [PLAIN["ink"], PLAIN["hard2"]]
SOFT = [color for name, color in PLAIN.items() if name.startswith("soft")]
MARKERS = "osD^vPX<>h*"
WIDTH = 4.3  # inches: close to a phone's width, so that text keeps its size there

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.size": 9,
    "font.sans-serif": ["DejaVu Sans"],
    "text.parse_math": False,
    "text.color": PLAIN["ink"],
    "axes.labelcolor": PLAIN["ink"],
    "axes.edgecolor": PLAIN["muted"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.xmargin": 0.06,
    "grid.color": PLAIN["grid"],
    "grid.linewidth": 0.6,
    "xtick.color": PLAIN["muted"],
    "ytick.color": PLAIN["muted"],
    "xtick.labelcolor": PLAIN["ink"],
    "ytick.labelcolor": PLAIN["ink"],
    "legend.frameon": False,
    "savefig.transparent": True,
}


@dataclass(frozen=True)
class Picture:
    """A figure: file stem, title, one sentence that says how to read it, a text alternative, and the command that remakes it."""

    name: str
    title: str
    caption: str
    alt: str
    command: str
    svg: str

    def inline(self) -> str:
        """For the page: colours are CSS variables, and the size is the container's."""
        colored = self.svg
        for name, color in PLAIN.items():
            colored = colored.replace(f": {color}", f": var(--{name})")
        return colored

    def standalone(self) -> str:
        """For the download: plain colours on white."""
        return self.svg.replace("<svg ", '<svg style="background: #ffffff" ', 1) + "\n"


def look(study: Study, arm: str) -> tuple[str, str]:
    """Colour and marker of an arm, the same in every figure of its pair."""
    kind = [other for other in study.arms if (study.hard_of[other] is None) == (study.hard_of[arm] is None)]
    palette = HARD if study.hard_of[arm] is None else SOFT
    return palette[kind.index(arm) % len(palette)], MARKERS[study.arms.index(arm) % len(MARKERS)]


def forest(studies: Sequence[Study], evidence: Sequence[tuple[str, str, str, Estimate]], command: str) -> Picture:
    """Differences soft - hard of all pairs with their intervals; `evidence` holds (pair, soft arm, hard arm, difference)."""
    by_pair = {study.pair: study for study in studies}

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for row, (pair, soft, hard, estimate) in enumerate(evidence):
            color, marker = look(by_pair[pair], soft)
            _interval(axes, estimate, -row, color, marker)
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
        "; ".join(f"{soft} minus {hard}: {_say(estimate)}" for _, soft, hard, estimate in evidence),
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
                _interval(axes, found[arm][name], -row, *look(study, arm))
            axes.set_title(name, fontsize=9)
            axes.set_yticks([-row for row in range(len(study.arms))], [_short(arm) for arm in study.arms], fontsize=8)
            axes.set_ylim(-len(study.arms) + 0.4, 0.6)
            axes.xaxis.set_major_locator(MaxNLocator(3))
            axes.tick_params(axis="y", length=0)
            axes.margins(x=0.15)

    return picture(
        f"{study.pair}-aggregates",
        "Aggregate scores",
        "Each marker is an aggregate of the final scores over seeds and tasks, each bar its 95 % bootstrap interval; right is better, "
        "except in the optimality gap, where left is better.",
        "; ".join(f"{arm}: " + ", ".join(f"{name} {_say(each)}" for name, each in found[arm].items()) for arm in study.arms),
        command,
        draw,
        1.2 + 0.36 * len(study.arms),
    )


def improvements(study: Study, found: dict[str, Estimate], command: str) -> Picture:
    """Probability of improvement `found[soft arm]` over its hard arm."""

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for row, (soft, hard) in enumerate(study.comparisons):
            _interval(axes, found[soft], -row, *look(study, soft))
            axes.text(0, -row + 0.24, f"P({soft} > {hard})", transform=axes.get_yaxis_transform(), fontsize=8.5, in_layout=False)
        axes.axvline(0.5, color=PLAIN["ink"], linewidth=1)
        axes.set(xlim=(-0.02, 1.02), ylim=(-len(found) + 0.4, 0.75), yticks=[], xlabel="probability of improvement")
        axes.spines["left"].set_visible(False)

    return picture(
        f"{study.pair}-improvement",
        "Probability of improvement",
        "The chance that a random soft run scores above a random hard run of the same task, averaged over tasks; 0.5 (the line) means "
        "that neither is ahead.",
        "; ".join(f"{soft} over {hard}: {_say(found[soft])}" for soft, hard in study.comparisons),
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
            axes.plot(thresholds, share, color=color, marker=marker, markevery=20, markersize=4, linewidth=1.4, label=_short(arm))
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


def learning(study: Study, task: str, group: list[str], command: str) -> Picture:
    """Return over steps of a hard arm and its soft arms on one task: mean, t band, and every seed behind them."""
    mode = study.suite.evaluation.primary
    shown = [arm for arm in group if study.curves[task, arm].seeds]
    published = [each for each in study.suite.published if each.task == task and each.arm in group]
    labels = [textwrap.fill(f"{_short(each.arm)}, published: {each.source}", 52) for each in published]

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
                steps, means, color=color, marker=marker, markersize=4, markevery=max(1, len(steps) // 5), linewidth=1.6, label=_short(arm)
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
        f"Final mean return on {task}: " + "; ".join(f"{arm} {_say(each, 1)}" for arm, each in finals),
        command,
        draw,
        2.6 + 0.17 * rows,
    )


def _interval(axes: Axes, estimate: Estimate, row: float, color: str, marker: str) -> None:
    """One row of an rliable interval plot: a wide pale bar for the interval, a marker for the point (hollow: no interval)."""
    axes.use_sticky_edges = False
    if estimate.low is not None and estimate.high is not None:
        axes.barh(row, estimate.high - estimate.low, left=estimate.low, height=0.34, color=color, alpha=0.35, linewidth=0)
        axes.plot([estimate.low, estimate.high], [row, row], color=color, linewidth=1)
    axes.plot(estimate.value, row, marker, color=color, markersize=6, fillstyle="none" if estimate.low is None else "full")


def _short(arm: str) -> str:
    """An arm's name as an axis label; a very long one would leave no room for the data."""
    return arm if len(arm) <= 26 else arm[:25] + "…"


def _say(estimate: Estimate, digits: int = 3) -> str:
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.{digits}f} (interval {estimate.why})"
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def picture(name: str, title: str, caption: str, alt: str, command: str, draw: Callable[[Figure], None], height: float) -> Picture:
    """Draw into a fresh figure of `WIDTH` x `height` inches and keep its SVG, without dates, scripts or unneeded ids."""
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        draw(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)
    svg = re.sub(r' d="[^"]*"', lambda path: re.sub(r"(\.\d\d)\d+", r"\1", path[0]), svg)
    box = re.search(r'viewBox="[^"]*"', svg)
    root = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {box[0] if box else ""}'
    body = re.sub(r"^<svg[^>]*>", "", svg)
    return Picture(name, title, caption, alt, command, f'{root} role="img" aria-label="{escape(alt)}">{body}')
