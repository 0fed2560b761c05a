"""The figures of a claim: every seed of both arms and the difference's interval against what the claim needs; the whole curves' band."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle

from harness.schema.grid import base
from reports.figures.intervals import points, reference
from reports.figures.picture import Picture, Words, picture
from reports.figures.style import GLYPHS, PLAIN, WIDTH, Look, say, short
from reports.figures.svg import mark
from reports.figures.ticks import ends, label_ends
from reports.statistics.intervals import NO_VARIANCE, Array, Estimate, centre
from reports.statistics.numerals import numeral
from reports.statistics.summary.band import Band
from reports.statistics.verdicts import Data, Verdict, bar
from reports.table import NONE, Table, Value, number

METHODS = {
    "welch": "Welch’s t interval, stratified by task",
    "paired": "t interval of the differences by seed, stratified by task",
    "sign-flip": "interval of the exact sign-flip test of the differences by seed",
    "pitman-morgan": "interval of Pitman’s and Morgan’s test of paired deviations",
}
CROWD = 150
"""Seeds of an arm from which on marks may hide each other."""
DIFFERENCE = Look(PLAIN["ink"], "D")


def claim(verdict: Verdict, looks: Mapping[str, Look], unit: str, command: str) -> Picture:
    """Above: the mean over tasks of every seed, in the metric's `unit`; below: the interval. Raises ValueError if nothing was measured."""
    its, data, found = verdict.claim, verdict.data, verdict.outcome
    if data is None or found is None or found.estimate is None:
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
            # A place that is given need not be looked for.
            axes.xaxis.set_label_coords(0.5, -0.42 if axes is below else -0.28)
            axes.grid(visible=False, axis="y")
            axes.grid(visible=True, axis="x")
        return figure

    words = Words(
        f"claim-{its.id}",
        f"Claim {its.id}: every seed, and the interval against the bar",
        f"Above: one mark a seed, its mean over tasks ({_named(verdict, 0, looks)}, {_named(verdict, 1, looks)}), and a line at the mean. "
        f"Below: the {its.estimand} with its {1 - 2 * verdict.level:.0%} {METHODS[its.method]}.",
        f"{its.estimand.capitalize()} {say(estimate)}; the claim holds where it is {bar(its)}. Mean of {its.sides[0]}: "
        f"{numeral(float(centre(data.arm)), '.3f')}, of {its.sides[1]}: {numeral(float(centre(data.against)), '.3f')}; {verdict.counted}.",
        command,
    )
    ours = dict(zip(data.seeds, data.arm.mean(axis=1).tolist(), strict=True))
    theirs = dict(zip(data.of_against, data.against.mean(axis=1).tolist(), strict=True))
    rows: list[list[Value]] = [
        [seed, ours.get(seed, NONE), theirs.get(seed, NONE)] for seed in sorted({*ours, *theirs})
    ]
    columns = ["seed", *its.sides]
    table = Table(f"claim-{its.id}-drawn", "Seeds drawn", "Mean over tasks of every seed.", columns, rows)
    return picture(words, draw, table)


def whole(verdict: Verdict, band: Band, command: str) -> Picture:
    """The difference of two whole learning curves, with the band that holds all of it, against the margin."""
    its = verdict.claim
    low = float(np.nanmin([*band.low, *band.estimate, -band.margin]))
    high = float(np.nanmax([*band.high, *band.estimate, band.margin]))

    def draw() -> Figure:
        figure = Figure(figsize=(WIDTH, 2.1))
        axes = figure.add_axes((0.16, 0.24, 0.81, 0.7))
        axes.axhspan(-band.margin, band.margin, color=PLAIN["holds"], alpha=0.16, linewidth=0)
        axes.axhline(0, color=PLAIN["ink"], linewidth=1, zorder=1)
        axes.fill_between(band.share, band.low, band.high, color=DIFFERENCE.color, alpha=0.13, linewidth=0)
        axes.plot(band.share, band.estimate, color=DIFFERENCE.color, linewidth=1.6)
        label_ends(axes.yaxis, ends(low, high))
        label_ends(axes.xaxis, [0.0, 0.5, 1.0])
        axes.set(xlabel="share of the steps", ylabel="difference")
        axes.yaxis.set_label_coords(-0.16, 0.5)
        axes.xaxis.set_label_coords(0.5, -0.2)
        return figure

    words = Words(
        f"claim-{its.id}-whole",
        f"{its.id}: the whole curves",
        f"{its.contrast} after each evaluation, in the score, tasks weighted equally. Its {1 - 2 * band.level:.0%} band holds the whole "
        "curve at once (Bonferroni); shaded is the margin. Descriptive: the verdict is about the areas. " + band.said,
        f"{its.contrast} by steps. {band.said}",
        command,
    )
    rows: list[list[Value]] = [
        [number(share, ".3f"), Estimate(value, low, high) if low == low else Estimate(value, why=NO_VARIANCE)]
        for share, value, low, high in zip(*(each.tolist() for each in band.columns), strict=True)
    ]
    title = "The band drawn: the difference of scores after each evaluation."
    table = Table(f"claim-{its.id}-whole-drawn", "Band drawn", title, ["share of the steps", "difference"], rows)
    return picture(words, draw, table)


