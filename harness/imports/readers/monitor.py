"""Stable-Baselines3's Monitor: a JSON line, then r, l, t an episode; the step is the sum of all lengths so far."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.imports.readers.content import Unusable, content, text
from harness.imports.readers.log import Log
from harness.imports.readers.tables import Array, number, read_table

COLUMNS = ("r", "l", "t")


@dataclass(frozen=True)
class Session:
    """Episodes from one start of training to its end: returns, lengths, seconds since the start, in the order written."""

    returns: Array
    lengths: Array
    seconds: Array


def monitor(paths: list[Path]) -> Log:
    """The files of one run. Those of several environments are merged by time, as in Stable-Baselines3's `load_results`.

    Within a file the order of rows is the order of time: where `t` falls, training was continued (`override_existing=False` appends
    without another header), and the steps go on. Raises Unusable naming the file, where there are several.
    """
    files = [_named(path, len(paths) > 1) for path in paths]
    began = [start for start, _ in files if math.isfinite(start)]
    sessions = [found for _, found in files]
    with_rows = [found for found in sessions if found]
    if len({len(found) for found in with_rows}) > 1:
        raise Unusable("its environments were started anew a different number of times, so their order is not known")
    parts: list[Session] = []
    keys: list[Array] = []
    for start, found in files:
        for place, session in enumerate(found):
            offset = start if place == 0 and math.isfinite(start) else 0.0  # a later session's start is not written
            parts.append(session)
            keys.append(np.stack([np.full(len(session.seconds), place), session.seconds + offset]))
    if not parts:
        return Log(fault="has no finished episode", began=min(began, default=None))
    place, time = np.concatenate(keys, axis=1)
    order_of = np.lexsort((time, place))
    steps = np.cumsum(np.concatenate([part.lengths for part in parts])[order_of])
    returns = np.concatenate([part.returns for part in parts])[order_of]
    return Log({}, steps, returns, began=min(began, default=None))


def _named(path: Path, several: bool) -> tuple[float, list[Session]]:
    try:
        return _file(content(path))
    except Unusable as error:
        raise Unusable(f"{path.name} {error}" if several else str(error)) from error


def _file(data: bytes) -> tuple[float, list[Session]]:
    """When the first environment was started (NaN where the file does not say), and the sessions."""
    first, _, rest = text(data).partition(b"\n")
    start = _start(first)
    if not math.isfinite(start):
        cells = first.decode().split(",")
        if len(cells) < len(COLUMNS) or any(number(cell) is None for cell in cells[: len(COLUMNS)]):
            raise Unusable('line 1 is not Monitor\'s: must be #{"t_start": ..., "env_id": ...}')
        extra = [f"column{place}" for place in range(len(COLUMNS), len(cells))]
        rest = (
            ",".join([*COLUMNS, *extra]).encode() + b"\n" + first + b"\n" + rest
        )  # appended to a file that was not there
    names, _, body = rest.partition(b"\n")
    kept = [
        line for line in body.split(b"\n") if line != names and not line.startswith(b"#")
    ]  # headers of files joined
    table = read_table(names + b"\n" + b"\n".join(kept), COLUMNS, COLUMNS)
    columns = {}
    for name in COLUMNS:
        found = table.numbers(name)
        if found.wrong:
            raise Unusable(f"{name}: {next(iter(found.wrong.values()))[:40]!r} is no number")
        columns[name] = found.values
    if not (columns["l"] >= 1).all():
        raise Unusable("l: the length of an episode must be at least 1")
    return start, _sessions(columns["r"], columns["l"], columns["t"])


def _start(line: bytes) -> float:
    try:
        return float(json.loads(line.removeprefix(b"#"))["t_start"]) if line.startswith(b"#") else math.nan
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return math.nan


def _sessions(returns: Array, lengths: Array, seconds: Array) -> list[Session]:
    if not len(returns):
        return []
    ends: npt.NDArray[np.int64] = np.flatnonzero(np.diff(seconds) < 0) + 1
    parts = (np.split(column, ends) for column in (returns, lengths, seconds))
    return [Session(*each) for each in zip(*parts, strict=True)]
