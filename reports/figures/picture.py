"""The figures, as SVG and PDF that are equal for equal results.

One look for all: hard arms in neutral ink, soft arms in colour (Okabe & Ito 2008), every arm with a marker of its own, so that
nothing hangs on colour alone. Colours become CSS variables in the page (light and dark) and stay plain in downloaded files.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.figures.svg import compact
from reports.site.tables import Table
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
HARD = [PLAIN["ink"], PLAIN["hard2"]]
SOFT = [color for name, color in PLAIN.items() if name.startswith("soft")]
MARKERS = "osD^vPX<>h*"
WIDTH = 4.3  # inches: close to a phone's width, so that text keeps its size there

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "pdf.fonttype": 3,  # its glyphs are written at once; a subset of the font file takes 80 ms a figure
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
    """A figure: file stem, title, one sentence that says how to read it, a text alternative, the command that remakes it, what it draws."""

    name: str
    title: str
    caption: str
    alt: str
    command: str
    svg: str
    pdf: bytes
    data: Table | None = None
    """The numbers drawn."""

    def inline(self) -> str:
        """For the page: colours are CSS variables, and the size is the container's."""
        colored = self.svg
        for name, color in PLAIN.items():
            colored = colored.replace(f'="{color}"', f'="var(--{name})"')
        return colored

    def standalone(self) -> str:
        """For the download: plain colours on white."""
        return self.svg.replace("<svg ", '<svg style="background: #ffffff" ', 1) + "\n"


def look(study: Study, arm: str) -> tuple[str, str]:
    """Colour and marker of an arm, the same in every figure of its pair."""
    kind = [other for other in study.arms if (study.hard_of[other] is None) == (study.hard_of[arm] is None)]
    palette = HARD if study.hard_of[arm] is None else SOFT
    return palette[kind.index(arm) % len(palette)], MARKERS[study.arms.index(arm) % len(MARKERS)]


def interval(axes: Axes, estimate: Estimate, row: float, color: str, marker: str) -> None:
    """One row of an rliable interval plot: a wide pale bar for the interval, a marker for the point (hollow: no interval)."""
    axes.use_sticky_edges = False
    if estimate.low is not None and estimate.high is not None:
        axes.barh(
            row, estimate.high - estimate.low, left=estimate.low, height=0.34, color=color, alpha=0.35, linewidth=0
        )
        axes.plot([estimate.low, estimate.high], [row, row], color=color, linewidth=1)
    axes.plot(
        estimate.value, row, marker, color=color, markersize=6, fillstyle="none" if estimate.low is None else "full"
    )


def short(name: str, most: int = 26) -> str:
    """A name as an axis label; a very long one would leave no room for the data."""
    return name if len(name) <= most else name[: most - 1] + "…"


def say(estimate: Estimate, digits: int = 3) -> str:
    """An estimate in a text alternative."""
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.{digits}f} (interval {estimate.why})"
    return f"{estimate.value:.{digits}f} [{estimate.low:.{digits}f}, {estimate.high:.{digits}f}]"


def picture(
    name: str,
    title: str,
    caption: str,
    alt: str,
    command: str,
    draw: Callable[[Figure], None],
    height: float,
    data: Table | None = None,
    layout: Literal["constrained"] | None = "constrained",
) -> Picture:
    """Draw into a fresh figure of `WIDTH` x `height` inches; its SVG and PDF hold no dates, scripts or unneeded ids.

    `layout` None leaves the margins to `draw`, which is several times faster.
    """
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(WIDTH, height), layout=layout)
        draw(figure)
        svg, pdf = io.StringIO(), io.BytesIO()
        figure.savefig(svg, format="svg", metadata={"Date": None})
        figure.set_layout_engine("none")  # the layout is found; the PDF needs no second search
        figure.savefig(pdf, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
    return Picture(name, title, caption, alt, command, compact(svg.getvalue(), alt), pdf.getvalue(), data)
