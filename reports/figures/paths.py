"""Paths of trained policies on a plane with goals, and their actions at a few places, from what was recorded: soft beside hard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from harness.schema.paths import Moves, Paths, Point
from reports.figures.picture import Picture, Words, picture
from reports.figures.style import PLAIN, SMALL, WIDTH, Look, short
from reports.figures.svg import mark
from reports.statistics.intervals import Array
from reports.statistics.numerals import numeral
from reports.table import Said, Table, Value, worded

ACROSS = 3
"""Panels side by side, at most."""
GAP, TITLE, LETTER = 0.1, 0.2, 0.2
"""Inches: between panels and at the edge; a panel's title; the letter above a small panel."""


def paths(pair: str, cell: str, looks: Mapping[str, Look], record: Paths, command: str) -> Picture:
    """A panel an arm, in the record's order; below each what its policy does at the places `at`."""
    across = min(ACROSS, max(2, len(record.members)))
    wide = (WIDTH - GAP * (across + 1)) / across
    small = (wide - GAP * (len(record.at) - 1)) / len(record.at)
    tall = TITLE + wide + LETTER + small + GAP
    height = tall * -(-len(record.members) // across) + GAP / 2

    def draw() -> Figure:
        figure = Figure(figsize=(WIDTH, height))
        for number, each in enumerate(record.members):
            line, column = divmod(number, across)
            left, top = GAP + column * (wide + GAP), height - line * tall - TITLE
            _plane(_square(figure, left, top, wide), record, each, looks[each.arm])
            for at, actions in enumerate(each.actions):
                axes = _square(figure, left + at * (small + GAP), top - wide - LETTER, small)
                _actions(axes, chr(65 + at), each.arm, actions, looks[each.arm])
        return figure

    name = f"{pair}-{cell}-paths"
    places = ", ".join(f"{chr(65 + at)} {_said(place)}" for at, place in enumerate(record.at))
    title = f"{cell}: paths of sampled actions"
    words = Words(
        name,
        title,
        f"Of each arm’s median seed by final return: {len(record.members[0].paths)} episodes from {_said(record.members[0].paths[0][0])}, "
        "each ending in a dot. Green: the goals; grey: equal reward at rest, by distance to the nearest goal. Below: "
        f"{len(record.members[0].actions[0])} sampled actions, from −1 to 1 on both axes, at {places}.",
        "; ".join(f"{each.arm}, seed {each.seed}: {_ended(record, each)}" for each in record.members),
        command,
    )
    rows = [row for each in record.members for row in _rows(record, each)]
    caption = (
        "Every place of every path, and every action sampled; the page tells where a path ends and the mean action."
    )
    data = Table(f"{name}-drawn", f"Drawn: {title}", caption, ["arm", "seed", "drawn", "points"], rows)
    return picture(words, draw, data)


def _square(figure: Figure, left: float, top: float, side: float) -> Axes:
    """Axes by place and size in inches, without ticks."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((left / width, (top - side) / height, side / width, side / height))
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(visible=True, color=PLAIN["grid"])
    return axes


def _plane(axes: Axes, record: Paths, its: Moves, look: Look) -> None:
    goals, edge = np.array(record.goals), record.edge
    line = np.linspace(-edge, edge, 57)
    away = _away(np.stack(np.meshgrid(line, line), -1), goals)
    if levels := _levels(float(away.max())):
        look_at_rest: dict[str, Any] = {"colors": PLAIN["grid"], "linewidths": 0.6, "linestyles": "-"}
        axes.contour(line, line, -np.square(away), levels, **look_at_rest)
    sns.scatterplot(x=goals[:, 0], y=goals[:, 1], color=PLAIN["holds"], s=26, linewidth=0, ax=axes)
    axes.add_collection(
        LineCollection([np.array(path) for path in its.paths], colors=look.color, linewidths=0.8, alpha=0.6)
    )
    last = np.unique([path[-1] for path in its.paths], axis=0)
    sns.scatterplot(x=last[:, 0], y=last[:, 1], color=look.color, s=9, linewidth=0, ax=axes)
    for at, (x, y) in enumerate(record.at):
        axes.annotate(
            chr(65 + at), (x, y), (0, 3), textcoords="offset points", ha="center", fontsize=SMALL, fontweight="bold"
        )
        axes.plot(x, y, "s", color=PLAIN["muted"], markersize=3, zorder=4)
    axes.set(xlim=(-edge, edge), ylim=(-edge, edge))
    axes.set_title(short(its.arm, 16), fontsize=SMALL, y=1.0, pad=3)
    mark(axes, its.arm)


def _actions(axes: Axes, letter: str, arm: str, actions: Sequence[Point], look: Look) -> None:
    points, times = np.unique(actions, axis=0, return_counts=True)
    for drawn, alpha in ((points[times < 3], 0.5), (points[times >= 3], 1.0)):  # an action that came often is dark
        sns.scatterplot(x=drawn[:, 0], y=drawn[:, 1], color=look.color, s=4, alpha=alpha, linewidth=0, ax=axes)
    axes.set(xlim=(-1.08, 1.08), ylim=(-1.08, 1.08))
    axes.set_title(letter, fontsize=SMALL, y=1.0, pad=2)
    mark(axes, arm)


def _away(places: Array, goals: Array) -> Array:
    """Distance of places [..., 2] to the nearest goal."""
    found: Array = np.sqrt(np.square(places[..., None, :] - goals).sum(-1).min(-1))
    return found


def _levels(most: float) -> list[float]:
    """Of the reward at rest, minus the squared distance to the nearest goal: about 8 whole distances, the farthest first."""
    step = max(1, round(most / 8))
    return [-float(away**2) for away in range(step, int(most) + 1, step)][::-1]


def _ended(record: Paths, its: Moves) -> str:
    """How many paths end at a goal, and at how many of the goals."""
    last, goals = np.array([path[-1] for path in its.paths]), np.array(record.goals)
    inside = np.square(last[:, None] - goals).sum(-1) < record.radius**2
    ended, reached = int(inside.any(1).sum()), int(inside.any(0).sum())
    return f"{ended} of {len(last)} paths end at a goal, {reached} of {len(goals)} goals reached"


def _rows(record: Paths, its: Moves) -> list[list[Value]]:
    moved: list[tuple[str, str, Sequence[Point]]] = [
        (f"path {number}", f"to {_said(path[-1])} in {len(path) - 1} steps", path)
        for number, path in enumerate(its.paths, 1)
    ]
    moved += [
        (f"actions at {_said(place)}", f"mean {_said(np.mean(actions, 0).tolist())}", actions)
        for place, actions in zip(record.at, its.actions, strict=True)
    ]
    return [
        [its.arm, its.seed, worded(drawn), Said(said, "; ".join(f"{x:g} {y:g}" for x, y in points))]
        for drawn, said, points in moved
    ]


def _said(place: Sequence[float]) -> str:
    return "({}, {})".format(*(numeral(each, ".3g") for each in place))
