"""Stable-Baselines3's Monitor: a JSON line, then r, l, t an episode; the step is the sum of all lengths so far."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from harness.imports.readers.content import Unusable, content, text
from harness.imports.readers.log import Log
from harness.imports.readers.tables import Array, number, read_table, whole_lines

COLUMNS = ("r", "l", "t")


@dataclass(frozen=True)
class Session:
    """Episodes from one start of training to its end: returns, lengths, seconds since the start, in the order written.

    `start`: when that was, 0 where the file does not say.
    """

    start: float
    returns: Array
    lengths: Array
    seconds: Array


def monitor(paths: list[Path]) -> Log:
    """The files of one run. Those of several environments are merged by time, as in Stable-Baselines3's `load_results`.

    Within a file the order of rows is the order of time: at another header, and where `t` falls, training was continued
    (`override_existing=False` appends without another header), and the steps go on. Raises Unusable naming the file, where there
    are several.
    """
    files = [_named(path, len(paths) > 1) for path in paths]
    began = [start for start, _, _ in files if math.isfinite(start)]
    with_rows = [found for _, found, _ in files if found]
    if len({len(found) for found in with_rows}) > 1:
        raise Unusable("its environments were started anew a different number of times, so their order is not known")
    parts: list[Session] = []
    keys: list[Array] = []
    for found in with_rows:
        for place, session in enumerate(found):
            parts.append(session)
            keys.append(np.stack([np.full(len(session.seconds), place), session.seconds + session.start]))
    if not parts:
        return Log(fault="has no finished episode", began=min(began, default=None))
    place, time = np.concatenate(keys, axis=1)
    order_of = np.lexsort((time, place))
    steps = np.cumsum(np.concatenate([part.lengths for part in parts])[order_of])
    returns = np.concatenate([part.returns for part in parts])[order_of]
    notes = [note for _, _, note in files if note][:1]
    if len(with_rows[0]) > 1:
        notes.insert(0, f"was continued after a restart; the {len(with_rows[0])} sessions in its log are read as one")
    return Log({}, steps, returns, began=min(began, default=None), note="; ".join(notes))


def _named(path: Path, several: bool) -> tuple[float, list[Session], str]:
    try:
        return _file(content(path))
    except Unusable as error:
        raise Unusable(f"{path.name} {error}" if several else str(error)) from error


def _file(data: bytes) -> tuple[float, list[Session], str]:
    """When the first environment was started (NaN where the file does not say), the sessions, and a note of what is cut."""
    data = text(data)
    first = data.partition(b"\n")[0]
    start = _start(first)
    if not math.isfinite(start):
        cells = first.decode().split(",")
        if len(cells) < len(COLUMNS) or any(number(cell) is None for cell in cells[: len(COLUMNS)]):
            raise Unusable('line 1 is not Monitor\'s: must be #{"t_start": ..., "env_id": ...}')
        extra = [f"column{place}" for place in range(len(COLUMNS), len(cells))]
        data = b"#\n" + ",".join([*COLUMNS, *extra]).encode() + b"\n" + data  # appended to a file that was not there
    sessions, note = list[Session](), ""
    for part in re.split(rb"^(?=#)", data, flags=re.M)[1:]:
        header, _, rows = part.partition(b"\n")
        rows, note = whole_lines(rows)
        sessions += _sessions(rows, _start(header))
    return start, sessions, note


def _sessions(data: bytes, start: float) -> list[Session]:
    """The sessions below one header: each begins where `t` falls. Of the later ones the start is not written."""
    table = read_table(data, COLUMNS, COLUMNS)
    columns = {}
    for name in COLUMNS:
        found = table.numbers(name)
        if found.wrong:
            raise Unusable(f"{name}: {next(iter(found.wrong.values()))[:40]!r} is no number")
        columns[name] = found.values
    if not (columns["l"] >= 1).all():
        raise Unusable("l: the length of an episode must be at least 1")
    if not len(table):
        return []
    ends: npt.NDArray[np.int64] = np.flatnonzero(np.diff(columns["t"]) < 0) + 1
    parts = zip(*(np.split(columns[name], ends) for name in COLUMNS), strict=True)
    starts = (start if place == 0 and math.isfinite(start) else 0.0 for place in range(len(ends) + 1))
    return [Session(began, *each) for began, each in zip(starts, parts, strict=True)]


def _start(line: bytes) -> float:
    try:
        return float(json.loads(line.removeprefix(b"#"))["t_start"]) if line.startswith(b"#") else math.nan
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return math.nan
