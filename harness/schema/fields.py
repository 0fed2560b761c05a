"""Kinds of fields that the files of users share, with their bounds. Each refuses a wrong value in words of its own."""

from __future__ import annotations

import re
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from harness.errors import suggestion

MOST_STEPS, MOST_SEEDS = 10**12, 10_000
MOST_SEED = 2**32 - 1
MOST_NUMBER = 1e30
"""The largest return, score, margin or reference: beyond it squares and their products overflow, and float32 with them."""


class Strict(BaseModel):
    """A table in which a misspelt name is an error, and finite numbers alone are numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_names(cls, content: Any) -> Any:
        refuse_unknown(content, [field.alias or name for name, field in cls.model_fields.items()])
        return content


def refuse_unknown(content: Any, known: list[str]) -> None:
    """Raises ValueError, with the name that may be meant, where a table has another name than the known ones."""
    for name in content if isinstance(content, dict) else ():
        if name not in known:
            raise ValueError(f"unknown field {str(name)[:80]!r}{suggestion(str(name)[:80], known)}")


def matching(pattern: str, words: str) -> AfterValidator:
    """For a field of text: refused with `must be <words>` unless the pattern matches all of it."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise ValueError(f"must be {words}")
        return text

    return AfterValidator(check)


SLUG = "1 to 100 small letters, digits, _ and -, the first a letter or a digit"
Slug = Annotated[str, matching("[a-z0-9][a-z0-9_-]{0,99}", SLUG)]
"""A name that is also a folder's."""


def parse_seeds(text: Any) -> list[int]:
    """Seeds from `0-9`, `0,3,7-9`, one integer, or a list of integers. Raises ValueError on anything else."""
    parts = text if isinstance(text, list) else str(text).split(",")
    seeds: list[int] = []
    for part in parts:
        match = re.fullmatch(r"\s*([0-9]{1,10})\s*(?:-\s*([0-9]{1,10})\s*)?", str(part))
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, MOST_SEED + 1)
        if last > MOST_SEED:
            raise ValueError(f"{part!r} is no seed range; write for example 0-9 or 0,3,7")
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


def parse_steps(text: Any, least: int = 1) -> int:
    """Steps from `20000`, `100_000`, `20k`, `1.5M` or `1e5`. Raises ValueError on anything else, and on parts of a step."""
    match = re.fullmatch(r"([0-9][0-9_]{0,99})(?:\.([0-9]{1,12}))?(?:[eE]\+?([0-9]{1,2}))?([kM]?)", str(text).strip())
    if match is None or isinstance(text, bool):
        raise ValueError(f"{str(text)[:40]!r} is no number of steps; write for example 20000, 20k, 1.5M or 1e5")
    fraction = match[2] or ""
    zeros = int(match[3] or 0) + {"": 0, "k": 3, "M": 6}[match[4]] - len(fraction)
    digits = int(match[1] + fraction)
    scale: int = 10 ** abs(zeros)
    steps, rest = (digits * scale, 0) if zeros >= 0 else divmod(digits, scale)
    if rest:
        raise ValueError(f"{str(text)[:40]!r} is no whole number of steps")
    if not least <= steps <= MOST_STEPS:
        raise ValueError(f"{str(text)[:40]!r} is not from {least} to {MOST_STEPS:,} steps")
    return steps


Steps = Annotated[int, BeforeValidator(parse_steps)]
FirstStep = Annotated[int, BeforeValidator(partial(parse_steps, least=0))]
