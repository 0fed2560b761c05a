"""Tables with several runs: one row a value (tidy, long exports), one column a run (wide exports), one row a run (final scores)."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from harness.imports.patterns import IDENTITY, matching
from harness.imports.readers.content import Unusable, listed
from harness.imports.readers.log import Log, Read, log
from harness.imports.readers.tables import Numbers, Table, header, read_table, require
from harness.imports.schema import Columns, Scores, Tidy, WandbLong, WandbWide

AGGREGATED = re.compile(r"\s*-?[0-9.]+ ± [0-9.]+\s*")


def tidy(entry: Tidy, data: bytes, known: set[str], only: set[str]) -> Read:
    """A table of one row a point: arm, task, seed, step, return, under these names or those of `columns`.

    `known`: what of arm, task and seed the paths say; `only`: of what a single one is declared, so that the file may leave it out.
    """
    names = _named(entry.columns, known, ("step", "return"))
    table = _read(data, names, _optional(entry.columns, only))
    emptied = _emptied(table, names)
    for each in _grouped(table, names, [name for name in IDENTITY if names.get(name) in table.names]):
        yield replace(each, emptied=tuple(each.said.values()) in emptied)


def _emptied(table: Table, names: dict[str, str]) -> set[tuple[str, ...]]:
    """Runs whose last rows have no return, by what says which they are."""
    absent = table.numbers(names["return"]).absent
    if not absent.any():
        return set()
    columns = [table.texts(names[key]).astype(str).to_numpy() for key in IDENTITY if names.get(key) in table.names]
    last = dict(zip(zip(*columns, strict=True), absent.tolist(), strict=True)) if columns else {(): bool(absent[-1])}
    return {run for run, empty in last.items() if empty}


def scores(entry: Scores, data: bytes, known: set[str], only: set[str]) -> Read:
    """A table of one row a run: arm, task, seed, return. All runs end at step 1, the only one that there is."""
    names = _named(entry.columns, known, ("return",))
    table = _read(data, names, _optional(entry.columns, only))
    keys = [name for name in IDENTITY if names.get(name) in table.names]
    for each in _grouped(table, names, keys):
        if len(each.returns) > 1:
            each = replace(each, fault=f"has {len(each.returns)} final scores, must have one: the mean of its episodes")
        yield each


def _named(columns: Columns, known: set[str], values: tuple[str, ...]) -> dict[str, str]:
    """Our names of columns -> the file's."""
    given = columns.model_dump(by_alias=True, exclude_none=True)
    return {name: given.get(name, name) for name in (*IDENTITY, *values) if name in given or name not in known}


def _optional(columns: Columns, only: set[str]) -> set[str]:
    return {name for name in only if getattr(columns, name) is None}


def _read(data: bytes, names: dict[str, str], optional: set[str]) -> Table:
    if len(set(names.values())) < len(names):
        raise Unusable(f"columns: two of {listed(names.values())} are the same column")
    numeric = {names[name] for name in ("step", "return") if name in names}
    try:
        return read_table(data, list(names.values()), numeric, {names.get(name, name) for name in optional})
    except Unusable as error:
        cells = re.split("[,\n]", data[:2000].decode(errors="replace"))
        if any(AGGREGATED.fullmatch(cell) for cell in cells):
            raise Unusable(
                "holds means over runs (mean ± spread), not the runs; a comparison needs one value a seed"
            ) from error
        raise


def wandb_long(entry: WandbLong, data: bytes, known: set[str]) -> Read:
    """An export of one row a logged step: rows without a return logged something else and are left out."""
    given = {
        "step": "global_step",
        "return": "charts/episodic_return",
        **entry.columns.model_dump(by_alias=True, exclude_none=True),
    }
    if not {*given, *known} >= set(IDENTITY):
        given.setdefault("run", "run")
    table = _read(data, given, set())
    for each in _grouped(table, given, [name for name in ("run", *IDENTITY) if name in given]):
        run = each.said.get("run")
        named = {} if run is None else run_name(entry.run, run)
        if named is None:
            yield Log(each.said, fault=_unfit(entry.run, each.said["run"]))
        else:
            own = {name: value for name, value in each.said.items() if name != "run"}
            yield replace(each, said={**named, **own})


def wandb_wide(entry: WandbWide, data: bytes) -> Read:
    """An export of a chart: a step column and one `RUN - TAG` column a run (its __MIN and __MAX are left out)."""
    end = f" - {entry.tag}"
    columns = header(data)
    require([entry.step], columns)
    names = [name for name in columns if name.endswith(end)]
    if not names:
        raise Unusable(f"tag: there is no column `RUN - {entry.tag}`; it has: {listed(columns)}")
    table = read_table(data, [entry.step, *names], {entry.step, *names})
    steps, rows = table.numbers(entry.step), np.arange(len(table))
    for name in names:
        run = name.removesuffix(end)
        said = run_name(entry.run, run)
        if said is None:
            yield Log(fault=_unfit(entry.run, run))
        else:
            yield log(said, steps, table.numbers(name), rows, (entry.step, name))


def run_name(pattern: str, name: str) -> dict[str, str] | None:
    """What a run's name says; names are no paths, so a task may have a slash."""
    return matching(pattern, name, path=False)


def _unfit(pattern: str, name: str) -> str:
    return f"run: the name {name[:80]!r} does not fit {pattern!r}"


def _grouped(table: Table, names: dict[str, str], keys: list[str]) -> Read:
    """The runs of a table, in the order in which they begin; rows of a run keep theirs."""
    returns = table.numbers(names["return"])
    steps = table.numbers(names["step"]) if "step" in names else _one(len(table))
    columns = [table.texts(names[key]) for key in keys]
    codes = np.zeros(len(table), np.int64)
    for column in columns:
        codes = codes * max(len(column.cat.categories), 1) + column.cat.codes.to_numpy(np.int64)
    idle = returns.absent & ~np.isin(codes, codes[~returns.absent])  # of runs that have no return
    codes[returns.absent & ~idle] = -1  # of these rows nothing is used, whatever else they hold
    rows = np.argsort(codes, kind="stable")
    rows = rows[codes[rows] >= 0]
    groups = np.split(rows, np.flatnonzero(np.diff(codes[rows])) + 1) if len(rows) else []
    for group in sorted(groups, key=lambda group: int(group[0])):
        said = {key: str(column.iloc[group[0]]) for key, column in zip(keys, columns, strict=True)}
        empty = next((key for key in keys if not said[key]), None)
        if empty is not None and idle[group[0]]:
            continue  # a row that says nothing of a run
        if empty is not None:
            rest = {key: value for key, value in said.items() if value}
            yield Log(rest, fault=f"{names[empty]}: is empty in {len(group):,} row{'s' * (len(group) > 1)}")
            continue
        yield log(said, steps, returns, group, (names.get("step", "step"), names["return"]))


def _one(rows: int) -> Numbers:
    return Numbers(np.ones(rows), np.zeros(rows, bool), {})
