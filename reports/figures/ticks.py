"""Axes that say where they end: few round ticks, and one at each end of the scale."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axis import Axis, XAxis
from matplotlib.ticker import FixedLocator

from reports.statistics.numerals import numeral


def ends(low: float, high: float, least: float = -math.inf, most: float = math.inf) -> list[float]:
    """Three or four ticks that enclose the values from `low` to `high`, the first and last at the ends of the axis.

    The ends are round numbers, or the ends `least` and `most` of a declared scale where these are nearer.
    """
    room = (high - low) or max(abs(high), 1.0) * 0.1
    power = 10.0 ** math.floor(math.log10(room / 2))
    step = next(each * power for each in (1, 2, 2.5, 5, 10) if each * power >= room / 2.5)
    first, last = math.floor(low / step) * step, math.ceil(high / step) * step
    if first == last:
        first, last = first - step, last + step
    if low >= least:
        first = max(first, least)
    if high <= most:
        last = min(last, most)
    inner = [step * at for at in range(math.ceil(first / step), math.floor(last / step) + 1)]
    return [first, *(each for each in inner if min(each - first, last - each) > 0.45 * step), last]


def label_ends(axis: Axis, ticks: Sequence[float], named: bool = True) -> None:
    """Set an axis's ticks, and its limits to the first and last of them; of a horizontal axis the outer labels stay inside."""
    horizontal = isinstance(axis, XAxis)
    pad = 0.0 if horizontal else 0.03 * (ticks[-1] - ticks[0])
    (axis.axes.set_xlim if horizontal else axis.axes.set_ylim)(ticks[0] - pad, ticks[-1] + pad)
    axis.set_major_locator(FixedLocator(list(ticks)))
    axis.set_ticklabels([plain(each) if named else "" for each in ticks])
    if horizontal:
        labels = axis.get_ticklabels()
        labels[0].set_horizontalalignment("left")
        labels[-1].set_horizontalalignment("right")


def plain(value: float) -> str:
    """`500k`, `1.5M`, `−200`, `0.25`."""
    if abs(value) >= 999_500:  # what is 1000k to three digits
        return f"{numeral(value / 1e6, '.3g')}M"
    if abs(value) >= 1e4:
        return f"{numeral(value / 1e3, '.3g')}k"
    return numeral(value, ".4g")
