"""The figure of a claim: every seed of both arms, and the difference's interval against what the claim needs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle

from reports.figures.intervals import points, reference
from reports.figures.picture import Picture, Words, picture
from reports.figures.style import GLYPHS, PLAIN, WIDTH, Look, say, short
from reports.figures.svg import mark
from reports.figures.ticks import ends, label_ends
from reports.statistics.intervals import Estimate
from reports.statistics.numerals import numeral
from reports.statistics.verdicts import Data, Verdict, bar
from reports.table import Table, Value

METHODS = {
    "welch": "Welch’s t interval, stratified by task",
    "paired": "t interval of the differences by seed, stratified by task",
    "sign-flip": "interval of the exact sign-flip test of the differences by seed",
}
DIFFERENCE = Look(PLAIN["ink"], "D")


def claim(verdict: Verdict, looks: Mapping[str, Look], unit: str, command: str) -> Picture:
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
        _swarms(above, verdict, data, looks)
        above.set_ylabel("")
        seen = np.concatenate([data.arm.mean(axis=1), data.against.mean(axis=1)])
        label_ends(above.xaxis, ends(float(seen.min()), float(seen.max())))
        _interval(below, verdict, estimate)
        for axes in (above, below):
            axes.xaxis.set_label_coords(
                0.5, -0.42 if axes is below else -0.28
            )  # a place that is given need not be looked for
            axes.grid(visible=False, axis="y")
            axes.grid(visible=True, axis="x")
        return figure

    words = Words(
        f"claim-{its.id}",
        f"Claim {its.id}: every seed, and the interval against the bar",
        f"Above: one mark a seed, its mean over tasks ({_named(its.arm, looks)}, {_named(its.against, looks)}), and a line at the mean. "
        f"Below: the difference with its {1 - 2 * verdict.level:.0%} {METHODS[its.method]}.",
        f"Difference {say(estimate)}; the claim holds where it is {bar(its)}. Mean of {its.arm}: {numeral(data.arm.mean(), '.3f')}, of "
        f"{its.against}: {numeral(data.against.mean(), '.3f')}; {verdict.seeds} seeds each.",
        command,
    )
    rows: list[list[Value]] = [
        [seed, float(ours), float(theirs)]
        for seed, ours, theirs in zip(data.seeds, data.arm.mean(axis=1), data.against.mean(axis=1), strict=True)
    ]
    columns = ["seed", its.arm, its.against]
    table = Table(f"claim-{its.id}-drawn", "Seeds drawn", "Mean over tasks of every seed.", columns, rows)
    return picture(words, draw, table)


def _named(arm: str, looks: Mapping[str, Look]) -> str:
    return f"{short(arm)} {GLYPHS[looks[arm].marker]}"


def _swarms(axes: Axes, verdict: Verdict, data: Data, looks: Mapping[str, Look]) -> None:
    """seaborn's swarm of each arm, and a line at its mean."""
    its = verdict.claim
    sides = [(its.arm, data.arm.mean(axis=1)), (its.against, data.against.mean(axis=1))]
    rows = [str(row) for row, (_, values) in enumerate(sides) for _ in values]
    sns.swarmplot(
        x=np.concatenate([values for _, values in sides]),
        y=rows,
        hue=rows,
        palette={str(row): looks[arm].color for row, (arm, _) in enumerate(sides)},
        legend=False,
        size=4,
        linewidth=0,
        alpha=0.65,
        warn_thresh=1,  # seeds beyond a row's height lie on its edge
        ax=axes,
    )
    for row, ((arm, values), dots) in enumerate(zip(sides, axes.collections, strict=True)):
        marker = MarkerStyle(looks[arm].marker)
        dots.set_paths([marker.get_path().transformed(marker.get_transform())])
        mark(dots, arm, data.seeds)
        (line,) = axes.plot([values.mean()] * 2, [row - 0.38, row + 0.38], color=looks[arm].color, linewidth=2)
        mark(line, arm)
    axes.set_yticks([0, 1], [short(its.arm, 18), short(its.against, 18)])
    axes.set_ylim(1.55, -0.55)


def _interval(axes: Axes, verdict: Verdict, estimate: Estimate) -> None:
    """The difference with its interval, and where the claim holds."""
    margin, test = verdict.claim.margin, verdict.claim.test
    seen = [each for each in (estimate.low, estimate.high, estimate.value, 0.0) if each is not None]
    low, high = min(*seen, -1.3 * margin), max(*seen, 1.3 * margin)
    room = 0.12 * (high - low) or 0.1
    places = ends(low - room, high + room)
    low, high = places[0], places[-1]
    first = {"superiority": margin, "non-inferiority": -margin, "equivalence": -margin}[test]
    last = margin if test == "equivalence" else high
    axes.axvspan(first, last, color=PLAIN["holds"], alpha=0.16, linewidth=0)
    for end in {first, last} - {high}:
        axes.axvline(end, color=PLAIN["holds"], linewidth=1.4, linestyle=(0, (4, 2)))
    reference(axes, 0)
    axes.set(xlabel="difference; shaded: the claim holds", ylabel=" ")
    points(axes, [estimate], DIFFERENCE)
    axes.set(ylim=(0.6, -0.6), yticks=[], ylabel="")
    label_ends(axes.xaxis, places)
    axes.spines["left"].set_visible(False)
