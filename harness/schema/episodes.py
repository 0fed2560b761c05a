"""`episodes.json` beside a cell's results: moments of an episode of some members, as `softbench train` records them at its end.

It is no result: pages draw it, nothing is judged by it. It does not change from run to run, and names the members that it is of by the last
link of their chains.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.schema.documents import read_record
from harness.schema.fields import Strict

FILE = "episodes.json"
FORMAT = 1
FRAMES = 10
"""Moments of an episode, at most."""
NUMBERS = 64
"""Of a flat observation that is recorded, at most."""
CELLS = 4096
"""Of an image of zeros and ones that is recorded, at most."""
MOST = 2**20
"""Bytes of the file."""

Rank = Literal["median", "worst"]
"""Among an arm's members by final return, those that have diverged left out."""


class Episode(Strict):
    """One episode of one member at the end of its training."""

    arm: str
    seed: int = Field(ge=0)
    rank: Rank
    link: str
    total: float
    """Its return, undiscounted."""
    length: int = Field(ge=1)
    steps: list[int] = Field(min_length=1, max_length=FRAMES)
    """Of the moments, from 0, rising."""
    seen: list[list[float] | str]
    """Each moment's observation: numbers, or of an image of zeros and ones its bits in hexadecimal, row by row, channels last."""

    @model_validator(mode="after")
    def _one_each(self) -> Episode:
        if len(self.seen) != len(self.steps):
            raise ValueError("seen: must have one observation a step")
        return self


class Episodes(Strict):
    """Those of one cell."""

    format: Literal[1]
    mode: Literal["sampled", "greedy"]
    shape: list[Annotated[int, Field(ge=1, le=CELLS)]] = Field(min_length=1, max_length=3)
    """Of an observation."""
    episodes: list[Episode]


def read_episodes(folder: Path) -> Episodes | None:
    """Those of a cell's folder, None where there are none. Raises ResultsError naming file and field."""
    return read_record(folder / FILE, Episodes, MOST)
