"""Kinds of fields that the files of users share, with their bounds."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MOST_STEPS, MOST_SEEDS = 10**12, 10_000


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def parse_seeds(text: Any) -> list[int]:
    """Seeds from `0-9`, `0,3,7-9`, one integer, or a list of integers. Raises ValueError on anything else."""
    parts = text if isinstance(text, list) else str(text).split(",")
    seeds: list[int] = []
    for part in parts:
        match = re.fullmatch(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?", str(part))
        if match is None:
            raise ValueError(f"{part!r} is no seed range; write for example 0-9 or 0,3,7")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise ValueError(f"the range {part!r} must go up")
        if len(seeds) + last - first >= MOST_SEEDS:
            raise ValueError(f"at most {MOST_SEEDS:,} seeds are allowed")
        seeds += range(first, last + 1)
    duplicate = next((seed for seed in seeds if seeds.count(seed) > 1), None) if len(set(seeds)) < len(seeds) else None
    if duplicate is not None:
        raise ValueError(f"seed {duplicate} appears twice; every seed must be given once")
    return seeds


Seeds = Annotated[list[int], BeforeValidator(parse_seeds), Field(min_length=1)]
