"""One look for all figures: seaborn's theme and palettes with our colours.

Hard arms are neutral ink, soft arms are coloured (Okabe & Ito 2008), and every arm has a marker of its own, so that nothing hangs on
colour alone. Colours become CSS variables in the page (light and dark) and stay plain in downloaded files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import seaborn as sns
from matplotlib.figure import Figure

from reports.statistics.intervals import Estimate
from reports.statistics.scores import Study

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
HARD = sns.color_palette([PLAIN["ink"], PLAIN["hard2"]]).as_hex()
SOFT = sns.color_palette([color for name, color in PLAIN.items() if name.startswith("soft")]).as_hex()
MARKERS = "osD^vPX<>h*"
WIDTH = 4.3
"""Inches: close to a phone's width, so that text keeps its size there."""
SMALL = 8
"""Points: labels of rows, legends."""


@dataclass(frozen=True)
class Look:
    """How an arm is drawn in every figure of its pair."""

    color: str
    marker: str


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
        "savefig.transparent": True,
    }
    return {**sns.axes_style("whitegrid", style), **sns.plotting_context("paper", rc=sizes), **ours}


def canvas(height: float) -> Figure:
    """An empty figure, `height` inches high, whose layout leaves room for all labels."""
    return Figure(figsize=(WIDTH, height), layout="constrained")


def looks(study: Study) -> dict[str, Look]:
    """arm -> its look."""
    found = {}
    for number, arm in enumerate(study.arms):
        kind = [other for other in study.arms if (study.hard_of[other] is None) == (study.hard_of[arm] is None)]
        palette = HARD if study.hard_of[arm] is None else SOFT
        found[arm] = Look(palette[kind.index(arm) % len(palette)], MARKERS[number % len(MARKERS)])
    return found


def short(name: str, most: int = 26) -> str:
    """A name as an axis label; a very long one would leave no room for the data."""
    return name if len(name) <= most else name[: most - 1] + "…"


def say(estimate: Estimate, digits: int = 3) -> str:
    """An estimate in a text alternative."""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.{digits}f} (interval {estimate.why})"
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"
