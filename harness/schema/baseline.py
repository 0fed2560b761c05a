"""The last release's scores, kept in git: the form of `suites/<name>/baseline.json`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from harness.errors import InputError
from harness.schema.documents import first_problem
from harness.schema.fields import MOST_NUMBER, MOST_SEED, Strict
from harness.schema.suite import SUITES, Suite

MOST = 2**24
"""Bytes of the file."""


Score = Annotated[float, Field(ge=-MOST_NUMBER, le=MOST_NUMBER)]
Seeds = Annotated[dict[Annotated[int, Field(ge=0, le=MOST_SEED)], Score], Field(min_length=1)]


class Baseline(Strict):
    """Final scores of a release: pair -> task -> arm -> seed -> normalized score in the primary evaluation mode."""

    suite: str
    mode: str
    scores: dict[str, dict[str, dict[str, Seeds]]]
    verdicts: dict[str, str] = {}


def baseline_path(suite: str) -> Path:
    return SUITES / suite / "baseline.json"


def read_baseline(path: Path, suite: Suite) -> Baseline:
    """A baseline. Raises InputError naming file and field."""
    try:
        if path.stat().st_size > MOST:
            raise ValueError(f"it has more than {MOST:,} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        found = Baseline.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{path}: {first_problem(error)}") from error
    for name, expected in (("suite", suite.name), ("mode", suite.evaluation.primary)):
        if getattr(found, name) != expected:
            raise InputError(f"{path}: {name}: is {getattr(found, name)!r}, must be {expected!r}")
    return found
