"""A figure as SVG and PDF that are equal for equal results, and the studio where many are drawn together."""

from __future__ import annotations

import multiprocessing
import os
import re
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass

import matplotlib as mpl
from matplotlib import pyplot
from matplotlib.figure import Figure

from reports.figures.pens import drawn
from reports.figures.style import PLAIN, theme
from reports.figures.svg import compact, cropped
from reports.table import Table

FEW = 24
"""Figures for which a pool of processes is not worth its start."""


@dataclass(frozen=True)
class Words:
    """What is written about a figure: file stem, title, how to read it, a text alternative, and the command that remakes it."""

    name: str
    title: str
    caption: str
    alt: str
    command: str


@dataclass(frozen=True)
class Picture:
    """A figure with its words."""

    words: Words
    svg: str
    pdf: bytes
    data: Table | None = None
    """The numbers drawn."""
    legend: float = 0.0
    """Height of the legend above the panels, in units of the drawing (1/72 inch)."""
    page: str = ""
    """How it is drawn in the page, where that is not the file's drawing."""

    @property
    def name(self) -> str:
        return self.words.name

    @property
    def ratio(self) -> float:
        """Height over width, as the page draws it."""
        width, height = (float(each) for each in re.findall(r'viewBox="0 0 (\S+) (\S+)"', self.svg)[0])
        return (height - self.legend) / width

    def inline(self) -> str:
        """For the page: colours are CSS variables, the size is the container's, and the legend is the page's."""
        if self.page:
            return self.page
        colored = cropped(self.svg, self.legend) if self.legend else self.svg
        for name, color in PLAIN.items():
            colored = colored.replace(f'="{color}"', f'="var(--{name})"')
        return colored

    def standalone(self) -> str:
        """For the download: plain colours on white."""
        return self.svg.replace("<svg ", '<svg style="background: #ffffff" ', 1) + "\n"


def picture(words: Words, draw: Callable[[], Figure], data: Table | None = None, legend: float = 0.0) -> Picture:
    """The figure that `draw` makes under our theme; its SVG and PDF hold no dates, scripts or unneeded ids.

    `draw` may use pyplot, as rliable does: the figure is closed here, and the settings are as they were before.
    """
    with mpl.rc_context({**theme(), "svg.hashsalt": words.name}):
        figure = draw()
        try:
            svg, pdf = drawn(figure)
        finally:
            pyplot.close(figure)
    return Picture(words, compact(svg, words.alt), pdf, data, legend)


class Studio:
    """`order` gives a promise of a picture; after `draw` all promises are kept."""

    def __init__(self) -> None:
        self._orders: list[tuple[Future[Picture], Callable[..., Picture], tuple[object, ...]]] = []

    def order(self, make: Callable[..., Picture], *arguments: object) -> Future[Picture]:
        """A promise of `make(*arguments)`; both must be picklable."""
        promise: Future[Picture] = Future()
        self._orders.append((promise, make, arguments))
        return promise

    def draw(self) -> None:
        """Keep all promises: few figures here, many on all processors."""
        if len(self._orders) <= FEW:
            for promise, make, arguments in self._orders:
                promise.set_result(make(*arguments))
            return
        with ProcessPoolExecutor(os.cpu_count(), mp_context=multiprocessing.get_context("fork")) as pool:
            running = [pool.submit(make, *arguments) for _, make, arguments in self._orders]
            for (promise, _, _), done in zip(self._orders, running, strict=True):
                promise.set_result(done.result())
