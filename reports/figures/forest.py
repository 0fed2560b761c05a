"""The forest plot of every soft - hard difference, written as SVG by hand: its text keeps its size at any width, and rows are links.

Places along the scale are per cent of the plot's own box, all others are pixels. Each box is there for wide and for narrow screens, and the
page's style shows one of them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from xml.sax.saxutils import escape, quoteattr

from matplotlib.figure import Figure

from harness.schema.grid import AT, base
from reports.figures import intervals
from reports.figures.picture import Picture, Words, picture
from reports.figures.style import COLORS, PLAIN, Look, short
from reports.figures.svg import SPACE
from reports.statistics.forms.form import NO_DIFFERENCE
from reports.statistics.intervals import Estimate
from reports.statistics.numerals import numeral
from reports.statistics.summary.readings import BETTER, READINGS, UNDECIDED, WORSE
from reports.table import Table

HEAD, AXIS, LEGEND = 22, 38, 24
"""Heights in pixels: a suite's heading, the axis with its words, the legend."""
ROWS, LOOSE, SNUG, TIGHT = 434, 20, 18, 12
"""Pixels that rows and headings may take, and the height of a row: where they are many they stand closer, below SNUG with smaller text."""
ARM, FREE = 72, 18
"""Pixels from the left end to an arm's name, before which its pair's stands; letters of a name beside which there is room for more."""
WIDTH = 960
"""Pixels of the file for download."""
MARKS = {
    BETTER: "M0-6L6.5 5H-6.5z",
    NO_DIFFERENCE: "M-5-5H5V5H-5z",
    WORSE: "M0 6L6.5-5H-6.5z",
    UNDECIDED: "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z",
}
"""reading -> its shape about (0, 0). Colours are the page's, by class."""
STYLE = f"""text {{ font: 13px system-ui, 'DejaVu Sans', sans-serif; fill: {PLAIN["ink"]}; }}
.head {{ font-weight: 700; }} .aside, .tick {{ fill: {PLAIN["muted"]}; }} .tick {{ font-size: 11px; }}
.tight text {{ font-size: 11px; }} .hit {{ fill: none; }} .band {{ fill: {PLAIN["grid"]}; opacity: 0.6; }}
.zero {{ stroke: {PLAIN["ink"]}; }} .rule {{ stroke: {PLAIN["grid"]}; }}
.mixed {{ color: {PLAIN["ink"]}; }} .better {{ color: #00694d; }} .worse {{ color: #a63c00; }}
.no-relevant-difference {{ color: #47566b; }} .undecided {{ color: #6a5a91; }}
.bar {{ stroke: currentColor; stroke-width: 2; }} .mark {{ fill: currentColor; stroke: currentColor; stroke-width: 1.5; }}
.narrow {{ display: none; }} .undecided .mark {{ fill: #ffffff; }} .word {{ fill: currentColor; }} .pooled {{ fill: {PLAIN["ink"]}; }}"""


@dataclass(frozen=True)
class Mark:
    """One comparison: `margin` is what counts as a difference (None: nothing said), `reading` one of `READINGS`; its `suite` where no
    heading names it."""

    soft: str
    hard: str
    found: Estimate
    margin: float | None
    reading: str
    suite: str = ""


@dataclass(frozen=True)
class Row:
    """A soft arm against its hard arm; each point of a grid, and each suite where suites share a row, has a mark."""

    pair: str
    href: str
    marks: Sequence[Mark]

    @property
    def name(self) -> str:
        """The soft arm, without the grid's point where there are several."""
        soft = self.marks[0].soft
        return soft if len(self.marks) == 1 else base(soft)

    @property
    def suites(self) -> int:
        """How many suites share it."""
        return len({each.suite for each in self.marks})

    @property
    def said(self) -> str:
        """The difference with its interval, as the figure prints it, or the least and the greatest of several."""
        if len(self.marks) == 1:
            return interval(self.marks[0].found)
        ends = [its([each.found.value for each in self.marks]) for its in (min, max)]
        several = f"{self.suites} suites" if self.suites > 1 else f"{len(self.marks)} points"
        return f"{several}: {' to '.join(numeral(end, '.3f') for end in ends)}"

    @property
    def reading(self) -> str:
        """That of all its marks; "" where they differ."""
        readings = {each.reading for each in self.marks}
        return readings.pop() if len(readings) == 1 else ""

    @property
    def word(self) -> str:
        """What stands beside the numbers: most are undecided, and their circle says it."""
        if not self.reading:
            return f"differs by {'suite' if self.suites > 1 else 'point'}"
        return "" if self.reading == UNDECIDED else self.reading


