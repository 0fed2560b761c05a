"""Moments of an episode as small drawings, from recorded observations: SVG in the page's colours, the same bytes for the same record.

A task that is known has a drawing of its own; an image of zeros and ones is drawn cell by cell; others have none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from harness.schema.episodes import Episode, Episodes
from reports.figures.style import SERIES

WIDTH, HEIGHT = 60, 46
"""Of one drawing; its step is written below."""

Drawing = Callable[[Sequence[float], str], str]
"""Of an observation, in the colour of its arm."""


def cart_pole(seen: Sequence[float], color: str) -> str:
    """Position and angle of the pole, on a track that ends where the episode does."""
    x, angle = 30 + seen[0] / 2.4 * 24, seen[2]
    top = x + 22 * math.sin(angle), 31 - 22 * math.cos(angle)
    return (
        line((6, 37), (54, 37), "var(--grid)", 1) + box(x - 6, 31, 12, 6, "var(--muted)") + line((x, 31), top, color, 3)
    )


def mountain_car(seen: Sequence[float], color: str) -> str:
    """The car on its hills, and the goal's flag."""

    def place(position: float) -> tuple[float, float]:
        return 3 + (position + 1.2) / 1.8 * 54, 42 - (math.sin(3 * position) * 0.45 + 0.55) * 33

    hill = [place(-1.2 + 1.8 * part / 18) for part in range(19)]
    x, y = place(0.5)
    flag = line((x, y), (x, y - 6), "var(--holds)", 1.5)
    car, height = place(seen[0])
    return polyline(hill, "var(--grid)", 1.5) + flag + dot(car, height - 3, 3, color)


def acrobot(seen: Sequence[float], color: str) -> str:
    """Two links that hang from a point, and the height that the tip must reach."""
    first, second = math.atan2(seen[1], seen[0]), math.atan2(seen[3], seen[2])
    elbow = 30 + 10 * math.sin(first), 23 + 10 * math.cos(first)
    tip = elbow[0] + 10 * math.sin(first + second), elbow[1] + 10 * math.cos(first + second)
    goal = line((6, 13), (54, 13), "var(--holds)", 1)
    return goal + polyline([(30, 23), elbow, tip], color, 3) + dot(30, 23, 2, "var(--muted)")


def pendulum(seen: Sequence[float], color: str) -> str:
    """A rod about its pivot; upright is the goal."""
    tip = 30 - 19 * seen[1], 23 - 19 * seen[0]
    return line((30, 23), (30, 4), "var(--grid)", 1) + line((30, 23), tip, color, 4) + dot(30, 23, 2, "var(--muted)")


def lunar_lander(seen: Sequence[float], color: str) -> str:
    """The lander by place and tilt, above the ground with its pad; beyond the task's window it stays at the picture's edge."""

    def place(x: float, y: float) -> tuple[float, float]:
        return 30 + min(max(x, -1.0), 1.0) * 24, 40 - min(max(y, 0.0), 1.35) * 24

    (x, y), tilt = place(seen[0], seen[1]), seen[4]

    def turned(right: float, up: float) -> tuple[float, float]:
        return x + right * math.cos(tilt) - up * math.sin(tilt), y - right * math.sin(tilt) - up * math.cos(tilt)

    ground = line((3, 41), (57, 41), "var(--grid)", 1.5) + line(place(-0.2, 0), place(0.2, 0), "var(--holds)", 1.5)
    body = [turned(-4, 0), turned(-2.5, 3), turned(-2, 6), turned(2, 6), turned(2.5, 3), turned(4, 0)]
    return ground + polyline(body, color, 2)


DRAWINGS: dict[str, Drawing] = {
    "CartPole-v1": cart_pole,
    "MountainCar-v0": mountain_car,
    "Acrobot-v1": acrobot,
    "Pendulum-v1": pendulum,
    "LunarLander-v3": lunar_lander,
}
"""Task -> how its observations are drawn."""


def cells(bits: str, shape: Sequence[int]) -> str:
    """An image of zeros and ones: a square a cell, in the colour of its last channel. Raises ValueError where bits and shape differ."""
    rows, columns, channels = shape
    size = min(WIDTH / columns, HEIGHT / rows)
    left = (WIDTH - size * columns) / 2
    packed = bytes.fromhex(bits)
    if len(packed) != -(-rows * columns * channels // 8):
        raise ValueError(f"{len(packed)} bytes are no image {rows} x {columns} x {channels}")
    drawn = [box(left, 0, size * columns, size * rows, "var(--page)")]
    for place in range(rows * columns):
        lit = [channel for channel in range(channels) if _bit(packed, place * channels + channel)]
        if lit:
            row, column = divmod(place, columns)
            fill = f"var(--series{lit[-1] % len(SERIES) + 1})"
            drawn.append(box(left + size * column, size * row, size, size, fill))
    return "".join(drawn)


def _bit(packed: bytes, place: int) -> bool:
    return bool(packed[place // 8] >> (7 - place % 8) & 1)


def drawable(task: str, record: Episodes) -> bool:
    return len(record.shape) == 3 or task in DRAWINGS


def frames(task: str, record: Episodes, episode: Episode, color: str) -> list[str]:
    """One SVG a moment. Raises ValueError or LookupError where an observation is not one of the task's."""
    found = []
    for step, seen in zip(episode.steps, episode.seen, strict=True):
        drawn = cells(seen, record.shape) if isinstance(seen, str) else DRAWINGS[task](seen, color)
        label = f'<text x="30" y="55" text-anchor="middle" fill="var(--ink)" font-size="8">{step + 1:,}</text>'
        found.append(f'<svg viewBox="0 0 {WIDTH} 57" aria-hidden="true">{drawn}{label}</svg>')
    return found


def line(start: tuple[float, float], end: tuple[float, float], color: str, width: float) -> str:
    return polyline([start, end], color, width)


def polyline(points: Sequence[tuple[float, float]], color: str, width: float) -> str:
    text = " ".join(f"{_short(x)},{_short(y)}" for x, y in points)
    return (
        f'<polyline points="{text}" fill="none" stroke="{color}" stroke-width="{_short(width)}" '
        'stroke-linecap="round" stroke-linejoin="round"/>'
    )


def box(x: float, y: float, width: float, height: float, fill: str) -> str:
    return f'<rect x="{_short(x)}" y="{_short(y)}" width="{_short(width)}" height="{_short(height)}" fill="{fill}"/>'


def dot(x: float, y: float, radius: float, fill: str) -> str:
    return f'<circle cx="{_short(x)}" cy="{_short(y)}" r="{_short(radius)}" fill="{fill}"/>'


def _short(number: float) -> str:
    text = f"{number:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text
