"""One file a run, one row an epoch or iteration: spinningup's progress.txt, Stable-Baselines3's and RLlib's progress.csv and result.json,
openrlbenchmark's run_df.csv.

A row without a return (another part of the program wrote it) is passed over, and so is a last line that a killed process did not end.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from harness.imports.readers.content import Unusable, content, listed, short, text
from harness.imports.readers.log import Log, log
from harness.imports.readers.rows import run_name
from harness.imports.readers.tables import CUT, Numbers, header, is_absent, number, read_table, whole_lines
from harness.imports.schema import OpenRlBenchmark, Progress

MISSING = object()
"""In place of a value whose name is not there."""


def progress(entry: Progress, data: bytes) -> Log:
    """A table of one run, with a step and a return column; of RLlib's, those of its old or its new API, whichever has returns."""
    data, note = whole_lines(data)
    columns = header(data)
    there = [pair for pair in entry.pairs if {*pair} <= {*columns}] or entry.pairs[:1]
    return replace(_first([_columns(data, pair) for pair in there]), note=note)


def _columns(data: bytes, names: tuple[str, str]) -> Log:
    table = read_table(data, names, {*names})
    return log({}, table.numbers(names[0]), table.numbers(names[1]), np.arange(len(table)), names)


def rllib_result(entry: Progress, data: bytes) -> Log:
    """RLlib's result.json: one JSON object a line."""
    rows = text(data).split(b"\n")
    complete, last = rows[:-1], rows[-1]
    found = [_row(line, place + 1) for place, line in enumerate(complete) if line.strip()]
    note = ""
    if last.strip():
        try:
            found.append(_row(last, len(rows)))
        except Unusable:
            if not found:
                raise
            note = CUT
    if not found:
        raise Unusable("holds no result")
    config = found[0].get("config")
    said = {}
    if isinstance(config, dict):
        said = {
            ours: str(config[theirs])
            for ours, theirs in (("task", "env"), ("seed", "seed"))
            if _plain(config.get(theirs))
        }
    known = {name for pair in entry.pairs for name in pair if any(_deep(row, name) is not MISSING for row in found)}
    there = [pair for pair in entry.pairs if {*pair} <= known]
    if not there:
        lacking = next(name for name in entry.pairs[0] if name not in known)
        return Log(said, fault=f"{lacking!r} is missing; it has: {listed(found[-1])}")
    return replace(_first([_pair(found, said, pair) for pair in there]), note=note)


def _pair(rows: list[dict[str, Any]], said: dict[str, str], names: tuple[str, str]) -> Log:
    cells = [[_deep(row, name) for row in rows] for name in names]
    steps, returns = (json_numbers([None if cell is MISSING else cell for cell in column]) for column in cells)
    return log(said, steps, returns, np.arange(len(rows)), names)


def _first(logs: list[Log]) -> Log:
    """Of a run's logs under other names the first with returns, or else with a fault."""
    return max(logs, key=lambda each: (len(each.steps) > 0, each.fault != ""))


def _row(line: bytes, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Unusable(f"line {number:,} is no JSON: {short(error)}") from error
    if not isinstance(row, dict):
        raise Unusable(f"line {number:,} is no JSON object")
    return row


def _plain(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool))


def _deep(row: dict[str, Any], name: str) -> Any:
    """The value of `env_runners/episode_return_mean`, in tables of tables or under that very name; MISSING where there is none."""
    if name in row:
        return row[name]
    at: Any = row
    for part in name.split("/"):
        at = at.get(part, MISSING) if isinstance(at, dict) else MISSING
    return at


def json_numbers(cells: list[Any]) -> Numbers:
    """Values of JSON as numbers: null and words for nothing are absent; a list (the episodes of an evaluation) is its mean."""
    values, absent, wrong = np.full(len(cells), np.nan), np.zeros(len(cells), bool), {}
    for at, cell in enumerate(cells):
        value = json_number(cell)
        absent[at] = value is None and (cell is None or cell == [] or (isinstance(cell, str) and is_absent(cell)))
        if value is not None:
            values[at] = value
        elif not absent[at]:
            wrong[at] = str(cell)
    return Numbers(values, absent, wrong)


def json_number(cell: Any) -> float | None:
    """A JSON value as a number, None where it is none; of a list the mean of what is not NaN, NaN where nothing is."""
    if isinstance(cell, list):
        inner = [json_number(each) for each in cell]
        if not cell or None in inner:
            return None
        known = [each for each in inner if each is not None and not np.isnan(each)]
        return float(np.mean(known)) if known else np.nan
    if isinstance(cell, str):
        return number(cell)
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return None
    try:
        return float(cell)
    except OverflowError:
        return None


def open_rl_benchmark(entry: OpenRlBenchmark, path: Path) -> Log:
    """A run that openrlbenchmark downloaded: run_df.csv, and run.json beside it, which names it."""
    said = _downloaded(path.with_name("run.json"), entry)
    try:
        data, note = whole_lines(content(path))
        return replace(_columns(data, (entry.step, entry.tag)), said=said, note=note)
    except Unusable as error:
        return Log(said, fault=str(error))


def _downloaded(path: Path, entry: OpenRlBenchmark) -> dict[str, str]:
    """Arm, task and seed of the configuration in run.json, or of the run's name."""
    if not path.is_file():
        return {}
    try:
        facts = json.loads(text(content(path)))
    except (Unusable, ValueError, RecursionError) as error:
        raise Unusable(f"{path.name} beside it cannot be read: {short(error)}") from error
    facts = facts.get("_attrs", facts) if isinstance(facts, dict) else {}
    name, config = facts.get("name"), facts.get("config")
    said = (run_name(entry.run, name) or {}) if isinstance(name, str) else {}
    if isinstance(config, dict):
        plain = {key: each.get("value") if isinstance(each, dict) else each for key, each in config.items()}
        for ours, theirs in (("arm", "exp_name"), ("task", "env_id"), ("seed", "seed")):
            if _plain(plain.get(theirs)):
                said[ours] = str(plain[theirs])
    return said
