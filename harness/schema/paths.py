"""`paths.json` beside a cell's results: how the median seed of each hard and soft arm moves on a plane, recorded as `episodes.json` is.

Of tasks alone whose observation is a place and whose action is a step from it. It is no result: pages draw it, nothing is judged by it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.schema.documents import read_record
from harness.schema.fields import Strict

FILE = "paths.json"
FORMAT = 1
PATHS = 20
"""Of a member, from one fixed start."""
ACTIONS = 200
"""Of a member at each chosen place."""
MOST = 2**20
"""Bytes of the file."""

Coordinate = Annotated[float, Field(ge=-1000, le=1000)]
Point = tuple[Coordinate, Coordinate]


class Moves(Strict):
    """Of one member at the end of its training, by sampled actions."""

    arm: str
    seed: int = Field(ge=0)
    link: str
    paths: list[Annotated[list[Point], Field(min_length=1)]] = Field(min_length=1, max_length=PATHS)
    """The places of each episode, first and last among them."""
    actions: list[Annotated[list[Point], Field(min_length=1, max_length=ACTIONS)]]
    """Of each of the places `at`."""


class Paths(Strict):
    """Those of one cell, and what a drawing needs of its task."""

    format: Literal[1]
    task: str
    """On which the paths were made: the cell's, from one fixed start."""
    edge: float = Field(ge=1, le=1000)
    """Places lie within it on both axes, on either side of 0."""
    goals: list[Point] = Field(min_length=1)
    radius: float = Field(gt=0)
    """Within which a goal is reached."""
    at: list[Point] = Field(min_length=1, max_length=6)
    """Where actions were sampled."""
    members: list[Moves] = Field(max_length=20)

    @model_validator(mode="after")
    def _one_each(self) -> Paths:
        if any(len(each.actions) != len(self.at) for each in self.members):
            raise ValueError("members: must have one list of actions a place")
        return self


def read_paths(folder: Path) -> Paths | None:
    """Those of a cell's folder, None where there are none. Raises ResultsError naming file and field."""
    return read_record(folder / FILE, Paths, MOST)