def _named(verdict: Verdict, side: int, looks: Mapping[str, Look]) -> str:
    return f"{short(verdict.claim.sides[side])} {GLYPHS[_looks(verdict, looks)[side].marker]}"


def _looks(verdict: Verdict, looks: Mapping[str, Look]) -> list[Look]:
    """Of both sides: of an arm its own, of a grid that of its first point, of a number a plain one."""
    sides = [str(side) for side in (verdict.claim.arm, verdict.claim.against)]
    return [next((look for arm, look in looks.items() if side in (arm, base(arm))), DIFFERENCE) for side in sides]


def _swarms(axes: Axes, verdict: Verdict, data: Data, looks: Mapping[str, Look]) -> None:
    """Every seed of each arm, and a line at its mean."""
    names, its_looks = verdict.claim.sides, _looks(verdict, looks)
    sides = [(names[0], data.arm.mean(axis=1), data.seeds), (names[1], data.against.mean(axis=1), data.of_against)]
    crowded = max(len(seeds) for _, _, seeds in sides) > CROWD
    (_strip if crowded else _swarm)(axes, [values for _, values, _ in sides], its_looks)
    for row, ((arm, values, seeds), dots, look) in enumerate(zip(sides, axes.collections, its_looks, strict=True)):
        mark(dots, arm, seeds)
        (line,) = axes.plot([values.mean()] * 2, [row - 0.38, row + 0.38], color=look.color, linewidth=2)
        mark(line, arm)
    axes.set_yticks([0, 1], [short(name, 18) for name in names])
    for name, label in zip(names, axes.get_yticklabels(), strict=True):
        mark(label, name)
    axes.set_ylim(1.55, -0.55)


def _swarm(axes: Axes, sides: Sequence[Array], looks: Sequence[Look]) -> None:
    """seaborn's swarms: no mark hides another."""
    rows = [str(row) for row, values in enumerate(sides) for _ in values]
    sns.swarmplot(
        x=np.concatenate(sides),
        y=rows,
        hue=rows,
        palette={str(row): look.color for row, look in enumerate(looks)},
        legend=False,
        size=4,
        linewidth=0,
        alpha=0.65,
        warn_thresh=1,  # seeds beyond a row's height lie on its edge
        ax=axes,
    )
    for look, dots in zip(looks, axes.collections, strict=True):
        marker = MarkerStyle(look.marker)
        dots.set_paths([marker.get_path().transformed(marker.get_transform())])


def _strip(axes: Axes, sides: Sequence[Array], looks: Sequence[Look]) -> None:
    """Many marks, spread evenly over a row's height in the order of the seeds: a swarm's search grows with the square of them."""
    for row, (values, look) in enumerate(zip(sides, looks, strict=True)):
        height = (np.arange(len(values)) * 0.618034) % 1 - 0.5  # the golden ratio leaves no gaps
        axes.scatter(values, row + 0.7 * height, s=9, color=look.color, marker=look.marker, linewidth=0, alpha=0.4)


def _interval(axes: Axes, verdict: Verdict, estimate: Estimate) -> None:
    """The estimate with its interval, and where the claim holds."""
    margin, test = verdict.claim.margin, verdict.claim.test
    seen = [each for each in (estimate.low, estimate.high, estimate.value, 0.0) if each is not None]
    low, high = min(*seen, -1.3 * margin), max(*seen, 1.3 * margin)
    room = 0.12 * (high - low) or 0.1
    places = ends(low - room, high + room)
    low, high = places[0], places[-1]
    first = -margin if test in ("non-inferiority", "equivalence") else margin
    last = margin if test == "equivalence" else high
    axes.axvspan(first, last, color=PLAIN["holds"], alpha=0.16, linewidth=0)
    for end in {first, last} - {high}:
        axes.axvline(end, color=PLAIN["holds"], linewidth=1.4, linestyle=(0, (4, 2)))
    reference(axes, 0)
    axes.set(xlabel=f"{verdict.claim.estimand}; shaded: the claim holds", ylabel=" ")
    points(axes, [estimate], DIFFERENCE)
    axes.set(ylim=(0.6, -0.6), yticks=[], ylabel="")
    label_ends(axes.xaxis, places)
    axes.spines["left"].set_visible(False)