@dataclass(frozen=True)
class Group:
    """The rows of one pair on one suite ("" on the suite's own page, and where suites share rows), and on how much they rest."""

    suite: str
    pair: str
    aside: str
    rows: Sequence[Row]


def interval(found: Estimate) -> str:
    """`0.003 [0.000, 0.006]`, or the value without an interval. An end near 0 keeps a digit where the interval leaves 0 out."""
    if found.low is None or found.high is None:
        return f"{numeral(found.value, '.3f')} (no interval)"
    beside = found.low * found.high > 0
    more = [math.ceil(math.log10(0.0005 / abs(end))) if beside else 0 for end in (found.low, found.high)]
    ends = [numeral(end, f".{3 + max(0, count)}f") for end, count in zip((found.low, found.high), more, strict=True)]
    return f"{numeral(found.value, '.3f')} [{', '.join(ends)}]"


def fits(groups: Sequence[Group]) -> bool:
    """Whether all rows find room, the closest together that they may stand."""
    return _headings(groups) + TIGHT * sum(len(group.rows) for group in groups) <= ROWS


def _headings(groups: Sequence[Group]) -> int:
    return HEAD * len({group.suite for group in groups if group.suite})


def forest(words: Words, groups: Sequence[Group], pooled: Estimate | None, data: Table) -> Picture:
    """Rows in their groups, the pooled difference below them (None: not drawn), and the axis; for print as rliable's interval plot."""
    rows = [row for group in groups for row in group.rows]
    marks = [mark for row in rows for mark in row.marks]
    limit = reach([mark.found for mark in marks] + ([pooled] if pooled else []), [mark.margin for mark in marks])
    high = max(TIGHT, min(LOOSE, (ROWS - _headings(groups)) // max(1, len(rows))))
    parts, top, suite = [], 0, ""
    for group in groups:
        if group.suite != suite:
            suite = group.suite
            parts.append(f'<text class="head" x="0" y="{top + 16}">{escape(suite)}</text>')
            top += HEAD
        for number, row in enumerate(group.rows):
            parts.append(_row(row, limit, top, high, group if number == 0 else None))
            top += high
    if pooled:
        parts.append(_pooled(pooled, limit, top))
        top += HEAD
    parts += [_axis(limit, top), _legend(top + AXIS, any(mark.margin for mark in marks))]
    height, inner = top + AXIS + LEGEND, "".join(parts)
    label = f'class="forest{" tight" if high < SNUG else ""}" role="group" aria-label={quoteattr(words.alt)}'
    around = f'x="-12" y="-8" width="{WIDTH}" height="{height + 16}"'
    file = (
        f'<svg xmlns="{SPACE[1:-1]}" {label} width="{WIDTH}" height="{height + 16}" viewBox="-12 -8 {WIDTH} {height + 16}">'
        f'<style>{STYLE}</style><rect {around} fill="#ffffff"/>'
        f'<svg width="{WIDTH - 24}" height="{height}" overflow="visible">{inner}</svg></svg>'
    )
    page = f'<svg {label} width="100%" height="{height}">{inner}</svg>'
    return Picture(words, file, _print(words, groups, pooled).pdf, data, page=page)


def _print(words: Words, groups: Sequence[Group], pooled: Estimate | None) -> Picture:
    """The same rows for paper, whose labels name the group."""
    looks = {True: Look(COLORS["soft"], "o"), False: Look(COLORS["hard"], "D")}
    rows = [
        intervals.Row(
            f"{f'{group.pair} · {named}: ' if (named := mark.suite or group.suite) else ''}{mark.soft} − {mark.hard}",
            looks[True],
            [mark.found],
        )
        for group in groups
        for row in group.rows
        for mark in row.marks
    ]
    rows += [intervals.Row("pooled", looks[False], [pooled])] if pooled else []

    def draw() -> Figure:
        figure, (axes,) = intervals.intervals(rows, [""], at=0)
        axes.set_xlabel("← hard better · difference of mean scores · soft better →")
        return figure

    return picture(words, draw)


def reach(found: Sequence[Estimate], margins: Sequence[float | None]) -> float:
    """How far the axis goes to both sides of 0: as far as intervals do, but a few very wide ones do not press all others together."""
    ends = [max(abs(end) for end in (each.value, each.low or 0.0, each.high or 0.0)) for each in found]
    widest = max(ends, default=0.0)
    usual = 4 * median(ends) if ends else 0.0
    return 1.08 * max(min(widest, usual), *(2.0 * margin for margin in margins if margin), 1e-3)


def ticks(limit: float) -> list[float]:
    """Round places of the axis, 0 among them: two to four at each side."""
    rough = limit / 2 * (1 + 1e-9)
    power = 10.0 ** math.floor(math.log10(rough))
    step = max(each * power for each in (1, 2, 5) if each * power <= rough)
    return [place * step for place in range(-int(limit / step), int(limit / step) + 1)]


def _place(value: float, limit: float) -> str:
    """Where a value stands in the plot's box, in per cent; beyond its ends at the end."""
    return f"{50 + 50 * max(-1.0, min(1.0, value / limit)):.2f}%"


def _axis(limit: float, top: int) -> str:
    """The numbers below the rows, and what the two sides mean; where there is little room, every second number."""
    words = '<text class="tick" x="0%" y="33">← hard better</text><text class="tick" x="100%" y="33" text-anchor="end">soft better →</text>'
    at = ticks(limit)
    middle = len(at) // 2
    few = [each for number, each in enumerate(at) if number % 2 == middle % 2]
    wide, narrow = ("".join(_number(each, limit) for each in shown) + words for shown in (at, few))
    return _boxes(wide, narrow, top)


def _number(value: float, limit: float) -> str:
    text = numeral(value, "g") if value == 0 or abs(value) >= 1e-4 else numeral(value, ".0e")
    return f'<text class="tick" x="{_place(value, limit)}" y="17" text-anchor="middle">{text}</text>'


def _grid(limit: float, height: int) -> str:
    """Lines at the axis's numbers, one row high."""
    places = [("zero" if each == 0 else "rule", _place(each, limit)) for each in ticks(limit)]
    return "".join(f'<line class="{kind}" x1="{at}" x2="{at}" y1="0" y2="{height}"/>' for kind, at in places)


def _boxes(wide: str, narrow: str, top: int) -> str:
    """The plot's own box, from the rows' labels to their numbers; and where there is no room for these, to the right end."""
    return (
        f'<svg class="wide" x="36%" y="{top}" width="33%" overflow="visible">{wide}</svg>'
        f'<svg class="narrow" x="50%" y="{top}" width="48%" overflow="visible">{narrow}</svg>'
    )


def _row(row: Row, limit: float, top: int, high: int, first: Group | None) -> str:
    """`high` pixels high; the `first` row of a group names it."""
    margins, line = [mark.margin for mark in row.marks if mark.margin], top + high // 2 + 4
    parts = [_grid(limit, high)]
    if margins:
        margin = min(margins)
        width = 100 * min(1.0, margin / limit)
        parts.append(f'<rect class="band" x="{_place(-margin, limit)}" y="0" width="{width:.2f}%" height="{high}"/>')
    apart = min(4.0, (high - 8) / max(1, len(row.marks) - 1))
    middles = [high / 2 + apart * (number - (len(row.marks) - 1) / 2) for number in range(len(row.marks))]
    parts += [_drawn(mark, limit, at, len(row.marks) > 1) for mark, at in zip(row.marks, middles, strict=True)]
    names = "".join(
        f'<text class="label{kind}" x="{ARM}" y="{line}">{escape(name)}</text>'
        for kind, name in _names(short(row.name, 28), short(re.sub(f"{AT}.*=", f" {AT}", row.name), 17))
    )
    if first:
        names += f'<text class="aside" x="0" y="{line}">{escape(short(first.pair, 9))}</text>'
    if first and len(row.name) <= FREE:
        names += f'<text class="tick wide" x="34.5%" y="{line}" text-anchor="end">{escape(first.aside)}</text>'
    one = f" {_arms(row.marks[0])}" if len(row.marks) == 1 else ""
    return (
        f'<a class="row {_kind(row.reading) or "mixed"}" href={quoteattr(row.href)} data-pair={quoteattr(row.pair)}{one}>'
        f'<rect class="hit" x="0" y="{top}" width="100%" height="{high}"/>'
        f"{_boxes(''.join(parts), ''.join(parts), top)}{names} "
        f'<text class="wide" x="85%" y="{line}" text-anchor="end">{row.said}</text> '
        f'<text class="wide word" x="86%" y="{line}">{row.word}</text></a>'
    )


def _drawn(mark: Mark, limit: float, middle: float, small: bool) -> str:
    """Interval and mark, in the colour of what they say; of several in a row each is `small`. What lies beyond an end is an arrow there."""
    found, parts = mark.found, []
    low, high = (found.value if end is None else end for end in (found.low, found.high))
    if found.low is not None:
        ends = _place(low, limit), _place(high, limit)
        parts.append(f'<line class="bar" x1="{ends[0]}" x2="{ends[1]}" y1="{middle:g}" y2="{middle:g}"/>')
    for beyond, at, path in ((low < -limit, "0%", "M-6 0L2-5V5z"), (high > limit, "100%", "M6 0L-2-5V5z")):
        if beyond:
            parts.append(_mark(at, middle, path, small))
    if abs(found.value) <= limit:
        parts.append(_mark(_place(found.value, limit), middle, MARKS[mark.reading], small))
    of = f"{mark.suite}, {mark.soft}" if mark.suite else mark.soft
    said = f"<title>{escape(of)}: {interval(found)}, {mark.reading}</title>"
    return f'<g class="{_kind(mark.reading)}"{f" {_arms(mark)}" if small else ""}>{said}{"".join(parts)}</g>'


def _arms(mark: Mark) -> str:
    return f"data-arm={quoteattr(mark.soft)} data-hard={quoteattr(mark.hard)}"


def _kind(reading: str) -> str:
    """A reading as a class of the page."""
    return reading.replace(" ", "-")


def _names(wide: str, narrow: str) -> list[tuple[str, str]]:
    """A class and a text for each width; a grid's point is its value alone where there is no room."""
    return [("", wide)] if wide == narrow else [(" wide", wide), (" narrow", narrow)]


def _mark(x: str, y: float, path: str, small: bool = False) -> str:
    size = ' transform="scale(0.7)"' if small else ""
    return f'<svg x="{x}" y="{y:g}" overflow="visible"><path class="mark" d="{path}"{size}/></svg>'


def _pooled(found: Estimate, limit: float, top: int) -> str:
    """A diamond as wide as the interval."""
    shape = _grid(limit, HEAD)
    if found.low is not None and found.high is not None:
        low, high = _place(found.low, limit), _place(found.high, limit)
        width = float(high[:-1]) - float(low[:-1])
        shape += (
            f'<svg x="{low}" y="3" width="{width:.2f}%" height="16" viewBox="0 0 100 16" preserveAspectRatio="none">'
            '<path class="pooled" d="M0 8L50 0L100 8L50 16z"/></svg>'
        )
    return (
        f'<text class="head" x="0" y="{top + 16}">pooled</text>{_boxes(shape, shape, top)}'
        f'<text class="wide head" x="85%" y="{top + 16}" text-anchor="end">{interval(found)}</text>'
    )


def _legend(top: int, margins: bool) -> str:
    """What the shapes say, and the shade."""
    parts, x = [], 8
    if margins:
        parts.append(f'<g class="narrow"><rect class="band" x="0" y="{top - 17}" width="12" height="14"/>')
        parts.append(f'<text class="tick" x="18" y="{top - 6}">within the margin</text></g>')
    for reading in READINGS:
        mark = _mark(str(x), top + 12, MARKS[reading])
        parts.append(
            f'<g class="{_kind(reading)}">{mark}<text class="tick" x="{x + 11}" y="{top + 16}">{reading}</text></g>'
        )
        x += 28 + round(6.1 * len(reading))
    if margins:
        parts.append(f'<g class="wide"><rect class="band" x="{x}" y="{top + 4}" width="16" height="16"/>')
        parts.append(f'<text class="tick" x="{x + 22}" y="{top + 16}">within the margin</text></g>')
    return "".join(parts)
