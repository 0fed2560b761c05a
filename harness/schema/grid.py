"""Grids of settings: the points of a cell's `grid:`, and what the arms of each are called in results: `ARM@name=value`, `ARM@a=1,b=2`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

AT = "@"


def points(grid: Mapping[str, Sequence[float]]) -> list[dict[str, float]]:
    """All combinations of a grid's values, the last name running fastest; [{}] of no grid."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def point_name(arm: str, point: Mapping[str, float]) -> str:
    """What an arm is called at a point."""
    return arm + (AT + ",".join(f"{name}={value:.15g}" for name, value in point.items()) if point else "")


def base(name: str) -> str:
    """The arm of its pair of which `name` is a point, or which it is."""
    return name.partition(AT)[0]
