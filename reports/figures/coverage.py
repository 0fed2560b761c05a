"""Figures of the simulation: coverage against the number of seeds."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from reports.figures.picture import Picture, Words, picture
from reports.figures.style import MARKERS, PLAIN, SERIES, WIDTH
from reports.statistics.coverage import SEEDS, TASKS, grouped
from reports.statistics.intervals import LEVEL

COMMAND = "softbench coverage"


def pictures(record: dict[str, Any]) -> list[Picture]:
    """Coverage against the number of seeds, a panel a distribution: the tests' intervals and the bootstrap's."""
    titles = {"test": "Coverage of the tests' intervals", "bootstrap": "Coverage of the bootstrap's intervals"}
    return [
        _dots(grouped(record["coverage"], "kind")[kind], f"coverage-{kind}", title) for kind, title in titles.items()
    ]


def _dots(records: list[dict[str, Any]], name: str, title: str) -> Picture:
    intervals = list(grouped(records, "interval"))
    colors = [PLAIN["ink"], *SERIES]
    floor = min([0.7, *(each["coverage"] - 0.02 for each in records if each["coverage"] is not None)])

    def draw() -> Figure:
        legend = 0.17 * ((len(intervals) + 1) // 2)
        height = 5.6 + legend
        places = {"left": 0.54 / WIDTH, "right": 1 - 0.04 / WIDTH, "bottom": (0.58 + legend) / height}
        figure = Figure(figsize=(WIDTH, height))
        kinds = grouped(records, "distribution")
        panels = figure.subplots(
            len(kinds), sharex=True, gridspec_kw={**places, "top": 1 - 0.22 / height, "hspace": 0.21}, squeeze=False
        )[:, 0]
        for axes, (kind, of_kind) in zip(panels, kinds.items(), strict=True):
            axes.axhline(LEVEL, color=PLAIN["ink"], linewidth=1)
            drawn = [each for each in of_kind if each["coverage"] is not None]
            for (interval, tasks), series in grouped(drawn, "interval", "tasks").items():
                at = intervals.index(interval)
                shift = 0.13 * (at - (len(intervals) - 1) / 2) + 0.05 * (tasks > 1)
                axes.plot(
                    [SEEDS.index(each["n"]) + shift for each in series],
                    [each["coverage"] for each in series],
                    MARKERS[at],
                    linestyle="none",
                    color=colors[at],
                    markersize=5,
                    fillstyle="full" if tasks == 1 else "none",
                    label=interval if axes is panels[0] and tasks == 1 else None,
                )
            axes.set_title(f"{kind} scores", fontsize=9)
            axes.set(ylim=(floor, 1.01), ylabel="coverage")
        axes.xaxis.set_major_locator(FixedLocator(range(len(SEEDS))))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([str(n) for n in SEEDS])
        axes.set_xlabel("seeds")
        figure.legend(loc="lower center", ncols=2)
        return figure

    said = [
        f"{each['interval']}, {each['distribution']}, {each['n']} seeds: {each['coverage']:.2f}"
        for each in records
        if each["coverage"] is not None and each["tasks"] == 1
    ]
    words = Words(
        name,
        title,
        f"Share of simulated studies whose interval holds the true value; the line is what it says, {LEVEL}. Filled: one task; hollow: "
        f"{TASKS[-1]} tasks. A mark below the line is an interval that is too narrow.",
        "; ".join(said),
        COMMAND,
    )
    return picture(words, draw)
