"""One look for all figures: seaborn's theme and palettes with our colours.

Soft is one colour, hard another, a control a third, in every figure; arms of one colour differ in marker and dashes, so that nothing
hangs on colour alone. Colours become CSS variables in the page (light and dark) and stay plain in downloaded files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import seaborn as sns

from harness.schema.manifest import Role
from reports.statistics.intervals import Estimate
from reports.statistics.numerals import numeral
from reports.statistics.scores import Study

Dash = str | tuple[int, tuple[float, ...]]

PLAIN = {
    "ink": "#333333",
    "muted": "#757575",
    "grid": "#d8d8d8",
    "control": "#8c8c8c",
    "soft": "#0072b2",
    "holds": "#009e73",
    "series1": "#1f78a8",
    "series2": "#d55e00",
    "series3": "#009e74",
    "series4": "#cc79a7",
    "series5": "#b8860b",
    "series6": "#56b4e9",
}
COLORS: dict[Role, str] = {"hard": PLAIN["ink"], "control": PLAIN["control"], "soft": PLAIN["soft"]}
SERIES = sns.color_palette([color for name, color in PLAIN.items() if name.startswith("series")]).as_hex()
"""For what is no arm: intervals, lines of a statement."""
MARKERS = "osD^vPX<>h*"
GLYPHS = dict(zip(MARKERS, "●■◆▲▼✚✖◀▶⬢★", strict=True))
DASHES: list[Dash] = ["-", (0, (5, 2)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.2, 1.5))]
WIDTH = 4.3
"""Inches: close to a phone's width, so that text keeps its size there."""
SMALL = 8
"""Points: labels of rows, legends."""


@dataclass(frozen=True)
class Look:
    """How an arm is drawn in every figure of its pair."""

    color: str
    marker: str
    dash: Dash = "-"


def theme() -> dict[Any, Any]:
    """seaborn's white grid at the size of paper, as settings for `matplotlib.rc_context`: nothing global is changed."""
    muted, ink = PLAIN["muted"], PLAIN["ink"]
    style = {
        "text.color": ink,
        "axes.labelcolor": ink,
        "axes.edgecolor": muted,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": PLAIN["grid"],
        "xtick.color": muted,
        "ytick.color": muted,
        "font.sans-serif": ["DejaVu Sans"],
    }
    sizes = {
        **dict.fromkeys(("font.size", "axes.labelsize", "xtick.labelsize", "ytick.labelsize", "axes.titlesize"), 9),
        "legend.fontsize": SMALL,
        "grid.linewidth": 0.6,
        "axes.linewidth": 0.8,
    }
    ours = {
        "svg.fonttype": "none",
        "pdf.fonttype": 3,  # its glyphs are written at once; a subset of the font file takes 80 ms a figure
        "text.parse_math": False,
        "axes.xmargin": 0.06,
        "xtick.labelcolor": ink,
        "ytick.labelcolor": ink,
        "legend.frameon": False,
        "figure.facecolor": "none",
        "axes.facecolor": "none",
    }
    return {**sns.axes_style("whitegrid", style), **sns.plotting_context("paper", rc=sizes), **ours}


def looks(study: Study) -> dict[str, Look]:
    """arm -> its look: the colour of its role, a marker of its own, and dashes where an arm of its colour stands beside it."""
    found = {}
    for number, arm in enumerate(study.arms):
        beside = [other for other in study.arms if _kind(study, other) == _kind(study, arm)]
        dash = DASHES[beside.index(arm) % len(DASHES)]
        found[arm] = Look(COLORS[study.roles[arm]], MARKERS[number % len(MARKERS)], dash)
    return found


def _kind(study: Study, arm: str) -> tuple[str, str | None]:
    return study.roles[arm], study.hard_of[arm]


def short(name: str, most: int = 26) -> str:
    """A name as an axis label; a very long one would leave no room for the data."""
    return name if len(name) <= most else name[: most - 1] + "…"


def say(estimate: Estimate, digits: int = 3) -> str:
    """An estimate in a text alternative."""
    value = numeral(estimate.value, f".{digits}f")
    if estimate.low is None or estimate.high is None:
        return f"{value} (interval {estimate.why})"
    return f"{value} [{numeral(estimate.low, f'.{digits}f')}, {numeral(estimate.high, f'.{digits}f')}]"
