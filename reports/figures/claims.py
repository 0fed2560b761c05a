"""The figure of a claim: every seed of both arms, and the difference's interval against what the claim needs."""

from __future__ import annotations

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.figures.intervals import points, reference
from reports.figures.picture import Picture, Words, picture
from reports.figures.style import PLAIN, WIDTH, Look, say, short
from reports.figures.svg import mark
from reports.statistics.intervals import Array, Estimate, centre
from reports.statistics.verdicts import Data, Verdict, bar
from reports.table import NONE, Table, Value

METHODS = {
    "welch": "Welch’s t interval, stratified by task",
    "paired": "t interval of the differences by seed, stratified by task",
    "sign-flip": "interval of the exact sign-flip test of the differences by seed",
}
CROWD = 150
"""Seeds of an arm from which on marks may hide each other."""
ARM, AGAINST, DIFFERENCE = Look(PLAIN["soft1"], "o"), Look(PLAIN["ink"], "s"), Look(PLAIN["ink"], "D")


def claim(verdict: Verdict, unit: str, command: str) -> Picture:
    """Above: the mean over tasks of every seed, in the metric's `unit`; below: the interval. Raises ValueError if nothing was measured."""
    its, data, found = verdict.claim, verdict.data, verdict.outcome
    if data is None or found is None:
        raise ValueError("only a measured claim has a figure")
    estimate = Estimate(found.estimate, found.low, found.high, found.why)

    def draw() -> Figure:
        figure = Figure(figsize=(WIDTH, 2.9))
        above, below = (
            figure.add_axes((0.31, bottom, 0.66, height)) for bottom, height in ((0.61, 0.37), (0.15, 0.26))
        )
        above.set(xlabel=f"{unit} of each seed", ylabel=" ")
        _swarms(above, verdict, data)
        above.set_ylabel("")
        _interval(below, verdict, estimate)
        for axes in (above, below):
            axes.xaxis.set_major_locator(MaxNLocator(4))
            axes.grid(visible=False, axis="y")
            axes.grid(visible=True, axis="x")
        return figure

    words = Words(
        f"claim-{its.id}",
        f"Claim {its.id}: every seed, and the interval against the bar",
        f"Above: one mark a seed, its mean over tasks ({short(its.arm)} ●, {short(its.against)} ■), and a line at the mean. "
        f"Below: the difference with its {1 - 2 * verdict.level:.0%} {METHODS[its.method]}.",
        f"Difference {say(estimate)}; the claim holds where it is {bar(its)}. Mean of {its.arm}: {centre(data.arm):.3f}, of "
        f"{its.against}: {centre(data.against):.3f}; {verdict.counted}.",
        command,
    )
    ours = dict(zip(data.seeds, data.arm.mean(axis=1).tolist(), strict=True))
    theirs = dict(zip(data.of_against, data.against.mean(axis=1).tolist(), strict=True))
    rows: list[list[Value]] = [
        [seed, ours.get(seed, NONE), theirs.get(seed, NONE)] for seed in sorted({*ours, *theirs})
    ]
    columns = ["seed", its.arm, its.against]
    table = Table(f"claim-{its.id}-drawn", "Seeds drawn", "Mean over tasks of every seed.", columns, rows)
    return picture(words, draw, table)


def _swarms(axes: Axes, verdict: Verdict, data: Data) -> None:
    """Every seed of each arm, and a line at its mean."""
    its = verdict.claim
    sides = [
        (its.arm, data.arm.mean(axis=1), data.seeds, ARM),
        (its.against, data.against.mean(axis=1), data.of_against, AGAINST),
    ]
    for row, (arm, values, seeds, look) in enumerate(sides):
        (_swarm if len(values) <= CROWD else _strip)(axes, row, values, look)
        mark(axes.collections[-1], arm, seeds)
        axes.plot([values.mean()] * 2, [row - 0.38, row + 0.38], color=look.color, linewidth=2)
    axes.set_yticks([0, 1], [short(its.arm, 18), short(its.against, 18)])
    axes.set_ylim(1.55, -0.55)


def _swarm(axes: Axes, row: int, values: Array, look: Look) -> None:
    """seaborn's swarm: no mark hides another."""
    sns.swarmplot(
        x=values,
        y=[str(row)] * len(values),
        order=["0", "1"],
        color=look.color,
        marker=look.marker,
        size=4,
        linewidth=0,
        alpha=0.65,
        warn_thresh=1,  # seeds beyond a row's height lie on its edge
        ax=axes,
    )


def _strip(axes: Axes, row: int, values: Array, look: Look) -> None:
    """Many marks, spread evenly over the row's height in the order of the seeds: a swarm's search grows with the square of them."""
    height = (np.arange(len(values)) * 0.618034) % 1 - 0.5  # the golden ratio leaves no gaps
    axes.scatter(values, row + 0.7 * height, s=9, color=look.color, marker=look.marker, linewidth=0, alpha=0.4)


def _interval(axes: Axes, verdict: Verdict, estimate: Estimate) -> None:
    """The difference with its interval, and where the claim holds."""
    margin, test = verdict.claim.margin, verdict.claim.test
    ends = [each for each in (estimate.low, estimate.high, estimate.value, 0.0) if each is not None]
    low, high = min(*ends, -1.3 * margin), max(*ends, 1.3 * margin)
    room = 0.12 * (high - low) or 0.1
    low, high = low - room, high + room
    first = {"superiority": margin, "non-inferiority": -margin, "equivalence": -margin}[test]
    last = margin if test == "equivalence" else high
    axes.axvspan(first, last, color=PLAIN["soft3"], alpha=0.16, linewidth=0)
    for end in {first, last} - {high}:
        axes.axvline(end, color=PLAIN["soft3"], linewidth=1.4, linestyle=(0, (4, 2)))
    reference(axes, 0)
    axes.set(xlabel="difference; shaded: the claim holds", ylabel=" ")
    points(axes, [estimate], DIFFERENCE)
    axes.set(xlim=(low, high), ylim=(0.6, -0.6), yticks=[], ylabel="")
    axes.spines["left"].set_visible(False)
